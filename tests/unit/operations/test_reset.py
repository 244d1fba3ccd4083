from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lambda_home.access.roles import Role, allows
from lambda_home.arns import Scope
from lambda_home.front.admin_actions import admin_action
from lambda_home.operations.reset import Reset
from lambda_home.registry.clearing import Clearing
from lambda_home.registry.database import Database
from lambda_home.registry.resources import ResourceKind, Resources


class Parts:
    """What a reset tells others, in the order in which they hear it."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def hold(self) -> None:
        self.told.append("hold")

    async def forget_removed(self) -> None:
        self.told.append("events")

    def clear_logs(self, account: str | None) -> None:
        self.told.append(("logs", account))

    def reload_routes(self) -> None:
        self.told.append("routes")

    async def reset_companion(self) -> None:
        self.told.append("companion")


@pytest.mark.parametrize("account", [None, "000000000000"])
def test_everybody_is_told_and_the_companion_only_where_all_goes(
    tmp_path: Path, account: str | None
) -> None:
    database = Database.open(tmp_path / "lhome.db")
    scope = Scope("000000000000", "us-east-1")
    Resources(database).change(scope, ResourceKind.SECRET, "x", lambda _: {})
    parts = Parts()
    reset = Reset(
        clearing=Clearing(database, parts.told.append),
        spares=parts,
        events=parts,
        clear_logs=parts.clear_logs,
        reload_routes=parts.reload_routes,
        reset_companion=parts.reset_companion,
    )
    cleared = asyncio.run(reset(account))
    database.close()
    assert cleared.resources == 1
    assert parts.told[0] == "hold"
    expected = {"hold", "events", "routes", ("logs", account)}
    assert set(parts.told) == expected | ({"companion"} if account is None else set())


def test_only_admins_may_reset() -> None:
    action = admin_action("POST", "/api/admin/reset")
    assert action == "reset:write"
    assert [role for role in Role if allows(role, action)] == [Role.ADMIN]
