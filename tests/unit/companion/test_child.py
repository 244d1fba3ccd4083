"""moto's server as a child process: there while the server is, and again after it died."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from lambda_home.arns import Scope
from lambda_home.companion import child
from lambda_home.companion.child import MotoServer
from lambda_home.companion.forwarding import CompanionDownError
from lambda_home.errors import ConfigurationError

HERE = Scope("000000000000", "us-east-1")


async def get(moto: MotoServer) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"{moto.url}/nobody/nothing", timeout=30)).status_code


async def gone(pid: int) -> bool:
    """Whether a child of ours was reaped."""
    for _ in range(500):
        try:
            with open(f"/proc/{pid}/stat"):  # noqa: ASYNC230, PTH123  a file of the kernel's
                pass
        except FileNotFoundError:
            return True
        await asyncio.sleep(0.01)
    return False


def test_it_answers_comes_back_after_its_death_and_ends_with_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "_FIRST_PAUSE_S", 0.01)

    async def main() -> None:
        moto = MotoServer(HERE)
        began = time.monotonic()
        moto.start("http://127.0.0.1:1", "a-host")
        assert time.monotonic() - began < 1, "it waited for moto"
        try:
            # Nobody has to wait before: a connection waits in the queue.
            assert await get(moto) == 404
            await moto.until_ready()
            first = moto.process
            assert first is not None
            first.kill()
            await first.wait()
            assert await get(moto) == 404
            second = moto.process
            assert second is not None
            assert second.pid != first.pid
        finally:
            await moto.close()
        assert await gone(second.pid)
        with pytest.raises(httpx.ConnectError):
            await get(moto)

    asyncio.run(main())


def test_one_that_cannot_start_is_told_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "_MODULE", "lambda_home.companion.nowhere")
    monkeypatch.setattr(child, "_FIRST_PAUSE_S", 0.01)

    async def main() -> None:
        moto = MotoServer(HERE)
        moto.start("http://127.0.0.1:1", "a-host")
        try:
            with pytest.raises(CompanionDownError, match="No module named") as raised:
                await moto.until_ready()
        finally:
            await moto.close()
        assert "\n" not in str(raised.value)

    asyncio.run(main())


def test_one_that_is_never_ready_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_START_S", 0.01)
    monkeypatch.setattr(child, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(child, "_PATIENCE_S", 0.2)

    async def main() -> None:
        moto = MotoServer(HERE)
        moto.start("http://127.0.0.1:1", "a-host")
        try:
            with pytest.raises(CompanionDownError, match="not ready after"):
                await moto.until_ready()
        finally:
            await moto.close()

    asyncio.run(main())


def test_without_moto_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_NEEDED", ("no_such_module",))
    with pytest.raises(ConfigurationError, match=r"install lambda-home\[aws\]"):
        MotoServer(HERE)


def test_it_knows_neither_docker_nor_the_aws_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "mine")
    monkeypatch.setenv("DOCKER_HOST", "tcp://daemon")
    monkeypatch.setenv("LAMBDA_HOME_SECRETS__KEY", "mine")
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")

    async def main() -> None:
        moto = MotoServer(HERE)
        found = moto._variables("http://127.0.0.1:1", "a-host")  # noqa: SLF001
        await moto.close()
        assert "mine" not in found.values()
        assert found["DOCKER_HOST"] != "tcp://daemon"
        assert found["MOTO_IAM_LOAD_MANAGED_POLICIES"] == "true"

    asyncio.run(main())
