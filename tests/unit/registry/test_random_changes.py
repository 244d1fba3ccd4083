"""Random changes of two functions against a model of what AWS promises."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from unit.registry.world import HERE, World, code, ref

from lambda_home.errors import (
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambda_home.functions import READY, FunctionVersion

NAMES = st.sampled_from(["a", "b"])


@dataclass
class Expected:
    """What must be true of one function name."""

    latest: FunctionVersion | None = None
    published: dict[int, FunctionVersion] = field(default_factory=dict)
    highest: int = 0
    fresh: bool = False  # the highest version is a copy of $LATEST

    @property
    def exists(self) -> bool:
        return self.latest is not None


class Changes(RuleBasedStateMachine):
    migrated: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        path = Path(self.folder.name) / "l.db"
        shutil.copyfile(self.migrated, path)
        self.world = World(path)
        self.expected = {"a": Expected(), "b": Expected()}
        self.revisions: set[str] = set()
        self.counter = 0

    @initialize()
    def start_with_one(self) -> None:
        self.create("a")

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        expected = self.expected[name]
        if expected.exists:
            self.refused(ResourceConflictException, lambda: self.world.create(name))
            return
        expected.latest = self.world.create(name)
        expected.fresh = False
        self.new_revision(expected.latest)

    @rule(name=NAMES, wrong=st.booleans())
    def update_code(self, name: str, *, wrong: bool) -> None:
        expected = self.expected[name]
        self.counter += 1
        new = code(f"c{self.counter}", self.counter)
        registry = self.world.registry
        if expected.latest is None:
            self.refused(ResourceNotFoundException, lambda: registry.update_code(ref(name), new))
        elif wrong:
            self.refused(
                PreconditionFailedException,
                lambda: registry.update_code(ref(name), new, revision_id="wrong"),
            )
        else:
            old = expected.latest
            expected.latest = registry.update_code(ref(name), new, revision_id=old.revision_id)
            assert expected.latest.run_key != old.run_key
            expected.fresh = False
            self.new_revision(expected.latest)

    @rule(name=NAMES, redundant=st.booleans())
    def update_configuration(self, name: str, *, redundant: bool) -> None:
        expected = self.expected[name]
        if expected.latest is None:
            return
        self.counter += 1
        value = expected.latest.description if redundant else f"d{self.counter}"
        expected.latest = self.world.registry.update_configuration(
            ref(name), {"description": value}
        )
        expected.fresh = expected.fresh and redundant
        self.new_revision(expected.latest)

    @rule(name=NAMES, described=st.booleans())
    def publish(self, name: str, *, described: bool) -> None:
        expected = self.expected[name]
        if expected.latest is None:
            return
        text = "own" if described else None
        version = self.world.registry.publish(ref(name), description=text)
        number = int(version.version)
        if expected.fresh and expected.highest in expected.published:
            assert version == expected.published[expected.highest]
            return
        assert number == expected.highest + 1
        assert version.description == (text or expected.latest.description)
        assert version.code == expected.latest.code
        self.new_revision(version)
        expected.highest, expected.fresh = number, True
        expected.published[number] = version
        latest = self.world.registry.get(ref(name))
        self.new_revision(latest)
        expected.latest = latest

    @rule(name=NAMES, stale=st.booleans())
    def settle(self, name: str, *, stale: bool) -> None:
        expected = self.expected[name]
        if expected.latest is None:
            return
        run_key = "stale" if stale else expected.latest.run_key
        busy = expected.latest.status.busy
        done = self.world.registry.settle(HERE, name, "$LATEST", run_key, READY)
        assert done is not stale
        if done and busy:
            expected.latest = self.world.registry.get(ref(name))
            self.new_revision(expected.latest)

    @rule(name=NAMES, data=st.data())
    def delete_version(self, name: str, data: st.DataObject) -> None:
        expected = self.expected[name]
        if expected.latest is None:
            return
        number = data.draw(st.integers(1, expected.highest + 1))
        self.world.registry.delete(ref(name, str(number)))
        expected.published.pop(number, None)

    @precondition(lambda self: any(e.exists for e in self.expected.values()))
    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        expected = self.expected[name]
        if expected.latest is None:
            self.refused(ResourceNotFoundException, lambda: self.world.registry.delete(ref(name)))
            return
        self.world.registry.delete(ref(name))
        self.expected[name] = Expected(highest=expected.highest)

    @rule()
    def reconnect(self) -> None:
        self.world.database.close()

    @invariant()
    def everything_is_as_expected(self) -> None:
        for name, expected in self.expected.items():
            if expected.latest is None:
                continue
            stored = self.world.registry.list_versions(ref(name)).items
            assert stored[0] == expected.latest
            wanted = [expected.published[number] for number in sorted(expected.published)]
            assert list(stored[1:]) == wanted
        present = [name for name, expected in self.expected.items() if expected.exists]
        listed = self.world.registry.list_functions(HERE).items
        assert [version.name for version in listed] == present

    def teardown(self) -> None:
        self.world.close()
        self.folder.cleanup()

    def new_revision(self, version: FunctionVersion) -> None:
        assert version.revision_id not in self.revisions
        self.revisions.add(version.revision_id)

    def refused(self, error: type[Exception], change: object) -> None:
        assert callable(change)
        try:
            change()
        except error:
            return
        raise AssertionError(f"{error.__name__} was expected")


def test_random_changes_keep_what_aws_promises(migrated: Path) -> None:
    class Machine(Changes):
        pass

    Machine.migrated = migrated
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
