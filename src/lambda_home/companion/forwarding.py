"""Requests for other services, streamed to the companion, and its answers streamed back.

The request goes on as it came: its path in the client's own spelling, its Host (which a signature
covers, and which may name a bucket), its body piece by piece. Where it goes is what the settings
say, whatever the request line or Host name; no redirect is followed.
Sources: RFC 9110 section 7.6, https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Final, Protocol

import httpx
import structlog

from lambda_home.access.callers import Caller, caller_in
from lambda_home.companion.refusals import Refusal, worded
from lambda_home.companion.targets import account_in, service_of
from lambda_home.direct_http import FieldList, Head
from lambda_home.errors import ApiError, LambdaHomeError
from lambda_home.http_io import ClientGone, Receive, Scope, Send, answer

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_ACCOUNT: Final = b"x-moto-account-id"
_OURS: Final = (b"via", b"1.1 lambda-home")
_OPENS_BROWSERS: Final = b"access-control-"
_UNSAID: Final = frozenset({b"server"})
_TIMEOUTS: Final = {"connect": 5.0, "read": 900.0, "write": 900.0, "pool": 30.0}  # seconds
_CONNECTIONS: Final = httpx.Limits(max_connections=256, max_keepalive_connections=32)

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


class Forwarder:
    """The ASGI app of all services but Lambda; without a companion it says how to get one.

    The caller must stand in the scope (`access.callers.put_caller`). `close` it in the end.
    """

    def __init__(self, companion: Companion | None) -> None:
        self._companion = companion
        self._transport = httpx.AsyncHTTPTransport(
            trust_env=False,
            limits=_CONNECTIONS,
            verify=companion is not None and companion.url.startswith("https"),
        )

    async def close(self) -> None:
        """Close idle connections."""
        await self._transport.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        head = _head(scope)
        service = service_of(head) or "aws"
        if self._companion is None:
            refusal = _nobody(service)
        elif _OURS in head.fields:
            refusal = _circle(self._companion.url)
        elif not head.path.startswith(b"/"):
            refusal = Refusal(400, "InvalidURI", "The request line must have a path.")
        else:
            exchange = _Exchange(self._companion, self._transport, scope, head)
            found = await exchange.run(receive, send)
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


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        companion: Companion,
        transport: httpx.AsyncHTTPTransport,
        scope: Scope,
        head: Head,
    ) -> None:
        self._companion = companion
        self._transport = transport
        self._head = head
        self._account = _account(caller_in(scope), head).encode()
        self._started = False

    async def run(self, receive: Receive, send: Send) -> Refusal | None:
        """Carry it out; answers why not, where nothing was sent to the client yet.

        Ends at once when the client goes away.
        """
        upload = _Upload(receive)
        exchange = asyncio.ensure_future(self._carry(upload, send))
        gone = asyncio.ensure_future(upload.gone())
        try:
            await asyncio.wait({exchange, gone}, return_when=asyncio.FIRST_COMPLETED)
            return exchange.result() if exchange.done() else None
        finally:
            for task in (exchange, gone):
                task.cancel()
            await asyncio.gather(exchange, gone, return_exceptions=True)

    async def _carry(self, upload: _Upload, send: Send) -> Refusal | None:
        try:
            await self._companion.until_ready()
            response = await self._transport.handle_async_request(self._request(upload))
            try:
                await self._answer(response, send)
            finally:
                await response.aclose()
        except ClientGone:
            return None
        except CompanionDownError as error:
            return Refusal(503, "ServiceUnavailable", str(error))
        except httpx.LocalProtocolError as error:
            return Refusal(400, "InvalidRequest", f"The request cannot be forwarded: {error}.")
        except httpx.TransportError as error:
            if self._started:  # uvicorn ends the connection, so the client sees that it is torn
                _log.warning("the companion's answer broke off", error=_words(error))
                return None
            return self._failed(error)
        return None

    def _failed(self, error: httpx.TransportError) -> Refusal:
        if isinstance(error, httpx.ReadTimeout):
            said = f"The companion at {self._companion.url} took longer than 15 minutes to answer."
            return Refusal(504, "GatewayTimeout", said)
        said = f"The companion at {self._companion.url} does not answer ({_words(error)}):"
        unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        return Refusal(
            503 if unreachable else 502,
            "ServiceUnavailable" if unreachable else "BadGateway",
            f"{said} start it, or start lambda_home with --companion moto.",
        )

    def _request(self, upload: _Upload) -> httpx.Request:
        head = self._head
        url = httpx.URL(self._companion.url)
        base = url.raw_path.rstrip(b"/")
        target = base + head.path + (b"?" + head.query if head.query else b"")
        return httpx.Request(
            head.method.decode("latin-1"),
            url,
            headers=self._forwarded(),
            stream=upload,
            extensions={"target": target, "timeout": _TIMEOUTS},
        )

    def _forwarded(self) -> FieldList:
        head = self._head
        chunked = b"transfer-encoding" in head.headers
        left_out = _left_out(head.fields) | {_ACCOUNT}
        if chunked:
            left_out |= {b"content-length"}
        fields = [field for field in head.fields if field[0].lower() not in left_out]
        fields += [(_ACCOUNT, self._account), _OURS]
        if chunked:
            fields.append((b"transfer-encoding", b"chunked"))
        return fields

    async def _answer(self, response: httpx.Response, send: Send) -> None:
        fields = [(name.lower(), value) for name, value in response.headers.raw]
        left_out = _left_out(fields) | _UNSAID
        kept = [
            field
            for field in fields
            if field[0] not in left_out and not field[0].startswith(_OPENS_BROWSERS)
        ]
        self._started = True
        status = response.status_code
        await send({"type": "http.response.start", "status": status, "headers": kept})
        async for piece in response.aiter_raw():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class _Upload(httpx.AsyncByteStream):
    """A request's body, as it comes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._whole = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raise ClientGone where the client gives up."""
        more = not self._whole.is_set()
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece
        self._whole.set()

    async def gone(self) -> None:
        """Wait until the client goes away, once its body is here."""
        await self._whole.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _head(scope: Scope) -> Head:
    fields = list(scope["headers"])
    method = scope["method"].encode("latin-1")
    return Head(method, scope["raw_path"], scope["query_string"], dict(fields), 0, fields)


def _account(caller: Caller, head: Head) -> str:
    """Whose resources are meant; a presigned URL's signer need not be who sends it."""
    own = caller.scope.account
    return own if caller.is_verified else account_in(head) or own


def _left_out(fields: FieldList) -> frozenset[bytes]:
    """The headers that are for the next hop alone, also those that Connection names."""
    named = {
        name.strip().lower()
        for field, value in fields
        if field.lower() == b"connection"
        for name in value.split(b",")
    }
    return _HOP_BY_HOP | (named - {b"host", b"content-length", b"authorization"})


def _nobody(service: str) -> Refusal:
    return Refusal(
        501,
        "NotImplemented",
        f"This server is AWS Lambda, and nobody stands beside it for {service}: start it with"
        " --companion moto, or with --companion URL of a server that has other services.",
    )


def _circle(url: str) -> Refusal:
    return Refusal(
        508,
        "LoopDetected",
        f"The companion {url} is this server itself: give --companion another URL, or moto.",
    )


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
