"""A real browser for tests: pages of our own, opened in a headless Chromium."""

from __future__ import annotations

import html
import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
)
_PAGE = """<!doctype html><body><script>
const tries = %s;
async function attempt([url, init]) {
  try {
    const answer = await fetch(url, init);
    return answer.type === "opaque" ? "opaque" : [answer.status, await answer.text()];
  } catch (error) { return error.name; }
}
(async () => {
  const found = {};
  for (const [name, given] of Object.entries(tries)) found[name] = await attempt(given);
  document.body.textContent = "FOUND" + JSON.stringify(found) + "END";
})();
</script></body>"""

Tries = Mapping[str, tuple[str, dict[str, Any]]]


class Pages:
    """A site of its own, whose pages fetch what they are told to."""

    def __init__(self, port: int, profile: Path) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self._profile = profile
        self._page = ""

    def page(self) -> bytes:
        """The page as it is now."""
        return self._page.encode()

    def fetch(self, tries: Tries) -> dict[str, Any]:
        """What a page of this site sees of each fetch: status and text, "opaque", or an error."""
        self._page = _PAGE % json.dumps(tries)
        command = ["chromium", *_FLAGS, f"--user-data-dir={self._profile}", "--dump-dom"]
        done = subprocess.run(
            [*command, self.origin + "/"], check=True, capture_output=True, text=True, timeout=100
        )
        match = re.search("FOUND(.*)END", done.stdout, re.DOTALL)
        assert match is not None, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(html.unescape(match[1]))
        return found


@contextmanager
def site(profile: Path) -> Iterator[Pages]:
    """Serve such pages on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.page()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pages = Pages(server.server_address[1], profile)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield pages
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
