"""The one door: what is looked up, kept and forgotten, and what reaches the scheduler."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import HERE, FakeFleets, HandTurnedClock, until

from lambda_home.arns import FunctionRef
from lambda_home.errors import (
    ApiError,
    InvalidParameterValueException,
    RecursiveInvocationException,
    ResourceConflictException,
    ResourceNotFoundException,
    TooManyRequestsException,
)
from lambda_home.functions import READY, Code, FunctionVersion, State, Status
from lambda_home.invocations import Invocation, InvocationRequest, InvocationResult, InvocationType
from lambda_home.invoker.admission import Admission
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.provisioning import Provisioner, Sources
from lambda_home.invoker.resolution import Resolver
from lambda_home.invoker.routing import EvenDraws
from lambda_home.packager.deployer import Deployer
from lambda_home.registry.aliases import AliasChange, Aliases
from lambda_home.registry.changes import Change, ConfigKind, NewFunction
from lambda_home.registry.configs import FunctionConfigs
from lambda_home.registry.database import Database
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.scheduler.environments import Outcome
from lambda_home.scheduler.scheduler import Scheduler

REF = FunctionRef(HERE, "fn")
ASK = InvocationRequest(b"{}")


class RunningScheduler(Scheduler):
    """Answers every invocation at once, or when the gate opens; remembers them."""

    def __init__(self) -> None:
        self.ran: list[Invocation] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def begin(self, invocation: Invocation, told: Callable[[Outcome | Exception], None]) -> None:
        self.ran.append(invocation)
        waiting = asyncio.ensure_future(self.gate.wait())
        waiting.add_done_callback(lambda _: told(Outcome(b"1")))


class SettledDeployer(Deployer):
    """Everything that is waited for gets settled by the test's own function."""

    def __init__(self, registry: FunctionRegistry) -> None:
        self._registry = registry
        self.settle: Callable[[FunctionVersion], None] | None = None

    async def when_settled(self, ref: FunctionRef) -> FunctionVersion:
        version = self._registry.get(ref)
        if version.status.busy:
            assert self.settle is not None, "nobody settles it"
            self.settle(version)
        return self._registry.get(ref)

    async def check_runtime(self, version: FunctionVersion) -> None:
        """Every runtime is there."""


class CountingRegistry(FunctionRegistry):
    """Knows how often it was read."""

    reads = 0

    def get(self, ref: FunctionRef) -> FunctionVersion:
        self.reads += 1
        return super().get(ref)


class World:
    def __init__(self, path: Path) -> None:
        self.database = Database.open(path)
        self.invoker: Invoker | None = None
        self.registry = CountingRegistry(self.database, self.tell)
        self.configs = FunctionConfigs(self.database, self.tell)
        self.aliases = Aliases(self.database, self.tell)
        self.clock = HandTurnedClock()
        self.scheduler = RunningScheduler()
        self.deployer = SettledDeployer(self.registry)
        sources = Sources(self.registry, self.configs, self.aliases)
        admission = Admission(100)
        provisioner = Provisioner(
            sources, FakeFleets(), prewarm_on_create=False, most_environments=100
        )
        resolver = Resolver(sources, self.deployer, admission, provisioner, self.clock.monotonic)
        self.invoker = Invoker(
            self.registry,
            resolver,
            admission,
            self.scheduler,
            self.clock.monotonic,
            EvenDraws(0.0),
        )

    def tell(self, change: Change) -> None:
        if self.invoker is not None:
            self.invoker.forget(change)

    def create(
        self, status: Status | None = READY, documents: dict[str, object] | None = None
    ) -> FunctionVersion:
        values = NewFunction(runtime="python3.12", documents=documents or {})
        made = self.registry.create(REF, Code("k" * 8, "sha", 1), values)
        if status is not None:
            self.settle(made, status)
        return self.registry.get(REF)

    def settle(self, version: FunctionVersion, status: Status = READY) -> None:
        self.registry.settle(HERE, "fn", version.version, version.run_key, status)

    def publish(self) -> FunctionVersion:
        count = len(self.registry.versions(HERE, "fn"))
        self.settle(self.registry.update_configuration(REF, {"description": str(count)}))
        return self.registry.publish(REF)

    def ask(self, ref: FunctionRef = REF, request: InvocationRequest = ASK) -> InvocationResult:
        assert self.invoker is not None
        return asyncio.run(self.invoker.invoke(ref, request))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "lhome.db")
    yield made
    made.database.close()


def live(world: World, weight: float = 0.0) -> FunctionRef:
    """An alias of version 1, which sends a part of its traffic to version 2."""
    world.create()
    world.publish()
    world.publish()
    weights = {"2": weight} if weight else None
    ref = replace(REF, qualifier="live")
    world.aliases.create(ref, AliasChange(function_version="1", weights=weights))
    return ref


def test_a_function_is_read_once_and_again_after_a_change(world: World) -> None:
    world.create()
    world.ask()
    world.registry.reads = 0
    for _ in range(5):
        world.ask()
    assert world.registry.reads == 0
    world.configs.put(REF, ConfigKind.RECURSION, {"RecursiveLoop": "Allow"})
    world.ask()
    assert world.registry.reads > 0


def test_an_alias_with_weights_is_read_once_and_splits_a_thousand_invocations(
    world: World,
) -> None:
    ref = live(world, 0.3)
    world.ask(ref)
    world.registry.reads = 0
    taken = Counter(world.ask(ref).executed_version for _ in range(1000))
    assert world.registry.reads == 0
    assert abs(taken["2"] / 1000 - 0.3) <= 0.03
    ran = world.scheduler.ran
    assert {one.invoked_arn for one in ran} == {ref.qualified_arn}
    assert {one.function.version for one in ran} == {"1", "2"}


def test_an_alias_that_moves_is_followed_at_once(world: World) -> None:
    ref = live(world)
    assert world.ask(ref).executed_version == "1"
    world.aliases.update(ref, AliasChange(function_version="2"))
    assert world.ask(ref).executed_version == "2"
    world.aliases.delete(ref)
    with pytest.raises(ResourceNotFoundException, match=f"Function not found: {ref.qualified_arn}"):
        world.ask(ref)


def test_a_version_that_is_not_prepared_yet_is_waited_for(world: World) -> None:
    world.create(status=None)
    world.deployer.settle = world.settle
    assert world.ask().executed_version == "$LATEST"


def test_a_function_that_failed_is_a_conflict(world: World) -> None:
    world.create(status=Status(State.FAILED, "no such runtime", "InvalidRuntime"))
    with pytest.raises(ResourceConflictException, match=r"state: Failed\. no such runtime$"):
        world.ask()


def test_the_trace_that_a_function_gets_carries_its_lineage(world: World) -> None:
    world.create()
    world.ask(REF, replace(ASK, trace_id="Root=1-2-3;Sampled=1"))
    handed_on = world.scheduler.ran[-1].trace_id
    assert handed_on.startswith("Root=1-2-3;Sampled=1;Lineage=")
    for _ in range(15):
        world.ask(REF, replace(ASK, trace_id=world.scheduler.ran[-1].trace_id))
    last = replace(ASK, trace_id=world.scheduler.ran[-1].trace_id)
    with pytest.raises(RecursiveInvocationException):
        world.ask(REF, last)
    assert len(world.scheduler.ran) == 16
    world.configs.put(REF, ConfigKind.RECURSION, {"RecursiveLoop": "Allow"})
    assert world.ask(REF, last).status == 200


def test_a_rate_limit_refuses_survives_other_changes_and_refills(world: World) -> None:
    world.create()
    world.configs.put(REF, ConfigKind.RATE_LIMIT, {"per_second": 20})
    world.ask()
    world.configs.put(REF, ConfigKind.RECURSION, {"RecursiveLoop": "Allow"})
    world.ask()
    with pytest.raises(TooManyRequestsException, match=r"^Rate Exceeded\.$"):
        world.ask()
    world.clock.turn(0.05)
    world.ask()
    world.configs.delete(REF, ConfigKind.RATE_LIMIT)
    for _ in range(5):
        world.ask()


def test_tenants_are_required_where_they_are_isolated_and_refused_elsewhere(world: World) -> None:
    world.create(documents={"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}})
    world.ask(REF, replace(ASK, tenant_id="blue"))
    assert world.scheduler.ran[-1].tenant_id == "blue"
    with pytest.raises(InvalidParameterValueException, match="Add a valid tenant ID"):
        world.ask()
    world.registry.delete(REF)
    world.create()
    with pytest.raises(InvalidParameterValueException, match="Remove the tenant ID"):
        world.ask(REF, replace(ASK, tenant_id="blue"))


def test_an_event_keeps_what_it_was_sent_with_and_a_dry_run_runs_nothing(world: World) -> None:
    class Sink:
        def __init__(self) -> None:
            self.kept: list[InvocationRequest] = []

        async def put(self, ref: FunctionRef, request: InvocationRequest) -> None:
            assert ref == REF
            self.kept.append(request)

    sink = Sink()
    assert world.invoker is not None
    world.invoker.events = sink
    world.create(documents={"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}})
    sent = InvocationRequest(
        b"",
        InvocationType.EVENT,
        tail=True,
        client_context="{}",
        trace_id="Root=1",
        request_id="id",
        tenant_id="blue",
    )
    assert world.ask(REF, sent).status == 202
    expected = InvocationRequest(
        b"{}", client_context="{}", trace_id="Root=1", request_id="id", tenant_id="blue"
    )
    assert sink.kept == [expected]
    dry = replace(sent, invocation_type=InvocationType.DRY_RUN)
    assert world.ask(REF, dry).status == 204
    assert world.scheduler.ran == []


def test_a_slot_is_held_while_an_invocation_runs_and_given_back(world: World) -> None:
    world.create()
    world.registry.put_reserved(REF, 1, 1000)
    world.scheduler.gate.clear()

    async def main() -> None:
        assert world.invoker is not None
        running = asyncio.ensure_future(world.invoker.invoke(REF, ASK))
        await until(lambda: world.scheduler.ran)
        with pytest.raises(TooManyRequestsException):
            await world.invoker.invoke(REF, ASK)
        world.scheduler.gate.set()
        assert (await running).status == 200
        assert (await world.invoker.invoke(REF, ASK)).status == 200

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_missing_function_is_named_as_aws_names_it(world: World) -> None:
    with pytest.raises(ApiError, match=rf"Function not found: {REF.arn}:\$LATEST"):
        world.ask()
