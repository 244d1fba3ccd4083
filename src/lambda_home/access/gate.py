"""The one choke point: who may come in, and what for.

Every request of the user API's port meets `Gate.look` (may it come from there), those of the APIs
also `Gate.enter` (who sends it), and everything that is done for a caller `Gate.allow` (may they).
What nobody allows is denied. How callers are known is one of three authentications: anybody
is who they say (the development default), signatures (`access/signed`), or the host name of an
execution environment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lambda_home.access.callers import Caller, Callers
from lambda_home.access.roles import allows
from lambda_home.direct_http import FieldList, Head
from lambda_home.errors import AccessDeniedException, ApiError

Denied = Callable[[Caller, str, str], None]


class Entry(Protocol):
    """Somebody at the gate, before their request's body has come."""

    @property
    def caller(self) -> Caller | None:
        """Who it is, if that is known without the body."""

    def prove(self, body: bytes) -> Caller:
        """Who it is; raises ApiError if the body is not what was signed."""

    def prove_head(self) -> tuple[Caller, BodyCheck] | None:
        """Who it is by the head alone, and what the body is held against while it comes.

        None where the signature covers a hash of the body that only the body itself can give.
        Raises ApiError.
        """

    def content(self, body: bytes) -> bytes:
        """The body as it was before it was encoded in signed chunks; to be asked after `prove`."""


class BodyCheck(Protocol):
    """What a body is held against."""

    def feed(self, data: bytes) -> None:
        """The next piece; raises ApiError."""

    def end(self) -> None:
        """The body is whole; raises ApiError if it is not what was signed."""


class Authentication(Protocol):
    """How callers are known."""

    def identify(self, head: Head) -> Entry:
        """Who sends a request, by its head; raises ApiError."""


class Rules(Protocol):
    """From where requests may come."""

    def check_host(self, head: Head) -> None:
        """Raise ApiError for a host name that is not ours."""

    def check_origin(self, head: Head) -> None:
        """Raise ApiError for a request that another site's page sends."""

    def cors_headers(self, head: Head) -> FieldList:
        """What tells a browser that a page of another origin may read the answer."""

    def preflight(self, head: Head) -> FieldList | None:
        """The headers of the answer to a preflight; None for any other request."""


class Known:
    """An entry of somebody who needs to prove nothing (more)."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def caller(self) -> Caller | None:
        """The caller."""
        return self._caller

    def prove(self, body: bytes) -> Caller:
        """The caller."""
        del body
        return self._caller

    def prove_head(self) -> tuple[Caller, BodyCheck] | None:
        """Nothing is to be proved by a body."""
        return None

    def content(self, body: bytes) -> bytes:
        """The body."""
        return body


class Believing:
    """Everybody is who they say: `auth = "none"`, for a port that only one person reaches."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def identify(self, head: Head) -> Entry:
        """Whoever the Authorization header names."""
        return Known(self._callers.caller_of(head.headers.get(b"authorization")))


class Gate:
    """Decides about every request; `denied` is told of what was refused.

    `of_functions` is how those are known who call a function that asks for signatures, if that is
    not as for the APIs.
    """

    def __init__(
        self,
        rules: Rules,
        authentication: Authentication,
        denied: Denied | None = None,
        of_functions: Authentication | None = None,
    ) -> None:
        self._rules = rules
        self._authentication = authentication
        self._of_functions = of_functions or authentication
        self._denied = denied

    def look(self, head: Head) -> None:
        """Refuse a host name that is not ours. Raises ApiError."""
        self._rules.check_host(head)

    def enter(self, head: Head) -> Entry:
        """Who wants to use one of the APIs; raises ApiError for other sites' pages, too."""
        self._rules.check_host(head)
        self._rules.check_origin(head)
        return self._authentication.identify(head)

    def identify(self, head: Head) -> Entry:
        """Who sends a request to a function; raises ApiError."""
        return self._of_functions.identify(head)

    def same_site(self, head: Head) -> None:
        """Refuse pages of other sites. Raises ApiError."""
        self._rules.check_origin(head)

    def cors_headers(self, head: Head) -> FieldList:
        """What an answer of the APIs says to a page of an origin that the settings let in."""
        return self._rules.cors_headers(head) if b"origin" in head.headers else []

    def preflight(self, head: Head) -> FieldList | None:
        """The headers of the answer to such a page's preflight; None for any other request."""
        return self._rules.preflight(head) if head.method == b"OPTIONS" else None

    def allow(self, caller: Caller, action: str, resource: str = "*") -> None:
        """Raise AccessDeniedException unless the caller's role has `action`.

        An action is an operation of AWS's model ("Invoke"), or one of ours ("routes:write").
        """
        if allows(caller.role, action):
            return
        if self._denied is not None:
            self._denied(caller, action, resource)
        raise not_allowed(caller, action, resource)


def iam_action(action: str) -> str:
    """An action as IAM writes it."""
    service, _, operation = action.partition(":")
    if service == "logs" and operation[:1].isupper():
        return action
    if operation:
        return f"lambda-home:{action}"
    return "lambda:" + {
        "Invoke": "InvokeFunction",
        "InvokeWithResponseStream": "InvokeFunction",
    }.get(action, action)


def not_allowed(caller: Caller, action: str, resource: str) -> ApiError:
    """AWS's words for what no policy of the caller's allows."""
    named = iam_action(action)
    return AccessDeniedException(
        f"User: {caller.arn} is not authorized to perform: {named} on resource: {resource}"
        f" because no identity-based policy allows the {named} action"
    )
