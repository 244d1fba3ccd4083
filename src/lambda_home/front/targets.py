"""What a request of the user API's port is for; pure.

The signature says which service a request means, the host name which function, and else the path.
What nobody claims is for the path proxy.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_to_bytes

from lambda_home.cloudwatch.names import operation_of
from lambda_home.companion.targets import service_of
from lambda_home.direct_http import Head

URL_PREFIX: Final = b"/lambda-url/"
_URL_HOST: Final = b".lambda-url."
_API_PATH = re.compile(rb"/20\d\d-\d\d-\d\d/")
_ADMIN: Final = (b"/api/", b"/admin/")
_HEALTH: Final = frozenset({b"/healthz", b"/api/healthz"})
_CODE: Final = b"/api/code/"
_STATISTICS: Final = frozenset({b"/metrics", b"/docker-stats", b"/lambda-service-stats"})
_LOGS: Final = "logs"
_OURS: Final = frozenset({None, "lambda", "execute-api"})


class Target(StrEnum):
    """Who answers."""

    LAMBDA = "lambda"
    ADMIN = "admin"
    HEALTH = "health"
    CODE = "code"
    FUNCTION_URL = "function URL"
    LOGS = "CloudWatch Logs"
    COMPANION = "companion"
    PROXY = "path proxy"


def target_of(head: Head) -> Target:
    """Who answers a request."""
    if _URL_HOST in head.headers.get(b"host", b"").lower():
        return Target.FUNCTION_URL
    # Whoever answers sees the path decoded, and what is decided of it must be decided of that.
    path = unquote_to_bytes(head.path) if b"%" in head.path else head.path
    if _API_PATH.match(path):
        return Target.LAMBDA if service_of(head) in _OURS else Target.COMPANION
    service = service_of(head)
    if service not in _OURS:
        # What we do not perform of CloudWatch Logs is the companion's.
        is_performed = service == _LOGS and operation_of(head.headers) is not None
        return Target.LOGS if is_performed else Target.COMPANION
    if path in _HEALTH:
        return Target.HEALTH
    if path in _STATISTICS or path.startswith(_ADMIN):
        return Target.CODE if path.startswith(_CODE) else Target.ADMIN
    return Target.FUNCTION_URL if path.startswith(URL_PREFIX) else Target.PROXY
