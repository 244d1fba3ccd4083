"""The one door: every invocation, whoever asks for it, comes through `Invoker.invoke`."""

from __future__ import annotations

import asyncio
import uuid
from typing import Protocol

from lambda_home.arns import LATEST, FunctionRef, Scope, function_arn
from lambda_home.errors import ResourceConflictException
from lambda_home.functions import FunctionVersion, State
from lambda_home.invocations import (
    UNHANDLED,
    Invocation,
    InvocationRequest,
    InvocationResult,
    InvocationType,
)
from lambda_home.invoker.admission import Admission
from lambda_home.invoker.payloads import check_json, check_size
from lambda_home.packager.deployer import Deployer
from lambda_home.registry.changes import Change, ChangeKind
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.scheduler.scheduler import Scheduler

# Parsing a longer payload would hold up everybody else on the event loop.
_PARSE_INLINE = 64 * 1024


class EventSink(Protocol):
    """Where events go that nobody waits for."""

    async def put(self, ref: FunctionRef, request: InvocationRequest) -> None:
        """Keep an event; returns once it is durable."""


class Invoker:
    """Resolves, admits, runs and reports; holds the resolved versions that the warm path needs."""

    def __init__(
        self,
        registry: FunctionRegistry,
        deployer: Deployer,
        admission: Admission,
        scheduler: Scheduler,
    ) -> None:
        self._registry = registry
        self._deployer = deployer
        self._admission = admission
        self._scheduler = scheduler
        self._versions: dict[tuple[Scope, str], dict[str | None, FunctionVersion]] = {}
        self._generation: dict[tuple[Scope, str], int] = {}
        self._outdated: set[Scope] = set()
        self._loading = asyncio.Lock()
        self.events: EventSink | None = None

    async def invoke(self, ref: FunctionRef, request: InvocationRequest) -> InvocationResult:
        """Invoke a function.

        Raises ResourceNotFoundException, RequestTooLargeException, InvalidRequestContentException,
        TooManyRequestsException, ResourceConflictException (the function cannot run) and
        ServiceException (no environment could be started). What the function itself does wrong is
        a result with `function_error`, not an exception.
        """
        version = self._versions.get((ref.scope, ref.name), {}).get(ref.qualifier)
        if version is None:
            version = await self._resolve(ref)
        check_size(len(request.payload), request.invocation_type)
        await self._check_payload(request)
        request_id = request.request_id or str(uuid.uuid4())
        if request.invocation_type is InvocationType.REQUEST_RESPONSE:
            return await self._run(ref, version, request, request_id)
        if request.invocation_type is InvocationType.EVENT:
            if self.events is None:
                raise AssertionError("no event sink")
            accepted = InvocationRequest(
                payload=request.payload or b"{}",
                client_context=request.client_context,
                cognito_identity=request.cognito_identity,
                trace_id=request.trace_id,
                request_id=request_id,
            )
            await self.events.put(ref, accepted)
            return InvocationResult(request_id, b"", version.version, status=202)
        return InvocationResult(request_id, b"", version.version, status=204)

    async def changed(self, change: Change) -> None:
        """Follow a change that `forget` was told before: let outdated environments go."""
        await self._load_reserved(change.scope)
        keys = await asyncio.to_thread(self._registry.run_keys, change.scope, change.name)
        self._scheduler.retire_except(function_arn(change.scope, change.name), keys)

    def forget(self, change: Change) -> None:
        """Forget what was resolved of a function, at once."""
        key = (change.scope, change.name)
        self._versions.pop(key, None)
        self._generation[key] = self._generation.get(key, 0) + 1
        if change.kind in (ChangeKind.CONCURRENCY, ChangeKind.DELETED):
            self._outdated.add(change.scope)

    # --------------------------------------------------------------------------------------------

    async def _run(
        self,
        ref: FunctionRef,
        version: FunctionVersion,
        request: InvocationRequest,
        request_id: str,
    ) -> InvocationResult:
        self._admission.admit(version.scope, version.name)
        try:
            outcome = await self._scheduler.run(
                Invocation(
                    request_id=request_id,
                    function=version,
                    payload=request.payload or b"{}",
                    invoked_arn=ref.qualified_arn,
                    tail=request.tail,
                    client_context=request.client_context,
                    cognito_identity=request.cognito_identity,
                    trace_id=request.trace_id or _new_trace_id(request_id),
                )
            )
        finally:
            self._admission.release(version.scope, version.name)
        return InvocationResult(
            request_id,
            outcome.payload,
            version.version,
            None if outcome.error_type is None else UNHANDLED,
            outcome.log_tail,
        )

    async def _resolve(self, ref: FunctionRef) -> FunctionVersion:
        key = (ref.scope, ref.name)
        generation = self._generation.get(key, 0)
        # AWS names $LATEST in the error of an invoke without a qualifier.
        qualified = FunctionRef(ref.scope, ref.name, ref.qualifier or LATEST)
        version = await asyncio.to_thread(self._registry.get, qualified)
        if version.status.busy:
            version = await self._deployer.when_settled(qualified)
            generation = self._generation.get(key, 0)
            version = await asyncio.to_thread(self._registry.get, qualified)
        if version.status.state is State.FAILED:
            raise ResourceConflictException(
                "The operation cannot be performed at this time. The function is currently in the"
                f" following state: Failed. {version.status.reason or ''}".rstrip()
            )
        await self._load_reserved(ref.scope)
        if generation == self._generation.get(key, 0):  # nothing changed while we looked
            self._versions.setdefault(key, {})[ref.qualifier] = version
        return version

    async def _load_reserved(self, scope: Scope) -> None:
        """Read the reserved concurrency again if it changed, or was never read."""
        async with self._loading:  # whoever comes while it is read waits for the new value
            while scope in self._outdated or not self._admission.knows(scope):
                self._outdated.discard(scope)
                reserved = await asyncio.to_thread(self._registry.reserved, scope)
                if scope not in self._outdated:  # else it changed while we read
                    self._admission.set_reserved(scope, reserved)

    @staticmethod
    async def _check_payload(request: InvocationRequest) -> None:
        payload = request.payload
        if len(payload) > _PARSE_INLINE:
            await asyncio.to_thread(check_json, payload)
        elif payload:
            check_json(payload)


def _new_trace_id(request_id: str) -> str:
    """An X-Ray trace header that starts a trace, not sampled.

    Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html (tracing header)
    """
    digits = request_id.replace("-", "")
    return f"Root=1-{digits[:8]}-{digits[8:32]};Parent={digits[16:32]};Sampled=0"
