"""Spares: how many, for whom, and what happens to those that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import pytest
from fakes import VERSION, FakeRuntime, QuietSandbox, ReadyPreparer, until
from unit.scheduler.stage import Stage, opened

from lambda_home.functions import Layer
from lambda_home.sandboxes.base import Exit, Package, Prepared, SandboxError
from lambda_home.scheduler.environments import Outcome
from lambda_home.scheduler.spares import Spare, SpareLimits, SpareSize, stock

SMALL = SpareSize("python3.12", 128, 512)
BIG = SpareSize("python3.12", 1024, 512)
NODE = SpareSize("nodejs22.x", 128, 512)
SIZE = SpareSize.of(VERSION)


@pytest.mark.parametrize(
    ("limits", "functions", "cold", "wanted"),
    [
        (SpareLimits(0, 10), {SMALL: 5}, {SMALL: 5}, {}),
        (SpareLimits(2, 0), {SMALL: 5}, {SMALL: 5}, {}),
        (SpareLimits(2, 10), {}, {}, {}),
        (SpareLimits(2, 10), {SMALL: 0}, {}, {}),
        (SpareLimits(2, 10), {SMALL: 1}, {SMALL: 0}, {SMALL: 2}),
        (SpareLimits(2, 10), {SMALL: 1, NODE: 1}, {}, {SMALL: 2, NODE: 2}),
        (SpareLimits(2, 10), {SMALL: 50}, {SMALL: 50}, {SMALL: 10}),
        (SpareLimits(2, 10), {SMALL: 50}, {SMALL: 5}, {SMALL: 5}),
        (SpareLimits(2, 10), {SMALL: 50, NODE: 1}, {SMALL: 50}, {SMALL: 8, NODE: 2}),
        (SpareLimits(2, 3), {SMALL: 5, NODE: 9, BIG: 1}, {}, {NODE: 2, SMALL: 1}),
    ],
)
def test_so_many_spares_wait(
    limits: SpareLimits,
    functions: dict[SpareSize, int],
    cold: dict[SpareSize, int],
    wanted: dict[SpareSize, int],
) -> None:
    assert stock(limits, functions, cold) == wanted


class Given:
    """A spare's runtime, which waits for its function."""

    def __init__(self, stage: Stage, spare: Spare, sees: str | None = None) -> None:
        self.stage, self.spare = stage, spare
        self.variables: list[dict[str, str] | None] = []
        self.gone = False
        stage.scheduler.spares.wait_for_function(
            spare, spare.id if sees is None else sees, self.variables.append, lambda: self.gone
        )


def with_spares(
    scene: Callable[[Stage], Awaitable[None]],
    limits: SpareLimits = SpareLimits(1, 4),  # noqa: B008  frozen
    sandbox: type[QuietSandbox] = QuietSandbox,
    preparer: type[ReadyPreparer] = ReadyPreparer,
) -> None:
    async def main() -> None:
        async with opened(Stage(sandbox=sandbox(), preparer=preparer(), spares=limits)) as stage:
            await scene(stage)

    asyncio.run(main())


async def spare_of(stage: Stage, *, sees: str | None = None) -> Given:
    """A spare that was started in the background and waits."""

    def started() -> list[Spare]:
        found = [stage.scheduler.spares.named(name) for name in stage.sandbox.running]
        return [spare for spare in found if spare is not None]

    await until(started, "a spare")
    return Given(stage, started()[-1], sees)


def test_a_spare_of_a_size_in_use_is_started_and_knows_no_function() -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        given = await spare_of(stage)
        (spec,) = stage.sandbox.running.values()
        assert (spec.runtime, spec.memory_mb, spec.tmp_mb) == SIZE
        assert spec.environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "128"
        assert not [name for name in spec.environment if "FUNCTION_NAME" in name or "KEY" in name]
        assert stage.scheduler.spares.counts() == (1, 0)
        assert given.variables == []
        assert stage.scheduler.environment_at(given.spare.host) is None

    with_spares(scene)


def test_a_first_call_takes_the_spare_and_another_takes_its_place() -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        given = await spare_of(stage)
        caller = stage.run("r1")
        await until(lambda: given.variables, "the function")
        (variables,) = given.variables
        assert variables is not None
        assert variables["AWS_LAMBDA_FUNCTION_NAME"] == "hello"
        assert variables["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
        assert "place python3.12:key" in stage.sandbox.verbs
        runtime = FakeRuntime.at(stage.scheduler, given.spare.host)
        assert (await runtime.next(init_ms=1.5)) is not None
        assert runtime.respond("r1", b"1")
        assert await caller == Outcome(b"1")
        assert stage.logs.lines[0] == "INIT_START Runtime Version: python3.12"
        other = await spare_of(stage)
        assert other.spare.id != given.spare.id

    with_spares(scene)


def test_a_spare_is_given_to_one_function_only() -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 2})
        given = await spare_of(stage)
        stage.run("r1")
        stage.run("r2", replace(VERSION, name="other", run_key="other"))
        await until(lambda: len(stage.sandbox.running) >= 2, "another environment")
        await until(lambda: given.variables)
        assert len(given.variables) == 1

    with_spares(scene, SpareLimits(1, 1))


@pytest.mark.parametrize(
    "environment",
    [{"LD_PRELOAD": "/opt/x.so"}, {"PYTHONHASHSEED": "1"}, {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/w"}],
)
def test_a_function_that_changes_how_an_interpreter_starts_takes_no_spare(
    environment: dict[str, str],
) -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        given = await spare_of(stage)
        stage.run("r1", replace(VERSION, environment=environment))
        await until(lambda: [s for s in stage.sandbox.running.values() if not s.spare])
        assert given.variables == []

    with_spares(scene)


@pytest.mark.parametrize(
    "environment",
    [{"NODE_ENV": "x"}, {"PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"}],
)
def test_ordinary_variables_do_not_keep_a_function_from_a_spare(
    environment: dict[str, str],
) -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        given = await spare_of(stage)
        stage.run("r1", replace(VERSION, environment=environment))
        await until(lambda: given.variables)

    with_spares(scene)


def test_a_call_that_comes_while_a_spare_starts_waits_for_it() -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        await until(lambda: stage.sandbox.running)
        stage.run("r1")
        await asyncio.sleep(0)
        given = await spare_of(stage)
        await until(lambda: given.variables)
        assert stage.sandbox.verbs.count("start") == 1

    with_spares(scene, SpareLimits(1, 1))


def test_without_a_waiting_spare_one_is_started_for_the_call() -> None:
    async def scene(stage: Stage) -> None:
        stage.run("r1")
        given = await spare_of(stage)
        await until(lambda: given.variables)

    with_spares(scene)


def test_a_spare_that_does_not_see_its_folder_ends_all_spares_of_its_runtime() -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        given = await spare_of(stage, sees="something else")
        assert given.variables == [None]
        stage.run("r1")
        await until(lambda: [s for s in stage.sandbox.running.values() if not s.spare])

    with_spares(scene)


def test_a_spare_that_has_died_is_replaced_and_not_handed_out() -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        given = await spare_of(stage)
        stage.sandbox.die(Exit(given.spare.id, signal=9))
        other = await spare_of(stage)
        stage.run("r1")
        await until(lambda: other.variables)
        assert given.variables == []

    with_spares(scene)


def test_a_spare_whose_connection_is_gone_is_not_handed_out() -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        given = await spare_of(stage)
        given.gone = True
        stage.run("r1")
        await until(lambda: len(stage.sandbox.running) == 2)
        assert given.variables == []

    with_spares(scene)


LAYERED = replace(VERSION, layers=(Layer("arn:1", "one", 1), Layer("arn:2", "two", 1)))


class Placing(QuietSandbox):
    """Remembers what it placed."""

    def __init__(self) -> None:
        super().__init__()
        self.placed: list[Prepared] = []

    async def place(
        self, environment_id: str, package: Prepared, environment: Mapping[str, str]
    ) -> Mapping[str, str]:
        self.placed.append(package)
        return await super().place(environment_id, package, environment)


@pytest.mark.parametrize("early", [{}, {"LD_PRELOAD": "x"}])
def test_layers_come_in_their_order_to_a_spare_and_to_a_start_of_its_own(
    early: dict[str, str],
) -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        await spare_of(stage)
        stage.run("r1", replace(LAYERED, environment=early))
        sandbox = stage.sandbox
        assert isinstance(sandbox, Placing)

        def seen() -> list[tuple[str, str]]:
            own = [(of.code, of.opt) for of in sandbox.running.values() if not of.spare]
            return own + [(of.code, of.opt) for of in sandbox.placed]

        await until(seen)
        assert seen() == [("python3.12:key", "one,two")]

    with_spares(scene, sandbox=Placing)


class FullDisk(QuietSandbox):
    """Cannot place code."""

    async def place(self, environment_id: str, *given: object) -> dict[str, str]:
        del environment_id, given
        raise SandboxError("no space left")


def test_code_that_cannot_be_placed_fails_the_call_and_leaves_nothing() -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        given = await spare_of(stage)
        caller = stage.run("r1")
        await asyncio.wait([caller])
        assert "no space left" in str(caller.exception())
        assert given.spare.id not in stage.sandbox.running

    with_spares(scene, sandbox=FullDisk)


class HugeCode(ReadyPreparer):
    """Nothing can be placed quickly."""

    async def unpack(self, package: Package) -> Prepared | None:
        del package
        return None


def test_code_that_is_too_large_to_place_gets_a_start_of_its_own() -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        given = await spare_of(stage)
        stage.run("r1")
        await until(lambda: [s for s in stage.sandbox.running.values() if not s.spare])
        assert given.variables == []

    with_spares(scene, preparer=HugeCode)


def test_spares_of_sizes_that_nobody_uses_any_more_go() -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        await spare_of(stage)
        stage.scheduler.use_sizes({})
        await until(lambda: not stage.sandbox.running)

    with_spares(scene)


def test_a_spare_that_is_needed_again_while_the_last_one_goes_is_started() -> None:
    class SlowToStop(QuietSandbox):
        async def stop(self, environment_id: str, grace_s: float = 0) -> None:
            stopping.set()
            await asyncio.sleep(0.02)
            await super().stop(environment_id, grace_s)

    stopping = asyncio.Event()

    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        given = await spare_of(stage)
        stage.scheduler.use_sizes({})
        await stopping.wait()
        stage.scheduler.use_sizes({SIZE: 1})
        await until(lambda: stage.sandbox.running.keys() - {given.spare.id})

    with_spares(scene, sandbox=SlowToStop)


def test_a_spare_is_never_given_to_a_version_with_other_limits() -> None:
    async def scene(stage: Stage) -> None:
        stage.scheduler.use_sizes({SIZE: 1})
        given = await spare_of(stage)
        stage.run("r1", replace(VERSION, memory_mb=256))
        await until(lambda: [s for s in stage.sandbox.running.values() if s.memory_mb == 256])
        assert given.variables == []

    with_spares(scene)
