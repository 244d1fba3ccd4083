"""The health report tells the truth about each part."""

from __future__ import annotations

import asyncio
import socket

import pytest

from lambda_home.health import Health, knock


async def _well() -> None:
    return


async def _ill() -> None:
    raise OSError("the daemon is gone")


async def _hanging() -> None:
    await asyncio.sleep(60)


def test_all_is_well_only_if_every_part_is() -> None:
    found = asyncio.run(Health({"registry": _well, "sandbox": _well}, "docker").report())
    assert found == {
        "status": "ok",
        "registry": "ok",
        "sandbox": "ok",
        "sandbox_kind": "docker",
    }


@pytest.mark.parametrize(
    ("check", "said"), [(_ill, "the daemon is gone"), (_hanging, "no answer within 0.05 s")]
)
def test_a_part_that_fails_or_hangs_is_named(check: object, said: str) -> None:
    health = Health({"registry": _well, "sandbox": check}, "docker", patience_s=0.05)  # type: ignore[dict-item]
    found = asyncio.run(health.report())
    assert (found["status"], found["registry"], found["sandbox"]) == ("failing", "ok", said)


def test_a_port_that_nobody_listens_on_is_noticed() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(OSError, match=r"refused|Connect"):
            asyncio.run(knock(port))
        free.listen()
        asyncio.run(knock(port))
