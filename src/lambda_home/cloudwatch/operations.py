"""What an operation of CloudWatch Logs is: a function from a call to a result.

Operations register themselves under AWS's name. They may block, and are called in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from lambda_home.arns import Scope
from lambda_home.cloudwatch.identifiers import bad_token, no_group, no_stream
from lambda_home.errors import ResourceAlreadyExistsException
from lambda_home.logs.events import (
    BadLogToken,
    LogNameTaken,
    NoSuchLogGroup,
    NoSuchLogStream,
)
from lambda_home.logs.store import LogStore

Result = dict[str, Any] | None


class SubscriptionBook(Protocol):
    """What operations do with subscription filters (see `subscriptions.Subscriptions`)."""

    def of_group(self, scope: Scope, group: str) -> list[dict[str, Any]]:
        """The filters of a group, by name."""

    def put(self, scope: Scope, group: str, given: Mapping[str, Any]) -> None:
        """Add a filter, or replace the one of the same name. Raises LimitExceededException."""

    def delete(self, scope: Scope, group: str, name: str) -> None:
        """Take one away. Raises ResourceNotFoundException."""

    def forget(self, scope: Scope, group: str) -> None:
        """Take all of a group away."""

    def can_call(self, caller: Scope, arn: str) -> bool:
        """Whether a function is there."""


@dataclass(frozen=True, slots=True)
class LogsBackend:
    """What operations work with. `settings` is held while settings of a group are changed."""

    store: LogStore
    subscriptions: SubscriptionBook
    settings: AbstractContextManager[Any]


@dataclass(frozen=True, slots=True)
class LogsCall:
    """One request: whose logs, with what, and when (milliseconds since the epoch)."""

    scope: Scope
    params: Mapping[str, Any]
    now_ms: int


Handler = Callable[[LogsBackend, LogsCall], Result]
HANDLERS: dict[str, Handler] = {}


def operation(name: str) -> Callable[[Handler], Handler]:
    """Register a function as the handler of AWS's operation `name`."""

    def register(handler: Handler) -> Handler:
        if name in HANDLERS:
            raise ValueError(f"{name} has two handlers")
        HANDLERS[name] = handler
        return handler

    return register


def perform(name: str, backend: LogsBackend, call: LogsCall) -> Result:
    """Perform an operation. Raises ApiError, LogStoreUnavailable."""
    try:
        return HANDLERS[name](backend, call)
    except NoSuchLogGroup:
        raise no_group() from None
    except NoSuchLogStream:
        raise no_stream() from None
    except BadLogToken:
        raise bad_token() from None
    except LogNameTaken:
        what = "stream" if "logStreamName" in call.params else "group"
        raise ResourceAlreadyExistsException(f"The specified log {what} already exists") from None
