"""Brings what runs in line with what the registry wants: prepares code, settles states, tidies up.

A create or an update is committed first, as Pending or InProgress; this worker prepares the code
and then settles the version. After a restart it goes on where the dead server stopped, because what
is to be done is read from the registry and kept nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

import structlog

from lambda_home.arns import FunctionRef
from lambda_home.errors import InvalidRuntimeException, ServiceException
from lambda_home.functions import READY, FunctionVersion, State, Status, UpdateStatus
from lambda_home.packager.store import CodeStore
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.sandboxes.base import (
    CodePreparer,
    ImageError,
    NotNowError,
    Package,
    RuntimeMissingError,
    SandboxError,
)

_PARALLEL = 4
_TIDY_AFTER_S = 10.0
_STORE_GRACE_S = 600.0
_RECENT_S = 30.0
_SETTLE_AGAIN_S = 0.5

_log = structlog.get_logger(__name__)


class InUse(Protocol):
    """Who may still be running code that the registry has forgotten."""

    def code_keys(self) -> frozenset[str]:
        """Keys of the code of all execution environments."""


class Deployer:
    """One per server; lives on the event loop between `open` and `close`.

    `initialise`, set before `open`, takes a version with SnapStart through its first init and says
    why that failed, or nothing.
    """

    def __init__(
        self,
        registry: FunctionRegistry,
        preparer: CodePreparer,
        store: CodeStore,
        *,
        transition_s: float = 0,
    ) -> None:
        self._registry = registry
        self._preparer = preparer
        self._store = store
        self._transition_s = transition_s
        self._in_use: Callable[[], frozenset[str]] = frozenset
        self.initialise: Callable[[FunctionVersion], Awaitable[str]] = _nothing
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._tidy_due = asyncio.Event()
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._prepared_at: dict[str, float] = {}
        self._missing: dict[str, str] = {}

    async def open(self, in_use: InUse) -> None:
        """Start working; what a dead server left pending comes first."""
        self._in_use = in_use.code_keys
        loop = asyncio.get_running_loop()
        self._wake.set()
        self._tidy_due.set()
        self._workers = [
            loop.create_task(self._reconcile_forever()),
            loop.create_task(self._tidy_forever()),
        ]

    async def close(self) -> None:
        """Stop working; half-done preparations are begun anew by the next server."""
        tasks = [*self._workers, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def changed(self) -> None:
        """Something in the registry changed: there may be work."""
        self._wake.set()
        self._tidy_due.set()
        waiting, self._settled = self._settled, asyncio.Event()
        waiting.set()

    async def when_settled(self, ref: FunctionRef) -> FunctionVersion:
        """Wait until the version is neither Pending nor InProgress; return it.

        Raises ResourceNotFoundException if there is no such version, or it is deleted meanwhile.
        """
        while True:
            changed = self._settled
            version = await asyncio.to_thread(self._registry.get, ref)
            if not version.status.busy:
                return version
            await changed.wait()

    async def check_runtime(self, version: FunctionVersion) -> None:
        """Raise InvalidRuntimeException if nothing runs the version's runtime, as far as is known.

        What was missing is looked for again: it may have been installed.
        """
        if version.runtime not in self._missing and not version.is_image:
            return
        try:
            await self._preparer.prepare_ahead(Package.of(version))
        except RuntimeMissingError as error:
            raise InvalidRuntimeException(str(error)) from error
        except SandboxError:
            return  # the start will say so
        self._missing.pop(version.runtime, None)

    async def resolve_image(self, uri: str) -> str | None:
        """The digest (hex) of a container image now; None if this server runs no images.

        Raises ImageError if there is none, and other SandboxErrors if that cannot be told.
        """
        return await self._preparer.resolve_image(uri)

    async def runs(self, architecture: str) -> bool:
        """Whether programs made for an architecture run here. Raises SandboxError."""
        return await self._preparer.runs(architecture)

    def forget_recent(self) -> None:
        """Let the next `tidy` look at everything, also at what was just prepared."""
        self._prepared_at.clear()

    async def tidy(self) -> None:
        """Remove prepared code and ZIPs that no function uses any more.

        What was prepared in the last half minute stays: its function may have been made after the
        registry was read. It is looked at again later.
        """
        stored = await asyncio.to_thread(self._registry.code_keys)
        since = asyncio.get_running_loop().time() - _RECENT_S
        self._prepared_at = {k: at for k, at in self._prepared_at.items() if at >= since}
        if self._prepared_at.keys() - stored:
            self._tidy_due.set()
        keys = frozenset({*stored, *self._in_use(), *self._prepared_at})
        await self._preparer.discard_except(keys)
        await asyncio.to_thread(self._store.delete_except, keys, _STORE_GRACE_S)

    # ------------------------------------------------------------------------------------ workers

    async def _reconcile_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._reconcile()
            except Exception:
                _log.exception("reading what is to be prepared failed")

    async def _reconcile(self) -> None:
        for version in await asyncio.to_thread(self._registry.unsettled):
            key = (version.qualified_arn, version.run_key)
            if key not in self._running:
                task = asyncio.get_running_loop().create_task(self._prepare(version))
                self._running[key] = task

    async def _prepare(self, version: FunctionVersion) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with self._slots:
                self._prepared_at.update(dict.fromkeys(version.code_keys, loop.time()))
                await self._preparer.prepare_ahead(Package.of(version))
            self._missing.pop(version.runtime, None)
            status = READY
            if version.is_snap_started and version.status.state is State.PENDING:
                status = await self._initialised(version)
        except RuntimeMissingError as error:
            # AWS has them all: the function is made, and each invoke says what is missing here.
            self._missing[version.runtime] = str(error)
            status = READY
        except NotNowError as error:
            status = _not_ahead(str(error))
        except ImageError as error:
            status = _failed(version.status, str(error), error.code)
        except SandboxError as error:
            status = _failed(version.status, str(error))
        except Exception as error:
            _log.exception("preparing code failed", function=version.name)
            status = _failed(version.status, f"The code could not be prepared: {error}")
        try:
            await asyncio.sleep(began + self._transition_s - loop.time())
            await self._settle(version, status)
        finally:
            self._running.pop((version.qualified_arn, version.run_key), None)

    async def _initialised(self, version: FunctionVersion) -> Status:
        """How the first init of a version with SnapStart went."""
        why = await self.initialise(version)
        if not why:
            return READY
        reason = f"SnapStart could not initialise the function: {why}"
        return Status(State.FAILED, reason, "FunctionError", UpdateStatus.FAILED)

    async def _settle(self, version: FunctionVersion, status: Status) -> None:
        """Write down how it ended, however long that takes: until then everybody waits for it."""
        key = (version.scope, version.name, version.version, version.run_key)
        while True:
            try:
                await asyncio.to_thread(self._registry.settle, *key, status)
            except ServiceException as error:  # the disk is full
                _log.warning("a state is not written yet", function=version.name, reason=str(error))
                await asyncio.sleep(_SETTLE_AGAIN_S)
            else:
                return

    async def _tidy_forever(self) -> None:
        while True:
            await self._tidy_due.wait()
            await asyncio.sleep(_TIDY_AFTER_S)
            self._tidy_due.clear()
            try:
                await self.tidy()
            except Exception:
                _log.exception("tidying up failed")


async def _nothing(version: FunctionVersion) -> str:
    """There is nobody who initialises versions ahead."""
    del version
    return ""


def _not_ahead(reason: str) -> Status:
    """Starts of environments prepare the code again, so nothing is final, and a version stays good.

    Until it works they fail with the reason.
    """
    return Status(
        State.ACTIVE,
        update=UpdateStatus.FAILED,
        update_reason=reason,
        update_reason_code="InternalError",
    )


def _failed(status: Status, reason: str, code: str = "InvalidRuntime") -> Status:
    """A failed create ends in State Failed, a failed update in LastUpdateStatus Failed."""
    if status.state is State.PENDING:
        return Status(State.FAILED, reason, code, UpdateStatus.FAILED)
    return replace(
        status,
        update=UpdateStatus.FAILED,
        update_reason=reason,
        update_reason_code=code,
    )
