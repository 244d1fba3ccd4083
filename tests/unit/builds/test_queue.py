"""The queue: states, restarts, cancelling, what is kept; with a sandbox that does as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from live import zip_of

from lambda_home.arns import Scope
from lambda_home.builds.cache import BuildCache
from lambda_home.builds.documents import Asked, Build, Status
from lambda_home.builds.queue import Builds, QueueRules
from lambda_home.builds.rooms import Ended, Ground, Limits, Sink, Stopping
from lambda_home.builds.running import Rules, Workshop
from lambda_home.errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambda_home.registry.database import Database
from lambda_home.registry.resources import ResourceKind, Resources

HERE = Scope("000000000000", "us-east-1")
SOURCES = zip_of({"app.py": "x = 1", "requirements.txt": "six"})
PATIENCE_S = 20


@dataclass
class Told:
    """A sandbox whose programs end when `going` is set, or when they are stopped."""

    name: str = "told"
    place: str = "this machine"
    note: str = ""
    code: int = 0
    going: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    most: int = 0
    now: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    ground: Ground | None = None
    second: Told | None = None

    def open(self, ground: Ground, runtime: str) -> Told:
        del runtime
        self.ground = ground
        return self

    def run(
        self, words: Sequence[str], variables: Mapping[str, str], sink: Sink, stopping: Stopping
    ) -> Ended:
        del variables
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        sink(f"{words[0]} was called\n".encode())
        self.begun.release()
        try:
            while not self.going.wait(0.01):
                if (why := stopping()) is not None:
                    return Ended(137, why)
        finally:
            with self.lock:
                self.now -= 1
        return Ended(self.code)

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Place:
    builds: Builds
    room: Told
    resources: Resources
    root: Path

    def create(self, **asked: object) -> Build:
        return self.builds.create(HERE, Asked(**asked), "", SOURCES)  # type: ignore[arg-type]

    def ended(self, build: Build) -> Build:
        done, found = threading.Event(), build
        for _ in range(PATIENCE_S * 100):
            found = self.builds.get(HERE, build.id)
            if found.status.has_ended and not (self.folder(build) / "work").exists():
                return found
            done.wait(0.01)
        raise AssertionError(f"{found} does not end")

    def folder(self, build: Build) -> Path:
        return self.root / f"{HERE.account}.{HERE.region}" / build.id


def making(room: Told, root: Path, timeout_s: float = 60.0) -> Workshop:
    rules = Rules(Limits(128, 64, 64), timeout_s, 1)
    return Workshop(room, room, BuildCache(root / "cache", 1 << 20), rules, room.second)


def opened(tmp_path: Path, database: Database, *, keep: int = 10, timeout_s: float = 60.0) -> Place:
    room = Told()
    resources = Resources(database)
    root = tmp_path / "builds"

    def make(_: ExitStack) -> Workshop:
        return making(room, root, timeout_s)

    moments = iter(range(1, 100_000))
    builds = Builds(resources, root, make, QueueRules(2, keep, 1), lambda: float(next(moments)))
    builds.open()
    return Place(builds, room, resources, root)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.open(tmp_path / "db")
    yield made
    made.close()


@pytest.fixture
def place(tmp_path: Path, database: Database) -> Iterator[Place]:
    made = opened(tmp_path, database)
    yield made
    made.builds.close()


def test_a_build_waits_is_processed_and_is_ready(place: Place) -> None:
    build = place.create()
    assert build.status is Status.WAITING
    assert place.room.begun.acquire(timeout=PATIENCE_S)
    assert place.builds.get(HERE, build.id).status is Status.PROCESSING
    with pytest.raises(ResourceConflictException, match="is processing"):
        place.builds.package(HERE, build.id)
    place.room.going.set()
    done = place.ended(build)
    assert (done.status, done.manifest, done.sandbox) == (Status.READY, "requirements.txt", "told")
    assert place.builds.package(HERE, build.id).stat().st_size == done.size
    lines = [line.content for line in place.builds.log(HERE, build.id).lines]
    assert "pip was called" in lines
    assert lines[-1] == "The build is ready."
    assert not (place.folder(build) / "sources").exists()


def test_no_more_than_the_workers_go_on_at_once(place: Place) -> None:
    builds = [place.create() for _ in range(4)]
    for _ in range(2):
        assert place.room.begun.acquire(timeout=PATIENCE_S)
    states = sorted(place.builds.get(HERE, build.id).status for build in builds)
    assert states == ["processing", "processing", "waiting", "waiting"]
    place.room.going.set()
    assert {place.ended(build).status for build in builds} == {Status.READY}
    assert place.room.most == 2


def test_builds_are_canceled_while_they_wait_and_while_they_run(place: Place) -> None:
    builds = [place.create() for _ in range(3)]
    for _ in range(2):
        assert place.room.begun.acquire(timeout=PATIENCE_S)
    waiting = place.builds.remove(HERE, builds[2].id)
    assert waiting is not None
    assert waiting.status is Status.CANCELED
    place.builds.remove(HERE, builds[0].id)
    assert place.ended(builds[0]).status is Status.CANCELED
    place.room.going.set()
    assert place.ended(builds[1]).status is Status.READY
    assert place.ended(builds[2]).status is Status.CANCELED
    assert place.builds.remove(HERE, builds[1].id) is None
    with pytest.raises(ResourceNotFoundException):
        place.builds.get(HERE, builds[1].id)
    assert not place.folder(builds[1]).exists()


def test_a_failed_step_is_the_reason(place: Place) -> None:
    place.room.code = 1
    place.room.going.set()
    done = place.ended(place.create())
    assert (done.status, done.reason) == (
        Status.FAILED,
        "pip failed (exit code 1): pip was called",
    )


@pytest.mark.parametrize(
    ("second", "status", "sandbox"),
    [(0, Status.READY, "second"), (127, Status.FAILED, "told"), (None, Status.FAILED, "told")],
)
def test_where_a_tool_is_missing_the_machines_are_tried(
    place: Place, second: int | None, status: Status, sandbox: str
) -> None:
    place.room.code = 127
    place.room.place = "Image x"
    place.room.going.set()
    if second is not None:
        place.room.second = Told("second", code=second)
        place.room.second.going.set()
    done = place.ended(place.create())
    assert (done.status, done.sandbox) == (status, sandbox)
    if status is Status.FAILED:
        assert done.reason.startswith("Image x has no pip: give an image")
    log = " ".join(line.content for line in place.builds.log(HERE, done.id).lines)
    assert ("Now the tools of this machine are tried" in log) is (second is not None)


def test_a_build_that_takes_too_long_is_ended(tmp_path: Path, database: Database) -> None:
    place = opened(tmp_path, database, timeout_s=0.05)
    done = place.ended(place.create())
    assert done.status is Status.FAILED
    assert done.reason == "The build took longer than 0.05 s (setting builds.timeout_s)."
    place.builds.close()


def test_a_build_that_fills_the_disk_is_ended(place: Place) -> None:
    build = place.create()
    assert place.room.begun.acquire(timeout=PATIENCE_S)
    assert place.room.ground is not None
    (place.room.ground.writable["/out"] / "big").write_bytes(bytes(65 << 20))
    done = place.ended(build)
    assert "wrote more than 64 MB" in done.reason


def test_a_restart_goes_on_with_what_waited_and_fails_what_ran(
    tmp_path: Path, database: Database
) -> None:
    first = opened(tmp_path, database)
    builds = [first.create() for _ in range(3)]
    for _ in range(2):
        assert first.room.begun.acquire(timeout=PATIENCE_S)
    first.builds.close()
    states = sorted(first.builds.get(HERE, build.id).status for build in builds)
    assert states == ["failed", "failed", "waiting"]
    # As after a power cut: what ran still stands as such.
    killed = first.builds.get(HERE, builds[0].id).document() | {"status": "processing"}
    first.resources.change(HERE, ResourceKind.BUILD, builds[0].id, lambda _: killed)
    (tmp_path / "builds" / "000000000000.us-east-1" / ("0" * 24)).mkdir()
    second = opened(tmp_path, database)
    second.room.going.set()
    assert second.ended(builds[2]).status is Status.READY
    again = second.ended(builds[0])
    assert (again.status, again.reason) == (
        Status.FAILED,
        "The server was stopped during the build: start it again.",
    )
    assert not second.folder(Build("0" * 24, Asked(), Status.READY, 0)).exists()
    second.builds.close()


def test_only_the_newest_are_kept(tmp_path: Path, database: Database) -> None:
    place = opened(tmp_path, database, keep=2)
    place.room.going.set()
    builds = []
    for _ in range(4):
        builds.append(place.create())
        place.ended(builds[-1])
    place.builds.close()
    assert [build.id for build in place.builds.all_of(HERE)] == [builds[3].id, builds[2].id]
    assert not place.folder(builds[0]).exists()


def test_what_a_reset_deletes_ends_and_leaves_nothing(place: Place) -> None:
    build = place.create()
    assert place.room.begun.acquire(timeout=PATIENCE_S)
    place.resources.change(HERE, ResourceKind.BUILD, build.id, lambda _: None)
    place.builds.forget_removed()
    for _ in range(PATIENCE_S * 100):
        if not place.folder(build).exists():
            break
        threading.Event().wait(0.01)
    assert not place.folder(build).exists()
    assert place.builds.all_of(HERE) == []


def test_a_package_is_deployed_before_the_build_is_ready(place: Place) -> None:
    said: list[tuple[str, bool]] = []

    def deploy(scope: Scope, function: str, package: Path) -> str:
        assert scope == HERE
        said.append((function, package.is_file()))
        if function == "gone":
            raise InvalidParameterValueException("there is none")
        return "done"

    place.builds.deploy = deploy
    place.room.going.set()
    done = place.ended(place.create(function="hello", deploy=True))
    assert (done.status, done.deployed) == (Status.READY, True)
    failed = place.ended(place.create(function="gone", deploy=True))
    assert (failed.status, failed.deployed) == (Status.FAILED, False)
    assert failed.reason == "The package was built, but not deployed to gone: there is none"
    assert place.builds.package(HERE, failed.id).is_file()
    assert said == [("hello", True), ("gone", True)]


def test_builds_belong_to_their_account(place: Place) -> None:
    build = place.create()
    other = Scope("111111111111", "us-east-1")
    assert place.builds.all_of(other) == []
    for read in (place.builds.get, place.builds.package, place.builds.log, place.builds.remove):
        with pytest.raises(ResourceNotFoundException):
            read(other, build.id)
    for name in ("../x", "", build.id.upper() + "x"):
        with pytest.raises(ResourceNotFoundException):
            place.builds.get(HERE, name)
    place.room.going.set()
    place.ended(build)
