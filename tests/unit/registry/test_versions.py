from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from unit.registry.world import HERE, World, code, ref

from lambda_home.errors import InvalidParameterValueException, ResourceNotFoundException
from lambda_home.functions import CREATING, READY, State, Status, UpdateStatus
from lambda_home.registry.changes import Configuration


def numbers(world: World, name: str = "fn") -> list[str]:
    return [version.version for version in world.registry.list_versions(ref(name)).items]


def test_publish_copies_latest_and_renews_both_revisions(world: World) -> None:
    before = world.active()
    version = world.registry.publish(ref(), description="first")
    latest = world.registry.get(ref())
    assert latest == replace(before, revision_id=latest.revision_id)
    assert version == world.registry.get(ref("fn", "1"))
    assert version == replace(
        before,
        version="1",
        description="first",
        status=READY,
        revision_id=version.revision_id,
        run_key=version.run_key,
    )
    assert len({before.revision_id, latest.revision_id, version.revision_id}) == 3
    assert version.run_key != before.run_key


def test_publish_again_without_change_answers_the_same_version(world: World) -> None:
    world.active()
    world.described("second")
    version = world.registry.publish(ref())
    latest = world.registry.get(ref())
    assert version.description == "second"
    assert world.registry.publish(ref(), description="does not count") == version
    assert world.registry.get(ref()) == latest
    assert numbers(world) == ["$LATEST", "1"]


def test_a_redundant_update_makes_no_new_version(world: World) -> None:
    world.active()
    version = world.registry.publish(ref(), description="own text")
    world.settle(world.registry.update_code(ref(), code("a")))
    world.settle(world.registry.update_configuration(ref(), {"timeout_s": 3}))
    assert world.registry.publish(ref()) == version


def test_going_back_to_what_was_published_last_makes_no_new_version(world: World) -> None:
    world.active()
    version = world.registry.publish(ref())
    world.described("other")
    world.described("")
    assert world.registry.publish(ref()) == version


def test_any_change_of_code_or_configuration_makes_a_new_version(world: World) -> None:
    world.active()
    world.registry.publish(ref())
    world.described("changed")
    world.registry.publish(ref())
    world.registry.update_code(ref(), code("b"))
    world.registry.publish(ref())
    world.registry.update_code(ref(), code("b"), architectures=("arm64",))
    world.registry.publish(ref())
    world.registry.update_configuration(ref(), {"documents": {"Layers": ["l"]}})
    world.registry.publish(ref())
    world.registry.update_configuration(ref(), {"environment": {}})
    world.registry.publish(ref())
    assert numbers(world) == ["$LATEST", "1", "2", "3", "4", "5", "6"]


def test_a_published_version_never_changes(world: World) -> None:
    world.active()
    version = world.registry.publish(ref())
    world.settle(world.registry.update_code(ref(), code("b")))
    world.described("other")
    assert world.registry.get(ref("fn", "1")) == version


def test_publish_during_an_update_is_pending_until_it_is_prepared(world: World) -> None:
    world.active()
    world.registry.update_code(ref(), code("b"))
    version = world.registry.publish(ref())
    assert version.status == CREATING
    assert world.settle(version)
    assert world.registry.get(ref("fn", "1")) == replace(version, status=READY)


def test_a_version_with_snapstart_is_pending_until_it_is_initialised(world: World) -> None:
    world.active()
    snap = {"documents": {"SnapStart": {"ApplyOn": "PublishedVersions"}}}
    world.settle(world.registry.update_configuration(ref(), cast("Configuration", snap)))
    version = world.registry.publish(ref())
    assert version.status == CREATING
    assert world.settle(version)
    assert world.registry.publish(ref()) == replace(version, status=READY)  # the same again


def test_publish_after_a_failed_update_prepares_the_version_anew(world: World) -> None:
    world.active()
    update = world.registry.update_code(ref(), code("b"))
    failed = Status(State.ACTIVE, update=UpdateStatus.FAILED, update_reason="broken")
    world.registry.settle(HERE, "fn", "$LATEST", update.run_key, failed)
    assert world.registry.publish(ref()).status == CREATING


def test_create_with_publish_answers_the_version_under_the_revision_of_latest(
    world: World,
) -> None:
    made = world.registry.create(ref(), code(), {}, publish=True)
    latest, version = world.registry.get(ref()), world.registry.get(ref("fn", "1"))
    assert (made.version, made.status) == ("1", CREATING)
    assert made == replace(version, revision_id=latest.revision_id)
    assert version.revision_id != latest.revision_id
    assert world.registry.unsettled() == [latest, version]


def test_publish_after_create_with_publish_answers_version_1(world: World) -> None:
    world.registry.create(ref(), code(), {}, publish=True)
    for version in world.registry.unsettled():
        world.settle(version)
    again = world.registry.publish(ref())
    assert (again.version, again.status) == ("1", READY)


def test_update_code_with_publish_answers_a_pending_version(world: World) -> None:
    world.active()
    world.registry.publish(ref())
    version = world.registry.update_code(ref(), code("b"), publish=True)
    assert version == world.registry.get(ref("fn", "2"))
    assert (version.status, version.code) == (CREATING, code("b"))
    assert world.registry.get(ref()).status.update is UpdateStatus.IN_PROGRESS


def test_a_wrong_code_sha_is_refused(world: World) -> None:
    world.active()
    with pytest.raises(InvalidParameterValueException) as caught:
        world.registry.publish(ref(), code_sha256="somenonexistentsha256")
    assert caught.value.message == (
        "CodeSHA256 (somenonexistentsha256) is different from current CodeSHA256 in $LATEST"
        " (sha-a). Please try again with the CodeSHA256 in $LATEST."
    )
    assert caught.value.fault_type == "User"
    assert world.registry.publish(ref(), code_sha256="sha-a").version == "1"


def test_publishing_a_missing_function_is_not_found(world: World) -> None:
    with pytest.raises(ResourceNotFoundException):
        world.registry.publish(ref())


def test_the_number_of_a_deleted_version_is_not_used_again(world: World) -> None:
    world.active()
    world.registry.publish(ref())
    world.registry.delete(ref("fn", "1"))
    assert world.registry.publish(ref()).version == "2"
    assert numbers(world) == ["$LATEST", "2"]


def test_numbers_go_on_when_a_deleted_function_comes_back(world: World) -> None:
    for expected in ("1", "2", "3"):
        world.active()
        assert world.registry.publish(ref()).version == expected
        world.registry.delete(ref())
    assert world.registry.create(ref(), code(), {}, publish=True).version == "4"


def test_the_revision_of_a_version_outlives_its_activation(world: World) -> None:
    world.active()
    version = world.registry.update_code(ref(), code("b"), publish=True)
    world.settle(version)
    assert world.registry.get(ref("fn", "1")).revision_id == version.revision_id
