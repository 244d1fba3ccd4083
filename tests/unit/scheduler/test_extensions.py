"""Extensions: what they are told, and how their environment ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fakes import VERSION, FakeRuntime, HandTurnedClock, QuietSandbox, invocation, until
from unit.scheduler.stage import Stage, play

from lambda_home.sandboxes.base import Exit
from lambda_home.scheduler.environment_log import EnvironmentLog
from lambda_home.scheduler.environments import Environment
from lambda_home.scheduler.extensions import (
    MOST_EXTENSIONS,
    MOST_UNFETCHED,
    ExtensionRefusedError,
    Extensions,
    ShutdownReason,
)
from lambda_home.scheduler.shutdown import ShutdownPhase

BOTH = ("INVOKE", "SHUTDOWN")


@dataclass
class Asked:
    """A parked request of an extension."""

    events: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    gone: bool = False

    def deliver(self, event: dict[str, object]) -> None:
        self.events.append(event)

    def refuse(self, error: ExtensionRefusedError) -> None:
        self.refused.append(error.error_type)


def registered(*events: str, name: str = "one") -> Extensions:
    extensions = Extensions()
    extensions.register(name, events, name)
    return extensions


def ask(extensions: Extensions, identifier: str = "one") -> Asked:
    asked = Asked()
    extensions.poll(identifier, asked)
    return asked


def over_unheard() -> None:
    """Nobody waits for the end."""


def types(asked: Asked) -> list[str]:
    return [str(event["eventType"]) for event in asked.events]


# -------------------------------------------------------------------------------- registrations


@pytest.mark.parametrize(
    ("name", "events", "status", "error_type"),
    [
        ("", BOTH, 400, "Extension.InvalidExtensionName"),
        ("x" * 256, BOTH, 400, "Extension.InvalidExtensionName"),
        ("a\nb", BOTH, 400, "Extension.InvalidExtensionName"),
        ("new", ("INVOKE", "SLEEP"), 400, "Extension.InvalidEventType"),
        ("new", ("invoke",), 400, "Extension.InvalidEventType"),
        ("new", (None,), 400, "Extension.InvalidEventType"),
        ("new", ([],), 400, "Extension.InvalidEventType"),
        ("one", BOTH, 403, "Extension.InvalidExtensionState"),
    ],
)
def test_a_bad_registration_is_refused(
    name: str, events: tuple[object, ...], status: int, error_type: str
) -> None:
    extensions = registered("INVOKE")
    with pytest.raises(ExtensionRefusedError) as caught:
        extensions.register(name, events, "two")
    assert (caught.value.status, caught.value.error_type) == (status, error_type)


def test_only_ten_extensions_may_register() -> None:
    extensions = Extensions()
    for number in range(MOST_EXTENSIONS):
        extensions.register(f"extension-{number}", BOTH, str(number))
    with pytest.raises(ExtensionRefusedError, match="limit") as caught:
        extensions.register("another", BOTH, "another")
    assert caught.value.error_type == "Extension.TooManyExtensions"


def test_nobody_registers_once_registration_is_closed() -> None:
    extensions = registered("INVOKE")
    extensions.close()
    with pytest.raises(ExtensionRefusedError) as caught:
        extensions.register("late", BOTH, "late")
    assert (caught.value.status, caught.value.error_type) == (403, "Extension.RegistrationClosed")


def test_an_unknown_identifier_is_refused() -> None:
    extensions = registered("INVOKE")
    with pytest.raises(ExtensionRefusedError) as caught:
        ask(extensions, "two")
    assert caught.value.error_type == "Extension.UnknownExtensionIdentifier"
    with pytest.raises(ExtensionRefusedError):
        extensions.failed("two")


@pytest.mark.parametrize(
    ("events", "grace_s"), [(("INVOKE",), 0.5), ((), 0.5), (("SHUTDOWN",), 2.0), (BOTH, 2.0)]
)
def test_the_grace_depends_on_who_registered_for_what(
    events: tuple[str, ...], grace_s: float
) -> None:
    assert Extensions().grace_s == 0
    assert registered(*events).grace_s == grace_s


# --------------------------------------------------------------------------------------- events


def test_an_invocation_is_told_as_aws_does() -> None:
    extensions = registered("INVOKE")
    asked = ask(extensions)
    traced = invocation("r1")
    traced.trace_id = "Root=1-2"
    extensions.invoked(traced, 1234)
    assert asked.events == [
        {
            "eventType": "INVOKE",
            "deadlineMs": 1234,
            "requestId": "r1",
            "invokedFunctionArn": VERSION.arn,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1-2"},
        }
    ]


def test_events_wait_in_order_for_an_extension_that_is_behind() -> None:
    extensions = registered(*BOTH)
    extensions.invoked(invocation("r1"), 0)
    extensions.invoked(invocation("r2"), 0)
    extensions.shut_down(ShutdownReason.SPINDOWN, 0, over_unheard)
    heard = [ask(extensions).events[0] for _ in range(3)]
    assert [event.get("requestId") for event in heard] == ["r1", "r2", None]
    assert heard[2]["shutdownReason"] == "spindown"


def test_an_extension_that_never_asks_costs_no_more_memory_and_still_hears_of_the_end() -> None:
    extensions = registered(*BOTH)
    for number in range(MOST_UNFETCHED + 10):
        extensions.invoked(invocation(f"r{number}"), 0)
    extensions.shut_down(ShutdownReason.SPINDOWN, 0, over_unheard)
    heard = [ask(extensions).events[0] for _ in range(MOST_UNFETCHED)]
    assert heard[0]["requestId"] == "r11"
    assert heard[-1]["eventType"] == "SHUTDOWN"


def test_only_those_who_registered_for_an_event_hear_it() -> None:
    extensions = registered("INVOKE")
    extensions.register("two", ["SHUTDOWN"], "two")
    one, two = ask(extensions), ask(extensions, "two")
    extensions.invoked(invocation("r1"), 0)
    extensions.shut_down(ShutdownReason.SPINDOWN, 0, over_unheard)
    assert types(one) == ["INVOKE"]
    assert types(two) == ["SHUTDOWN"]


def test_an_event_for_a_lost_connection_goes_to_the_next_one() -> None:
    extensions = registered(*BOTH)
    asked = ask(extensions)
    asked.gone = True
    extensions.invoked(invocation("r1"), 0)
    assert asked.events == []
    assert types(ask(extensions)) == ["INVOKE"]


def test_the_newest_of_two_requests_counts() -> None:
    extensions = registered(*BOTH)
    first, second = ask(extensions), ask(extensions)
    extensions.invoked(invocation("r1"), 0)
    assert first.refused == ["Extension.InvalidExtensionState"]
    assert first.events == []
    assert types(second) == ["INVOKE"]


# ------------------------------------------------------------------------------------- the end


def test_the_end_is_over_when_all_who_were_told_have_asked_again() -> None:
    extensions = registered(*BOTH)
    extensions.register("two", BOTH, "two")
    extensions.register("three", ["INVOKE"], "three")
    over: list[str] = []
    ask(extensions)
    extensions.shut_down(ShutdownReason.SPINDOWN, 0, lambda: over.append("over"))
    ask(extensions)
    assert over == []
    ask(extensions, "two")  # it hears of the end only now
    assert over == []
    ask(extensions, "two")
    assert over == ["over"]


def test_an_extension_that_failed_is_not_waited_for_and_may_not_ask() -> None:
    extensions = registered(*BOTH)
    over: list[str] = []
    extensions.failed("one")
    extensions.shut_down(ShutdownReason.SPINDOWN, 0, lambda: over.append("over"))
    assert over == ["over"]
    with pytest.raises(ExtensionRefusedError) as caught:
        ask(extensions)
    assert caught.value.error_type == "Extension.InvalidExtensionState"


def test_whoever_ends_it_a_second_time_waits_for_the_same_end() -> None:
    extensions = registered(*BOTH)
    over: list[int] = []
    asked = ask(extensions)
    extensions.shut_down(ShutdownReason.TIMEOUT, 7, lambda: over.append(1))
    extensions.shut_down(ShutdownReason.SPINDOWN, 8, lambda: over.append(2))
    assert [event["deadlineMs"] for event in asked.events] == [7]
    extensions.gone()
    assert over == [1, 2]


class Recorder(QuietSandbox):
    """Knows how long each environment was asked politely."""

    def __init__(self) -> None:
        super().__init__()
        self.graces: list[float] = []

    async def stop(self, environment_id: str, grace_s: float = 0) -> None:
        self.graces.append(grace_s)
        await super().stop(environment_id, grace_s)


def ended(*events: str, scale: float = 1.0) -> tuple[float, Recorder]:
    """Seconds until an environment with an extension that never asks was killed."""

    async def main() -> tuple[float, Recorder]:
        sandbox = Recorder()
        log = EnvironmentLog(lambda *_: None)
        environment = Environment("e", "e", "host", VERSION, log)
        if events:
            environment.extensions.register("one", events, "one")
        begun = asyncio.get_running_loop().time()
        await ShutdownPhase(sandbox, HandTurnedClock(), scale).stop(environment)
        return asyncio.get_running_loop().time() - begun, sandbox

    return asyncio.run(main())


def test_without_extensions_the_end_comes_at_once() -> None:
    took_s, sandbox = ended()
    assert took_s < 0.5
    assert sandbox.graces == [0]
    assert sandbox.verbs == []


def test_an_extension_for_invocations_only_gets_sigterm_and_half_a_second() -> None:
    _, sandbox = ended("INVOKE")
    assert sandbox.graces == [0.5]
    assert sandbox.verbs == ["thaw"]


def test_an_extension_that_hangs_is_killed_when_its_time_is_over() -> None:
    took_s, sandbox = ended(*BOTH, scale=0.05)
    assert 0.1 <= took_s < 1.5
    assert sandbox.graces == [0]


# -------------------------------------------------------------------------------- the scheduler


async def extended(stage: Stage, *events: str) -> tuple[FakeRuntime, Extensions]:
    """An idle environment that has served one invocation, with an extension."""
    caller = stage.run("warm-up")
    (runtime,) = await stage.runtimes()
    extensions = runtime.environment.extensions
    extensions.register("one", events, "one")
    assert await runtime.next() is not None
    assert runtime.respond("warm-up")
    await caller
    await stage.poll(runtime)
    return runtime, extensions


async def finished(stage: Stage, extensions: Extensions) -> dict[str, Any]:
    """The extension takes its SHUTDOWN and says that it is done; the event."""
    asked = ask(extensions)
    await until(lambda: asked.events)
    assert len(stage.sandbox.running) == 1
    ask(extensions)
    await until(lambda: not stage.sandbox.running)
    return asked.events[0]


def test_an_idle_environment_is_thawed_told_and_stopped() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions = await extended(stage, "SHUTDOWN")
        await asyncio.sleep(0)
        stage.clock.turn(stage.limits.soft_s + 0.1)
        await until(lambda: "freeze" in stage.sandbox.verbs)
        stage.clock.turn(stage.limits.hard_s)
        event = await finished(stage, extensions)
        assert event["shutdownReason"] == "spindown"
        assert event["deadlineMs"] == int((stage.clock.now() + 2) * 1000)
        assert stage.sandbox.verbs == ["start", "freeze", "thaw", "stop"]
        assert stage.scheduler.environment_at(runtime.spec.host) is None

    play(scene)


def test_while_it_ends_an_environment_is_known_and_gets_no_work() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions = await extended(stage, "SHUTDOWN")
        stage.scheduler.retire_except(VERSION.arn, frozenset())
        assert stage.scheduler.environment_at(runtime.spec.host) is runtime.environment
        polled = await stage.poll(runtime)
        stage.run("r2", replace(VERSION, run_key="new"))
        await until(lambda: len(stage.sandbox.running) == 2)
        assert not polled.done()
        asked = ask(extensions)
        await until(lambda: asked.events)
        ask(extensions)
        await until(lambda: len(stage.sandbox.running) == 1)
        assert await polled is None

    play(scene)


def test_a_timeout_is_given_as_the_reason() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions = await extended(stage, "SHUTDOWN")
        caller = stage.run("r2")
        await until(lambda: runtime.environment.extensions and not runtime.environment.polls)
        stage.clock.turn(VERSION.timeout_s + 0.1)
        assert (await caller).error_type == "Sandbox.Timedout"
        assert (await finished(stage, extensions))["shutdownReason"] == "timeout"

    play(scene)


def test_an_environment_that_dies_in_its_shutdown_phase_is_not_waited_for() -> None:
    async def scene(stage: Stage) -> None:
        runtime, extensions = await extended(stage, "SHUTDOWN")
        asked = ask(extensions)
        phase = ShutdownPhase(stage.sandbox, stage.clock).stop(runtime.environment)
        ending = asyncio.get_running_loop().create_task(phase)
        await until(lambda: asked.events)
        stage.sandbox.die(Exit(runtime.spec.id, code=0))
        await asyncio.wait_for(ending, 1.5)

    play(scene)


def test_a_closing_scheduler_tells_extensions_and_refuses_callers_before() -> None:
    async def scene(stage: Stage) -> None:
        _, extensions = await extended(stage, "SHUTDOWN")
        asked = ask(extensions)
        caller = stage.run("r2")
        closing = asyncio.get_running_loop().create_task(stage.scheduler.close(0))
        await until(lambda: asked.events)
        assert caller.done()
        assert not closing.done()
        ask(extensions)
        await asyncio.wait_for(closing, 1.5)
        assert stage.sandbox.running == {}

    play(scene)
