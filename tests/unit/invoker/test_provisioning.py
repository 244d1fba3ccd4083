"""Plans of fleets: from documents to numbers, and the reconciler that keeps them true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import HERE, VERSION, FakeFleets, FakeStanding, until

from lambda_home.arns import FunctionRef
from lambda_home.functions import READY, Code, FunctionVersion
from lambda_home.invoker.provisioning import (
    Provisioner,
    Sources,
    plans,
    slots_of,
    spread,
    targets,
)
from lambda_home.registry.aliases import AliasChange, Aliases
from lambda_home.registry.changes import Change, ConfigKind, NewFunction
from lambda_home.registry.configs import FunctionConfigs
from lambda_home.registry.database import Database
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.registry.provisioned import ProvisionedConcurrency
from lambda_home.scheduler.events import FleetPlan

LATEST = VERSION
ONE, TWO = replace(VERSION, version="1", run_key="1"), replace(VERSION, version="2", run_key="2")


def with_variable(value: str) -> FunctionVersion:
    return replace(VERSION, environment={"AWS_LAMBDA_MAX_CONCURRENCY": value})


def with_provider(most: int | None) -> FunctionVersion:
    inner = {"CapacityProviderArn": "arn"}
    if most is not None:
        inner |= {"PerExecutionEnvironmentMaxConcurrency": most}  # type: ignore[dict-item]
    documents = {"CapacityProviderConfig": {"LambdaManagedInstancesCapacityProviderConfig": inner}}
    return replace(with_variable("7"), documents=documents)


@pytest.mark.parametrize(
    ("version", "slots"),
    [
        (VERSION, 1),
        (with_variable("10"), 10),
        (with_variable("1600"), 1600),
        *(
            (with_variable(bad), 1)
            for bad in ("0", "1601", "99999999999", "-1", "x", "", "٣", "1.5")
        ),
        (with_provider(64), 64),
        (with_provider(None), 7),
    ],
)
def test_slots_come_from_the_provider_or_the_variable(version: FunctionVersion, slots: int) -> None:
    assert slots_of(version) == slots


def test_a_plan_joins_provisioned_concurrency_and_scaling() -> None:
    scaling = {
        "$LATEST": {"MaxExecutionEnvironments": 3},
        "1": {"MinExecutionEnvironments": 2, "MaxExecutionEnvironments": 4},
        "$LATEST.PUBLISHED": {"MinExecutionEnvironments": 1},
    }
    assert plans([LATEST, ONE, TWO], {"1": 5}, scaling, 100) == {
        "$LATEST": FleetPlan(maximum=3),
        "1": FleetPlan(minimum=5, maximum=5, provisioned=5),
        "2": FleetPlan(minimum=1),
    }


def test_no_version_keeps_more_ready_than_its_account_can_use() -> None:
    scaling = {"1": {"MinExecutionEnvironments": 15_000}}
    assert plans([ONE], {}, scaling, 100)["1"] == FleetPlan(minimum=100)


def test_an_environment_with_slots_holds_as_much_provisioned_concurrency() -> None:
    version = replace(with_variable("4"), version="1")
    assert plans([version], {"1": 9}, {}, 100)["1"] == FleetPlan(slots=4, minimum=3, provisioned=3)


def test_aliases_spread_what_is_asked_for_over_their_versions() -> None:
    aliases: dict[str, dict[str, Any]] = {
        "live": {
            "FunctionVersion": "1",
            "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.25}},
        },
        "head": {"FunctionVersion": "$LATEST"},
    }
    assert spread({"live": 4, "3": 2, "head": 5, "gone": 1}, aliases) == {"1": 3, "2": 1, "3": 2}


REF = FunctionRef(HERE, "fn")


class World:
    def __init__(self, path: Path) -> None:
        self.listeners: list[Callable[[Change], None]] = []
        self.database = Database.open(path)
        self.registry = FunctionRegistry(self.database, self.tell)
        self.configs = FunctionConfigs(self.database, self.tell)
        self.aliases = Aliases(self.database, self.tell)
        self.provisioned = ProvisionedConcurrency(self.database, self.tell)
        self.fleets = FakeFleets()

    def tell(self, change: Change) -> None:
        for listener in self.listeners:
            listener(change)

    def create(self) -> FunctionVersion:
        code = Code("k" * 8, "sha", 1)
        made = self.registry.create(REF, code, NewFunction(runtime="python3.12"))
        self.settle(made)
        return self.registry.get(REF)

    def settle(self, version: FunctionVersion) -> None:
        self.registry.settle(HERE, "fn", version.version, version.run_key, READY)

    def publish(self) -> FunctionVersion:
        latest = self.registry.update_configuration(
            REF, {"description": str(len(self.registry.versions(HERE, "fn")))}
        )
        self.settle(latest)
        return self.registry.publish(REF)

    def plan_of(self, version: FunctionVersion) -> FleetPlan | None:
        return self.fleets.plans.get(version.run_key)

    def provisioner(self, *, prewarm: bool = False) -> Provisioner:
        sources = Sources(self.registry, self.configs, self.aliases)
        made = Provisioner(sources, self.fleets, prewarm_on_create=prewarm, most_environments=100)
        self.listeners.append(made.changed)
        return made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "lhome.db")
    yield made
    made.database.close()


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def qualified(qualifier: str) -> FunctionRef:
    return FunctionRef(HERE, "fn", qualifier)


def test_plans_follow_what_is_configured_and_an_alias_that_moves(world: World) -> None:
    async def main() -> None:
        world.create()
        one, two = world.publish(), world.publish()
        world.aliases.create(qualified("live"), AliasChange(function_version="1"))
        async with world.provisioner():
            world.provisioned.put(qualified("live"), 3, 1000)
            ahead = FleetPlan(minimum=3, provisioned=3)
            await until(lambda: world.plan_of(one) == ahead)
            assert world.plan_of(two) is None
            world.aliases.update(qualified("live"), AliasChange(function_version="2"))
            await until(lambda: world.plan_of(two) == ahead)
            assert world.plan_of(one) == FleetPlan()
            world.provisioned.delete(qualified("live"))
            await until(lambda: world.plan_of(two) == FleetPlan())

    run(main())


def test_what_was_configured_before_the_start_is_planned_at_the_start(world: World) -> None:
    async def main() -> None:
        latest = world.create()
        bounds = {"MinExecutionEnvironments": 1}
        world.configs.put(REF, ConfigKind.SCALING, bounds, "$LATEST")
        async with world.provisioner():
            await until(lambda: world.plan_of(latest) == FleetPlan(minimum=1))

    run(main())


def test_a_version_is_planned_only_once_it_can_run_and_an_update_moves_the_plan(
    world: World,
) -> None:
    async def main() -> None:
        old = world.create()
        world.configs.put(REF, ConfigKind.SCALING, {"MinExecutionEnvironments": 1}, "$LATEST")
        provisioner = world.provisioner()
        await provisioner.settle(HERE, "fn")
        assert world.plan_of(old) == FleetPlan(minimum=1)
        new = world.registry.update_configuration(REF, {"timeout_s": 9})
        await provisioner.settle(HERE, "fn")
        assert (world.plan_of(old), world.plan_of(new)) == (FleetPlan(), None)
        world.settle(new)
        await provisioner.settle(HERE, "fn")
        assert world.plan_of(new) == FleetPlan(minimum=1)
        world.registry.delete(REF)
        await provisioner.settle(HERE, "fn")
        assert world.plan_of(new) == FleetPlan()

    run(main())


def test_an_allocation_goes_from_in_progress_to_ready_or_failed(world: World) -> None:
    async def main() -> None:
        world.create()
        world.publish()
        provisioner = world.provisioner()
        world.provisioned.put(qualified("1"), 2, 1000)
        await provisioner.settle(HERE, "fn")
        seen = []
        for standing in (
            FakeStanding(0, 0),
            FakeStanding(1, 2),
            FakeStanding(2, 2),
            FakeStanding(1, 1, "FUNCTION_ERROR_INIT_FAILURE"),
        ):
            world.fleets.stands["1"] = standing
            found = await provisioner.allocation(qualified("1"), 2)
            seen.append((found.available, found.allocated, found.status, found.reason))
        assert seen == [
            (0, 0, "IN_PROGRESS", None),
            (1, 2, "IN_PROGRESS", None),
            (2, 2, "READY", None),
            (1, 1, "FAILED", "FUNCTION_ERROR_INIT_FAILURE"),
        ]

    run(main())


@pytest.mark.parametrize("prewarm", [True, False])
def test_a_new_function_is_prewarmed_once_where_that_is_wanted(
    world: World,
    prewarm: bool,  # noqa: FBT001
) -> None:
    async def main() -> None:
        async with world.provisioner(prewarm=prewarm) as provisioner:
            world.create()
            world.registry.update_configuration(REF, {"timeout_s": 9})
            world.settle(world.registry.get(REF))
            await until(lambda: not provisioner.behind)
            assert world.fleets.prewarmed == ([("$LATEST", 1)] if prewarm else [])

    run(main())


def test_of_versions_with_snapstart_the_newest_and_the_named_keep_an_environment() -> None:
    snap = {"SnapStart": {"ApplyOn": "PublishedVersions"}}
    latest = replace(LATEST, documents=snap)
    numbered = [replace(ONE, version=number, documents=snap) for number in ("1", "2", "3", "4")]
    aliases = {
        "live": {
            "FunctionVersion": "1",
            "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}},
        }
    }
    made = plans([latest, *numbered], {}, {}, 100, targets(aliases))
    kept = {version: plan.minimum for version, plan in made.items()}
    assert kept == {"$LATEST": 0, "1": 1, "2": 1, "3": 0, "4": 1}
    assert {plan.init_s for version, plan in made.items() if version != "$LATEST"} == {130.0}
    assert made["$LATEST"] == FleetPlan()
