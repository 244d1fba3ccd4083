"""The one door: every invocation, whoever asks for it, comes through `Invoker.invoke`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

from lambda_home.arns import FunctionRef, Scope, function_arn
from lambda_home.errors import (
    ApiError,
    InvalidParameterValueException,
    ThrottleReason,
    TooManyRequestsException,
)
from lambda_home.functions import FunctionVersion
from lambda_home.invocations import (
    UNHANDLED,
    Invocation,
    InvocationRequest,
    InvocationResult,
    InvocationType,
)
from lambda_home.invoker import recursion
from lambda_home.invoker.admission import Admission
from lambda_home.invoker.payloads import check_json, check_size
from lambda_home.invoker.resolution import Resolved, Resolver
from lambda_home.registry.changes import Change, ChangeKind
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.scheduler.environments import Outcome
from lambda_home.scheduler.machinery import settle
from lambda_home.scheduler.scheduler import Scheduler
from lambda_home.trace_headers import TraceContext

# Parsing a longer payload would hold up everybody else on the event loop.
_PARSE_INLINE = 64 * 1024
Told = Callable[[InvocationResult | Exception], None]


class EventSink(Protocol):
    """Where events go that nobody waits for."""

    async def put(self, ref: FunctionRef, request: InvocationRequest) -> None:
        """Keep an event; returns once it is durable."""


class Throttles(Protocol):
    """Who counts what was refused."""

    def throttled(self, version: FunctionVersion, reason: ThrottleReason) -> None:
        """An invocation was refused for its rate, or for how many run."""

    def forget(self, scope: Scope, name: str) -> None:
        """A function is gone."""


Traced = Callable[[str, str], tuple[TraceContext | None, str]]
"""A place in a trace, and the function's trace header; see `tracing.Tracing.begin`."""


def _untraced(callers: str, header: str) -> tuple[TraceContext | None, str]:
    del callers
    return None, header


class Invoker:
    """Resolves, admits, runs and reports. `draw` gives random numbers from 0 up to but not 1."""

    def __init__(
        self,
        registry: FunctionRegistry,
        resolver: Resolver,
        admission: Admission,
        scheduler: Scheduler,
        monotonic: Callable[[], float],
        draw: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._resolver = resolver
        self._admission = admission
        self._scheduler = scheduler
        self._monotonic = monotonic
        self._draw = draw
        self.events: EventSink | None = None
        self.throttles: Throttles | None = None
        self.traced: Traced = _untraced

    async def invoke(self, ref: FunctionRef, request: InvocationRequest) -> InvocationResult:
        """Invoke a function.

        Raises ResourceNotFoundException, RequestTooLargeException, InvalidRequestContentException,
        InvalidParameterValueException (a tenant too many or too few), RecursiveInvocationException,
        TooManyRequestsException, ResourceConflictException (the function cannot run) and
        ServiceException (no environment could be started). What the function itself does wrong is
        a result with `function_error`, not an exception.
        """
        resolved = self._resolver.at_hand(ref)
        if resolved is None:
            resolved = await self._resolver.look_up(ref)
        check_size(len(request.payload), request.invocation_type)
        await self._check_payload(request)
        if resolved.per_tenant is not bool(request.tenant_id):
            _refuse_tenant(per_tenant=resolved.per_tenant)
        request_id = request.request_id or str(uuid.uuid4())
        if request.invocation_type is InvocationType.REQUEST_RESPONSE:
            return await self._run(ref, resolved, request, request_id)
        version = resolved.route.main.version
        if request.invocation_type is InvocationType.EVENT:
            if self.events is None:
                raise AssertionError("no event sink")
            accepted = replace(
                request,
                payload=request.payload or b"{}",
                invocation_type=InvocationType.REQUEST_RESPONSE,
                tail=False,
                request_id=request_id,
            )
            await self.events.put(ref, accepted)
            return InvocationResult(request_id, b"", version, status=202)
        return InvocationResult(request_id, b"", version, status=204)

    def begin(self, ref: FunctionRef, request: InvocationRequest, told: Told) -> bool:
        """Begin a synchronous invoke at once, if nothing has to be looked up or waited for.

        False: `invoke` must do it. Raises as `invoke`; `told` hears of all that comes later.
        """
        resolved = self._resolver.at_hand(ref)
        payload = request.payload
        if (
            resolved is None
            or request.invocation_type is not InvocationType.REQUEST_RESPONSE
            or len(payload) > _PARSE_INLINE
        ):
            return False
        if payload:
            check_json(payload)
        if resolved.per_tenant is not bool(request.tenant_id):
            _refuse_tenant(per_tenant=resolved.per_tenant)
        self._start(ref, resolved, request, told)
        return True

    async def changed(self, change: Change) -> None:
        """Follow a change that `forget` was told before: let outdated environments go."""
        await self._resolver.load_capacity(change.scope)
        keys = await asyncio.to_thread(self._registry.run_keys, change.scope, change.name)
        self._scheduler.retire_except(function_arn(change.scope, change.name), keys)

    async def settled(self, change: Change) -> None:
        """A function can run now: look it up before its first invocation has to wait for that."""
        with suppress(ApiError):  # it is gone again, or cannot run
            await self._resolver.look_up(FunctionRef(change.scope, change.name))

    def forget(self, change: Change) -> None:
        """Forget what was resolved of a function, at once."""
        self._resolver.forget(change)
        if change.kind is ChangeKind.DELETED and self.throttles is not None:
            self.throttles.forget(change.scope, change.name)

    # --------------------------------------------------------------------------------------------

    async def _run(
        self, ref: FunctionRef, resolved: Resolved, request: InvocationRequest, request_id: str
    ) -> InvocationResult:
        future: asyncio.Future[InvocationResult] = asyncio.get_running_loop().create_future()
        self._start(ref, resolved, replace(request, request_id=request_id), partial(settle, future))
        return await future

    def _start(
        self, ref: FunctionRef, resolved: Resolved, request: InvocationRequest, told: Told
    ) -> None:
        """Admit and begin; `told` hears how it ended. Raises what keeps it from being admitted."""
        route = resolved.route
        version = route.main if route.other is None else route.pick(self._draw())
        request_id = request.request_id
        trace_id, count = recursion.continued(request.trace_id, request_id, resolved.identity)
        if not resolved.loops_allowed:
            recursion.check(count)
        try:
            if resolved.bucket is not None:
                resolved.bucket.take(self._monotonic())
            self._admission.admit(version.scope, version.name, version.version)
        except TooManyRequestsException as error:
            if self.throttles is not None:
                self.throttles.throttled(version, error.reason)
            raise
        trace, trace_id = self.traced(request.trace_id, trace_id)

        def ended(outcome: Outcome | Exception) -> None:
            self._admission.release(version.scope, version.name, version.version)
            told(_result(request_id, version.version, outcome))

        invocation = Invocation(
            request_id=request_id,
            function=version,
            payload=request.payload or b"{}",
            invoked_arn=ref.qualified_arn,
            tail=request.tail,
            client_context=request.client_context,
            cognito_identity=request.cognito_identity,
            trace_id=trace_id,
            tenant_id=request.tenant_id,
            sink=request.sink,
            trace=trace,
        )
        try:
            self._scheduler.begin(invocation, ended)
        except BaseException:
            self._admission.release(version.scope, version.name, version.version)
            raise

    @staticmethod
    async def _check_payload(request: InvocationRequest) -> None:
        payload = request.payload
        if len(payload) > _PARSE_INLINE:
            await asyncio.to_thread(check_json, payload)
        elif payload:
            check_json(payload)


def _result(
    request_id: str, version: str, outcome: Outcome | Exception
) -> InvocationResult | Exception:
    if isinstance(outcome, Exception):
        return outcome
    return InvocationResult(
        request_id,
        outcome.payload,
        version,
        None if outcome.error_type is None else UNHANDLED,
        outcome.log_tail,
        error_type=outcome.error_type,
    )


def _refuse_tenant(*, per_tenant: bool) -> None:
    """Say that a tenant id is missing, or too many.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation-troubleshooting.html
    """
    if per_tenant:
        raise InvalidParameterValueException(
            "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in"
            " your request and try again."
        )
    raise InvalidParameterValueException(
        "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from"
        " your request and try again."
    )
