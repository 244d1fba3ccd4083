"""From where requests may come: host names that are ours, pages that are not other sites'; pure."""

from __future__ import annotations

from lambda_home.direct_http import Head


class HostRules:
    """The rules of one server; remembers host headers that it has judged."""

    def __init__(
        self,
        allowed_hosts: frozenset[str] = frozenset(),
        allowed_origins: frozenset[str] = frozenset(),
    ) -> None:
        self._allowed_hosts = allowed_hosts
        self._allowed_origins = allowed_origins

    def check_host(self, head: Head) -> None:
        """Raise AccessDeniedException for a host name that is not ours."""

    def check_origin(self, head: Head) -> None:
        """Raise AccessDeniedException for a request that another site's page sends."""
