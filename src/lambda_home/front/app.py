"""The front of the APIs on ASGI: each request passes the gate, then goes to who answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

from lambda_home.access.callers import Caller, put_caller
from lambda_home.access.gate import BodyCheck, Entry, Gate
from lambda_home.cloudwatch import app as cloudwatch
from lambda_home.cloudwatch.names import is_change, operation_of
from lambda_home.companion import forwarding
from lambda_home.direct_http import FieldList, Head
from lambda_home.errors import ApiError, UnknownOperationException
from lambda_home.front.admin_actions import SESSION_PATH, admin_action
from lambda_home.front.body_limits import limit_of, too_large
from lambda_home.front.targets import Target, target_of
from lambda_home.http_io import (
    BodyTooLarge,
    ClientGone,
    Receive,
    Scope,
    Send,
    discard_rest,
    read_body,
    refuse_length,
)
from lambda_home.user_api.answers import send_error
from lambda_home.user_api.invoke_requests import new_request_id
from lambda_home.user_api.protocol import match

App = Callable[[Scope, Receive, Send], Awaitable[None]]

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Record(Protocol):
    """Who is told of every change that somebody asked for."""

    def __call__(
        self, caller: Caller, source_ip: str, action: str, resource: str, status: int
    ) -> None:
        """`status` is the answer's."""


class Front:
    """The ASGI app of a port: the gate, then `user_api`, `logs` or `companion`."""

    def __init__(
        self, gate: Gate, user_api: App, logs: App, companion: App, record: Record | None = None
    ) -> None:
        self._gate = gate
        self._user_api = user_api
        self._logs = logs
        self._companion = companion
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        head = head_of(scope)
        target = target_of(head)
        try:
            preflight = self._gate.preflight(head)
            if preflight is not None:
                self._gate.look(head)
                await _answer_preflight(send, preflight)
                return
            fields = self._gate.cors_headers(head)
            if fields:
                send = _adding(fields, send)
            await self._serve(head, target, scope, receive, send)
        except ApiError as error:
            if target is Target.COMPANION:
                await forwarding.send_error(send, head, error)
            elif target is Target.LOGS:
                await cloudwatch.send_error(send, error, new_request_id())
            else:
                await send_error(send, error, new_request_id())
        except ClientGone:
            return

    async def _serve(
        self, head: Head, target: Target, scope: Scope, receive: Receive, send: Send
    ) -> None:
        path = scope["path"]
        if target in (Target.HEALTH, Target.CODE) or path == SESSION_PATH:
            self._gate.look(head)
            if path == SESSION_PATH:
                self._gate.same_site(head)
            await self._user_api(scope, receive, send)
            return
        entry = self._gate.enter(head)
        if target in (Target.PROXY, Target.FUNCTION_URL):  # those are served past ASGI, or not here
            raise UnknownOperationException(f"No operation is at {scope['method']} {path}.")
        if target is Target.ADMIN:
            await _refuse_longer(limit_of(target, path), scope, receive)
        if target is Target.COMPANION:
            await self._forward(entry, scope, receive, send)
            return
        caller, receive = await _proven(entry, limit_of(target, path), scope, receive)
        put_caller(scope, caller)
        action = _action_of(head, target, scope)
        answerer = self._user_api
        if target is Target.ADMIN:
            self._gate.allow(caller, action, path)
        elif target is Target.LOGS:
            self._gate.allow(caller, action)
            answerer = self._logs
        if self._record is None or not _is_change(target, action, scope["method"]):
            await answerer(scope, receive, send)
            return
        status = 0

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await answerer(scope, receive, watched)
        resource = scope.get(cloudwatch.RESOURCE, path)
        self._record(caller, head.client, action, resource, status)

    async def _forward(self, entry: Entry, scope: Scope, receive: Receive, send: Send) -> None:
        proved = entry.prove_head() if entry.caller is None else None
        if proved is not None:
            caller, receive = proved[0], _checked(receive, proved[1])
        else:
            limit = limit_of(Target.COMPANION)
            caller, receive = await _proven(entry, limit, scope, receive)
        put_caller(scope, caller)
        self._gate.allow(caller, "companion:use")
        await self._companion(scope, receive, send)


def head_of(scope: Scope) -> Head:
    """The head of an ASGI request, as the direct routes see theirs."""
    client, server = scope.get("client"), scope.get("server")
    fields = list(scope["headers"])
    return Head(
        scope["method"].encode("latin-1"),
        scope["raw_path"],
        scope["query_string"],
        dict(fields),
        server[1] if server else 0,
        fields,
        client[0] if client else "",
        scope["scheme"],
    )


async def _answer_preflight(send: Send, fields: FieldList) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": fields})
    await send({"type": "http.response.body", "body": b""})


def _adding(fields: FieldList, send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *fields]}
        await send(message)

    return sending


def counted(app: App, statuses: list[int]) -> App:
    """`app`, whose answers are counted by the first digit of their status."""

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses[message["status"] // 100] += 1
            await send(message)

        await app(scope, receive, sending)

    return counting


async def _refuse_longer(limit: int, scope: Scope, receive: Receive) -> None:
    """Refuse a body by its Content-Length, before it is read."""
    try:
        refuse_length(scope["headers"], limit)
    except BodyTooLarge as longer:
        await discard_rest(longer, receive)
        raise too_large(limit) from None


def _checked(receive: Receive, check: BodyCheck) -> Receive:
    """A body that is held against its signature while it is passed on; its end only if it fits."""

    async def checking() -> MutableMapping[str, Any]:
        message = await receive()
        if message["type"] == "http.request":
            check.feed(message.get("body", b""))
            if not message.get("more_body", False):
                check.end()
        return message

    return checking


async def _proven(
    entry: Entry, limit: int, scope: Scope, receive: Receive
) -> tuple[Caller, Receive]:
    """Who sends a request; reads its body if it must be seen for that."""
    if entry.caller is not None:
        return entry.caller, receive
    await _refuse_longer(limit, scope, receive)
    try:
        body = await read_body(receive, limit)
    except BodyTooLarge as longer:
        await discard_rest(longer, receive)
        raise too_large(limit) from None
    # Hashing megabytes would hold up everybody else.
    caller = await asyncio.to_thread(entry.prove, body)
    content = entry.content(body)
    messages = [{"type": "http.request", "body": content, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return messages.pop() if messages else await receive()

    return caller, again


def _action_of(head: Head, target: Target, scope: Scope) -> str:
    """What a request asks for; empty for what AWS's model has not, and for reads of Lambda's.

    Of the latter nobody notes anything, and who answers them looks the operation up.
    """
    if target is Target.ADMIN:
        return admin_action(scope["method"], scope["path"])
    if target is Target.LOGS:
        return f"logs:{operation_of(head.headers)}"
    if scope["method"] in _READS:
        return ""
    path, query = head.path.decode("latin-1"), head.query.decode("latin-1")
    found = match(scope["method"], path, query)
    return found.operation_name if found else ""


def _is_change(target: Target, action: str, method: str) -> bool:
    """Whether a request is noted in the audit log."""
    if target is Target.LOGS:
        return is_change(action.partition(":")[2])
    return bool(action) and method not in _READS
