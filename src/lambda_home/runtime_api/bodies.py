"""Requests of extensions: small bodies, the identifier that they give, and their refusals."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from lambda_home.direct_http import BoundedBody, Fields, Reply
from lambda_home.runtime_api.refusals import Refusals
from lambda_home.runtime_api.routes import refuse
from lambda_home.scheduler.environments import Environment
from lambda_home.scheduler.extensions import ExtensionRefusedError
from lambda_home.telemetry.subscriptions import SubscriptionRefusedError

LARGEST_BODY = 1024 * 1024


@dataclass(slots=True)
class Guard:
    """Answers, and writes to the log, what an environment's extension is refused."""

    reply: Reply
    refusals: Refusals
    environment: Environment

    def doing(self, call: Callable[[], None]) -> None:
        """Do as `call` does, which may raise the errors of extensions and of subscriptions."""
        try:
            call()
        except (ExtensionRefusedError, SubscriptionRefusedError) as error:
            facts = {"type": error.error_type, "container_id": self.environment.id}
            self.refusals.log("an extension was refused", **facts)
            refuse(self.reply, error.status, error.error_type, str(error))


class SmallBody(BoundedBody):
    """A small body. `then` may raise what a Guard answers."""

    __slots__ = ("_guard", "_then")

    def __init__(self, guard: Guard, then: Callable[[bytes], None]) -> None:
        super().__init__(LARGEST_BODY, LARGEST_BODY)
        self._guard = guard
        self._then = then

    def far_too_large(self) -> None:
        """Say so, and end the connection."""
        message = f"Exceeded maximum allowed payload size ({LARGEST_BODY} bytes)."
        refuse(self._guard.reply, 413, "RequestEntityTooLarge", message, close=True)

    def end(self, trailers: Fields) -> None:
        """Do what is to be done with a body that is not too large."""
        del trailers
        body = self.whole()
        if body is not None:
            self._guard.doing(lambda: self._then(body))


def identifier_of(headers: Fields) -> str:
    """The identifier that a request gives. Raises ExtensionRefusedError."""
    given = text_of(headers, b"lambda-extension-identifier")
    if not given:
        message = "Missing Lambda-Extension-Identifier header"
        raise ExtensionRefusedError(403, "Extension.MissingExtensionIdentifier", message)
    try:
        return str(uuid.UUID(given))
    except ValueError:
        message = "Invalid Lambda-Extension-Identifier"
        raise ExtensionRefusedError(403, "Extension.InvalidExtensionIdentifier", message) from None


def text_of(headers: Fields, name: bytes) -> str:
    """A header; "" where there is none."""
    return headers.get(name, b"").decode("latin-1")
