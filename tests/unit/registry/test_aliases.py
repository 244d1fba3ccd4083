"""Aliases and provisioned concurrency in the registry: what goes with what."""

from __future__ import annotations

import uuid
from itertools import count

import pytest
from unit.registry.world import HERE, World, ref

from lambda_home.errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambda_home.registry.aliases import AliasChange, Aliases
from lambda_home.registry.changes import Change, ChangeKind, ConfigKind
from lambda_home.registry.configs import FunctionConfigs
from lambda_home.registry.provisioned import ProvisionedConcurrency


def aliases_of(world: World) -> Aliases:
    ids = count(100)
    return Aliases(world.database, world.changes.append, lambda: uuid.UUID(int=next(ids)))


def versions(world: World, number: int) -> Aliases:
    world.active()
    for n in range(number):
        world.described(str(n))
        world.registry.publish(ref())
    return aliases_of(world)


def test_a_change_of_an_alias_is_told_after_its_commit(world: World) -> None:
    aliases = versions(world, 1)
    world.changes.clear()
    aliases.create(ref("fn", "live"), AliasChange(function_version="1"))
    aliases.update(ref("fn", "live"), AliasChange(description="d"))
    aliases.delete(ref("fn", "live"))
    assert world.changes == [Change(HERE, "fn", ChangeKind.CONFIGURED)] * 3


def test_a_refused_change_leaves_the_alias_as_it_was(world: World) -> None:
    aliases = versions(world, 2)
    made = aliases.create(ref("fn", "live"), AliasChange("1", "d", {"2": 0.5}))
    world.changes.clear()
    with pytest.raises(InvalidParameterValueException):
        aliases.update(ref("fn", "live"), AliasChange("2", "other"))
    with pytest.raises(ResourceNotFoundException):
        aliases.update(ref("fn", "live"), AliasChange("3", "other"))
    assert aliases.get(ref("fn", "live")) == made
    assert world.changes == []


def test_a_version_goes_with_what_is_configured_for_it_but_not_under_an_alias(
    world: World,
) -> None:
    aliases = versions(world, 2)
    configs = FunctionConfigs(world.database, world.changes.append)
    for qualifier in ("1", "2"):
        configs.put(ref(), ConfigKind.SCALING, {"MinExecutionEnvironments": 1}, qualifier)
    aliases.create(ref("fn", "live"), AliasChange("1", weights={"2": 0.5}))
    for version in ("1", "2"):
        with pytest.raises(ResourceConflictException, match=r"reference it: \[live\]$"):
            world.registry.delete(ref("fn", version))
    aliases.delete(ref("fn", "live"))
    world.registry.delete(ref("fn", "2"))
    assert list(configs.all_of(ref(), ConfigKind.SCALING)) == ["1"]
    assert [v.version for v in world.registry.versions(HERE, "fn")] == ["$LATEST", "1"]


def test_a_deleted_function_takes_its_aliases_along(world: World) -> None:
    aliases = versions(world, 1)
    aliases.create(ref("fn", "live"), AliasChange("1"))
    world.registry.delete(ref())
    assert aliases.of(ref()) == {}
    world.active()
    assert aliases.of(ref()) == {}


def test_aliases_are_listed_by_name_and_by_the_versions_that_they_invoke(world: World) -> None:
    aliases = versions(world, 2)
    for name in "bdac":
        aliases.create(ref("fn", name), AliasChange("1"))
    aliases.create(ref("fn", "aa"), AliasChange("2", weights={"1": 0.5}))
    aliases.create(ref("fn", "z"), AliasChange("2"))
    assert list(aliases.listing(ref())) == ["a", "aa", "b", "c", "d", "z"]
    assert list(aliases.listing(ref(), "1")) == ["a", "aa", "b", "c", "d"]


@pytest.mark.parametrize(
    ("reserved", "counts", "taken"),
    [(None, {"1": 5, "2": 3}, 8), (20, {"1": 5, "2": 3}, 20), (None, {}, 0)],
)
def test_what_a_function_takes_is_reserved_or_else_provisioned(
    world: World, reserved: int | None, counts: dict[str, int], taken: int
) -> None:
    versions(world, 2)
    provisioned = ProvisionedConcurrency(world.database, world.changes.append)
    if reserved is not None:
        world.registry.put_reserved(ref(), reserved, 1000)
    for version, number in counts.items():
        provisioned.put(ref("fn", version), number, 1000)
    assert sum(world.registry.taken(HERE).values()) == taken
    world.active("other")
    free = 1000 - 100 - taken
    with pytest.raises(InvalidParameterValueException, match="below its minimum"):
        world.registry.put_reserved(ref("other"), free + 1, 1000)
    world.registry.put_reserved(ref("other"), free, 1000)


def test_giving_provisioned_concurrency_back_is_never_refused(world: World) -> None:
    versions(world, 1)
    provisioned = ProvisionedConcurrency(world.database, world.changes.append)
    provisioned.put(ref("fn", "1"), 400, 1000)
    with pytest.raises(InvalidParameterValueException, match="below its minimum"):
        provisioned.put(ref("fn", "1"), 401, 500)
    provisioned.put(ref("fn", "1"), 399, 300)
    assert provisioned.get(ref("fn", "1"))["Requested"] == 399
