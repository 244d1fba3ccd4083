"""All builds: a queue with workers, kept in the registry, and files in the data directory.

    builds/ACCOUNT.REGION/ID/sources      what was uploaded, until the build has ended
                             log          see `logbook`
                             package.zip  of one that is ready
    builds/cache, builds/tools

A restarted server goes on with builds that waited; those that were under way have failed. Methods
block on the disk, so an event loop calls them in a thread.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from lambda_home.arns import Scope
from lambda_home.builds.diagnosis import Stop, why_stopped
from lambda_home.builds.documents import Asked, Build, Status
from lambda_home.builds.git_sources import password_in
from lambda_home.builds.logbook import Logbook, Page, read_log
from lambda_home.builds.running import (
    LOG,
    PACKAGE,
    SOURCES,
    BuildFailedError,
    BuildStoppedError,
    Running,
    Workshop,
)
from lambda_home.builds.workshop import Making
from lambda_home.errors import (
    ApiError,
    LambdaHomeError,
    LimitExceededException,
    ResourceConflictException,
    ResourceNotFoundException,
    ServiceException,
)
from lambda_home.packager.folder import remove_tree
from lambda_home.registry.resources import ResourceKind, Resources

MOST_WAITING: Final = 64
"""Of one account and region."""
_ID = re.compile(r"[0-9a-f]{24}")
_KIND = ResourceKind.BUILD
_INTERRUPTED = "The server was stopped during the build: start it again."

_log = structlog.get_logger(__name__)


Deploying = Callable[[Scope, str, Path], str]
"""Gives a function its new code, and says what came of it. Blocks; raises ApiError."""


@dataclass(frozen=True, slots=True)
class QueueRules:
    """How many builds go on at once, how many that have ended are kept, and a log's limit in MB."""

    workers: int
    keep: int
    log_mb: int


@dataclass(slots=True)
class _Active:
    """A build that waits or is under way."""

    scope: Scope
    stop: Stop | None = None


class Builds:
    """The builds of all accounts. `now` is seconds since the epoch; set `deploy` before `open`.

    `is_followed` is false once nobody may follow logs any more, for the server stops.
    """

    def __init__(
        self,
        resources: Resources,
        root: Path,
        making: Making,
        rules: QueueRules,
        now: Callable[[], float],
    ) -> None:
        self._resources = resources
        self._root = root
        self._making = making
        self._rules = rules
        self._now = now
        self.deploy: Deploying | None = None
        self.is_followed = True
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._made: Workshop | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._active: dict[str, _Active] = {}
        self._closing = False

    def open(self) -> None:
        """Settle what the server before has left; go on with what waited."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._threads = ThreadPoolExecutor(self._rules.workers, thread_name_prefix="build")
        found = [
            (scope, Build.of(document))
            for (scope, _), document in self._resources.everywhere(_KIND).items()
        ]
        for scope, build in sorted(found, key=lambda each: each[1].created_at):
            if build.status is Status.WAITING:
                self._submit(scope, build)
            elif not build.status.has_ended:
                self._say(scope, build, _INTERRUPTED)
                self._end(scope, build.ended(Status.FAILED, _INTERRUPTED, self._now()))
        self.forget_removed()

    def end_following(self) -> None:
        """Let those go who follow a log."""
        self.is_followed = False

    def close(self) -> None:
        """End what is under way; what waits is done after the next start."""
        with self._lock:
            self._closing = True
            for active in self._active.values():
                active.stop = active.stop or Stop.CLOSING
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        self._stack.close()

    def forget_removed(self) -> None:
        """End builds that are not in the registry any more, and delete their files."""
        there = {build_id for _, build_id in self._resources.everywhere(_KIND)}
        with self._lock:
            gone = [self._active[build_id] for build_id in self._active.keys() - there]
            under_way = frozenset(self._active)
        for active in gone:
            active.stop = active.stop or Stop.CANCELED  # its worker deletes the files
        for folder in self._root.glob("*.*/*"):
            if folder.name not in there | under_way:
                shutil.rmtree(folder, ignore_errors=True)

    # ----------------------------------------------------------------------------------- requests

    def create(self, scope: Scope, asked: Asked, runtime: str, sources: bytes | None) -> Build:
        """Keep the sources and take a place in the queue.

        Raises LimitExceededException, and ServiceException where the disk has no room.
        """
        with self._lock:
            waiting = sum(each.scope == scope for each in self._active.values())
        if waiting >= MOST_WAITING:
            raise LimitExceededException(
                f"{waiting} builds wait already: wait until some have ended, or cancel them."
            )
        build = Build(secrets.token_hex(12), asked, Status.WAITING, self._now(), runtime=runtime)
        folder = self._folder(scope, build.id)
        try:
            folder.mkdir(parents=True, mode=0o700)
            if sources is not None:
                (folder / SOURCES).write_bytes(sources)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise ServiceException(
                f"The sources could not be stored: {error.strerror or error}."
            ) from error
        self._resources.change(scope, _KIND, build.id, lambda _: build.document())
        self._submit(scope, build)
        return build

    def get(self, scope: Scope, build_id: str) -> Build:
        """One build. Raises ResourceNotFoundException."""
        document = self._resources.get(scope, _KIND, build_id) if _ID.fullmatch(build_id) else None
        if document is None:
            raise ResourceNotFoundException(f"Build not found: {build_id[:64]}")
        return Build.of(document)

    def all_of(self, scope: Scope) -> list[Build]:
        """The builds of an account and region, the newest first."""
        documents = self._resources.all_of(scope, _KIND).values()
        found = [Build.of(document) for document in documents]
        return sorted(found, key=lambda build: (build.created_at, build.id), reverse=True)

    def log(self, scope: Scope, build_id: str, after: int = 0) -> Page:
        """Lines of a build's log from a position on. Raises ResourceNotFoundException."""
        self.get(scope, build_id)
        return read_log(self._folder(scope, build_id) / LOG, after)

    def package(self, scope: Scope, build_id: str) -> Path:
        """Where the package lies. Raises ResourceNotFoundException, ResourceConflictException."""
        build = self.get(scope, build_id)
        path = self._folder(scope, build_id) / PACKAGE
        if not path.is_file():
            raise ResourceConflictException(
                f"The build is {build.status} and has no package."
                + (f" {build.reason}" if build.reason else "")
            )
        return path

    def remove(self, scope: Scope, build_id: str) -> Build | None:
        """Cancel a build that has not ended, and answer it; delete one that has, and answer None.

        Raises ResourceNotFoundException.
        """
        build = self.get(scope, build_id)
        with self._lock:
            active = self._active.get(build_id)
            if active is not None:
                active.stop = active.stop or Stop.CANCELED
        if active is None:
            self._delete(scope, build_id)
            return None
        if build.status is Status.WAITING:
            reason = why_stopped(Stop.CANCELED, "")
            build = build.ended(Status.CANCELED, reason, self._now())

            def cancel(current: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
                waits = current is not None and current["status"] == Status.WAITING
                return build.document() if waits else current

            self._resources.change(scope, _KIND, build_id, cancel)
        return self.get(scope, build_id)

    # --------------------------------------------------------------------------------------- work

    def _submit(self, scope: Scope, build: Build) -> None:
        with self._lock:
            if self._threads is None or self._closing:
                return  # it stays in the registry, for the next start
            self._active[build.id] = _Active(scope)
            self._threads.submit(self._work, scope, build)

    def _work(self, scope: Scope, build: Build) -> None:
        """One build in a worker's thread: whatever happens, it is settled."""
        active = self._active[build.id]
        try:
            if active.stop is Stop.CLOSING:
                return
            if active.stop is None:
                self._do(scope, build, active)
        except Exception:
            _log.exception("a build failed inside the server", build=build.id)
            reason = "The build failed inside the server: see the server's log."
            self._end(scope, build.ended(Status.FAILED, reason, self._now()))
        finally:
            with self._lock:
                self._active.pop(build.id, None)
            self._tidy(scope, build.id)

    def _do(self, scope: Scope, build: Build, active: _Active) -> None:
        folder = self._folder(scope, build.id)
        started = replace(build, status=Status.PROCESSING, started_at=self._now())
        if not self._tell(scope, started):
            return
        latest = started

        def told(known: Build) -> None:
            nonlocal latest
            latest = known
            if not self._tell(scope, known):
                active.stop = active.stop or Stop.CANCELED

        hidden = password_in(build.asked.git)
        log = Logbook(folder / LOG, self._rules.log_mb << 20, self._now, hidden)
        try:
            running = Running(started, folder, self._workshop(), log, told, lambda: active.stop)
            latest = running.run()
            if latest.asked.deploy:
                latest = self._deployed(scope, latest, log)
            ended = latest.ended(Status.READY, "", self._now())
        except BuildStoppedError as error:
            status = Status.CANCELED if error.stop is Stop.CANCELED else Status.FAILED
            ended = latest.ended(status, str(error), self._now())
        except LambdaHomeError as error:
            ended = latest.ended(Status.FAILED, str(error), self._now())
        finally:
            log.fresh()
        log.say(f"The build is {ended.status}." + (f" {ended.reason}" if ended.reason else ""))
        log.close()
        self._end(scope, ended)

    def _deployed(self, scope: Scope, build: Build, log: Logbook) -> Build:
        function = build.asked.function
        if self.deploy is None:
            raise BuildFailedError("The package was built, but this server deploys none.")
        log.say(f"Deploying to {function}")
        try:
            log.say(self.deploy(scope, function, self._folder(scope, build.id) / PACKAGE))
        except ApiError as error:
            raise BuildFailedError(
                f"The package was built, but not deployed to {function}: {error.message}"
            ) from error
        return replace(build, deployed=True)

    def _workshop(self) -> Workshop:
        with self._lock:
            if self._made is None:
                self._made = self._making(self._stack)
            return self._made

    # -------------------------------------------------------------------------------------- state

    def _folder(self, scope: Scope, build_id: str) -> Path:
        return self._root / f"{scope.account}.{scope.region}" / build_id

    def _tell(self, scope: Scope, build: Build) -> bool:
        """Write down how far a build is; False if it was canceled, or deleted by a reset."""

        def edit(current: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
            if current is None or Status(current["status"]).has_ended:
                return current
            return build.document()

        written = self._resources.change(scope, _KIND, build.id, edit)
        return written is not None and written["status"] == build.status

    def _end(self, scope: Scope, build: Build) -> None:
        self._tell(scope, build)

    def _say(self, scope: Scope, build: Build, text: str) -> None:
        folder = self._folder(scope, build.id)
        if folder.is_dir():
            log = Logbook(folder / LOG, self._rules.log_mb << 20, self._now)
            log.say(text)
            log.close()

    def _tidy(self, scope: Scope, build_id: str) -> None:
        """Forget the sources of a build that has ended, and the oldest builds."""
        builds = self.all_of(scope)
        if all(build.id != build_id for build in builds):
            self._delete(scope, build_id)
            return
        if any(build.id == build_id and build.status.has_ended for build in builds):
            (self._folder(scope, build_id) / SOURCES).unlink(missing_ok=True)
        for build in [each for each in builds if each.status.has_ended][self._rules.keep :]:
            self._delete(scope, build.id)

    def _delete(self, scope: Scope, build_id: str) -> None:
        self._resources.change(scope, _KIND, build_id, lambda _: None)
        folder = self._folder(scope, build_id)
        if folder.is_dir():
            remove_tree(folder)
