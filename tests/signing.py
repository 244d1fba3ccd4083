"""Requests signed as SDKs sign them, and then spoilt."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from live import LiveServer
from raw_http import connect

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

REGION = "us-east-1"
SIGV4 = {"LAMBDA_HOME_ACCESS__AUTH": "sigv4"}


@dataclass(frozen=True)
class Key:
    """An access key."""

    id: str
    secret: str

    @property
    def bearer(self) -> dict[str, str]:
        """The header of the admin API."""
        return {"Authorization": f"Bearer {self.id}:{self.secret}"}


@dataclass
class Answer:
    """Status, headers and body, and the error's code and text where it is one."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, code and text."""
        document = json.loads(self.body)
        text = document.get("message", document.get("Message"))
        return self.status, self.headers.get("x-amzn-ErrorType", ""), text


def first_key(data_dir: Path, role: str = "admin", name: str = "root", *more: str) -> Key:
    """Make a key by the command line, as the first one must be."""
    command = [sys.executable, "-m", "lambda_home", "keys", "create", name, "--role", role]
    done = subprocess.run(
        [*command, "--data-dir", str(data_dir), *more], check=True, capture_output=True, text=True
    )
    found = dict(
        line.removeprefix("export ").split("=", 1)
        for line in done.stdout.splitlines()
        if line.startswith("export ")
    )
    return Key(found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"])


@contextmanager
def locked_server(data_dir: Path, sandbox: str = "process") -> Iterator[tuple[LiveServer, Key]]:
    """A server that verifies signatures, and the key of its admin."""
    key = first_key(data_dir)
    with LiveServer("--sandbox", sandbox, "--data-dir", str(data_dir), environment=SIGV4) as server:
        yield server, key


def client(server: LiveServer, key: Key, service: str = "lambda", **more: Any) -> LambdaClient:
    """boto3 with a key; it does not retry."""
    made: LambdaClient = boto3.client(
        service,
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id=key.id,
        aws_secret_access_key=key.secret,
        config=Config(retries={"total_max_attempts": 1}),
        **more,
    )
    return made


def signed(  # noqa: PLR0913  what is signed, and how
    server: LiveServer,
    key: Key,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    service: str = "lambda",
    shift: timedelta = timedelta(),
) -> AWSRequest:
    """A signed request, as if the clock were `shift` ahead."""
    request = AWSRequest(method, server.url + path, data=body)
    _sign_at(auth.SigV4Auth(Credentials(key.id, key.secret), service, REGION), request, shift)
    return request


def presigned(
    server: LiveServer, key: Key, path: str, *, expires: int = 60, shift: timedelta = timedelta()
) -> str:
    """The path and query of a presigned GET."""
    request = AWSRequest("GET", server.url + path)

    signer = auth.SigV4QueryAuth(Credentials(key.id, key.secret), "lambda", REGION, expires)
    _sign_at(signer, request, shift)
    return str(request.url).removeprefix(server.url)


def send(server: LiveServer, request: AWSRequest, **changed: Any) -> Answer:
    """Send a signed request; `changed` spoils it: method, path, body, headers (None takes away)."""
    prepared = request.prepare()
    headers = {**dict(prepared.headers.items()), **changed.get("headers", {})}
    path = changed.get("path") or "/" + str(prepared.url).split("/", 3)[3]
    body = changed.get("body", prepared.body) or b""
    connection = connect(server)
    try:
        method = changed.get("method", prepared.method)
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            if value is not None and name.lower() != "content-length":
                text = value.decode() if isinstance(value, bytes) else value
                connection.putheader(name, text)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def _stamp(shift: timedelta) -> str:
    return (datetime.now(UTC) + shift).strftime("%Y%m%dT%H%M%SZ")


def _sign_at(signer: auth.SigV4Auth, request: AWSRequest, shift: timedelta) -> None:
    """What `add_auth` of botocore does, at another time than now."""
    request.context["timestamp"] = _stamp(shift)
    signer._modify_request_before_signing(request)  # noqa: SLF001  no other clock can be set
    canonical = signer.canonical_request(request)
    text = signer.string_to_sign(request, canonical)
    signature = signer.signature(text, request)
    signer._inject_signature_to_request(request, signature)  # noqa: SLF001
