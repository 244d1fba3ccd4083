"""The deployer settles what the registry wants, once, also after a restart, and tidies up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lambda_home.arns import FunctionRef, Scope
from lambda_home.errors import InvalidRuntimeException, ServiceException
from lambda_home.functions import READY, State, Status, UpdateStatus
from lambda_home.packager import deployer
from lambda_home.packager.deployer import Deployer
from lambda_home.packager.store import CodeStore
from lambda_home.registry.changes import Change, NewFunction
from lambda_home.registry.database import Database
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.sandboxes.base import (
    ImageError,
    NotNowError,
    Package,
    Prepared,
    RuntimeMissingError,
    SandboxError,
)

SCOPE = Scope("000000000000", "us-east-1")
VALUES: NewFunction = {"runtime": "python3.11", "handler": "a.b", "role": "arn:aws:iam::0:role/r"}


class RecordingPreparer:
    """Prepares nothing, remembers everything; refuses the runtimes it is told to."""

    def __init__(self) -> None:
        self.prepared: list[tuple[str, str]] = []
        self.kept: list[frozenset[str]] = []
        self.refused: dict[str, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def prepare(self, package: Package) -> Prepared:
        self.prepared.append((package.code_key, package.runtime))
        await self.gate.wait()
        if package.runtime in self.refused:
            raise self.refused[package.runtime]
        return Prepared(f"prepared/{package.code_key}")

    async def runs(self, architecture: str) -> bool:
        return bool(architecture)

    async def resolve_image(self, uri: str) -> str | None:
        return None if uri else ""

    async def bare(self, runtime: str) -> str | None:
        return None if runtime else ""

    async def unpack(self, package: Package) -> Prepared | None:
        return None if package.runtime else Prepared("")

    async def prepare_ahead(self, package: Package) -> None:
        await self.prepare(package)

    def warning_for(self, package: Package) -> str | None:
        return None if package.runtime else ""

    async def discard_except(self, code_keys: frozenset[str]) -> None:
        self.kept.append(code_keys)


class Nobody:
    """No environment runs any code."""

    def code_keys(self) -> frozenset[str]:
        return frozenset()


class World:
    """A registry on disk, a store and a deployer that hears of changes."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder / "lhome.db")
        self.store = CodeStore(folder / "code")
        self.preparer = RecordingPreparer()
        loop = asyncio.get_running_loop()

        def changed(_: Change) -> None:
            loop.call_soon_threadsafe(self.deployer.changed)

        self.registry = FunctionRegistry(self.database, changed)
        self.deployer = Deployer(self.registry, self.preparer, self.store)

    def create(self, name: str, runtime: str = "python3.11") -> FunctionRef:
        ref = FunctionRef(SCOPE, name)
        code = self.store.put(f"code of {name}".encode())
        self.registry.create(ref, code, {**VALUES, "runtime": runtime})
        return ref


def play(folder: Path, scene: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World(folder)
        try:
            async with asyncio.timeout(60):
                await scene(world)
        finally:
            await world.deployer.close()
            world.database.close()

    asyncio.run(main())


def test_a_created_function_becomes_active(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.deployer.open(Nobody())
        ref = world.create("f")
        settled = await world.deployer.when_settled(ref)
        assert settled.status.state is State.ACTIVE
        assert settled.status.update is UpdateStatus.SUCCESSFUL
        assert world.preparer.prepared == [(settled.code.key, "python3.11")]

    play(tmp_path, scene)


@pytest.mark.parametrize("error", [SandboxError("install Ruby"), OSError("install Ruby")])
def test_code_that_cannot_be_prepared_fails_the_function_with_the_reason(
    tmp_path: Path, error: Exception
) -> None:
    async def scene(world: World) -> None:
        world.preparer.refused["ruby3.4"] = error
        await world.deployer.open(Nobody())
        settled = await world.deployer.when_settled(world.create("f", "ruby3.4"))
        assert settled.status.state is State.FAILED
        assert "install Ruby" in (settled.status.reason or "")
        good = await world.deployer.when_settled(world.create("g"))
        assert good.status.state is State.ACTIVE, "one failure must not end the worker"

    play(tmp_path, scene)


def test_an_image_that_cannot_be_had_fails_with_awss_code(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        world.preparer.refused["python3.12"] = ImageError("no such image", "ImageAccessDenied")
        await world.deployer.open(Nobody())
        settled = await world.deployer.when_settled(world.create("f", "python3.12"))
        status = settled.status
        assert (status.state, status.reason_code) == (State.FAILED, "ImageAccessDenied")
        assert status.reason == "no such image"

    play(tmp_path, scene)


def test_a_runtime_that_is_missing_here_is_told_at_the_invoke_until_it_is_there(
    tmp_path: Path,
) -> None:
    async def scene(world: World) -> None:
        world.preparer.refused["ruby3.4"] = RuntimeMissingError("install Ruby")
        await world.deployer.open(Nobody())
        settled = await world.deployer.when_settled(world.create("f", "ruby3.4"))
        assert settled.status == READY, "AWS has every runtime"
        with pytest.raises(InvalidRuntimeException, match="install Ruby"):
            await world.deployer.check_runtime(settled)
        del world.preparer.refused["ruby3.4"]
        await world.deployer.check_runtime(settled)

    play(tmp_path, scene)


def test_a_failed_update_leaves_the_function_active_and_says_why(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.deployer.open(Nobody())
        ref = world.create("f")
        await world.deployer.when_settled(ref)
        world.preparer.refused["ruby3.4"] = SandboxError("install Ruby")
        world.registry.update_configuration(ref, {"runtime": "ruby3.4"})
        settled = await world.deployer.when_settled(ref)
        assert settled.status.state is State.ACTIVE
        assert settled.status.update is UpdateStatus.FAILED
        assert settled.status.update_reason == "install Ruby"

    play(tmp_path, scene)


def test_what_a_dead_server_left_pending_is_prepared_at_the_next_start(tmp_path: Path) -> None:
    async def interrupted(world: World) -> None:
        world.create("f")  # the deployer was never opened: killed before it could work

    async def restarted(world: World) -> None:
        ref = FunctionRef(SCOPE, "f")
        assert world.registry.get(ref).status.state is State.PENDING
        await world.deployer.open(Nobody())
        assert (await world.deployer.when_settled(ref)).status.state is State.ACTIVE

    play(tmp_path, interrupted)
    play(tmp_path, restarted)


def test_an_update_during_preparation_wins(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.deployer.open(Nobody())
        world.preparer.gate.clear()
        ref = world.create("f")
        while not world.preparer.prepared:
            await asyncio.sleep(0)
        newer = world.store.put(b"newer code")
        world.registry.update_code(ref, newer)
        while len(world.preparer.prepared) < 2:
            await asyncio.sleep(0)
        world.preparer.gate.set()
        settled = await world.deployer.when_settled(ref)
        assert settled.code == newer
        assert settled.status.state is State.ACTIVE

    play(tmp_path, scene)


def test_tidying_keeps_what_is_wanted_running_or_just_prepared(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        class Running:
            def code_keys(self) -> frozenset[str]:
                return frozenset({"f" * 64})

        await world.deployer.open(Running())
        kept = await world.deployer.when_settled(world.create("kept"))
        doomed = world.create("doomed")
        gone = await world.deployer.when_settled(doomed)
        world.registry.delete(doomed)
        await world.deployer.tidy()
        assert world.preparer.kept[-1] == {kept.code.key, gone.code.key, "f" * 64}
        world.deployer.forget_recent()
        await world.deployer.tidy()
        assert world.preparer.kept[-1] == {kept.code.key, "f" * 64}

    play(tmp_path, scene)


def test_what_has_no_room_now_stays_good_and_says_why(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        world.preparer.refused["python3.11"] = NotNowError("no space left")
        await world.deployer.open(Nobody())
        settled = await world.deployer.when_settled(world.create("f"))
        assert settled.status.state is State.ACTIVE, "a published version could never be mended"
        assert settled.status.update is UpdateStatus.FAILED
        assert settled.status.update_reason == "no space left"

    play(tmp_path, scene)


class FullRegistry(FunctionRegistry):
    """The first `failures` settlements find the disk full."""

    failures = 2

    def settle(self, scope: Scope, name: str, version: str, run_key: str, status: Status) -> bool:
        if self.failures:
            self.failures -= 1
            raise ServiceException("The registry could not be written: disk full.")
        return super().settle(scope, name, version, run_key, status)


def test_a_state_that_cannot_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployer, "_SETTLE_AGAIN_S", 0.01)

    async def scene(world: World) -> None:
        full = FullRegistry(world.database, lambda _: None)
        world.deployer = deployer.Deployer(full, world.preparer, world.store)
        ref = world.create("f")
        await world.deployer.open(Nobody())
        while (await asyncio.to_thread(world.registry.get, ref)).status.busy:
            await asyncio.sleep(0.01)
        assert full.failures == 0

    play(tmp_path, scene)
