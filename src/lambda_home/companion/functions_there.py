"""Our functions, as moto's triggers see them: called over HTTP at the server of both."""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lambda_home.companion.child import PREFIX

_THREADS: Final = 4
_ARN_PARTS: Final = 7  # arn:aws:lambda:region:account:function:name, and perhaps a qualifier
_CONFIG: Final = Config(
    connect_timeout=5,
    read_timeout=960,
    max_pool_connections=32,
    retries={"mode": "standard", "total_max_attempts": 4},
)


@dataclass(frozen=True, slots=True)
class Home:
    """Where functions are, and the Host header to call them by; who calls if nobody is named."""

    url: str
    host: str = field(repr=False)
    account: str
    region: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Home:
        """As `child` has put it into the environment."""

        def given(name: str) -> str:
            return environment.get(PREFIX + name, "")

        return cls(given("URL"), given("HOST"), given("ACCOUNT"), given("REGION"))


class Functions:
    """Calls of functions, each named by name or ARN, in an account and a region."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._session = botocore.session.Session()
        self._clients: dict[tuple[str, str], Any] = {}
        self._making = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, "triggers")

    def send(self, name: str, event: str, account: str, region: str) -> None:
        """Invoke asynchronously, as services do; whoever triggers it does not wait.

        What fails is a line of the log, as nobody else hears of it on AWS.
        """
        self._threads.submit(self._send, name, event, account, region)

    def later(self, call: Callable[..., None], *given: Any) -> None:
        """Do something else for which nobody who triggers it waits."""
        self._threads.submit(call, *given)

    def call(self, name: str, event: str, account: str, region: str) -> bytes:
        """Invoke and wait; the payload of the answer. Raises ClientError."""
        answer = self._client(name, account, region).invoke(FunctionName=name, Payload=event)
        return bytes(answer["Payload"].read())

    def check(self, name: str, account: str, region: str) -> None:
        """Raise ClientError where there is no such function."""
        client = self._client(name, account, region)
        client.invoke(FunctionName=name, InvocationType="DryRun")

    def _send(self, name: str, event: str, account: str, region: str) -> None:
        try:
            client = self._client(name, account, region)
            client.invoke(FunctionName=name, InvocationType="Event", Payload=event)
        except (ClientError, BotoCoreError) as error:
            say(f"{name} was not invoked: {error}")
        except Exception as error:
            say(f"{name} was not invoked: {error!r}")

    def _client(self, name: str, account: str, region: str) -> Any:
        parts = name.split(":")
        if name.startswith("arn:") and len(parts) >= _ARN_PARTS:
            region, account = parts[3], parts[4]
        key = (account, region)
        with self._making:
            if key not in self._clients:
                self._clients[key] = self._make(account, region)
            return self._clients[key]

    def _make(self, account: str, region: str) -> Any:
        client = self._session.create_client(
            "lambda",
            region_name=region,
            endpoint_url=self._home.url,
            aws_access_key_id=account,
            aws_secret_access_key="lambda-home",  # noqa: S106  the host name is what is secret
            config=_CONFIG,
        )
        client.meta.events.register("request-created", self._name_host)
        return client

    def _name_host(self, request: Any, **_: object) -> None:
        request.headers["Host"] = self._home.host


def as_json(event: Mapping[str, Any]) -> str:
    """An event as a payload."""
    return json.dumps(event)


def is_elsewhere(url: str) -> bool:
    """Whether a URL leads away from this machine, and to no metadata service of a cloud's.

    What callers make moto fetch must not reach what only this machine may.
    """
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return False
    for *_, address in found:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if ip.is_loopback or ip.is_link_local or ip.is_unspecified:
            return False
    return True


def say(line: str) -> None:
    """One line for the server's log."""
    sys.stdout.write(line.replace("\n", " ") + "\n")
    sys.stdout.flush()
