"""Requests for other services, streamed to the companion, and its answers streamed back.

The request goes on as it came: its path in the client's own spelling, its Host (which a signature
covers, and which may name a bucket), its body piece by piece. Where it goes is what the settings
say, whatever the request line or Host name; no redirect is followed.
Sources: RFC 9110 section 7.6, https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import uuid
from typing import Final, Protocol

import structlog

from lambda_home.access.callers import Caller, caller_in
from lambda_home.companion.refusals import Refusal, worded
from lambda_home.companion.targets import account_in, service_of
from lambda_home.direct_http import Head
from lambda_home.errors import ApiError, LambdaHomeError
from lambda_home.http_io import Receive, Scope, Send, answer

OURS: Final = (b"via", b"1.1 lambda-home")
"""The header by which a request is known that has come this way already."""

_log = structlog.get_logger(__name__)


class CompanionDownError(LambdaHomeError):
    """The companion does not run; the message says why and what to do."""


class Companion(Protocol):
    """Another server, which has the other services."""

    @property
    def url(self) -> str:
        """Where it is: scheme, host, port, and a path that all others go below."""

    async def until_ready(self) -> None:
        """Wait until it can be asked, if it is just starting. Raises CompanionDownError."""


class Elsewhere:
    """A companion that somebody else runs."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    async def until_ready(self) -> None:
        """Nobody knows before asking it."""


class Carrier(Protocol):
    """Takes requests there, and answers back."""

    async def carry(self, head: Head, account: str, receive: Receive, send: Send) -> Refusal | None:
        """Carry one, of an account; answers why not, where nothing was sent to the client yet."""

    async def close(self) -> None:
        """Close idle connections."""


class Forwarder:
    """The ASGI app of all services but Lambda; without a companion it says how to get one.

    The caller must stand in the scope (`access.callers.put_caller`). `close` it in the end.
    """

    def __init__(self, companion: Companion | None) -> None:
        self._companion = companion
        self._carrier: Carrier | None = None
        if companion is not None:
            # Slow, and most servers have no companion.
            from lambda_home.companion.carrying import HttpCarrier  # noqa: PLC0415

            self._carrier = HttpCarrier(companion)

    async def close(self) -> None:
        """Close idle connections."""
        if self._carrier is not None:
            await self._carrier.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        head = _head(scope)
        service = service_of(head) or "aws"
        if self._companion is None or self._carrier is None:
            refusal = _nobody(service)
        elif OURS in head.fields:
            refusal = _circle(self._companion.url)
        elif not head.path.startswith(b"/"):
            refusal = Refusal(400, "InvalidURI", "The request line must have a path.")
        else:
            account = _account(caller_in(scope), head)
            found = await self._carrier.carry(head, account, receive, send)
            if found is None:
                return
            refusal = found
            _log.warning("a request was not forwarded", service=service, why=refusal.message)
        await _refuse(send, head, refusal)


async def send_error(send: Send, head: Head, error: ApiError) -> None:
    """Answer a request for another service with an error of ours, in that service's protocol."""
    await _refuse(send, head, Refusal(error.status, error.code, error.message or ""))


async def _refuse(send: Send, head: Head, refusal: Refusal) -> None:
    fields, body = worded(refusal, service_of(head) or "aws", head, str(uuid.uuid4()))
    await answer(send, refusal.status, body if head.method != b"HEAD" else b"", fields)


def _account(caller: Caller, head: Head) -> str:
    """Whose resources are meant; a presigned URL's signer need not be who sends it."""
    own = caller.scope.account
    return own if caller.is_verified else account_in(head) or own


def _head(scope: Scope) -> Head:
    fields = list(scope["headers"])
    method = scope["method"].encode("latin-1")
    return Head(method, scope["raw_path"], scope["query_string"], dict(fields), 0, fields)


def _nobody(service: str) -> Refusal:
    more = f"nobody stands beside it for {service}"
    if service == "logs":
        more = "it does not perform this operation of CloudWatch Logs"
    return Refusal(
        501,
        "NotImplemented",
        f"This server is AWS Lambda, and {more}: start it with --companion moto, or with"
        " --companion URL of a server that has other services.",
    )


def _circle(url: str) -> Refusal:
    return Refusal(
        508,
        "LoopDetected",
        f"The companion {url} is this server itself: give --companion another URL, or moto.",
    )
