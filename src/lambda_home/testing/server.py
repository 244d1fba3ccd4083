"""A server for a run of tests: a process of its own, on free ports, with nothing kept.

It ends with this process, even if that is killed: see `tied`.

It stands on the standard library; boto3 is imported when the first client is asked for.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

ACCOUNT = "000000000000"
REGION = "us-east-1"
_FACT = re.compile(r"^  (user API|runtime API|sandbox|data)\s+(.*)$")
_LINES_KEPT = 1000
_LAST_LINES = 20
_START_S = 60.0
_STOP_S = 40.0
_ADMIN_S = 120.0
_OK = 200
_REDIRECT = 300
# What would lead AWS's tools elsewhere: set to nothing, or taken away.
_SDK_VARIABLES = ("AWS_", "LAMBDA_HOME_")


class LocalServerError(RuntimeError):
    """The server did not start, or refused what a test asked of it."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server runs; `settings` are `{"async.retry_base_s": "1"}`, as in default.toml."""

    sandbox: str = "auto"
    companion: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """The settings as the server reads them from its environment."""
        given = {"testing.virtual_clock": "true", "server.shutdown_grace_s": "1", **self.settings}
        return {
            "LAMBDA_HOME_" + "__".join(key.upper().split(".", 1)): value
            for key, value in given.items()
        }

    def flags(self) -> list[str]:
        """The command line of `lambda-home serve`."""
        ports = ["--port-user-api", "0", "--port-runtime-api", "0"]
        beside = ["--companion", self.companion] if self.companion else []
        return ["serve", *ports, "--ephemeral", "--sandbox", self.sandbox, *beside]


class LocalServer:
    """A running server; a context manager. `is_used` since it was last empty."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._output: deque[str] = deque(maxlen=_LINES_KEPT)
        self.facts: dict[str, str] = {}
        self.is_used = False
        self._clients: dict[str, Any] = {}

    # -------------------------------------------------------------------------------- life cycle

    def __enter__(self) -> Self:
        """Start, and wait until it is ready. Raises LocalServerError with its words."""
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-P", "-m", "lambda_home.testing.tied", *self._options.flags()],
            env={**_without_aws(), **self._options.variables()},
            stdin=subprocess.PIPE,  # closed when this process ends, and the server with it
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """End it."""
        self.stop()

    def stop(self) -> None:
        """End the server, by force if it takes longer than 40 seconds."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        process, self._process = self._process, None
        if process is None or self._reader is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join(_STOP_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is not None:
            for line in process.stdout:
                self._output.append(line)
                if "data" not in self.facts:
                    self._lines.put(line)
        self._lines.put(None)

    def _wait_until_ready(self) -> None:
        while "data" not in self.facts:
            try:
                line = self._lines.get(timeout=_START_S)
            except queue.Empty:
                line = None
            if line is None:
                raise LocalServerError("lambda_home did not start:\n" + self.output)
            if match := _FACT.match(line):
                self.facts[match[1]] = match[2].strip()

    # -------------------------------------------------------------------------------- facts

    @property
    def url(self) -> str:
        """Where the server answers: the endpoint for all AWS SDKs."""
        self.is_used = True
        return self.facts["user API"]

    @property
    def data_dir(self) -> Path:
        """Its temporary data directory."""
        return Path(self.facts["data"])

    @property
    def sandbox(self) -> str:
        """Where functions run, and why there."""
        return self.facts["sandbox"]

    @property
    def output(self) -> str:
        """The newest thousand lines that it has printed."""
        return "".join(self._output)

    def environment(self) -> dict[str, str]:
        """Environment variables that lead AWS's SDKs and tools here, and nowhere else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "lambda-home",  # a word for signing, no secret
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    # -------------------------------------------------------------------------------- use

    def client(
        self, service: str, account: str = ACCOUNT, region: str = REGION, **options: Any
    ) -> Any:
        """A boto3 client of a service, in a world of its own for each account and region.

        It does not retry, so that a test sees every answer; `options` are those of
        `boto3.client`. Raises LocalServerError without boto3.
        """
        self.is_used = True
        key = f"{service} {account} {region}"
        if options:
            return self._new_client(service, account, region, options)
        if key not in self._clients:
            self._clients[key] = self._new_client(service, account, region, {})
        return self._clients[key]

    def _new_client(self, service: str, account: str, region: str, options: dict[str, Any]) -> Any:
        try:
            import boto3  # noqa: PLC0415  slow to import, and an extra of who uses it
        except ImportError as error:
            raise LocalServerError("Clients need boto3: pip install boto3.") from error
        from botocore.config import Config  # noqa: PLC0415  as boto3
        from botocore.session import Session  # noqa: PLC0415  as boto3

        nobodys = {  # neither the profile nor the files of whoever runs the tests
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        session = boto3.Session(
            aws_access_key_id=account,
            aws_secret_access_key="lambda-home",  # noqa: S106  a word for signing, no secret
            region_name=region,
            botocore_session=Session(session_vars=nobodys),
        )
        once = Config(retries={"total_max_attempts": 1}, read_timeout=900)
        given = dict(options)
        config = once.merge(given.pop("config", None) or Config())
        return session.client(service, **{"endpoint_url": self.url, **given, "config": config})

    def reset(self) -> None:
        """Remove all that the server keeps. Raises LocalServerError."""
        self.admin("POST", "/api/admin/reset")
        self.is_used = False

    def admin(self, method: str, path: str, document: dict[str, Any] | None = None) -> Any:
        """Ask the admin API; the answer's document.

        Raises LocalServerError with its message, or with the server's last words if it has ended.
        """
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=_ADMIN_S
        )
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            last = "".join([*self._output][-_LAST_LINES:])
            raise LocalServerError(
                f"The server does not answer {method} {path} ({error!r}). Its last lines:\n{last}"
            ) from error
        finally:
            connection.close()
        if not _OK <= answer.status < _REDIRECT:
            raise LocalServerError(f"{method} {path} was answered {answer.status}: {text}")
        return json.loads(text) if text else None


class Clock:
    """The clock of a server: what hangs on time happens when a test says so."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server

    def now(self) -> float:
        """Seconds since the epoch, by the server's clock."""
        return float(self._server.admin("GET", "/api/admin/clock")["now"])

    def advance(self, seconds: float) -> None:
        """Let time pass; everything that comes due in it has happened on return.

        Waits for what runs, and raises LocalServerError after 30 seconds of that.
        """
        self._server.admin("POST", "/api/admin/clock", {"advance_s": seconds})


def _without_aws() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_SDK_VARIABLES)
    }
