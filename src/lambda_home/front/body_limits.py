"""How long the body of a request may be, by what the request is for; pure.

What a length over the limit declares is refused before a byte of it is read; of a body without a
declared length (chunked) nothing more is kept once it is over the limit. The gateways' bodies are
bounded by their own quotas (`gateway/path_proxy`, `gateway/function_urls`), Invoke's by Lambda's
(`user_api/invoke`, `user_api/response_stream`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lambda_home.cloudwatch.names import REQUEST_LIMIT as LOGS_LIMIT
from lambda_home.errors import RequestEntityTooLargeException
from lambda_home.front.targets import Target
from lambda_home.functions import CREATE_REQUEST_LIMIT

ADMIN_LIMIT: Final = 1024 * 1024

BODY_LIMITS: Final[Mapping[Target, int]] = {
    Target.LAMBDA: CREATE_REQUEST_LIMIT,
    Target.PROXY: CREATE_REQUEST_LIMIT,  # on ASGI: operations that AWS's model has not
    Target.COMPANION: CREATE_REQUEST_LIMIT,  # if the body must be seen for its signature
    Target.ADMIN: ADMIN_LIMIT,
    Target.LOGS: LOGS_LIMIT,
    Target.HEALTH: 0,
    Target.CODE: 0,
}
"""In bytes."""


SOURCES_PATH: Final = "/api/builds"


def limit_of(target: Target, path: str = "") -> int:
    """How long a body may be that is read on ASGI; sources of a build may be as long as code."""
    if target is Target.ADMIN and path == SOURCES_PATH:
        return CREATE_REQUEST_LIMIT
    return BODY_LIMITS.get(target, ADMIN_LIMIT)


def too_large(limit: int) -> RequestEntityTooLargeException:
    """What a client hears of a body over a limit."""
    return RequestEntityTooLargeException(f"Request must be smaller than {limit} bytes.")
