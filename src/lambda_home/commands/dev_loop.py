"""What `lambda-home dev` does with a server: the function, its debugger, its log, its calls."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambda_home.commands import output
from lambda_home.commands.client import Client, Request, quoted
from lambda_home.commands.failures import Failure, Refused, Unreachable
from lambda_home.commands.log_lines import Event
from lambda_home.commands.logs import Source, show_event

BUCKET = "hot-reload"
RELOADS = "hot-reload"
"""The log stream in which the server tells of reloads."""
_FUNCTIONS = "/2015-03-31/functions"
_CONFLICT = 409
_LOOK_S = 0.2
_LISTENS_WITHIN_S = 60.0
_BREAKPOINTS_S = 1.0  # a debugger that is attached sets them first


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to run: `settings` are members of CreateFunction, `event` is sent at each change.

    `debug_port` is None without a debugger.
    """

    name: str
    folder: Path
    settings: dict[str, Any]
    event: Path | None = None
    debug_port: int | None = None


class Loop:
    """Between `begin` and `end` a function of a server is made of a folder."""

    def __init__(
        self, client: Client, connect: Callable[[], AbstractContextManager[Client]], wish: Wish
    ) -> None:
        self._client = client
        self._connect = connect
        self._wish = wish
        self._path = f"{_FUNCTIONS}/{quoted(wish.name)}"
        self._is_made = False
        self._over = threading.Event()
        self._call_due = threading.Event()
        self._caller: threading.Thread | None = None

    def begin(self) -> None:
        """Make the function, put it under its debugger, call it. Raises Failure."""
        wish = self._wish
        code = {"S3Bucket": BUCKET, "S3Key": str(wish.folder)}
        body = {"FunctionName": wish.name, **wish.settings, "Code": code}
        try:
            self._client.json("POST", _FUNCTIONS, body)
        except Refused as error:
            if error.status != _CONFLICT:
                raise
            raise Failure(
                f"There is a function {wish.name} on that server already: give another --name, or"
                f" delete it (lambda-home delete {wish.name})."
            ) from error
        self._is_made = True
        self._say_how()
        if wish.debug_port is not None:
            self._debug(wish.debug_port)
        if wish.event is not None:
            self._caller = threading.Thread(target=self._call_forever, daemon=True)
            self._caller.start()
            self._call_due.set()

    def follow(self) -> None:
        """Show what is logged until somebody interrupts. Raises Unreachable as the log ends."""
        Source(self._client, self._wish.name, 0, None).follow(self._show)

    def end(self, *, leave: bool = False) -> None:
        """Take away what was made, unless it goes by itself (`leave`)."""
        self._over.set()
        self._call_due.set()
        if self._is_made and not leave:
            with suppress(Failure):
                self._client.send(Request("DELETE", f"/api/admin/debug/{quoted(self._wish.name)}"))
            try:
                self._client.send(Request("DELETE", self._path))
            except Unreachable:
                return
            except Refused as error:
                output.note(f"{self._wish.name} could not be deleted: {error}")
        if self._caller is not None and not leave:
            self._caller.join(_LOOK_S)

    # --------------------------------------------------------------------------------------------

    def _say_how(self) -> None:
        name, endpoint = self._wish.name, self._client.access.endpoint
        settings = self._wish.settings
        output.note(
            f"{name} ({settings['Runtime']}, {settings['Handler']}) runs {self._wish.folder}"
        )
        output.note("and what changes there is in force with the next call. Call it:")
        at = shlex.quote(endpoint)
        output.note(f"  lambda-home invoke {name} --payload '{{}}' --endpoint-url {at}")
        output.note(f"  aws lambda invoke --endpoint-url {at} --function-name {name} out.json")
        output.note(f"  curl {shlex.quote(f'{endpoint}/{name}')}")
        output.note("Its log follows; Ctrl-C ends it.\n")

    def _debug(self, port: int) -> None:
        path = f"/api/admin/debug/{quoted(self._wish.name)}"
        found = self._client.json("PUT", path, {"port": port})
        until = time.monotonic() + _LISTENS_WITHIN_S
        while found["State"] != "Listening":
            if time.monotonic() > until or self._over.is_set():
                raise Failure(
                    f"No debugger listens: see lambda-home logs {self._wish.name} for the reason."
                )
            time.sleep(_LOOK_S)
            found = self._client.json("GET", path)
        output.note(f"A debugger listens on 127.0.0.1:{found['Port']}: attach, then call.")
        output.note("The timeout rests while it is attached. .vscode/launch.json:")
        output.show_json({"version": "0.2.0", "configurations": [found["LaunchConfiguration"]]})

    def _show(self, event: Event) -> None:
        show_event(event)
        if event.get("stream") == RELOADS and "[ERROR]" not in str(event["message"]):
            self._call_due.set()

    def _call_forever(self) -> None:
        """Call the function when its code or its event has changed."""
        event = self._wish.event
        if event is None:
            return
        seen = _state_of(event)
        with self._connect() as client:
            if self._wish.debug_port is not None:
                self._await_debugger(client)
            while not self._over.is_set():
                is_due = self._call_due.wait(_LOOK_S)
                state = _state_of(event)
                if self._over.is_set() or not (is_due or state != seen):
                    continue
                self._call_due.clear()
                seen = state
                try:
                    self._call(client, event)
                except (Failure, OSError) as error:
                    if not self._over.is_set():
                        output.note(f"{event} -> {error}")

    def _await_debugger(self, client: Client) -> None:
        """A call that came before the debugger would run past its breakpoints."""
        path = f"/api/admin/debug/{quoted(self._wish.name)}"
        output.note(f"{self._wish.event} is sent as soon as a debugger is attached.")
        with suppress(Failure):  # the server is stopping, or knows no debuggers any more
            while not self._over.wait(_LOOK_S):
                if client.json("GET", path)["Attached"]:
                    self._over.wait(_BREAKPOINTS_S)
                    return

    def _call(self, client: Client, event: Path) -> None:
        request = Request(
            "POST",
            f"{self._path}/invocations",
            None,
            event.read_bytes(),
            {"Content-Type": "application/json"},
        )
        answer = client.send(request)
        failed = answer.headers.get("x-amz-function-error")
        told = f"{event} -> {'' if failed is None else f'{failed} error: '}"
        output.line(told + answer.body.decode(errors="replace"))


def _state_of(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
