"""One request carried to the companion, and its answer carried back, piece by piece.

Source: RFC 9110 section 7.6.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import httpx
import structlog

from lambda_home.companion.forwarding import OURS, Companion, CompanionDownError
from lambda_home.companion.refusals import Refusal
from lambda_home.direct_http import FieldList, Head
from lambda_home.http_io import ClientGone, Receive, Send

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
_OPENS_BROWSERS: Final = b"access-control-"
_UNSAID: Final = frozenset({b"server"})
_TIMEOUTS: Final = {"connect": 5.0, "read": 900.0, "write": 900.0, "pool": 30.0}  # seconds
_CONNECTIONS: Final = httpx.Limits(max_connections=256, max_keepalive_connections=32)

_log = structlog.get_logger(__name__)


class HttpCarrier:
    """See `forwarding.Carrier`. Connections are kept."""

    def __init__(self, companion: Companion) -> None:
        self._companion = companion
        self._transport = httpx.AsyncHTTPTransport(
            trust_env=False, limits=_CONNECTIONS, verify=companion.url.startswith("https")
        )

    async def carry(self, head: Head, account: str, receive: Receive, send: Send) -> Refusal | None:
        """Carry a request; ends at once when the client goes away."""
        return await _Exchange(self._companion, self._transport, head, account).run(receive, send)

    async def close(self) -> None:
        """Close idle connections."""
        await self._transport.aclose()


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        companion: Companion,
        transport: httpx.AsyncHTTPTransport,
        head: Head,
        account: str,
    ) -> None:
        self._companion = companion
        self._transport = transport
        self._head = head
        self._account = account.encode()
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
        fields += [(_ACCOUNT, self._account), OURS]
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


def _left_out(fields: FieldList) -> frozenset[bytes]:
    """The headers that are for the next hop alone, also those that Connection names."""
    named = {
        name.strip().lower()
        for field, value in fields
        if field.lower() == b"connection"
        for name in value.split(b",")
    }
    return _HOP_BY_HOP | (named - {b"host", b"content-length", b"authorization"})


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
