from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread

import pytest
from unit.registry.world import ELSEWHERE, HERE, World, code, ref

from lambda_home.errors import (
    ApiError,
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambda_home.functions import CREATING, READY, UPDATING, FunctionVersion, State, Status
from lambda_home.registry.changes import Change, ChangeKind, Configuration
from lambda_home.registry.functions import FunctionRegistry

ARN = "arn:aws:lambda:us-east-1:000000000000:function"


def test_create_answers_a_pending_latest_with_awss_defaults(world: World) -> None:
    made = world.create()
    assert made == FunctionVersion(
        scope=HERE,
        name="fn",
        version="$LATEST",
        runtime="python3.12",
        handler="index.handler",
        role="arn:aws:iam::r",
        code=code(),
        revision_id="00000000-0000-0000-0000-000000000001",
        last_modified="2026-11-21T10:00:01.007+0000",
        status=CREATING,
        run_key="00000000000000000000000000000002",
    )


def test_every_member_comes_back_as_it_was_stored(world: World) -> None:
    made = world.registry.create(
        ref("full"),
        code("z", 7),
        {
            "runtime": "nodejs22.x",
            "handler": "a.b",
            "role": "r",
            "description": "d\udc80é",
            "timeout_s": 9,
            "memory_mb": 256,
            "tmp_mb": 1024,
            "environment": {"A": "1"},
            "architectures": ("arm64",),
            "package_type": "Zip",
            "documents": {"VpcConfig": {"SubnetIds": ["s"]}, "Gone": None},
        },
    )
    assert world.registry.get(ref("full")) == made
    assert made.documents == {"VpcConfig": {"SubnetIds": ["s"]}}


@pytest.mark.parametrize("environment", [None, {}, {"A": "1"}])
def test_an_environment_sent_empty_stays_different_from_none(
    world: World, environment: dict[str, str] | None
) -> None:
    world.create()
    world.registry.update_configuration(ref(), {"environment": environment})
    assert world.registry.get(ref()).environment == environment


def test_creating_a_taken_name_is_a_conflict(world: World) -> None:
    world.create()
    with pytest.raises(ResourceConflictException, match=r"^Function already exist: fn$"):
        world.create()


def test_parallel_creates_of_one_name_succeed_once(world: World) -> None:
    outcomes: list[str] = []
    start = Barrier(8)

    def create() -> None:
        start.wait()
        try:
            world.create("same")
        except ApiError as error:
            outcomes.append(error.code)
        else:
            outcomes.append("made")

    threads = [Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["ResourceConflictException"] * 7 + ["made"]
    assert world.registry.usage(HERE).function_count == 1


@pytest.mark.parametrize(
    ("qualifier", "text"),
    [
        (None, f"Function not found: {ARN}:fn"),
        ("$LATEST", f"Function not found: {ARN}:fn:$LATEST"),
        ("1", f"Function not found: {ARN}:fn:1"),
        ("alias", f"Function not found: {ARN}:fn:alias"),
    ],
)
def test_getting_a_missing_function_names_what_was_asked_for(
    world: World, qualifier: str | None, text: str
) -> None:
    with pytest.raises(ResourceNotFoundException) as caught:
        world.registry.get(ref("fn", qualifier))
    assert caught.value.message == text


@pytest.mark.parametrize("qualifier", ["2", "01", "0", "9" * 30, "live", "$LATEST.PUBLISHED", "²"])
def test_a_qualifier_that_names_no_version_is_not_found(world: World, qualifier: str) -> None:
    world.active()
    world.registry.publish(ref())
    with pytest.raises(ResourceNotFoundException) as caught:
        world.registry.get(ref("fn", qualifier))
    assert caught.value.message == f"Function not found: {ARN}:fn:{qualifier}"


def test_accounts_and_regions_are_separate_worlds(world: World) -> None:
    world.create("fn")
    with pytest.raises(ResourceNotFoundException):
        world.registry.get(ref("fn", scope=ELSEWHERE))
    world.create("fn", scope=ELSEWHERE)
    world.registry.delete(ref("fn", scope=ELSEWHERE))
    assert world.registry.get(ref("fn")).scope == HERE


def test_create_to_active_changes_the_revision_and_keeps_the_run_key(world: World) -> None:
    made = world.create()
    assert world.settle(made)
    active = world.registry.get(ref())
    assert active == replace(made, status=READY, revision_id=active.revision_id)
    assert active.revision_id != made.revision_id


def test_each_update_and_its_end_change_the_revision(world: World) -> None:
    seen = [world.active()]
    seen.append(world.registry.update_code(ref(), code("a")))
    assert seen[-1].status == UPDATING
    world.settle(seen[-1])
    seen.append(world.registry.get(ref()))
    assert seen[-1].status == READY
    seen.append(world.registry.update_configuration(ref(), {"timeout_s": 30}))
    assert seen[-1].status == UPDATING
    assert len({version.revision_id for version in seen}) == 4
    assert len({version.run_key for version in seen}) == 3
    assert [version.last_modified[17:19] for version in seen] == ["01", "02", "02", "03"]


def test_update_code_changes_code_and_architectures_only(world: World) -> None:
    before = world.active()
    after = world.registry.update_code(ref(), code("b", 5), architectures=("arm64",))
    assert after == world.registry.get(ref())
    assert after == replace(
        before,
        code=code("b", 5),
        architectures=("arm64",),
        status=UPDATING,
        revision_id=after.revision_id,
        run_key=after.run_key,
        last_modified=after.last_modified,
    )
    assert world.registry.update_code(ref(), code("c")).architectures == ("arm64",)


def test_update_configuration_keeps_what_is_not_given(world: World) -> None:
    world.active()
    first = Configuration(memory_mb=512, documents={"Layers": [1], "TracingConfig": {"Mode": "x"}})
    world.registry.update_configuration(ref(), first)
    after = world.registry.update_configuration(
        ref(), {"timeout_s": 30, "documents": {"Layers": None, "KMSKeyArn": "k"}}
    )
    assert (after.memory_mb, after.timeout_s, after.handler) == (512, 30, "index.handler")
    assert after.documents == {"TracingConfig": {"Mode": "x"}, "KMSKeyArn": "k"}


def test_a_configuration_can_be_computed_from_the_current_one(world: World) -> None:
    world.active()
    after = world.registry.update_configuration(
        ref(), lambda latest: {"timeout_s": latest.timeout_s + 4}
    )
    assert after.timeout_s == 7


def test_an_edit_that_raises_changes_nothing(world: World) -> None:
    before = world.active()

    def refuse(latest: FunctionVersion) -> Configuration:
        raise InvalidParameterValueException(f"no, {latest.name}")

    with pytest.raises(InvalidParameterValueException, match="no, fn"):
        world.registry.update_configuration(ref(), refuse)
    assert world.registry.get(ref()) == before


def test_a_wrong_revision_is_refused_and_the_current_one_accepted(world: World) -> None:
    active = world.active()
    text = (
        "The Revision Id provided does not match the latest Revision Id. Call the"
        " GetFunction/GetAlias API to retrieve the latest Revision Id"
    )
    refused: list[Callable[[], object]] = [
        lambda: world.registry.update_code(ref(), code("b"), revision_id="wrong"),
        lambda: world.registry.update_configuration(ref(), {}, revision_id="wrong"),
        lambda: world.registry.publish(ref(), revision_id="wrong"),
    ]
    for change in refused:
        with pytest.raises(PreconditionFailedException) as caught:
            change()
        assert caught.value.message == text
    assert world.registry.get(ref()) == active
    world.registry.update_code(ref(), code("b"), revision_id=active.revision_id)


def test_a_strict_update_waits_for_the_one_before(world: World) -> None:
    made = world.create()
    with pytest.raises(ResourceConflictException) as pending:
        world.registry.update_code(ref(), code("b"), strict=True)
    assert str(pending.value.message).endswith("currently in the following state: Pending")
    world.settle(made)
    update = world.registry.update_code(ref(), code("b"), strict=True)
    with pytest.raises(ResourceConflictException) as busy:
        world.registry.update_configuration(ref(), {}, strict=True)
    assert busy.value.message == (
        "The operation cannot be performed at this time. An update is in progress for resource:"
        f" {ARN}:fn"
    )
    world.settle(update)
    world.registry.update_configuration(ref(), {}, strict=True)


def test_an_update_of_a_function_being_created_leaves_it_pending(world: World) -> None:
    world.create()
    updated = world.registry.update_code(ref(), code("b"))
    assert updated.status.state is State.PENDING
    assert updated.status.busy
    world.settle(updated)
    assert world.registry.get(ref()).status == READY


def test_a_late_preparation_does_not_settle_a_newer_update(world: World) -> None:
    world.active()
    first = world.registry.update_code(ref(), code("b"))
    second = world.registry.update_code(ref(), code("c"))
    assert not world.settle(first)
    assert world.registry.get(ref()) == second
    failed = Status(State.FAILED, "broken", "InvalidImage")
    assert world.registry.settle(HERE, "fn", "$LATEST", second.run_key, failed)
    assert world.registry.get(ref()).status == failed
    assert not world.registry.settle(HERE, "gone", "$LATEST", second.run_key, READY)


def test_unsettled_names_what_a_restart_must_prepare(world: World, tmp_path: Path) -> None:
    world.active("ready")
    pending = world.create("pending", scope=ELSEWHERE)
    world.active("updating")
    updating = world.registry.update_code(ref("updating"), code("b"))
    world.close()
    again = World(tmp_path / "lhome.db")
    assert again.registry.unsettled() == [pending, updating]
    again.close()


def test_delete_removes_the_function_with_its_versions(world: World) -> None:
    world.active()
    world.registry.publish(ref())
    world.registry.delete(ref())
    for qualifier in (None, "1"):
        with pytest.raises(ResourceNotFoundException):
            world.registry.get(ref("fn", qualifier))
    assert world.registry.code_keys() == set()


@pytest.mark.parametrize("qualifier", [None, "1233"])
def test_deleting_from_a_missing_function_names_the_unqualified_arn(
    world: World, qualifier: str | None
) -> None:
    with pytest.raises(ResourceNotFoundException) as caught:
        world.registry.delete(ref("fn", qualifier))
    assert caught.value.message == f"Function not found: {ARN}:fn"


def test_latest_cannot_be_deleted_even_of_a_missing_function(world: World) -> None:
    with pytest.raises(InvalidParameterValueException) as caught:
        world.registry.delete(ref("fn", "$LATEST"))
    assert caught.value.message == (
        "$LATEST version cannot be deleted without deleting the function."
    )


def test_deleting_a_missing_version_is_fine(world: World) -> None:
    active = world.active()
    world.registry.delete(ref("fn", "12"))
    assert world.registry.get(ref()) == active


def test_an_alias_is_not_deleted_as_if_it_were_a_version(world: World) -> None:
    with pytest.raises(InvalidParameterValueException) as caught:
        world.registry.delete(ref("fn", "alias"))
    assert caught.value.message == "Deletion of aliases is not currently supported."


def test_changes_are_told_after_they_are_committed(world: World) -> None:
    world.active()
    world.registry.publish(ref())
    world.registry.update_code(ref(), code("b"))
    world.registry.put_reserved(ref(), 1, 1000)
    world.registry.delete(ref("fn", "1"))
    world.registry.delete(ref())
    assert [change.kind for change in world.changes] == [
        ChangeKind.CREATED,
        ChangeKind.SETTLED,
        ChangeKind.PUBLISHED,
        ChangeKind.UPDATED,
        ChangeKind.CONCURRENCY,
        ChangeKind.VERSION_DELETED,
        ChangeKind.DELETED,
    ]
    assert world.changes[0] == Change(HERE, "fn", ChangeKind.CREATED)


def test_a_listener_sees_the_new_state_and_may_write(world: World) -> None:
    seen: list[str] = []

    def settle(change: Change) -> None:
        latest = registry.get(ref(change.name))
        seen.append(latest.status.state)
        if latest.status.busy:
            registry.settle(HERE, latest.name, "$LATEST", latest.run_key, READY)

    registry = FunctionRegistry(world.database, settle)
    registry.create(ref(), code(), {})
    assert seen == [State.PENDING, State.ACTIVE]
