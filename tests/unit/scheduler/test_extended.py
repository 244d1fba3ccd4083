"""Environments with extensions: when they go on, and how they end."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from fakes import VERSION, FakeRuntime, HandTurnedClock, QuietSandbox, until
from unit.scheduler.asking import BOTH, WithExtensions, WithOne, ask, types
from unit.scheduler.stage import Stage, play

from lambda_home.sandboxes.base import Exit
from lambda_home.scheduler import telling
from lambda_home.scheduler.environment_log import EnvironmentLog
from lambda_home.scheduler.environments import Environment
from lambda_home.scheduler.extensions import Extensions
from lambda_home.scheduler.pool import EnvironmentState
from lambda_home.scheduler.shutdown import ShutdownPhase
from lambda_home.telemetry import records
from lambda_home.telemetry.hub import Telemetry
from lambda_home.telemetry.records import Category, Event


class Recorder(QuietSandbox):
    """Knows how long each environment was asked politely."""

    def __init__(self) -> None:
        super().__init__()
        self.graces: list[float] = []

    async def stop(self, environment_id: str, grace_s: float = 0) -> None:
        self.graces.append(grace_s)
        await super().stop(environment_id, grace_s)


def ended(*events: str, external: bool, scale: float = 1.0) -> tuple[float, Recorder]:
    """Seconds until an environment with an extension that never asks was killed."""

    async def main() -> tuple[float, Recorder]:
        sandbox = Recorder()
        log = EnvironmentLog(lambda *_: None)
        environment = Environment("e", "e", "host", VERSION, log)
        if external:
            environment.extensions.expect(["one"])
        if events:
            environment.extensions.register("one", events, "one")
        begun = asyncio.get_running_loop().time()
        await ShutdownPhase(sandbox, HandTurnedClock(), scale).stop(environment)
        return asyncio.get_running_loop().time() - begun, sandbox

    return asyncio.run(main())


def test_without_extensions_the_end_comes_at_once() -> None:
    took_s, sandbox = ended(external=False)
    assert took_s < 0.5
    assert sandbox.graces == [0]
    assert sandbox.verbs == []


def test_an_internal_extension_gets_sigterm_and_half_a_second() -> None:
    _, sandbox = ended("INVOKE", external=False)
    assert sandbox.graces == [0.5]
    assert sandbox.verbs == ["thaw"]


def test_an_extension_that_hangs_is_killed_when_its_time_is_over() -> None:
    took_s, sandbox = ended(*BOTH, external=True, scale=0.05)
    assert 0.1 <= took_s < 1.5
    assert sandbox.graces == [0]


# --------------------------------------------------------------------------------- going on


def leave(stage: Stage) -> None:
    """All environments die, so that nobody waits for their extensions."""
    for environment_id in list(stage.sandbox.running):
        stage.sandbox.die(Exit(environment_id, signal=9))


async def starting(stage: Stage, request_id: str = "r1") -> tuple[FakeRuntime, Extensions]:
    """An environment whose extensions are about to be started, for an invocation that waits."""
    stage.run(request_id)
    (runtime,) = await stage.runtimes()
    extensions = runtime.environment.extensions
    await until(lambda: extensions.supervised)

    def end_runtime() -> None:
        extensions.runtime_ended()

    extensions.when_ending(end_runtime)
    return runtime, extensions


def asks(stage: Stage, runtime: FakeRuntime, identifier: str = "one") -> Any:
    """An extension asks for its next event, by the API."""
    asked = ask(runtime.environment.extensions, identifier)
    stage.scheduler.extended.go_on(runtime.environment)
    return asked


def test_an_invocation_comes_once_the_runtime_and_all_extensions_ask() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions = await starting(stage)
        extensions.register("one", BOTH, "one")
        extensions.register("two", ["SHUTDOWN"], "two")
        polled = await stage.poll(runtime)
        asked = asks(stage, runtime)
        await asyncio.sleep(0)
        assert not polled.done()
        assert runtime.environment.init_ms is None
        stage.clock.turn(3)
        asks(stage, runtime, "two")
        assert (await polled) is not None
        assert types(asked) == ["INVOKE"]
        assert runtime.environment.init_ms == pytest.approx(3000)
        leave(stage)

    play(scene, preparer=WithExtensions)


def test_an_extension_that_never_asks_overruns_the_init_phase() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions = await starting(stage)
        extensions.register("one", BOTH, "one")
        await stage.poll(runtime)
        stage.clock.turn(stage.limits.init_s + 0.1)
        await until(lambda: len(stage.sandbox.running) == 2)  # AWS: again, within the invocation
        asked = ask(extensions)
        await until(lambda: asked.events)
        assert asked.events[0]["shutdownReason"] == "timeout"
        ask(extensions)
        await until(lambda: len(stage.sandbox.running) == 1)

    play(scene, preparer=WithOne)


async def served(stage: Stage) -> tuple[FakeRuntime, Extensions, Any]:
    """An environment whose runtime has answered and asks for more; its extension does not yet."""
    runtime, extensions = await starting(stage)
    extensions.register("one", BOTH, "one")
    asked = asks(stage, runtime)
    assert await runtime.next() is not None
    assert runtime.respond("r1", b"answer")
    assert (await stage.callers[0]).payload == b"answer"
    return runtime, extensions, asked


def test_the_answer_goes_out_at_once_and_the_next_invocation_waits_for_extensions() -> None:
    async def scene(stage: Stage) -> None:
        runtime, _, asked = await served(stage)
        polled = await stage.poll(runtime)
        assert types(asked) == ["INVOKE"]
        assert stage.states() == {EnvironmentState.ANSWERED: 1}
        second = stage.run("r2")
        await asyncio.sleep(0)
        assert not polled.done()
        asked = asks(stage, runtime)
        delivery = await polled
        assert delivery is not None
        assert delivery.invocation.request_id == "r2"
        assert types(asked) == ["INVOKE"]
        assert runtime.respond("r2")
        await second
        leave(stage)

    play(scene, preparer=WithOne)


def test_an_extension_may_ask_again_before_the_runtime_does() -> None:
    async def scene(stage: Stage) -> None:
        runtime, _, _ = await served(stage)
        asks(stage, runtime)
        assert stage.states() == {EnvironmentState.ANSWERED: 1}
        await stage.poll(runtime)
        assert stage.states() == {EnvironmentState.IDLE: 1}
        leave(stage)

    play(scene, preparer=WithOne)


def test_an_extension_that_works_beyond_the_timeout_ends_its_environment() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions, _ = await served(stage)
        await stage.poll(runtime)
        stage.clock.turn(VERSION.timeout_s + 0.1)
        stage.scheduler.tick()
        asked = ask(extensions)
        await until(lambda: asked.events)
        assert asked.events[0]["shutdownReason"] == "timeout"
        ask(extensions)
        await until(lambda: not stage.sandbox.running)

    play(scene, preparer=WithOne)


# ------------------------------------------------------------------------------ going wrong


def test_an_extension_that_exits_fails_who_waits() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions = await starting(stage)
        stage.scheduler.extended.extension_ended(runtime.environment, 0, 1)
        outcome = await stage.callers[0]
        assert outcome.error_type == "Extension.Crash"
        assert json.loads(outcome.payload) == {
            "errorType": "Extension.Crash",
            "errorMessage": "RequestId: r1 Error: exit status 1",
        }
        assert "EXTENSION\tName: one\tState: Exited\tEvents: []" in stage.logs.lines
        written = stage.logs.lines
        at = written.index("RequestId: r1 Error: exit status 1")
        assert written[at + 1] == "Extension.Crash"
        assert "\tStatus: error\tError Type: Extension.Crash" in written[-1]
        await until(lambda: not stage.sandbox.running)
        assert extensions.closed

    play(scene, preparer=WithOne)


@pytest.mark.parametrize(
    ("why", "message", "written"),
    [
        (
            "PermissionDenied",
            "fork/exec /opt/extensions/one: permission denied",
            "PermissionDenied",
        ),
        ("ExecFormatError", "fork/exec /opt/extensions/one: exec format error", "UnknownError"),
        (
            "NoSuchFile",
            "fork/exec /opt/extensions/one: no such file or directory",
            "UnknownError",
        ),
    ],
)
def test_an_extension_that_cannot_be_started_fails_who_waits(
    why: str, message: str, written: str
) -> None:
    async def scene(stage: Stage) -> None:
        runtime, _ = await starting(stage)
        stage.scheduler.extended.not_started(runtime.environment, 0, why)
        outcome = await stage.callers[0]
        assert outcome.error_type == "Extension.LaunchError"
        assert json.loads(outcome.payload)["errorMessage"] == f"RequestId: r1 Error: {message}"
        line = f"EXTENSION\tName: one\tState: LaunchError\tEvents: []\tError Type: {written}"
        assert line in stage.logs.lines

    play(scene, preparer=WithOne)


class WithTooMany(WithExtensions):
    names: tuple[str, ...] = tuple(f"extension-{number:02}" for number in range(11))


def test_more_than_ten_external_extensions_are_too_many() -> None:
    async def scene(stage: Stage) -> None:
        runtime, _ = await starting(stage)
        stage.scheduler.extended.runtime_waits(runtime.environment, lambda: None)
        outcome = await stage.callers[0]
        assert outcome.error_type == "Extension.LaunchError"
        assert b"ErrTooManyExtensions" in outcome.payload

    play(scene, preparer=WithTooMany)


def test_an_extension_that_dies_at_work_fails_the_invocation_and_others_hear_of_it() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions = await starting(stage)
        extensions.register("one", BOTH, "one")
        extensions.register("two", ["SHUTDOWN"], "two")
        asks(stage, runtime)
        asked = asks(stage, runtime, "two")
        assert await runtime.next() is not None
        stage.scheduler.extended.extension_ended(runtime.environment, 0, 137)
        outcome = await stage.callers[0]
        assert outcome.error_type == "Extension.Crash"
        assert b"RequestId: r1 Error: signal: killed" in outcome.payload
        await until(lambda: asked.events)
        assert asked.events[0]["shutdownReason"] == "failure"
        stage.scheduler.extended.extension_ended(runtime.environment, 1, 0)
        await until(lambda: not stage.sandbox.running)

    play(scene, preparer=WithExtensions)


def test_extensions_hear_of_a_runtime_that_dies() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions = await starting(stage)
        extensions.register("one", BOTH, "one")
        asked = asks(stage, runtime)
        assert await runtime.next() is not None
        stage.scheduler.extended.runtime_ended(runtime.environment, 3)
        outcome = await stage.callers[0]
        assert outcome.error_type == "Runtime.ExitError"
        assert b"Runtime exited with error: exit status 3" in outcome.payload
        assert types(asked) == ["INVOKE"]
        asked = ask(extensions)
        await until(lambda: asked.events)
        assert asked.events[0]["shutdownReason"] == "failure"
        ask(extensions)
        await until(lambda: not stage.sandbox.running)

    play(scene, preparer=WithOne)


def test_what_an_extension_prints_is_in_the_log_and_in_nobodys_output() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions = await starting(stage)
        stage.scheduler.output(runtime.spec.id, b"half a \x1eEXT 0\x1efrom one\nline\n")
        extensions.register("one", [], "one")
        asks(stage, runtime)
        assert await runtime.next() is not None
        assert stage.logs.lines[1:3] == ["from one", "half a line"]

    play(scene, preparer=WithOne)


# ------------------------------------------------------------------------------- telemetry


class Told(Telemetry):
    """Remembers what subscribers would hear."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def lines(self, text: bytes, category: Category) -> None:
        self.tell(records.line(text.decode(), category, 0))

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""

    def close_subscriptions(self) -> None:
        self.tell(Event(0, "closed", {}))

    @property
    def kinds(self) -> list[str]:
        return [event.kind.removeprefix("platform.") for event in self.events]

    def record(self, kind: str) -> Any:
        return next(e.record for e in self.events if e.kind == f"platform.{kind}")


async def listened(stage: Stage) -> tuple[FakeRuntime, Told]:
    """An environment with an invocation at work, and what its subscribers heard since its start."""
    runtime, extensions = await starting(stage)
    told = runtime.environment.telemetry = Told()
    extensions.register("one", BOTH, "one")
    asks(stage, runtime)
    assert await runtime.next() is not None
    return runtime, told


def test_subscribers_hear_of_the_whole_life_in_order() -> None:
    async def scene(stage: Stage) -> None:
        runtime, told = await listened(stage)
        stage.scheduler.output(runtime.spec.id, b"of the function\n\x1eEXT 0\x1eof one\n")
        assert runtime.respond("r1", b"answer")
        await stage.callers[0]
        init = ["initRuntimeDone", "extension", "initReport", "closed"]
        lines = ["extension", "function"]
        assert told.kinds == [*init, "start", *lines, "runtimeDone", "end"]
        assert told.record("runtimeDone")["metrics"]["producedBytes"] == len(b"answer")
        stage.clock.turn(0.25)
        asks(stage, runtime)  # only now its work for the invocation is over
        assert told.kinds[-1] == "report"
        (overhead,) = told.record("report")["spans"]
        assert overhead["name"] == "extensionOverhead"
        assert overhead["durationMs"] == pytest.approx(250)
        leave(stage)

    play(scene, preparer=WithOne)


def test_subscribers_hear_of_a_timeout() -> None:
    async def scene(stage: Stage) -> None:
        _, told = await listened(stage)
        stage.clock.turn(VERSION.timeout_s + 0.1)
        stage.scheduler.tick()
        await stage.callers[0]
        await until(lambda: "report" in told.kinds)
        assert told.record("runtimeDone")["status"] == "timeout"
        assert told.record("report")["errorType"] == "Sandbox.Timedout"
        assert "fault" in told.kinds
        leave(stage)

    play(scene, preparer=WithOne)


def test_subscribers_hear_of_an_init_phase_that_fails() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions = await starting(stage)
        told = runtime.environment.telemetry = Told()
        extensions.register("one", BOTH, "one")
        stage.scheduler.extended.extension_ended(runtime.environment, 0, 1)
        await stage.callers[0]
        for kind in ("initRuntimeDone", "initReport"):
            assert told.record(kind)["status"] == "error"
            assert told.record(kind)["errorType"] == "Extension.Crash"
        assert told.record("extension")["state"] == "Exited"
        assert told.record("runtimeDone")["errorType"] == "Extension.Crash"

    play(scene, preparer=WithOne)


def test_subscribers_hear_of_a_restore() -> None:
    environment = Environment("e", "e", "host", VERSION, EnvironmentLog(lambda *_: None))
    telling.restore_begun(environment, 0)  # nobody listens
    told = environment.telemetry = Told()
    telling.restore_begun(environment, 0)
    telling.restore_ended(environment, 12.5, "", 0)
    telling.restore_ended(environment, 1, "Runtime.RestoreTimeout", 0)
    assert told.kinds == ["restoreStart", *["restoreRuntimeDone", "restoreReport"] * 2]
    assert told.record("restoreReport") == {"status": "success", "metrics": {"durationMs": 12.5}}
    assert told.events[-1].record == {
        "status": "error",
        "errorType": "Runtime.RestoreTimeout",
        "metrics": {"durationMs": 1},
    }


# ------------------------------------------------------------------------------ the shutdown


async def idle(stage: Stage) -> tuple[FakeRuntime, Any]:
    """An idle environment that has served one invocation, and what its extension waits for."""
    runtime, extensions = await starting(stage, "warm-up")
    extensions.register("one", ["SHUTDOWN"], "one")
    asked = asks(stage, runtime)
    assert await runtime.next() is not None
    assert runtime.respond("warm-up")
    await stage.callers[0]
    await stage.poll(runtime)
    return runtime, asked


async def heard(runtime: FakeRuntime, asked: Any, stage: Stage) -> dict[str, Any]:
    """The event of the end that an extension gets, which then exits."""
    await until(lambda: asked.events)
    assert len(stage.sandbox.running) == 1
    stage.scheduler.extended.extension_ended(runtime.environment, 0, 0)
    await until(lambda: not stage.sandbox.running)
    found: dict[str, Any] = asked.events[0]
    return found


def test_an_idle_environment_is_thawed_told_and_stopped() -> None:
    async def scene(stage: Stage) -> None:
        runtime, asked = await idle(stage)
        await asyncio.sleep(0)
        stage.clock.turn(stage.limits.soft_s + 0.1)
        await until(lambda: "freeze" in stage.sandbox.verbs)
        stage.clock.turn(stage.limits.hard_s)
        event = await heard(runtime, asked, stage)
        assert event["shutdownReason"] == "spindown"
        assert event["deadlineMs"] == int((stage.clock.now() + 2) * 1000)
        assert stage.sandbox.verbs == ["start", "freeze", "thaw", "stop"]
        assert stage.scheduler.environment_at(runtime.spec.host) is None

    play(scene, preparer=WithOne)


def test_while_it_ends_an_environment_is_known_and_gets_no_work() -> None:
    async def scene(stage: Stage) -> None:
        runtime, _ = await idle(stage)
        stage.scheduler.retire_except(VERSION.arn, frozenset())
        assert stage.scheduler.environment_at(runtime.spec.host) is runtime.environment
        polled = await stage.poll(runtime)
        stage.run("r2", replace(VERSION, run_key="new"))
        await until(lambda: len(stage.sandbox.running) == 2)
        assert not polled.done()
        assert runtime.environment.extensions.closed
        stage.scheduler.extended.extension_ended(runtime.environment, 0, 0)
        await until(lambda: len(stage.sandbox.running) == 1)
        assert await polled is None

    play(scene, preparer=WithOne)


def test_a_timeout_is_given_as_the_reason() -> None:
    async def scene(stage: Stage) -> None:
        runtime, asked = await idle(stage)
        caller = stage.run("r2")
        await until(lambda: not runtime.environment.polls)
        stage.clock.turn(VERSION.timeout_s + 0.1)
        assert (await caller).error_type == "Sandbox.Timedout"
        assert (await heard(runtime, asked, stage))["shutdownReason"] == "timeout"

    play(scene, preparer=WithOne)


def test_an_environment_that_dies_in_its_shutdown_phase_is_not_waited_for() -> None:
    async def scene(stage: Stage) -> None:
        runtime, _ = await idle(stage)
        phase = ShutdownPhase(stage.sandbox, stage.clock).stop(runtime.environment)
        ending = asyncio.get_running_loop().create_task(phase)
        await until(lambda: runtime.environment.ending)
        await asyncio.sleep(0)
        stage.sandbox.die(Exit(runtime.spec.id, code=0))
        await asyncio.wait_for(ending, 1.5)

    play(scene, preparer=WithOne)


def test_a_closing_scheduler_tells_extensions_and_refuses_callers_before() -> None:
    async def scene(stage: Stage) -> None:
        runtime, _ = await idle(stage)
        caller = stage.run("r2")
        closing = asyncio.get_running_loop().create_task(stage.scheduler.close(0))
        await until(lambda: runtime.environment.ending)
        assert caller.done()
        assert not closing.done()
        stage.scheduler.extended.extension_ended(runtime.environment, 0, 0)
        await asyncio.wait_for(closing, 1.5)
        assert stage.sandbox.running == {}

    play(scene, preparer=WithOne)
