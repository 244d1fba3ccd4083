"""The extensions of one execution environment: who is there, what each is told, who is behind.

Pure: requests, ends of processes and the end of the environment come in; answers leave by
`EventPoll` and by calls that were left here. Sources:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html, and for states, types of
errors and their words AWS's runtime interface emulator.

External extensions are the files of /opt/extensions; a supervisor beside the runtime starts them
(`runtimes/supervisor.sh`). Any other name that registers is an internal one, within the runtime's
process, and hears of no SHUTDOWN. The rules, as on AWS:

- the runtime starts once all external ones have registered;
- the init phase is over once the runtime and all that have registered ask for work;
- the next invocation comes once all that registered for INVOKE ask again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from lambda_home.errors import LambdaHomeError
from lambda_home.invocations import Invocation

MOST_EXTENSIONS = 10
MOST_UNFETCHED = 128  # the oldest INVOKE events go first, so that one that hangs costs no memory
EXTERNAL_S = 2.0
INTERNAL_S = 0.5
RUNTIME_SHARE = 0.3
"""How much of the shutdown phase the runtime may take, before extensions hear of it."""
CRASH = "Extension.Crash"
LAUNCH_ERROR = "Extension.LaunchError"
_LONGEST_NAME = 255  # the name of a file
_NOT_ALLOWED = "State transition is not allowed"


class EventType(StrEnum):
    """What an extension may register for."""

    INVOKE = "INVOKE"
    SHUTDOWN = "SHUTDOWN"


class ShutdownReason(StrEnum):
    """Why an environment ends."""

    SPINDOWN = "spindown"
    TIMEOUT = "timeout"
    FAILURE = "failure"


class State(StrEnum):
    """Where an extension is, in the words of AWS's logs."""

    STARTED = "Started"
    REGISTERED = "Registered"
    READY = "Ready"
    RUNNING = "Running"
    LAUNCH_ERROR = "LaunchError"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"
    EXITED = "Exited"


class Failure(NamedTuple):
    """What an extension ended its environment with: AWS's type of error, and its message."""

    error_type: str
    message: str


class Standing(NamedTuple):
    """One extension, to be written down: `error_type` is empty where nothing is wrong."""

    name: str
    state: State
    events: tuple[str, ...]
    error_type: str


class ExtensionRefusedError(LambdaHomeError):
    """A request of an extension is refused with this HTTP status and AWS's type of error."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


class EventPoll(Protocol):
    """An extension's parked request for its next event."""

    @property
    def gone(self) -> bool:
        """Whether its connection was lost."""

    def deliver(self, event: dict[str, object]) -> None:
        """Answer it."""

    def refuse(self, error: ExtensionRefusedError) -> None:
        """Answer it with an error."""


@dataclass(slots=True, eq=False)
class _Extension:
    """One extension. `told`: it was handed SHUTDOWN; `done`: nothing more is expected of it."""

    name: str
    external: bool
    events: frozenset[EventType] = frozenset()
    state: State = State.STARTED
    error_type: str = ""
    unfetched: deque[dict[str, object]] = field(default_factory=deque)
    poll: EventPoll | None = None
    told: bool = False
    done: bool = False

    def tell(self, event: dict[str, object]) -> None:
        """Hand an event over, now or at its next poll."""
        if len(self.unfetched) >= MOST_UNFETCHED:
            self.unfetched.popleft()
        self.unfetched.append(event)
        self.state = State.RUNNING
        self.serve()

    def serve(self) -> None:
        """Answer the parked poll if there is an event for it."""
        poll = self.poll
        if poll is None or not self.unfetched:
            return
        self.poll = None
        if not poll.gone:
            event = self.unfetched.popleft()
            self.told = event["eventType"] is EventType.SHUTDOWN
            poll.deliver(event)

    def refusal(self, to: State) -> ExtensionRefusedError:
        """It may not enter a state from where it is."""
        message = (
            f"State transition from {self.state} to {to} failed for extension {self.name}."
            f" Error: {_NOT_ALLOWED}"
        )
        return ExtensionRefusedError(403, "Extension.InvalidExtensionState", message)


class Extensions:
    """All extensions of an environment. False where there is none."""

    __slots__ = (
        "_by_identifier",
        "_ending",
        "_expected",
        "_over",
        "_registered",
        "_runtime_gone",
        "closed",
        "first_error",
        "reason",
    )

    def __init__(self) -> None:
        self._expected: tuple[_Extension, ...] = ()
        self._by_identifier: dict[str, _Extension] = {}
        self._over: list[Callable[[], None]] | None = None
        self._registered: list[Callable[[], None]] = []
        self._ending: list[Callable[[], None]] | None = []
        self._runtime_gone: list[Callable[[], None]] | None = []
        self.closed = False
        self.first_error = ""
        self.reason = ShutdownReason.SPINDOWN

    def __bool__(self) -> bool:
        """Whether any has registered, or is to register."""
        return bool(self._by_identifier or self._expected)

    @property
    def supervised(self) -> bool:
        """Whether there are external ones, and the supervisor that runs them."""
        return bool(self._expected)

    @property
    def grace_s(self) -> float:
        """How long the shutdown phase may take: 0 without extensions, 500 ms or 2 s with them."""
        if any(extension.external for extension in self._everyone()):
            return EXTERNAL_S
        return INTERNAL_S if self._by_identifier else 0.0

    @property
    def all_registered(self) -> bool:
        """Whether the runtime may start."""
        return all(extension.state is not State.STARTED for extension in self._expected)

    @property
    def behind(self) -> bool:
        """Whether one that lives has not asked for its next event yet."""
        return any(e.state is not State.READY for e in self._everyone() if not e.done)

    def expect(self, names: Sequence[str]) -> None:
        """These external extensions are about to be started; their order is their index."""
        self._expected = tuple(_Extension(name, external=True) for name in names)

    def standings(self) -> list[Standing]:
        """All extensions, to be written down."""
        return [
            Standing(e.name, e.state, tuple(sorted(e.events)), e.error_type)
            for e in self._everyone()
        ]

    def close(self) -> bool:
        """The environment is about to end: take no more registrations; False if there are none."""
        self.closed = True
        return bool(self)

    def register(self, name: str, events: Iterable[object], identifier: str) -> None:
        """Know an extension from now on; it makes itself known by the identifier.

        Raises ExtensionRefusedError.
        """
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            message = "Invalid extension name" if name else "Empty extension name"
            raise ExtensionRefusedError(403, "Extension.InvalidExtensionName", message)
        extension = next((e for e in self._expected if e.name == name), None)
        wanted = frozenset(_event_type(event, extension is not None) for event in events)
        if extension is None:
            extension = self._internal(name)
        elif extension.state is not State.STARTED:
            raise extension.refusal(State.REGISTERED)
        extension.events, extension.state = wanted, State.REGISTERED
        self._by_identifier[identifier] = extension
        self._look_whether_registered()

    def poll(self, identifier: str, poll: EventPoll) -> None:
        """An extension asks for its next event; after SHUTDOWN this says that it is done.

        Raises ExtensionRefusedError.
        """
        extension = self._find(identifier)
        parked = extension.poll is not None and not extension.poll.gone
        if extension.done or parked:
            raise extension.refusal(State.READY)
        extension.poll = poll
        if extension.told:
            self._done(extension)
            return
        extension.state = State.READY if not extension.unfetched else State.RUNNING
        extension.serve()

    def failed(self, identifier: str, error_type: str, state: State) -> tuple[str, bool]:
        """An extension says that it will end with an error; its name, and whether it is external.

        Its first error is the type that the environment ends with. Raises ExtensionRefusedError.
        """
        extension = self._find(identifier)
        began = extension.state is State.REGISTERED
        if extension.done or (state is State.INIT_ERROR and not began):
            raise extension.refusal(state)
        extension.state, extension.error_type = state, error_type
        self.first_error = self.first_error or f"Extension.{state.value}"
        if not extension.external:
            self._done(extension)
        return extension.name, extension.external

    def not_started(self, index: int, error_type: str) -> str:
        """An external extension cannot be started; its name, "" for an index that is none."""
        if not 0 <= index < len(self._expected):
            return ""
        extension = self._expected[index]
        extension.state, extension.error_type = State.LAUNCH_ERROR, error_type
        self.first_error = self.first_error or LAUNCH_ERROR
        self._done(extension)
        return extension.name

    def exited(self, index: int) -> str:
        """The process of an external extension has ended; its name, "" for no index of one."""
        if not 0 <= index < len(self._expected):
            return ""
        extension = self._expected[index]
        if extension.state not in (State.INIT_ERROR, State.EXIT_ERROR):
            extension.state = State.EXITED
        self._done(extension)
        return extension.name

    def invoked(self, invocation: Invocation, deadline_ms: int) -> None:
        """An invocation was delivered to the environment."""
        if not self._by_identifier:
            return
        event: dict[str, object] = {
            "eventType": EventType.INVOKE,
            "deadlineMs": deadline_ms,
            "requestId": invocation.request_id,
            "invokedFunctionArn": invocation.invoked_arn,
        }
        if invocation.trace_id:
            event["tracing"] = {"type": "X-Amzn-Trace-Id", "value": invocation.trace_id}
        for extension in self._by_identifier.values():
            if EventType.INVOKE in extension.events and not extension.done:
                extension.tell(event)

    # -------------------------------------------------------------------------- the supervisor

    def when_registered(self, call: Callable[[], None]) -> None:
        """Call once all external extensions have registered, now if they have."""
        self._registered.append(call)
        self._look_whether_registered()

    def when_ending(self, call: Callable[[], None]) -> None:
        """Call when the runtime is to end, now if it is."""
        if self._ending is None:
            call()
        else:
            self._ending.append(call)

    def end_runtime(self) -> None:
        """The shutdown phase begins: have the supervisor end the runtime."""
        self.closed = True
        calls, self._ending = self._ending or [], None
        for call in calls:
            call()

    def when_runtime_gone(self, call: Callable[[], None]) -> None:
        """Call when the runtime has ended, now if it has."""
        if self._runtime_gone is None:
            call()
        else:
            self._runtime_gone.append(call)

    def runtime_ended(self) -> bool:
        """The supervisor says that the runtime has ended; False if it has said so before."""
        if self._runtime_gone is None:
            return False
        calls, self._runtime_gone = self._runtime_gone, None
        for call in calls:
            call()
        return True

    # ---------------------------------------------------------------------------------- the end

    def shut_down(self, deadline_ms: int, on_over: Callable[[], None]) -> None:
        """Tell those who registered for it; `on_over` is called once, when all of them are done.

        Who is told a second time hears nothing new.
        """
        self.closed = True
        first, self._over = self._over is None, [*(self._over or ()), on_over]
        if first:
            event: dict[str, object] = {
                "eventType": EventType.SHUTDOWN,
                "shutdownReason": self.reason,
                "deadlineMs": deadline_ms,
            }
            for extension in self._to_be_told():
                extension.tell(event)
        self._look_whether_over()

    def gone(self) -> None:
        """The environment is gone, and all extensions with it."""
        self.closed = True
        for extension in self._everyone():
            extension.done = True
            extension.poll = None
        self._registered.clear()
        self._ending = None
        self.runtime_ended()
        self._look_whether_over()

    def _everyone(self) -> list[_Extension]:
        internal = (e for e in self._by_identifier.values() if not e.external)
        return [*self._expected, *internal]

    def _to_be_told(self) -> list[_Extension]:
        everyone = self._by_identifier.values()
        return [e for e in everyone if EventType.SHUTDOWN in e.events and not e.done]

    def _internal(self, name: str) -> _Extension:
        if self.closed:
            message = "Extension registration closed already"
            raise ExtensionRefusedError(403, "Extension.RegistrationClosed", message)
        if any(extension.name == name for extension in self._by_identifier.values()):
            message = "Extension with this name already registered"
            raise ExtensionRefusedError(403, "Extension.InvalidExtensionState", message)
        if len(self._everyone()) >= MOST_EXTENSIONS:
            message = f"Extension limit ({MOST_EXTENSIONS}) reached"
            raise ExtensionRefusedError(403, "Extension.TooManyExtensions", message)
        return _Extension(name, external=False)

    def name_of(self, identifier: str) -> str:
        """The name of the extension with this identifier. Raises ExtensionRefusedError."""
        return self._find(identifier).name

    def _find(self, identifier: str) -> _Extension:
        extension = self._by_identifier.get(identifier)
        if extension is None:
            message = f"Unknown extension {identifier}"
            raise ExtensionRefusedError(403, "Extension.UnknownExtensionIdentifier", message)
        return extension

    def _done(self, extension: _Extension) -> None:
        extension.done = True
        self._look_whether_over()

    def _look_whether_registered(self) -> None:
        if self._registered and self.all_registered:
            calls, self._registered = self._registered, []
            for call in calls:
                call()

    def _look_whether_over(self) -> None:
        if self._over and not self._to_be_told():
            over, self._over = self._over, []
            for call in over:
                call()


def _event_type(value: object, external: bool) -> EventType:  # noqa: FBT001  a fact, no option
    try:
        found = EventType(value)  # type: ignore[arg-type]
    except ValueError:
        message = f"{str(value)[:100]}: ErrorInvalidEventType"
        raise ExtensionRefusedError(403, "Extension.InvalidEventType", message) from None
    if found is EventType.SHUTDOWN and not external:
        message = f"{found}: ShutdownEventNotSupportedForInternalExtension"
        raise ExtensionRefusedError(403, "Extension.InvalidEventType", message)
    return found
