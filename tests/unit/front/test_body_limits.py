"""How long bodies may be that are not invokes'."""

from __future__ import annotations

import pytest

from lambda_home.front.body_limits import ADMIN_LIMIT, limit_of
from lambda_home.front.targets import Target
from lambda_home.functions import CREATE_REQUEST_LIMIT


@pytest.mark.parametrize(
    ("target", "path", "limit"),
    [
        (Target.ADMIN, "/api/builds", CREATE_REQUEST_LIMIT),
        (Target.ADMIN, "/api/builds/1", ADMIN_LIMIT),
        (Target.ADMIN, "/api/admin/secrets", ADMIN_LIMIT),
        (Target.LAMBDA, "/api/builds", CREATE_REQUEST_LIMIT),
        (Target.HEALTH, "/api/builds", 0),
    ],
)
def test_sources_of_builds_may_be_as_long_as_code(target: Target, path: str, limit: int) -> None:
    assert limit_of(target, path) == limit
