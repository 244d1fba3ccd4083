"""The extensions of one execution environment: who registered, and what each is to be told.

Pure: requests and the end of the environment come in, answers leave by `EventPoll`.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html, and for the
types of errors AWS's runtime interface emulator.

On AWS an environment takes its next invocation only once all extensions have polled again. Here
neither an invocation's end nor the next one waits for them: INVOKE events that an extension has
not fetched yet queue up for it. Nor is there a list of external extensions that were started
beside the runtime: whoever registers for SHUTDOWN is treated as external.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from lambda_home.errors import LambdaHomeError
from lambda_home.invocations import Invocation

MOST_EXTENSIONS = 10
MOST_UNFETCHED = 128  # the oldest INVOKE events go first, so that one that hangs costs no memory
EXTERNAL_S = 2.0
INTERNAL_S = 0.5
_LONGEST_NAME = 255  # on AWS it is the name of a file


class EventType(StrEnum):
    """What an extension may register for."""

    INVOKE = "INVOKE"
    SHUTDOWN = "SHUTDOWN"


class ShutdownReason(StrEnum):
    """Why an environment ends."""

    SPINDOWN = "spindown"
    TIMEOUT = "timeout"
    FAILURE = "failure"


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
    """One registration. `told`: it was handed SHUTDOWN; `done`: nothing more is expected of it."""

    name: str
    events: frozenset[EventType]
    unfetched: deque[dict[str, object]] = field(default_factory=deque)
    poll: EventPoll | None = None
    told: bool = False
    done: bool = False

    def tell(self, event: dict[str, object]) -> None:
        """Hand an event over, now or at its next poll."""
        if len(self.unfetched) >= MOST_UNFETCHED:
            self.unfetched.popleft()
        self.unfetched.append(event)
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


class Extensions:
    """All extensions of an environment. False where there is none."""

    __slots__ = ("_by_identifier", "_over", "closed", "timed_out")

    def __init__(self) -> None:
        self._by_identifier: dict[str, _Extension] = {}
        self._over: list[Callable[[], None]] | None = None
        self.closed = False
        self.timed_out = False

    def __bool__(self) -> bool:
        """Whether any has registered."""
        return bool(self._by_identifier)

    @property
    def grace_s(self) -> float:
        """How long the shutdown phase may take: 0 without extensions, 500 ms or 2 s with them."""
        if self._external():
            return EXTERNAL_S
        return INTERNAL_S if self._by_identifier else 0.0

    def close(self) -> bool:
        """The environment is about to end: take no more registrations; False if there are none."""
        self.closed = True
        return bool(self)

    def register(self, name: str, events: Iterable[object], identifier: str) -> None:
        """Know an extension from now on; it makes itself known by the identifier.

        Raises ExtensionRefusedError.
        """
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            message = "Invalid extension name"
            raise ExtensionRefusedError(400, "Extension.InvalidExtensionName", message)
        wanted = frozenset(_event_type(event) for event in events)
        if self.closed:
            message = "Extension registration closed already"
            raise ExtensionRefusedError(403, "Extension.RegistrationClosed", message)
        if any(extension.name == name for extension in self._by_identifier.values()):
            message = "Extension with this name already registered"
            raise ExtensionRefusedError(403, "Extension.InvalidExtensionState", message)
        if len(self._by_identifier) >= MOST_EXTENSIONS:
            message = f"Extension limit ({MOST_EXTENSIONS}) reached"
            raise ExtensionRefusedError(403, "Extension.TooManyExtensions", message)
        self._by_identifier[identifier] = _Extension(name, wanted)

    def poll(self, identifier: str, poll: EventPoll) -> None:
        """An extension asks for its next event; after SHUTDOWN this says that it is done.

        Raises ExtensionRefusedError.
        """
        extension = self._find(identifier)
        if extension.done:
            message = f"Extension {extension.name} has ended"
            raise ExtensionRefusedError(403, "Extension.InvalidExtensionState", message)
        earlier, extension.poll = extension.poll, poll
        if earlier is not None and not earlier.gone:
            message = f"Extension {extension.name} has asked again"
            earlier.refuse(ExtensionRefusedError(403, "Extension.InvalidExtensionState", message))
        if extension.told:
            self._done(extension)
        else:
            extension.serve()

    def failed(self, identifier: str) -> str:
        """An extension says that it ends with an error; its name.

        Raises ExtensionRefusedError.
        """
        extension = self._find(identifier)
        self._done(extension)
        return extension.name

    def invoked(self, invocation: Invocation, deadline_ms: int) -> None:
        """An invocation was delivered to the environment."""
        self.timed_out = False
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

    def shut_down(
        self, reason: ShutdownReason, deadline_ms: int, on_over: Callable[[], None]
    ) -> None:
        """Tell those who registered for it; `on_over` is called once, when all of them are done.

        Who is told a second time hears nothing new.
        """
        self.closed = True
        first, self._over = self._over is None, [*(self._over or ()), on_over]
        if first:
            event: dict[str, object] = {
                "eventType": EventType.SHUTDOWN,
                "shutdownReason": reason,
                "deadlineMs": deadline_ms,
            }
            for extension in self._external():
                extension.tell(event)
        self._look_whether_over()

    def gone(self) -> None:
        """The environment is gone, and all extensions with it."""
        self.closed = True
        for extension in self._by_identifier.values():
            extension.done = True
            extension.poll = None
        self._look_whether_over()

    def _external(self) -> list[_Extension]:
        everyone = self._by_identifier.values()
        return [e for e in everyone if EventType.SHUTDOWN in e.events]

    def _find(self, identifier: str) -> _Extension:
        extension = self._by_identifier.get(identifier)
        if extension is None:
            message = f"Unknown extension {identifier}"
            raise ExtensionRefusedError(403, "Extension.UnknownExtensionIdentifier", message)
        return extension

    def _done(self, extension: _Extension) -> None:
        extension.done = True
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        if self._over and all(extension.done for extension in self._external()):
            over, self._over = self._over, []
            for call in over:
                call()


def _event_type(value: object) -> EventType:
    try:
        return EventType(value)  # type: ignore[arg-type]
    except ValueError:
        message = f"{str(value)[:100]}: invalid event type"
        raise ExtensionRefusedError(400, "Extension.InvalidEventType", message) from None
