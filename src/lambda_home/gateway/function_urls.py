"""Function URLs: plain HTTP to one function or alias, past ASGI.

A request of a warm function is invoked in the call that parses its last byte, unless its URL has to
be looked up or a long body has to be held against its signature.
Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import structlog

from lambda_home.access.callers import Caller
from lambda_home.access.gate import Entry, Gate
from lambda_home.access.policy_evaluation import Decision
from lambda_home.direct_http import Body, BoundedBody, Fields, Head, Reply
from lambda_home.errors import ApiError, RequestEntityTooLargeException
from lambda_home.gateway import url_rules as rules
from lambda_home.gateway.cors import add_cors
from lambda_home.gateway.exchange import Call, Exchange, request_of
from lambda_home.gateway.messages import HttpResponse, render
from lambda_home.gateway.url_index import UrlIndex
from lambda_home.gateway.url_rules import Address, FunctionUrl
from lambda_home.invocations import SYNC_PAYLOAD_LIMIT

_MOST_DISCARDED: Final = 64 * 1024 * 1024
_PROVE_INLINE: Final = 64 * 1024  # hashing a longer body would hold up everybody else
# The operations whose roles stand for IAM's actions; see `Gate.allow`.
_OPERATIONS: Final = {"InvokeFunctionUrl": "InvokeFunctionUrl", "InvokeFunction": "Invoke"}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A whole request to a URL."""

    address: Address
    head: Head
    body: bytes
    request_id: str


class FunctionUrls:
    """Serves function URLs; see `direct_http.Routes`. `now` is in seconds since 1970."""

    def __init__(
        self, index: UrlIndex, exchange: Exchange, gate: Gate, now: Callable[[], float]
    ) -> None:
        self._index = index
        self._exchange = exchange
        self._gate = gate
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, head: Head, reply: Reply) -> Body | None:
        """Take the head of a request to a URL; None for any other request."""
        address = rules.address_of(head)
        if address is None:
            return None
        # Of what nobody will read nothing is kept.
        limit = 0 if self._index.is_unknown(address.url_id) else SYNC_PAYLOAD_LIMIT
        return _Payload(self, address, head, reply, limit)

    def serve(self, address: Address, head: Head, body: bytes | None, reply: Reply) -> None:
        """A whole request has come; `body` is None if it was too long."""
        request_id = str(uuid.uuid4())
        if self._index.is_unknown(address.url_id):
            _answer(reply, head, rules.error_response(rules.no_such_url()), request_id)
            return
        if body is None:
            _answer(reply, head, rules.error_response(too_long()), request_id)
            return
        sent = _Sent(address, head, body, request_id)
        url = self._index.at_hand(address.url_id)
        if url is None or not (url.is_public or len(body) <= _PROVE_INLINE):
            task = asyncio.get_running_loop().create_task(self._wait(sent, reply))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        try:
            entry = self._entry(url, sent)
            self._go_on(url, sent, entry.prove(body) if entry else None, reply)
        except Exception as error:
            self._refuse(url, sent, error, reply)

    # --------------------------------------------------------------------------------------------

    async def _wait(self, sent: _Sent, reply: Reply) -> None:
        url: FunctionUrl | None = None
        try:
            url = await self._index.look_up(sent.address.url_id)
            entry = self._entry(url, sent)
            caller = await asyncio.to_thread(entry.prove, sent.body) if entry else None
            self._go_on(url, sent, caller, reply)
        except Exception as error:
            self._refuse(url, sent, error, reply)

    def _entry(self, url: FunctionUrl | None, sent: _Sent) -> Entry | None:
        """Who calls; None where nobody is asked. Raises ApiError."""
        if url is None or sent.address.region not in (None, url.ref.scope.region):
            raise rules.no_such_url()
        if url.is_public or rules.preflight_answer(url, sent.head) is not None:
            return None
        # Only what is signed proves anything here: a page could send the cookie of a session.
        if not rules.is_signed(sent.head):
            raise rules.forbidden()
        rules.check_scope(sent.head, url.ref.scope.region)
        entry = self._gate.identify(sent.head)
        if entry.caller is not None and entry.caller.is_verified:  # without the body: not signed
            raise rules.forbidden()
        return entry

    def _go_on(
        self, url: FunctionUrl | None, sent: _Sent, caller: Caller | None, reply: Reply
    ) -> None:
        """Answer a preflight, or invoke; raises ApiError for whom may not."""
        if url is None:
            raise rules.no_such_url()
        preflight = rules.preflight_answer(url, sent.head)
        if preflight is not None:
            _answer(reply, sent.head, preflight, sent.request_id)
            return
        now = self._now()
        for action in () if url.is_open else rules.ACTIONS:
            self._check(url, sent.head, caller, action, now)
        head = replace(sent.head, path=sent.address.path)
        request = request_of(head, sent.body, int(now * 1000), sent.request_id)
        call = Call(
            url.ref,
            request,
            event=partial(rules.event_of, url, sent.address, request, caller),
            to_response=partial(rules.response_of, streams=url.streams),
            finish=partial(_finish, url, sent.head),
            stream=url.streams,
        )
        self._exchange.begin(call, reply)

    def _check(
        self, url: FunctionUrl, head: Head, caller: Caller | None, action: str, now: float
    ) -> None:
        """Raise AccessDeniedException unless a caller has an action.

        Callers of the function's own account need the policy or a role that has the action, those
        of other accounts need both.
        """
        decision = rules.says(url, head, caller, action, now)
        is_own = caller is not None and caller.scope.account == url.ref.scope.account
        if decision is Decision.DENY or (decision is Decision.NONE and not is_own):
            raise rules.forbidden()
        if caller is not None and (decision is Decision.NONE or not is_own):
            try:
                self._gate.allow(caller, _OPERATIONS[action], url.ref.qualified_arn)
            except ApiError:
                raise rules.forbidden() from None

    @staticmethod
    def _refuse(url: FunctionUrl | None, sent: _Sent, error: Exception, reply: Reply) -> None:
        if not isinstance(error, ApiError):
            _log.error("a function URL failed", req_id=sent.request_id, exc_info=error)
        response = rules.response_of(error, streams=False)
        if url is not None:
            _finish(url, sent.head, response)
        _answer(reply, sent.head, response, sent.request_id)


class _Payload(BoundedBody):
    """The body of a request; over the limit it is read on for a while, and refused."""

    __slots__ = ("_address", "_head", "_reply", "_urls")

    def __init__(
        self, urls: FunctionUrls, address: Address, head: Head, reply: Reply, limit: int
    ) -> None:
        super().__init__(limit, _MOST_DISCARDED)
        self._urls = urls
        self._address = address
        self._head = head
        self._reply = reply

    def far_too_large(self) -> None:
        """Read no further."""
        response = rules.error_response(too_long())
        _answer(self._reply, self._head, response, str(uuid.uuid4()), close=True)

    def end(self, trailers: Fields) -> None:
        """The request is whole."""
        del trailers
        self._urls.serve(self._address, self._head, self.whole(), self._reply)


def too_long() -> ApiError:
    """What is said of a body that no event could hold."""
    return RequestEntityTooLargeException(
        f"Request must be smaller than {SYNC_PAYLOAD_LIMIT} bytes for the InvokeFunction operation"
    )


def _finish(url: FunctionUrl, head: Head, response: HttpResponse) -> None:
    """Add what the URL says of CORS to an answer."""
    if url.cors is not None:
        origin = head.headers.get(b"origin")
        add_cors(response, url.cors, None if origin is None else origin.decode("latin-1"))


def _answer(
    reply: Reply, head: Head, response: HttpResponse, request_id: str, *, close: bool = False
) -> None:
    response.fields.append(("x-amzn-requestid", request_id))
    reply.send(render(response, head.method.decode("latin-1")), close=close)
