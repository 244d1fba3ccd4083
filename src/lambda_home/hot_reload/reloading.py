"""Keeps functions in line with their folders.

Each state of a folder is a deployment package like any other: it goes to the store, and the
function gets it by the same update that UpdateFunctionCode makes. So a version that is published is
a frozen copy, running invocations finish, and GetFunction tells what runs
(docs/decisions/0017-hot-reload-is-an-update.md).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from lambda_home.arns import FunctionRef, Scope
from lambda_home.clock import Clock
from lambda_home.errors import (
    ApiError,
    InvalidParameterValueException,
    ResourceNotFoundException,
    ServiceException,
)
from lambda_home.functions import Code, FunctionVersion
from lambda_home.hot_reload.debounce import Debounce
from lambda_home.hot_reload.folders import FolderRules
from lambda_home.hot_reload.snapshot import (
    Snapshot,
    UnsettledError,
    ignore_rules,
    take,
)
from lambda_home.hot_reload.watching import Watcher
from lambda_home.logs import LogStore, LogText
from lambda_home.packager import archive
from lambda_home.packager.deployer import Deployer
from lambda_home.packager.ignoring import IgnoreRules
from lambda_home.packager.store import CodeStore
from lambda_home.registry.changes import ConfigKind
from lambda_home.registry.configs import FunctionConfigs
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.scheduler.variables import log_group_of

STREAM = "hot-reload"
"""The log stream in which a function's reloads are told."""
_QUIET_S = 0.02
_LONGEST_S = 1.0
_UNSETTLED_S = 0.05
_ATTEMPTS = 40
_NAMES_SHOWN = 3

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What functions are kept in line with."""

    registry: FunctionRegistry
    configs: FunctionConfigs
    store: CodeStore
    deployer: Deployer
    logs: LogStore
    clock: Clock


@dataclass(frozen=True, slots=True)
class HotReloadRules:
    """What the settings say. `ignored` are lines as in .gitignore; `poll_ms` 0: by notices."""

    folders: FolderRules
    ignored: tuple[str, ...] = ()
    poll_ms: int = 0


@dataclass(slots=True, eq=False)
class _Followed:
    """One folder, and the functions that are made of it."""

    folder: str
    watcher: Watcher
    debounce: Debounce = field(default_factory=lambda: Debounce(_QUIET_S, _LONGEST_S))
    refs: set[FunctionRef] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    key: str = ""
    before: Snapshot | None = None
    reloads: int = 0
    fault: str = ""


class HotReload:
    """Follows the folders of functions between `open` and `close`."""

    def __init__(self, parts: Parts, rules: HotReloadRules) -> None:
        self._with = parts
        self._rules = rules
        self._followed: dict[str, _Followed] = {}
        self._folders: dict[FunctionRef, str] = {}
        self._stale = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        # Held by whoever gives a function other code, or another folder.
        self._updating = asyncio.Lock()

    async def open(self) -> None:
        """Follow the folders of the functions that there are."""
        self._stale.set()
        self._reading = asyncio.get_running_loop().create_task(self._read_forever())

    async def close(self) -> None:
        """Follow none any more."""
        tasks = [task for task in (self._reading,) if task is not None]
        tasks += [each.task for each in self._followed.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        watchers = [each.watcher for each in self._followed.values()]
        self._followed.clear()
        await asyncio.gather(*(asyncio.to_thread(watcher.stop) for watcher in watchers))

    def registry_changed(self) -> None:
        """Some function was made, changed or deleted."""
        if self._folders or self._rules.folders.roots:
            self._stale.set()

    def folder_in(self, code: Mapping[str, Any]) -> str | None:
        """The folder that a FunctionCode names, None if it is no hot reload.

        Raises InvalidParameterValueException.
        """
        return self._rules.folders.folder_in(code)

    async def code_of(self, asked: str) -> tuple[Code, str]:
        """The code of a folder as it is now, and its real path.

        Raises InvalidParameterValueException.
        """
        snapshot = await self._take(asked)
        return await asyncio.to_thread(self._keep, snapshot), snapshot.folder

    @asynccontextmanager
    async def changing(self, ref: FunctionRef, folder: str | None) -> AsyncIterator[None]:
        """While this is entered nobody reloads; afterwards the function is made of `folder`.

        Or of none, unless what is done here fails.
        """
        configs, kind = self._with.configs, ConfigKind.HOT_RELOAD
        async with self._updating:
            yield
            before = await asyncio.to_thread(configs.get, ref, kind)
            if folder is not None:
                await asyncio.to_thread(configs.put, ref, kind, document_of(folder))
            elif before is not None:
                await asyncio.to_thread(configs.delete, ref, kind)

    def folder_of(self, ref: FunctionRef) -> str | None:
        """The folder that a function is made of, as far as is known."""
        return self._folders.get(FunctionRef(ref.scope, ref.name))

    def look(self, scope: Scope) -> list[dict[str, Any]]:
        """The functions of `scope` that are made of folders, and how that goes."""
        found = []
        for ref, folder in sorted(self._folders.items(), key=lambda item: item[0].arn):
            if ref.scope != scope:
                continue
            followed = self._followed.get(folder)
            found.append(
                {
                    "FunctionArn": ref.arn,
                    "Folder": folder,
                    "Watching": _how(followed),
                    "Reloads": followed.reloads if followed else 0,
                    "Fault": (followed.fault if followed else "") or None,
                }
            )
        return found

    # ------------------------------------------------------------------------------ who follows

    async def _read_forever(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                await self._read()
            except Exception:
                _log.exception("reading which functions are made of folders failed")

    async def _read(self) -> None:
        """Follow what the registry says, and nothing else."""
        found = await asyncio.to_thread(self._with.configs.everywhere, ConfigKind.HOT_RELOAD)
        wanted = {
            FunctionRef(scope, name): str(document["Folder"])
            for (scope, name, _), document in found.items()
        }
        if wanted == self._folders:
            return
        self._folders = wanted
        for folder in self._followed.keys() - wanted.values():
            await self._leave(self._followed.pop(folder))
        for folder in set(wanted.values()):
            refs = {ref for ref, each in wanted.items() if each == folder}
            followed = self._followed.get(folder) or await self._begin(folder)
            if followed is not None:
                followed.refs = refs

    async def _begin(self, folder: str) -> _Followed | None:
        """Watch a folder; None if the settings forbid it by now."""
        loop = asyncio.get_running_loop()
        try:
            self._rules.folders.check(folder, folder)
        except ApiError as error:
            _log.warning("a folder is not followed", folder=folder, reason=str(error))
            return None

        def told(names: set[str]) -> None:
            loop.call_soon_threadsafe(self._note, followed, names)

        def ignored() -> IgnoreRules:
            return ignore_rules(folder, self._rules.ignored)

        followed = _Followed(folder, Watcher(folder, ignored, told, self._rules.poll_ms))
        self._followed[folder] = followed
        followed.task = loop.create_task(self._reload_forever(followed))
        followed.watcher.start()
        return followed

    @staticmethod
    async def _leave(followed: _Followed) -> None:
        if followed.task is not None:
            followed.task.cancel()
            await asyncio.gather(followed.task, return_exceptions=True)
        await asyncio.to_thread(followed.watcher.stop)

    def _note(self, followed: _Followed, names: set[str]) -> None:
        followed.debounce.note(names, asyncio.get_running_loop().time())
        followed.changed.set()

    # --------------------------------------------------------------------------------- reloading

    async def _reload_forever(self, followed: _Followed) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await followed.changed.wait()
            due = followed.debounce.due_at
            while due is not None and loop.time() < due:
                await asyncio.sleep(due - loop.time())
                due = followed.debounce.due_at
            followed.changed.clear()
            names, since = followed.debounce.take()
            try:
                await self._reload(followed, names, since)
            except Exception:
                _log.exception("a reload failed", folder=followed.folder)

    async def _reload(self, followed: _Followed, names: set[str], since: float) -> None:
        try:
            snapshot = await self._take(followed.folder, followed.before)
            followed.before = snapshot
            code = await asyncio.to_thread(self._keep, snapshot, followed.key)
            followed.key = code.key
        except ApiError as error:
            if str(error) != followed.fault:
                followed.fault = str(error)
                await self._tell_all(followed, f"[ERROR] lambda_home: not reloaded: {error}")
            return
        followed.fault = ""
        for ref in list(followed.refs):
            await self._bring(ref, followed, code, (names, since))

    async def _bring(
        self, ref: FunctionRef, followed: _Followed, code: Code, what: tuple[set[str], float]
    ) -> None:
        """Give one function the code, if it is made of that folder and has other code."""
        parts = self._with
        try:
            async with self._updating:
                latest = await asyncio.to_thread(parts.registry.get, ref)
                document = await asyncio.to_thread(parts.configs.get, ref, ConfigKind.HOT_RELOAD)
                if (document or {}).get("Folder") != followed.folder:
                    return
                if latest.code.key == code.key:
                    return
                await asyncio.to_thread(parts.registry.update_code, ref, code)
            parts.store.release(latest.code.key)
            settled = await parts.deployer.when_settled(ref)
        except ResourceNotFoundException:  # deleted meanwhile
            return
        followed.reloads += 1
        names, since = what
        took = (asyncio.get_running_loop().time() - since) * 1000
        self._tell(settled, f"[INFO] lambda_home: reloaded in {took:.0f} ms: {_shown(names)}")

    async def _take(self, asked: str, before: Snapshot | None = None) -> Snapshot:
        """A snapshot of a folder, as soon as it holds still for it.

        Raises InvalidParameterValueException.
        """
        folders, ignored = self._rules.folders, self._rules.ignored
        for _ in range(_ATTEMPTS):
            try:
                now_ns = time.time_ns()  # files have the machine's time, whatever our clock says
                return await asyncio.to_thread(take, asked, folders, ignored, before, now_ns)
            except UnsettledError:
                await asyncio.sleep(_UNSETTLED_S)
        raise InvalidParameterValueException(
            f"{asked} is written to without a pause: it can be read when it holds still."
        )

    def _keep(self, snapshot: Snapshot, like: str = "") -> Code:
        if not snapshot.plain:
            archive.inspect(snapshot.package)  # its links, and the lengths of its names
        try:
            return self._with.store.put(snapshot.package, like)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ServiceException(f"The code could not be stored: {reason}.") from error

    async def _tell_all(self, followed: _Followed, text: str) -> None:
        for ref in list(followed.refs):
            try:
                version = await asyncio.to_thread(self._with.registry.get, ref)
            except ResourceNotFoundException:
                continue
            self._tell(version, text)

    def _tell(self, version: FunctionVersion, text: str) -> None:
        """Write to the function's log, where who waits for a reload looks."""
        logs, now = self._with.logs, self._with.clock.now()
        group = log_group_of(version)
        logs.append(LogText(version.scope, group, STREAM, now, text.encode(errors="replace")))


def document_of(folder: str) -> dict[str, str]:
    """What is kept of a function that is made of a folder."""
    return {"Folder": folder}


def _how(followed: _Followed | None) -> str:
    if followed is None:
        return "no"
    return "polling" if followed.watcher.polls else "notices"


def _shown(names: set[str]) -> str:
    """What has changed, in short."""
    if not names:
        return "the folder"
    first = ", ".join(sorted(names)[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{first} and {more} more" if more > 0 else first
