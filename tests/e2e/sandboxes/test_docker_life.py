"""The Docker sandbox against a real daemon: starts, freezing, the end, what dead servers left."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.sandboxes.docker_bench import (
    IMAGE,
    NETWORK,
    PATIENCE_S,
    SETTINGS,
    SLEEP,
    Recorder,
    ours,
    run_to_end,
    sandbox,
    spec,
)

from lambda_home.sandboxes.base import Exit, SandboxError
from lambda_home.sandboxes.docker import DockerSandbox
from lambda_home.sandboxes.docker_daemon import probe
from lambda_home.sandboxes.docker_profile import OUTPUT, OWNER, Owner
from lambda_home.sandboxes.output_pipe import NamedPipes

pytestmark = pytest.mark.docker


class UnseenPipes(NamedPipes):
    """Pipes of a machine that the daemon does not see."""

    def open(self, environment_id: str) -> int:
        descriptor = super().open(environment_id)
        self.drop(environment_id)
        return descriptor


@pytest.fixture(params=["attached", "piped", "unseen"])
def pipes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NamedPipes | None]:
    """How output comes: through the daemon, through a pipe, or as it comes without the pipe."""
    kinds = {"attached": None, "piped": NamedPipes, "unseen": UnseenPipes}
    kind = kinds[request.param]
    yield kind(tmp_path) if kind else None
    assert list(tmp_path.iterdir()) == []


def test_output_of_both_streams_comes_before_the_exit(
    client: Any, pipes: NamedPipes | None
) -> None:
    script = (
        "import os, sys; os.dup2(1, 2)\n"  # as our bootstraps do
        "for n in range(20000): print(n)\n"
        "sys.stdout.flush(); print('last', file=sys.stderr); sys.exit(3)"
    )
    recorder = run_to_end(client, script, pipes)
    assert recorder.text == b"".join(b"%d\n" % n for n in range(20000)) + b"last\n"
    assert isinstance(recorder.told[-1], Exit)
    assert recorder.exits == [Exit(recorder.exits[0].id, code=3)]


def test_exit_without_output_is_told(client: Any) -> None:
    assert run_to_end(client, "pass").exits[0].code == 0


def test_function_that_closes_its_output_is_watched_until_it_ends(
    client: Any, pipes: NamedPipes | None
) -> None:
    script = "import os, time; os.close(1); os.close(2); time.sleep(0.5); os._exit(5)"
    assert run_to_end(client, script, pipes).exits[0].code == 5


def test_a_start_that_fails_leaves_no_pipe(client: Any, pipes: NamedPipes | None) -> None:
    async def main() -> None:
        async with sandbox(client, pipes) as (box, recorder):
            with pytest.raises(SandboxError, match="Docker could not"):
                await box.start(spec("pass", code="lambda-home/no-such-image:0"))
            assert recorder.told == []

    asyncio.run(main())


def test_a_piped_container_cannot_read_what_it_wrote(client: Any, tmp_path: Path) -> None:
    script = (
        "import os\n"
        f"try: os.open('{OUTPUT}', os.O_RDONLY)\n"
        "except OSError as error: print(error.strerror)\n"
        "with open('/dev/stdout', 'w') as again: print('by name', file=again)"
    )
    recorder = run_to_end(client, script, NamedPipes(tmp_path))
    assert recorder.text == b"Permission denied\nby name\n"


@pytest.mark.parametrize("number", [6, 9, 11])
def test_death_by_a_signal_is_told_as_that_signal(client: Any, number: int) -> None:
    how = run_to_end(client, f"import os; os.kill(os.getpid(), {number})").exits[0]
    assert (how.code, how.signal, how.out_of_memory) == (None, number, False)


@pytest.mark.parametrize("frozen", [False, True])
def test_sleeping_environment_ends_at_once(client: Any, *, frozen: bool) -> None:
    async def main() -> None:
        async with sandbox(client) as (box, recorder):
            one = spec(SLEEP)
            await box.start(one)
            await recorder.until(lambda told: b"up" in told.text)
            await box.freeze(one.id, frozen=frozen)
            await asyncio.gather(box.stop(one.id), box.stop(one.id))
            assert recorder.exits == [Exit(one.id, signal=9)]
            await box.stop(one.id)
            assert ours(client) == []

    asyncio.run(main())


def test_frozen_environment_gets_its_grace(client: Any) -> None:
    script = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))\n"
        + SLEEP
    )

    async def main() -> None:
        async with sandbox(client) as (box, recorder):
            one = spec(script)
            await box.start(one)
            await recorder.until(lambda told: b"up" in told.text)
            await box.freeze(one.id, frozen=True)
            await box.stop(one.id, grace_s=PATIENCE_S)
            assert recorder.told[-1] == Exit(one.id, code=0)
            assert recorder.text.endswith(b"bye\n")

    asyncio.run(main())


def test_environment_that_ignores_sigterm_is_killed_after_its_grace(client: Any) -> None:
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP

    async def main() -> None:
        async with sandbox(client) as (box, recorder):
            one = spec(script)
            await box.start(one)
            await recorder.until(lambda told: b"up" in told.text)
            began = asyncio.get_running_loop().time()
            await box.stop(one.id, grace_s=0.5)
            assert asyncio.get_running_loop().time() - began >= 0.5
            assert recorder.exits == [Exit(one.id, signal=9)]

    asyncio.run(main())


def test_frozen_environment_does_nothing_until_it_is_resumed(client: Any) -> None:
    script = "import time\nwhile True: print('tick', flush=True); time.sleep(0.02)"

    async def main() -> None:
        async with sandbox(client) as (box, recorder):
            one = spec(script)
            await box.start(one)
            await recorder.until(lambda told: told.text)
            await box.freeze(one.id, frozen=True)
            await box.freeze(one.id, frozen=True)
            before = None
            async with asyncio.timeout(PATIENCE_S):
                while before != (before := recorder.text):  # what was on its way may arrive
                    await asyncio.sleep(0.5)
            await box.freeze(one.id, frozen=False)
            await recorder.until(lambda told: told.text != before)

    asyncio.run(main())


def test_dead_servers_containers_are_reaped_and_live_ones_spared(client: Any) -> None:
    here = Owner.this_process()
    dead = Owner(here.machine, here.boot, here.pid, "1")
    earlier_boot = Owner(here.machine, "another", here.pid, here.started)
    elsewhere = Owner("elsewhere", "another", here.pid, here.started)
    alive = Owner(here.machine, here.boot, here.pid, here.started)

    def make(owner: Owner) -> str:
        marks = {"lambda-home": "1", OWNER: owner.label}
        config = {"Image": IMAGE, "Env": [f"SCRIPT={SLEEP}"], "Labels": marks}
        container = client.create_container_from_config(config)["Id"]
        client.start(container)
        return str(container)

    containers = {owner.label: make(owner) for owner in (dead, earlier_boot, elsewhere, alive)}

    async def main() -> set[str]:
        async with sandbox(client):
            return {found["Id"] for found in client.containers(all=True)}

    try:
        left = asyncio.run(main())
        assert {label for label, id_ in containers.items() if id_ in left} == {
            elsewhere.label,
            alive.label,
        }
    finally:
        for found in client.containers(all=True):
            if found["Id"] in containers.values():
                client.remove_container(found["Id"], force=True)


def test_close_ends_everything_and_tells_of_each(client: Any) -> None:
    async def main() -> None:
        async with sandbox(client) as (box, recorder):
            many = [spec(SLEEP) for _ in range(3)]
            await asyncio.gather(*(box.start(one) for one in many))
            names = sorted(found["Names"][0] for found in ours(client))
            assert names == sorted(f"/lambda-home-Upper_CASE-{one.id[:12]}" for one in many)
            await box.freeze(many[0].id, frozen=True)
        assert {how.id for how in recorder.exits} == {one.id for one in many}
        assert len(recorder.exits) == 3

    asyncio.run(main())


def test_start_whose_caller_gave_up_leaves_nothing_and_tells_nothing(client: Any) -> None:
    async def main() -> None:
        async with sandbox(client) as (box, recorder):
            start = asyncio.create_task(box.start(spec(SLEEP)))
            await asyncio.sleep(0)
            start.cancel()
            await asyncio.wait({start})
            assert start.cancelled()
        assert recorder.exits == []

    asyncio.run(main())


def test_missing_image_is_rebuilt_once_then_told(client: Any) -> None:
    asked: list[str] = []

    async def rebuild(tag: str) -> None:
        asked.append(tag)
        if tag.startswith("lambda-home/test-again"):
            client.tag(IMAGE, "lambda-home/test-again", "latest")

    async def main() -> None:
        box, recorder = DockerSandbox(client, SETTINGS, "test", rebuild=rebuild), Recorder()
        await box.open(recorder)
        with pytest.raises(SandboxError, match="No such image"):
            await box.start(spec(SLEEP, code="lambda-home/test-never:latest"))
        await box.start(spec("print('built')", code="lambda-home/test-again:latest"))
        await recorder.until(lambda told: told.exits)
        await box.close()
        assert recorder.text == b"built\n"
        assert len(recorder.exits) == 1

    try:
        asyncio.run(main())
        assert asked == ["lambda-home/test-never:latest", "lambda-home/test-again:latest"]
    finally:
        client.remove_image("lambda-home/test-again:latest")


def test_failing_start_leaves_nothing(client: Any) -> None:
    async def main() -> None:
        async with sandbox(client) as (box, recorder):
            with pytest.raises(SandboxError, match="could not make a container"):
                await box.start(spec(SLEEP, memory_mb=1))
            client.remove_network(NETWORK)
            with pytest.raises(SandboxError, match="could not start a container"):
                await box.start(spec(SLEEP))
            assert ours(client) == []
        assert recorder.told == []

    asyncio.run(main())


def test_probe_says_why(client: Any) -> None:
    assert probe("", lambda found: found.inspect_image(IMAGE))[0] is True
    assert client.ping()

    def none(_: Any) -> None:
        raise SandboxError("no base image")

    assert probe("", none) == (False, "no base image")
    nowhere = f"unix:///nonexistent-{os.getpid()}.sock"
    assert probe(nowhere, none) == (False, f"no Docker daemon answers at {nowhere}")
