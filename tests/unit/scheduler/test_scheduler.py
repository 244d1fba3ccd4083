"""The driver: callers on one side, sandbox and runtimes on the other, time turned by hand."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from fakes import (
    VERSION,
    BrokenSandbox,
    EchoingSandbox,
    FailingPreparer,
    FakeRuntime,
    ReadyPreparer,
    SlowlyFreezingSandbox,
    SlowSandbox,
    until,
)
from unit.scheduler.stage import Stage, play

from lambda_home.errors import ServiceException, ServiceUnavailableException
from lambda_home.sandboxes.base import Exit, Package, Prepared, SandboxError
from lambda_home.scheduler.environments import Outcome, RuntimeAnswer
from lambda_home.scheduler.pool import EnvironmentState, PoolLimits

S = EnvironmentState


class UnstartablePreparer(ReadyPreparer):
    """Its packages bring a program without the exec bit."""

    async def prepare(self, package: Package) -> Prepared:
        return replace(
            await super().prepare(package),
            unstartable="fork/exec /var/task/bootstrap: permission denied",
        )


def test_an_invocation_starts_an_environment_and_gets_its_answer() -> None:
    async def scene(stage: Stage) -> None:
        caller = stage.run("r1")
        (runtime,) = await stage.runtimes()
        assert runtime.spec.code == "python3.12:key"
        assert runtime.spec.environment["AWS_LAMBDA_FUNCTION_NAME"] == "hello"
        assert runtime.spec.labels == {"function": "hello", "version": "$LATEST"}
        delivery = await runtime.next(init_ms=7.5)
        assert delivery is not None
        assert delivery.invocation.payload == b'{"n":1}'
        assert delivery.deadline_ms == int((stage.clock.now() + VERSION.timeout_s) * 1000)
        stage.clock.turn(0.25)
        assert runtime.respond("r1", b"answer")
        assert await caller == Outcome(b"answer")
        assert stage.logs.lines == [
            "INIT_START Runtime Version: python3.12",
            "START RequestId: r1 Version: $LATEST",
            "END RequestId: r1",
            (
                "REPORT RequestId: r1\tDuration: 250.00 ms\tBilled Duration: 258 ms\t"
                "Memory Size: 128 MB\tMax Memory Used: 42 MB\tInit Duration: 7.50 ms\t"
            ),
        ]
        assert {event.group for event in stage.logs.kept} == {"/aws/lambda/hello"}

    play(scene)


def test_a_warning_of_the_preparer_stands_in_the_log() -> None:
    async def scene(stage: Stage) -> None:
        stage.preparer.warning = "python3.11 runs instead"
        await stage.warm()
        assert stage.logs.lines[1] == "[WARNING] lambda_home: python3.11 runs instead"

    play(scene)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SandboxError("no space left"), "no space left"),
        (RuntimeError("a detail of ours"), "The execution environment could not be started."),
    ],
    ids=["known", "bug"],
)
def test_a_failed_start_fails_one_caller_and_the_next_environment_serves_the_other(
    error: Exception, told: str
) -> None:
    async def scene(stage: Stage) -> None:
        first, second = stage.run("r1"), stage.run("r2")
        with pytest.raises(ServiceException, match=f"^{told}$"):
            await first
        (runtime,) = await stage.runtimes()
        assert await runtime.next() is not None
        assert runtime.respond("r2", b"fine")
        assert await second == Outcome(b"fine")

    play(scene, sandbox=lambda: BrokenSandbox(1, error))


def test_what_cannot_be_started_ends_at_once_in_awss_words() -> None:
    async def scene(stage: Stage) -> None:
        for request_id in ("r1", "r2"):
            outcome = await stage.run(request_id)
            assert outcome.error_type == "Runtime.InvalidEntrypoint"
            assert json.loads(outcome.payload)["errorMessage"] == (
                f"RequestId: {request_id} Error: fork/exec /var/task/bootstrap: permission denied"
            )
        assert stage.sandbox.verbs == []
        assert list(stage.scheduler.pool.environments()) == []

    play(scene, preparer=UnstartablePreparer())


def test_a_sandbox_that_never_starts_fails_every_caller() -> None:
    async def scene(stage: Stage) -> None:
        callers = [stage.run(f"r{n}") for n in range(5)]
        for outcome in await asyncio.gather(*callers, return_exceptions=True):
            assert isinstance(outcome, ServiceException)
        assert list(stage.scheduler.pool.environments()) == []
        assert stage.sandbox.verbs == ["fail"] * 5
        meter = stage.metrics.meter(VERSION)
        assert (meter.unstarted, sum(meter.durations.counts)) == (5, 0)

    play(scene, sandbox=BrokenSandbox)


def test_code_that_cannot_be_prepared_fails_the_caller_with_the_reason() -> None:
    async def scene(stage: Stage) -> None:
        with pytest.raises(ServiceException, match=r"install python3\.12"):
            await stage.run("r1")
        assert stage.sandbox.verbs == []

    play(scene, preparer=FailingPreparer)


def test_a_runtime_that_never_polls_is_tried_again_and_then_times_out() -> None:
    async def scene(stage: Stage) -> None:
        caller = stage.run("r1")
        (first,) = await stage.runtimes()
        await asyncio.sleep(0)
        stage.clock.turn(1.1)  # over the limit of the init phase
        await until(lambda: first.spec.id not in stage.sandbox.running)
        (second,) = await stage.runtimes()
        assert second.spec.id != first.spec.id
        await asyncio.sleep(0)
        assert not caller.done()
        stage.clock.turn(VERSION.timeout_s + 0.1)
        outcome = await caller
        assert outcome.error_type == "Sandbox.Timedout"
        assert b"RequestId: r1 Error: Task timed out after 3.00 seconds" in outcome.payload
        await until(lambda: not stage.sandbox.running)
        assert sorted(stage.sandbox.verbs) == ["start", "start", "stop", "stop"]

    play(scene, limits=PoolLimits(init_s=1.0))


def test_a_failed_init_is_the_answer_and_its_output_is_in_the_tail() -> None:
    async def scene(stage: Stage) -> None:
        caller = stage.run("r1", tail=True)
        (runtime,) = await stage.runtimes()
        stage.scheduler.output(runtime.spec.id, b"no module named x\n")
        answer = RuntimeAnswer(b'{"errorType":"ImportError"}', "Runtime.ImportModuleError", False)  # noqa: FBT003
        stage.scheduler.init_failed(runtime.environment, answer)
        outcome = await caller
        assert outcome.error_type == "Runtime.ImportModuleError"
        assert outcome.payload == b'{"errorType":"ImportError"}'
        assert outcome.log_tail is not None
        assert b"no module named x\nSTART RequestId: r1" in outcome.log_tail
        assert b"Error Type: Runtime.ImportModuleError" in outcome.log_tail

    play(scene)


def test_an_environment_that_dies_answers_for_its_runtime() -> None:
    async def scene(stage: Stage) -> None:
        caller = stage.run("r1", tail=True)
        (runtime,) = await stage.runtimes()
        await runtime.next()
        stage.scheduler.output(runtime.spec.id, b"last words")
        stage.sandbox.die(Exit(runtime.spec.id, code=3))
        outcome = await caller
        assert outcome.error_type == "Runtime.ExitError"
        assert b"RequestId: r1 Error: Runtime exited with error: exit status 3" in outcome.payload
        assert outcome.log_tail is not None
        assert b"\nlast words\n" in outcome.log_tail
        assert stage.states() == {}

    play(scene)


def test_a_timeout_ends_the_environment_and_its_late_answer_is_refused() -> None:
    async def scene(stage: Stage) -> None:
        caller = stage.run("r1", tail=True)
        (runtime,) = await stage.runtimes()
        await runtime.next()
        stage.clock.turn(VERSION.timeout_s + 0.01)
        outcome = await caller
        assert outcome.error_type == "Sandbox.Timedout"
        assert outcome.log_tail is not None
        assert b" r1 Task timed out after 3.00 seconds\n" in outcome.log_tail
        assert b"\tStatus: timeout\n" in outcome.log_tail
        assert not runtime.respond("r1")
        assert stage.scheduler.environment_at(runtime.spec.host) is None

    play(scene)


def test_a_connection_lost_at_delivery_sends_the_invocation_to_another_environment() -> None:
    async def scene(stage: Stage) -> None:
        runtime, _ = await stage.warm()
        runtime.gone = True
        caller = stage.run("r1")
        await until(lambda: runtime.spec.id not in stage.sandbox.running)
        (other,) = await stage.runtimes()
        delivery = await other.next()
        assert delivery is not None
        assert delivery.invocation.request_id == "r1"
        assert other.respond("r1", b"fine")
        assert await caller == Outcome(b"fine")
        assert stage.logs.lines.count("START RequestId: r1 Version: $LATEST") == 1

    play(scene)


def test_a_newer_poll_replaces_the_one_before() -> None:
    async def scene(stage: Stage) -> None:
        runtime, poll = await stage.warm()
        again = await stage.poll(runtime)
        assert await poll is None
        caller = stage.run("r1")
        assert (await again) is not None
        runtime.respond("r1")
        await caller

    play(scene)


def test_a_runtime_may_poll_before_it_answers() -> None:
    async def scene(stage: Stage) -> None:
        first = stage.run("r1")
        (runtime,) = await stage.runtimes()
        await runtime.next()
        early = await stage.poll(runtime)
        assert stage.states() == {S.BUSY: 1}
        assert runtime.respond("r1", b"one")
        assert await first == Outcome(b"one")
        assert stage.states() == {S.IDLE: 1}
        second = stage.run("r2")
        delivery = await early
        assert delivery is not None
        assert delivery.invocation.request_id == "r2"
        assert runtime.respond("r2", b"two")
        assert await second == Outcome(b"two")

    play(scene)


def test_no_environment_answers_for_another_and_none_twice() -> None:
    async def scene(stage: Stage) -> None:
        callers = [stage.run("r1"), stage.run("r2")]
        runtimes = await stage.runtimes(2)
        given = [await runtime.next() for runtime in runtimes]
        ids = [delivery.invocation.request_id for delivery in given if delivery is not None]
        assert sorted(ids) == ["r1", "r2"]
        assert not runtimes[0].respond(ids[1], b"stolen")
        assert not runtimes[0].respond("unknown")
        for runtime, request_id in zip(runtimes, ids, strict=True):
            assert runtime.respond(request_id, request_id.encode())
            assert not runtime.respond(request_id, b"twice")
        assert [(await caller).payload for caller in callers] == [b"r1", b"r2"]

    play(scene)


def test_a_refused_answer_leaves_no_trace_on_the_invocation_it_was_not_for() -> None:
    async def scene(stage: Stage) -> None:
        caller = stage.run("r1")
        (runtime,) = await stage.runtimes()
        await runtime.next()
        other = replace(VERSION, name="other", run_key="other")
        stage.run("r2", other)
        intruder = (await stage.runtimes(2))[1]
        forged = RuntimeAnswer(b"forged", peak_mb=9999)
        assert not stage.scheduler.answer(intruder.environment, "r1", forged)
        stage.sandbox.die(Exit(runtime.spec.id, code=1))
        assert (await caller).error_type == "Runtime.ExitError"
        await intruder.next()
        assert intruder.respond("r2")
        assert not any("9999 MB" in line for line in stage.logs.lines)

    play(scene)


def test_the_tail_waits_for_the_output_that_belongs_to_it() -> None:
    async def scene(stage: Stage) -> None:
        caller = stage.run("r1", tail=True)
        (runtime,) = await stage.runtimes()
        await runtime.next()
        runtime.respond("r1", b"x", fence=True)
        await asyncio.sleep(0)
        assert not caller.done()
        stage.scheduler.output(runtime.spec.id, b"printed\n\x1eFENCE r1\x1e\n")
        outcome = await caller
        assert outcome.log_tail is not None
        assert outcome.log_tail.splitlines()[1] == b"printed"

    play(scene)


def test_only_so_many_environments_start_at_the_same_time() -> None:
    async def scene(stage: Stage) -> None:
        sandbox = stage.sandbox
        assert isinstance(sandbox, SlowSandbox)
        callers = [stage.run(f"r{n}") for n in range(10)]
        await until(lambda: sandbox.starting == 3)
        assert stage.states() == {S.STARTING: 10}
        sandbox.gate.set()
        runtimes = await stage.runtimes(10)
        for runtime in runtimes:
            delivery = await runtime.next()
            assert delivery is not None
            runtime.respond(delivery.invocation.request_id)
        await asyncio.gather(*callers)
        assert sandbox.most_starting == 3

    play(scene, sandbox=SlowSandbox, starts=3)


def test_a_start_that_is_no_longer_needed_never_begins() -> None:
    async def scene(stage: Stage) -> None:
        sandbox = stage.sandbox
        assert isinstance(sandbox, SlowSandbox)
        callers = [stage.run(f"r{n}") for n in range(4)]
        await until(lambda: sandbox.starting == 1)
        # The first runtime is quick: it polls before its start is known to be over.
        (host,) = [e.host for e in map(stage.scheduler.environment, await ids(stage)) if e][:1]
        runtime = FakeRuntime.at(stage.scheduler, host)
        for _ in range(4):
            delivery = await runtime.next()
            assert delivery is not None
            assert runtime.respond(delivery.invocation.request_id)
        await asyncio.gather(*callers)
        sandbox.gate.set()
        await until(lambda: len(list(stage.scheduler.pool.environments())) == 1)
        assert sandbox.verbs == ["start"]

    async def ids(stage: Stage) -> list[str]:
        return [environment for environment, _, _ in stage.scheduler.pool.environments()]

    play(scene, sandbox=SlowSandbox, starts=1)


def test_many_callers_over_few_environments_are_each_answered_once() -> None:
    async def scene(stage: Stage) -> None:
        slots = asyncio.Semaphore(8)

        async def call(name: str) -> bytes:
            async with slots:
                return (await stage.run(name)).payload

        names = [f"r{number}" for number in range(200)]
        answers = await asyncio.gather(*(call(name) for name in names))
        assert answers == [name.encode() for name in names]
        assert stage.sandbox.verbs.count("start") <= 8
        for name in names:
            assert stage.logs.lines.count(f"END RequestId: {name}") == 1

    play(scene, sandbox=EchoingSandbox)


def test_a_burst_is_answered_whole() -> None:
    async def scene(stage: Stage) -> None:
        callers = [stage.run(f"r{number}") for number in range(200)]
        answers = [outcome.payload for outcome in await asyncio.gather(*callers)]
        assert answers == [f"r{number}".encode() for number in range(200)]

    play(scene, sandbox=EchoingSandbox, starts=4)


def test_an_idle_environment_freezes_then_thaws_for_work_then_goes() -> None:
    async def scene(stage: Stage) -> None:
        runtime, poll = await stage.warm()
        stage.clock.turn(6)
        await until(lambda: stage.sandbox.verbs == ["start", "freeze"])
        caller = stage.run("r1")
        assert (await poll) is not None
        runtime.respond("r1")
        await caller
        await until(lambda: stage.sandbox.verbs == ["start", "freeze", "thaw"])
        poll = await stage.poll(runtime)
        stage.clock.turn(11)
        assert await poll is None
        await until(lambda: stage.sandbox.verbs[-1] == "stop")
        assert stage.states() == {}

    play(scene, limits=PoolLimits(soft_s=5, hard_s=10))


def test_a_thaw_never_overtakes_the_freeze_before_it() -> None:
    async def scene(stage: Stage) -> None:
        sandbox = stage.sandbox
        assert isinstance(sandbox, SlowlyFreezingSandbox)
        runtime, poll = await stage.warm()
        stage.clock.turn(6)
        await until(lambda: stage.states() == {S.FROZEN: 1})
        stage.run("r1")
        assert (await poll) is not None
        await asyncio.sleep(0)
        assert sandbox.verbs == ["start"]
        sandbox.gate.set()
        await until(lambda: sandbox.verbs == ["start", "freeze", "thaw"])
        runtime.respond("r1")

    play(scene, sandbox=SlowlyFreezingSandbox, limits=PoolLimits(soft_s=5, hard_s=60))


def test_environments_of_replaced_code_finish_and_go() -> None:
    async def scene(stage: Stage) -> None:
        runtime, poll = await stage.warm()
        caller = stage.run("r1")
        await poll
        stage.scheduler.retire_except(VERSION.arn, frozenset({"newer"}))
        assert stage.scheduler.code_keys() == {"key"}
        assert runtime.respond("r1", b"fine")
        assert await caller == Outcome(b"fine")
        assert await runtime.next() is None
        await until(lambda: not stage.sandbox.running)
        await until(lambda: not stage.scheduler.code_keys())

    play(scene)


def test_environments_of_current_code_stay_when_others_are_retired() -> None:
    async def scene(stage: Stage) -> None:
        await stage.warm()
        stage.scheduler.retire_except(VERSION.arn, frozenset({VERSION.run_key}))
        stage.scheduler.retire_except("arn of another function", frozenset())
        assert stage.states() == {S.IDLE: 1}

    play(scene)


def test_a_caller_that_gives_up_breaks_nothing() -> None:
    async def scene(stage: Stage) -> None:
        caller = stage.run("r1")
        (runtime,) = await stage.runtimes()
        await runtime.next()
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        assert runtime.respond("r1")
        poll = await stage.poll(runtime)
        second = stage.run("r2")
        await poll
        assert runtime.respond("r2", b"fine")
        assert await second == Outcome(b"fine")

    play(scene)


def test_shutdown_lets_running_invocations_finish_and_takes_no_more() -> None:
    async def scene(stage: Stage) -> None:
        runtime, poll = await stage.warm()
        caller = stage.run("r1")
        await poll
        closing = asyncio.get_running_loop().create_task(stage.scheduler.close(5))
        await asyncio.sleep(0)
        with pytest.raises(ServiceUnavailableException):
            await stage.run("late")
        assert not closing.done()
        assert runtime.respond("r1", b"fine")
        assert await caller == Outcome(b"fine")
        await closing
        assert not stage.sandbox.running

    play(scene)


def test_shutdown_without_grace_rejects_what_runs_and_leaves_nothing() -> None:
    async def scene(stage: Stage) -> None:
        running = stage.run("r1")
        (runtime,) = await stage.runtimes()
        await runtime.next()
        waiting = stage.run("r2", replace(VERSION, run_key="other"))
        await stage.runtimes(2)
        await stage.scheduler.close(0)
        for caller in (running, waiting):
            with pytest.raises(ServiceUnavailableException):
                await caller
        assert not stage.sandbox.running
        assert list(stage.scheduler.pool.environments()) == []

    play(scene)


def test_shutdown_ends_idle_polls() -> None:
    async def scene(stage: Stage) -> None:
        _, poll = await stage.warm()
        await stage.scheduler.close(0)
        assert await poll is None

    play(scene)
