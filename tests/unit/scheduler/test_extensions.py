"""The rules of extensions: who may register, what they are told, who is waited for."""

from __future__ import annotations

import pytest
from fakes import VERSION, invocation
from unit.scheduler.asking import BOTH, ask, registered, types

from lambda_home.scheduler.extensions import (
    MOST_EXTENSIONS,
    MOST_UNFETCHED,
    ExtensionRefusedError,
    Extensions,
    ShutdownReason,
    State,
)

REGISTERED_TWICE = (
    "State transition from Registered to Registered failed for extension one."
    " Error: State transition is not allowed"
)


def behind(extensions: Extensions) -> bool:
    return extensions.behind


def over_unheard() -> None:
    """Nobody waits for the end."""


# -------------------------------------------------------------------------------- registrations


@pytest.mark.parametrize(
    ("name", "events", "error_type", "message"),
    [
        ("", BOTH, "Extension.InvalidExtensionName", "Empty extension name"),
        ("x" * 256, BOTH, "Extension.InvalidExtensionName", "Invalid extension name"),
        ("a\nb", BOTH, "Extension.InvalidExtensionName", "Invalid extension name"),
        ("in", ("INVOKE", "SLEEP"), "Extension.InvalidEventType", "SLEEP: ErrorInvalidEventType"),
        ("in", ("invoke",), "Extension.InvalidEventType", "invoke: ErrorInvalidEventType"),
        ("in", (None,), "Extension.InvalidEventType", "None: ErrorInvalidEventType"),
        ("in", ([],), "Extension.InvalidEventType", "[]: ErrorInvalidEventType"),
        (
            "in",
            BOTH,
            "Extension.InvalidEventType",
            "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension",
        ),
        (
            "one",
            BOTH,
            "Extension.InvalidExtensionState",
            REGISTERED_TWICE,
        ),
        (
            "inside",
            ("INVOKE",),
            "Extension.InvalidExtensionState",
            "Extension with this name already registered",
        ),
    ],
)
def test_a_bad_registration_is_refused(
    name: str, events: tuple[object, ...], error_type: str, message: str
) -> None:
    extensions = registered("INVOKE")
    extensions.register("inside", ["INVOKE"], "3")
    with pytest.raises(ExtensionRefusedError) as caught:
        extensions.register(name, events, "two")
    refused = caught.value
    assert (refused.status, refused.error_type, str(refused)) == (403, error_type, message)


def test_only_ten_extensions_may_register() -> None:
    extensions = registered("INVOKE")
    for number in range(1, MOST_EXTENSIONS):
        extensions.register(f"extension-{number}", ["INVOKE"], str(number))
    with pytest.raises(ExtensionRefusedError, match=r"Extension limit \(10\) reached") as caught:
        extensions.register("another", ["INVOKE"], "another")
    assert caught.value.error_type == "Extension.TooManyExtensions"


def test_no_internal_extension_registers_once_registration_is_closed() -> None:
    extensions = registered("INVOKE")
    extensions.close()
    with pytest.raises(ExtensionRefusedError) as caught:
        extensions.register("late", ["INVOKE"], "late")
    assert (caught.value.status, caught.value.error_type) == (403, "Extension.RegistrationClosed")


def test_an_unknown_identifier_is_refused() -> None:
    extensions = registered("INVOKE")
    with pytest.raises(ExtensionRefusedError) as caught:
        ask(extensions, "two")
    assert caught.value.error_type == "Extension.UnknownExtensionIdentifier"
    with pytest.raises(ExtensionRefusedError):
        extensions.failed("two", "Any", State.EXIT_ERROR)


@pytest.mark.parametrize(
    ("external", "internal", "grace_s"),
    [((), (), 0), ((), ("in",), 0.5), (("out",), (), 2), (("out",), ("in",), 2)],
)
def test_the_grace_depends_on_who_is_there(
    external: tuple[str, ...], internal: tuple[str, ...], grace_s: float
) -> None:
    extensions = Extensions()
    extensions.expect(external)
    for name in internal:
        extensions.register(name, ["INVOKE"], name)
    assert extensions.grace_s == grace_s
    assert bool(extensions) is bool(external or internal)


def test_the_runtime_waits_for_all_external_extensions_and_for_no_others() -> None:
    extensions = Extensions()
    extensions.expect(["one", "two"])
    heard: list[str] = []
    extensions.when_registered(lambda: heard.append("start"))
    extensions.register("inside", [], "3")
    extensions.register("one", [], "1")
    assert heard == []
    extensions.register("two", [], "2")
    extensions.when_registered(lambda: heard.append("again"))
    assert heard == ["start", "again"]


# ----------------------------------------------------------------------------- who is behind


def test_in_the_init_phase_everybody_who_lives_is_waited_for() -> None:
    extensions = Extensions()
    assert not behind(extensions)
    extensions.expect(["one", "two"])
    assert behind(extensions)
    extensions.register("one", [], "one")
    extensions.register("inside", [], "inside")
    ask(extensions)
    ask(extensions, "inside")
    assert behind(extensions)  # two has not even registered
    extensions.register("two", ["SHUTDOWN"], "two")
    assert behind(extensions)
    ask(extensions, "two")
    assert not behind(extensions)


def test_after_an_invocation_those_who_hear_of_it_are_waited_for() -> None:
    extensions = Extensions()
    extensions.expect(["one", "two"])
    extensions.register("one", BOTH, "one")
    extensions.register("two", ["SHUTDOWN"], "two")
    ask(extensions)
    ask(extensions, "two")
    extensions.invoked(invocation("r1"), 0)
    assert behind(extensions)
    ask(extensions)
    assert not behind(extensions)


def test_one_that_has_ended_is_not_waited_for() -> None:
    extensions = registered(*BOTH)
    assert behind(extensions)
    assert extensions.exited(0) == "one"
    assert not behind(extensions)
    assert extensions.exited(1) == ""


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
    extensions.shut_down(0, over_unheard)
    heard = [ask(extensions).events[0] for _ in range(3)]
    assert [event.get("requestId") for event in heard] == ["r1", "r2", None]
    assert heard[2]["shutdownReason"] == "spindown"


def test_an_extension_that_never_asks_costs_no_more_memory_and_still_hears_of_the_end() -> None:
    extensions = registered(*BOTH)
    for number in range(MOST_UNFETCHED + 10):
        extensions.invoked(invocation(f"r{number}"), 0)
    extensions.shut_down(0, over_unheard)
    heard = [ask(extensions).events[0] for _ in range(MOST_UNFETCHED)]
    assert heard[0]["requestId"] == "r11"
    assert heard[-1]["eventType"] == "SHUTDOWN"


def test_only_those_who_registered_for_an_event_hear_it() -> None:
    extensions = Extensions()
    extensions.expect(["one", "two"])
    extensions.register("one", ["INVOKE"], "one")
    extensions.register("two", ["SHUTDOWN"], "two")
    one, two = ask(extensions), ask(extensions, "two")
    extensions.invoked(invocation("r1"), 0)
    extensions.shut_down(0, over_unheard)
    assert types(one) == ["INVOKE"]
    assert types(two) == ["SHUTDOWN"]


def test_an_event_for_a_lost_connection_goes_to_the_next_one() -> None:
    extensions = registered(*BOTH)
    asked = ask(extensions)
    asked.gone = True
    extensions.invoked(invocation("r1"), 0)
    assert asked.events == []
    assert types(ask(extensions)) == ["INVOKE"]


def test_who_asks_twice_at_a_time_is_refused() -> None:
    extensions = registered(*BOTH)
    first = ask(extensions)
    with pytest.raises(ExtensionRefusedError, match="from Ready to Ready failed for") as caught:
        ask(extensions)
    assert caught.value.error_type == "Extension.InvalidExtensionState"
    extensions.invoked(invocation("r1"), 0)
    assert types(first) == ["INVOKE"]


# --------------------------------------------------------------------------------------- errors


def test_the_first_error_is_what_an_environment_ends_with() -> None:
    extensions = registered(*BOTH)
    assert extensions.failed("one", "My.Error", State.INIT_ERROR) == ("one", True)
    assert extensions.first_error == "Extension.InitError"
    extensions.exited(0)
    (standing,) = extensions.standings()
    assert standing == ("one", "InitError", ("INVOKE", "SHUTDOWN"), "My.Error")


def test_an_init_error_after_the_first_poll_is_refused_an_exit_error_is_not() -> None:
    extensions = registered(*BOTH)
    ask(extensions)
    with pytest.raises(ExtensionRefusedError, match="from Ready to InitError failed"):
        extensions.failed("one", "My.Error", State.INIT_ERROR)
    extensions.failed("one", "My.Error", State.EXIT_ERROR)
    assert extensions.first_error == "Extension.ExitError"


def test_one_that_cannot_be_started_is_written_down() -> None:
    extensions = Extensions()
    extensions.expect(["one"])
    assert extensions.not_started(0, "PermissionDenied") == "one"
    assert extensions.not_started(7, "PermissionDenied") == ""
    assert extensions.standings() == [("one", "LaunchError", (), "PermissionDenied")]
    assert extensions.first_error == "Extension.LaunchError"


# -------------------------------------------------------------------------------------- the end


def test_the_end_is_over_when_all_who_were_told_have_asked_again() -> None:
    extensions = Extensions()
    extensions.expect(["one", "two", "three"])
    extensions.register("one", BOTH, "one")
    extensions.register("two", BOTH, "two")
    extensions.register("three", ["INVOKE"], "three")
    over: list[str] = []
    ask(extensions)
    extensions.shut_down(0, lambda: over.append("over"))
    ask(extensions)
    assert over == []
    ask(extensions, "two")  # it hears of the end only now
    assert over == []
    ask(extensions, "two")
    assert over == ["over"]


def test_an_extension_that_has_exited_is_not_waited_for_and_may_not_ask() -> None:
    extensions = registered(*BOTH)
    over: list[str] = []
    extensions.shut_down(0, lambda: over.append("over"))
    assert over == []
    extensions.exited(0)
    assert over == ["over"]
    with pytest.raises(ExtensionRefusedError) as caught:
        ask(extensions)
    assert caught.value.error_type == "Extension.InvalidExtensionState"


def test_whoever_ends_it_a_second_time_waits_for_the_same_end() -> None:
    extensions = registered(*BOTH)
    extensions.reason = ShutdownReason.TIMEOUT
    over: list[int] = []
    asked = ask(extensions)
    extensions.shut_down(7, lambda: over.append(1))
    extensions.shut_down(8, lambda: over.append(2))
    assert [(e["deadlineMs"], e["shutdownReason"]) for e in asked.events] == [(7, "timeout")]
    extensions.gone()
    assert over == [1, 2]


def test_the_supervisor_hears_of_the_end_and_tells_of_the_runtimes() -> None:
    extensions = registered(*BOTH)
    heard: list[str] = []
    extensions.when_ending(lambda: heard.append("end"))
    extensions.when_runtime_gone(lambda: heard.append("gone"))
    assert heard == []
    extensions.end_runtime()
    assert extensions.runtime_ended()
    assert not extensions.runtime_ended()
    assert heard == ["end", "gone"]
    extensions.when_ending(lambda: heard.append("late"))
    extensions.when_runtime_gone(lambda: heard.append("later"))
    assert heard[2:] == ["late", "later"]
