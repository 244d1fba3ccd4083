"""The companion as a caller: its triggers invoke functions, of whatever account they are.

It comes to the runtime API's port by a host name that nobody else knows, as execution environments
do, so it needs no access key, and no certificate of this server's.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import replace
from typing import Protocol

from lambda_home.access.callers import Callers
from lambda_home.access.gate import Authentication, Entry, Known, Rules
from lambda_home.access.roles import Role
from lambda_home.direct_http import FieldList, Head

_SUFFIX = "companion.lambda-home.internal"


def new_host() -> str:
    """An unguessable host name."""
    return f"{secrets.token_hex(16)}.{_SUFFIX}"


class Inner(Authentication, Rules, Protocol):
    """How others are known who use the same port."""


class WithCompanion:
    """See `gate.Authentication` and `gate.Rules`: of those it is both.

    Whoever comes by `host` is the account whose number is the access key id, and may invoke.
    """

    def __init__(self, inner: Inner, host: str, callers: Callers) -> None:
        self._inner = inner
        self._host = host.encode()
        self._callers = callers

    def check_host(self, head: Head) -> None:
        """Raise ApiError for a host name that nobody has."""
        if not self._is_companion(head):
            self._inner.check_host(head)

    def check_origin(self, head: Head) -> None:
        """Raise ApiError for a page's request."""
        self._inner.check_origin(head)

    def cors_headers(self, head: Head) -> FieldList:
        """What lets another site's page read an answer."""
        return self._inner.cors_headers(head)

    def preflight(self, head: Head) -> FieldList | None:
        """What a browser hears that asks first."""
        return self._inner.preflight(head)

    def identify(self, head: Head) -> Entry:
        """Who sends a request; raises ApiError."""
        if not self._is_companion(head):
            return self._inner.identify(head)
        caller = self._callers.caller_of(head.headers.get(b"authorization"))
        return Known(replace(caller, role=Role.INVOKER, is_verified=True))

    def _is_companion(self, head: Head) -> bool:
        return hmac.compare_digest(head.headers.get(b"host", b""), self._host)
