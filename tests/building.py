"""Builds in tests: sources, and a client of `/api/builds`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from live import LiveServer, zip_of
from observing import until

WORD = "hello from a wheel"
DEADLINE_S = 120.0


def wheel() -> bytes:
    """A wheel of a package `greet`, which needs no index and no compiler; always the same bytes."""
    info = "greet-1.0.dist-info"
    files = {
        "greet/__init__.py": f"WORD = {WORD!r}\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


PYTHON_SOURCES: Mapping[str, str | bytes] = {
    "lambda_function.py": "import greet\ndef handler(event, context): return greet.WORD\n",
    "requirements.txt": "./wheels/greet-1.0-py3-none-any.whl\n",
    "wheels/greet-1.0-py3-none-any.whl": wheel(),
    ".lambdaignore": "wheels/\nrequirements.txt\n",
}

_PACKAGE = {"name": "f", "version": "1.0.0", "dependencies": {"greet": "file:libs/greet"}}
NODE_SOURCES: Mapping[str, str | bytes] = {
    "index.js": "exports.handler = async () => require('greet').word;\n",
    "package.json": json.dumps(_PACKAGE),
    "package-lock.json": json.dumps(
        {
            "name": "f",
            "version": "1.0.0",
            "lockfileVersion": 3,
            "requires": True,
            "packages": {
                "": _PACKAGE,
                "libs/greet": {"version": "1.0.0"},
                "node_modules/greet": {"resolved": "libs/greet", "link": True},
            },
        }
    ),
    "libs/greet/package.json": json.dumps({"name": "greet", "version": "1.0.0", "main": "g.js"}),
    "libs/greet/g.js": "exports.word = 'hello from npm';\n",
}


@dataclass(frozen=True)
class Builder:
    """Talks to the builds of a live server, as one account."""

    server: LiveServer
    account: str = "000000000000"

    def call(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self.account}/20260101/us-east-1/lambda"
            "/aws4_request, SignedHeaders=host, Signature=0",
            **options.pop("headers", {}),
        }
        url = f"{self.server.url}/api/builds{path}"
        return httpx.request(method, url, headers=headers, timeout=DEADLINE_S, **options)

    def begin(self, sources: Mapping[str, str | bytes] | bytes, **asked: str) -> str:
        content = sources if isinstance(sources, bytes) else zip_of(sources)
        answer = self.call("POST", params=asked, content=content)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def ended(self, build_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.call("GET", f"/{build_id}").json()
            return None if found["status"] in {"waiting", "processing"} else found

        found: dict[str, Any] = until(look, f"build {build_id} does not end", DEADLINE_S)
        return found

    def build(self, sources: Mapping[str, str | bytes] | bytes, **asked: str) -> dict[str, Any]:
        return self.ended(self.begin(sources, **asked))

    def ready(self, sources: Mapping[str, str | bytes] | bytes, **asked: str) -> dict[str, Any]:
        found = self.build(sources, **asked)
        assert found["status"] == "ready", self.log(found["id"])
        return found

    def log(self, build_id: str) -> str:
        return self.call("GET", f"/{build_id}/logs").text

    def package(self, build_id: str) -> zipfile.ZipFile:
        answer = self.call("GET", f"/{build_id}/artefact")
        assert answer.status_code == 200, answer.text
        return zipfile.ZipFile(io.BytesIO(answer.content))
