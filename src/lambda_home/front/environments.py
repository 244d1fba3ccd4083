"""Execution environments as callers: the host name that each has for itself says who is calling.

Nobody else can use the name, so a function needs no secret to be known, and no environment can
speak for another. It has the role that the settings give to functions.
"""

from __future__ import annotations

from collections.abc import Callable

from lambda_home.access.callers import Caller
from lambda_home.access.function_credentials import assumed_role
from lambda_home.access.gate import Entry, Known
from lambda_home.access.roles import Role
from lambda_home.direct_http import FieldList, Head
from lambda_home.errors import AccessDeniedException
from lambda_home.functions import FunctionVersion


class ByHostName:
    """See `gate.Authentication` and `gate.Rules`: of those it is both."""

    def __init__(self, version_at: Callable[[Head], FunctionVersion | None], role: Role) -> None:
        self._version_at = version_at
        self._role = role

    def check_host(self, head: Head) -> None:
        """Raise AccessDeniedException for a host name that no living environment has."""
        self._version(head)

    def check_origin(self, head: Head) -> None:
        """No browser comes here."""

    def cors_headers(self, head: Head) -> FieldList:
        """None."""
        del head
        return []

    def preflight(self, head: Head) -> FieldList | None:
        """None."""
        del head
        return None

    def identify(self, head: Head) -> Entry:
        """The function whose environment sends the request."""
        version = self._version(head)
        return Known(Caller(version.scope, assumed_role(version), self._role, is_verified=True))

    def _version(self, head: Head) -> FunctionVersion:
        version = self._version_at(head)
        if version is None:
            raise AccessDeniedException("No execution environment has this host name.")
        return version
