"""One build, from its sources to its package; blocks, in a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lambda_home.builds.cache import BuildCache, CacheKey, size_of
from lambda_home.builds.diagnosis import Stop, is_missing, why_failed, why_stopped
from lambda_home.builds.documents import Build
from lambda_home.builds.git_sources import VARIABLES as GIT_VARIABLES
from lambda_home.builds.git_sources import checked_source, fetch_commands, shown_url
from lambda_home.builds.logbook import Logbook
from lambda_home.builds.packing import pack
from lambda_home.builds.planning import plan_of, usual_runtime
from lambda_home.builds.rooms import Ended, Ground, Limits, Room, Rooms
from lambda_home.builds.trees import BUILD, CACHE, OUT, PLAN, Plan, PlanError, Step, Tree
from lambda_home.builds.unpacking import tree_of, unpack
from lambda_home.errors import LambdaHomeError
from lambda_home.packager.folder import remove_tree
from lambda_home.sandboxes.base import SandboxError

SOURCES, PACKAGE, LOG, WORK = "sources", "package.zip", "log", "work"
_LOOK_AT_DISK_EVERY_S = 1.0
_DISK_SHARE = 0.05
"""Of the time, what looking at the disk may take."""
_MOST_OUTPUT = 64
"""How many times the log's limit may be printed before a build is ended."""


class BuildFailedError(LambdaHomeError):
    """A build has failed; one line that says why, and what to do."""


class ToolMissingError(BuildFailedError):
    """A sandbox lacks the program of a step."""


class BuildStoppedError(LambdaHomeError):
    """A build was ended by the server."""

    def __init__(self, stop: Stop, message: str) -> None:
        super().__init__(message)
        self.stop = stop


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits, the time in seconds, what is printed in MB, and variables that every build finds."""

    limits: Limits
    timeout_s: float
    log_mb: int
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What builds are done with.

    `rooms` are for builds, `git_rooms` for fetching sources; `second` is tried where those for
    builds lack a tool.
    """

    rooms: Rooms
    git_rooms: Rooms
    cache: BuildCache
    rules: Rules
    second: Rooms | None = None


class Running:
    """One build under way. `told` hears of what becomes known; `asked_to_stop` says why to end."""

    def __init__(
        self,
        build: Build,
        folder: Path,
        workshop: Workshop,
        log: Logbook,
        told: Callable[[Build], None],
        asked_to_stop: Callable[[], Stop | None],
    ) -> None:
        self._build = build
        self._folder = folder
        self._workshop = workshop
        self._log = log
        self._told = told
        self._asked_to_stop = asked_to_stop
        self._deadline = time.monotonic() + workshop.rules.timeout_s
        self._looked_at = 0.0
        self._pause = _LOOK_AT_DISK_EVERY_S

    def run(self) -> Build:
        """Build. Raises BuildFailedError, BuildStoppedError; no folder of work is left."""
        work = self._folder / WORK
        try:
            _fresh(work)
            self._fetch(work)
            return self._make(work)
        except (PlanError, SandboxError) as error:
            raise BuildFailedError(str(error)) from error
        except OSError as error:
            raise BuildFailedError(
                f"The build could not be kept on the disk: {error.strerror or error}."
            ) from error
        finally:
            if work.exists():
                remove_tree(work)

    # ----------------------------------------------------------------------------------- sources

    def _fetch(self, work: Path) -> None:
        asked = self._build.asked
        sources = work / "build"
        if asked.git:
            self._fetch_from_git(work)
        else:
            unpack((self._folder / SOURCES).read_bytes(), sources)
        if asked.directory:
            chosen = sources
            for part in asked.directory.split("/"):
                chosen /= part
                if chosen.is_symlink() or not chosen.is_dir():
                    raise PlanError(f"The sources have no folder {asked.directory}.")
            sources.rename(work / "all")
            (work / "all" / asked.directory).rename(sources)

    def _fetch_from_git(self, work: Path) -> None:
        asked = self._build.asked
        source = checked_source(asked.git, asked.ref)
        self._log.say(f"Fetching {shown_url(asked.git)} {asked.ref}".rstrip())
        ground = Ground(self._build.id, {BUILD: work / "build"}, {})
        room = self._workshop.git_rooms.open(ground, "")
        variables = {**self._workshop.rules.variables, **GIT_VARIABLES}
        try:
            for words in fetch_commands(source, BUILD):
                step = Step(words, "git")
                self._do(room, step, variables)
            self._build = replace(self._build, commit=_last_line(self._log.tail()))
        finally:
            room.close()

    # -------------------------------------------------------------------------------------- work

    def _make(self, work: Path) -> Build:
        asked = self._build.asked
        tree = tree_of(work / "build")
        runtime = self._build.runtime or asked.runtime
        plan = plan_of(tree, runtime, asked.command, asked.output_directory)
        runtime = runtime or usual_runtime(plan.family)
        rooms = self._workshop.rooms
        self._build = replace(
            self._build, runtime=runtime, manifest=plan.manifest, sandbox=rooms.name
        )
        self._told(self._build)
        for note in plan.notes:
            self._log.say(f"Note: {note}")
        if plan.steps:
            self._carry_out(plan, tree, work)
        else:
            self._log.say("Nothing is to be installed or compiled.")
        return self._pack(plan, work)

    def _carry_out(self, plan: Plan, tree: Tree, work: Path) -> None:
        for name, text in plan.files.items():
            (work / "plan" / name).write_text(text)
        key = self._cache_key(plan, tree)
        cache = work / "cache"
        how = self._workshop.cache.take(key, cache)
        self._log.say(f"Cache: {how}.")
        keeps = False
        try:
            ground = Ground(
                self._build.id,
                {BUILD: work / "build", OUT: work / "out", CACHE: cache},
                {PLAN: work / "plan"},
            )
            try:
                self._in_room(self._workshop.rooms, ground, plan)
            except ToolMissingError as missing:
                self._in_second_room(missing, ground, plan)
            keeps = True
        except BuildFailedError:
            keeps = True  # what was fetched is good for the next try
            raise
        finally:
            if keeps:
                self._workshop.cache.give_back(key, cache)

    def _in_room(self, rooms: Rooms, ground: Ground, plan: Plan) -> None:
        room = rooms.open(ground, self._build.runtime)
        try:
            self._log.say(f"Building for {self._build.runtime or 'any runtime'} ({room.place})")
            if room.note:
                self._log.say(f"Note: {room.note}")
            self._steps(room, plan)
        finally:
            room.close()

    def _in_second_room(self, missing: ToolMissingError, ground: Ground, plan: Plan) -> None:
        second = self._workshop.second
        if second is None:
            raise missing
        self._log.say(f"Note: {missing} Now the tools of this machine are tried.")
        try:
            self._in_room(second, ground, plan)
        except (ToolMissingError, SandboxError) as error:
            self._log.say(f"Note: {error}")
            raise missing from error
        self._build = replace(self._build, sandbox=second.name)

    def _steps(self, room: Room, plan: Plan) -> None:
        variables = {
            **self._workshop.rules.variables,
            **plan.variables,
            **self._build.asked.variables,
            "LAMBDA_HOME_RUNTIME": self._build.runtime,
        }
        for number, step in enumerate(plan.steps, 1):
            self._log.say(f"==> {number}/{len(plan.steps)} {step.title}")
            self._do(room, step, variables)

    def _do(self, room: Room, step: Step, variables: Mapping[str, str]) -> None:
        self._log.fresh()
        ended = room.run(step.words, variables, self._log.feed, self._must_stop)
        if ended.stop is not None:
            raise BuildStoppedError(ended.stop, why_stopped(ended.stop, self._limit(ended)))
        if ended.code:
            why = why_failed(step, ended.code, self._log.tail(), room.place)
            raise (ToolMissingError if is_missing(step, ended.code) else BuildFailedError)(why)

    def _pack(self, plan: Plan, work: Path) -> Build:
        if (why := self._asked_to_stop()) is not None:
            raise BuildStoppedError(why, why_stopped(why, ""))
        (work / "jar").mkdir()
        unfinished = work / PACKAGE
        roots = {"build": work / "build", "out": work / "out"}
        packed = pack(plan.parts, roots, unfinished, work / "jar")
        for note in packed.notes:
            self._log.say(f"Note: {note}")
        unfinished.rename(self._folder / PACKAGE)
        self._log.say(
            f"Package: {packed.size} bytes, unpacked {packed.unpacked_size},"
            f" CodeSha256 {packed.code_sha256}"
        )
        return replace(
            self._build,
            size=packed.size,
            unpacked_size=packed.unpacked_size,
            code_sha256=packed.code_sha256,
        )

    # ------------------------------------------------------------------------------------ limits

    def _must_stop(self) -> Stop | None:
        asked = self._asked_to_stop()
        if asked is not None:
            return asked
        now = time.monotonic()
        if now > self._deadline:
            return Stop.TIMEOUT
        rules = self._workshop.rules
        if self._log.total > rules.log_mb * _MOST_OUTPUT << 20:
            return Stop.OUTPUT
        if now - self._looked_at > self._pause:
            used = size_of(self._folder / WORK)
            self._looked_at = time.monotonic()
            self._pause = max(_LOOK_AT_DISK_EVERY_S, (self._looked_at - now) / _DISK_SHARE)
            if used > rules.limits.disk_mb << 20:
                return Stop.DISK
        return None

    def _limit(self, ended: Ended) -> str:
        rules = self._workshop.rules
        return {
            Stop.TIMEOUT: f"{rules.timeout_s:g} s",
            Stop.DISK: f"{rules.limits.disk_mb} MB",
            Stop.OUTPUT: f"{rules.log_mb * _MOST_OUTPUT} MB",
            Stop.MEMORY: f"{rules.limits.memory_mb} MB",
        }.get(ended.stop or Stop.CANCELED, "")

    def _cache_key(self, plan: Plan, tree: Tree) -> CacheKey:
        asked = self._build.asked
        owner = self._folder.parent.name
        group = [owner, self._workshop.rooms.name, self._build.runtime, plan.manifest]
        if asked.cache_key:
            return CacheKey.of([*group, "key", asked.cache_key], ["given"])
        locks = [text for name in plan.locks if tree.has(name) for text in (name, tree.read(name))]
        return CacheKey.of(group, locks)


def _fresh(work: Path) -> None:
    """Empty folders for one build; nobody but its user may look into them."""
    if work.exists():
        remove_tree(work)
    for name in ("build", "out", "plan"):
        (work / name).mkdir(parents=True)
    work.chmod(0o711)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:64] if lines else ""
