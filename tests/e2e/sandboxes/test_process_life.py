"""The process sandbox for real: how environments end, and what is left of them: nothing."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from e2e.sandboxes.process_bench import (
    ORPHAN,
    PATIENCE_S,
    PORT,
    SLEEP,
    Bench,
    NumberedEndpoints,
    Recorder,
    leftovers,
    on,
    place,
    running,
)

from lambda_home.sandboxes.base import Exit, SandboxError
from lambda_home.sandboxes.process import ProcessSandbox

pytestmark = pytest.mark.process

# -------------------------------------------------------------------------------------- the end


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [
        ("print('bye')", 0, None),
        ("raise SystemExit(3)", 3, None),
        ("import os; os.kill(os.getpid(), 11)", None, signal.SIGSEGV),
        ("import os; os.kill(os.getpid(), 9)", None, signal.SIGKILL),
        ("import os; os.abort()", None, signal.SIGABRT),
    ],
)
def test_the_way_it_ended_is_told(
    ground: Path, mode: str, script: str, code: int | None, number: int | None
) -> None:
    async def body(bench: Bench) -> None:
        how, _ = await bench.run(script)
        assert (how.code, how.signal, how.out_of_memory) == (code, number, False)

    del mode
    on(ground, body)


def test_all_output_arrives_in_order_before_the_end(ground: Path, mode: str) -> None:
    script = "import os\nfor n in range(100000): os.write(1 + n % 2, b'%d\\n' % n)"

    async def body(bench: Bench) -> None:
        how, text = await bench.run(script)
        assert how.code == 0
        assert text == "".join(f"{number}\n" for number in range(100_000))

    del mode
    on(ground, body)


@pytest.mark.parametrize("cgroups", ["cgroups", "no cgroups"])
def test_stop_kills_a_grandchild_in_a_session_of_its_own(
    ground: Path, mode: str, cgroups: str, request: pytest.FixtureRequest
) -> None:
    if cgroups == "no cgroups":
        request.getfixturevalue("without_cgroups")
    marker = f"marker-{uuid.uuid4().hex}"

    async def body(bench: Bench) -> None:
        name = await bench.up(ORPHAN + SLEEP + f"\n'{marker}'")
        assert running(marker)
        await bench.sandbox.stop(name)
        assert running(marker) == []
        how, _ = await bench.run(ORPHAN + f"'{marker}'")
        assert how.code == 0
        assert running(marker) == []

    del mode
    on(ground, body)


def test_stop_is_idempotent_and_knows_no_unknown_name(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        name = await bench.up()
        await asyncio.gather(*(bench.sandbox.stop(name) for _ in range(3)))
        await bench.sandbox.stop(name)
        await bench.sandbox.stop("0" * 32)
        assert bench.recorder.exits(name) == [Exit(name, signal=signal.SIGKILL)]

    del mode
    on(ground, body)


def test_a_function_may_say_goodbye_within_its_grace(ground: Path, mode: str) -> None:
    bye = "lambda *_: (os.write(1, b'bye\\n'), sys.exit(7))"
    polite = f"import os, signal, sys\nsignal.signal(15, {bye})\n"

    async def body(bench: Bench) -> None:
        name = await bench.up(polite + SLEEP)
        await bench.sandbox.stop(name, grace_s=10)
        assert bench.recorder.text(name) == "up\nbye\n"
        assert bench.recorder.exits(name) == [Exit(name, code=7)]
        stubborn = await bench.up("import signal; signal.signal(15, signal.SIG_IGN)\n" + SLEEP)
        await bench.sandbox.stop(stubborn, grace_s=0.05)
        assert bench.recorder.exits(stubborn) == [Exit(stubborn, signal=signal.SIGKILL)]

    del mode
    on(ground, body)


@pytest.mark.parametrize("cgroups", ["cgroups", "no cgroups"])
def test_a_frozen_environment_stands_still_and_can_be_stopped(
    ground: Path, mode: str, cgroups: str, request: pytest.FixtureRequest
) -> None:
    if cgroups == "no cgroups":
        request.getfixturevalue("without_cgroups")
    ticker = "import time\nfor n in range(10**6): print(n, flush=True); time.sleep(0.005)"

    async def body(bench: Bench) -> None:
        name = await bench.up(ticker)
        await bench.sandbox.freeze(name, frozen=True)
        await quiet(bench, name)
        told = len(bench.recorder.text(name))
        await bench.sandbox.freeze(name, frozen=False)
        await bench.recorder.until(lambda: len(bench.recorder.text(name)) > told + 20)
        await bench.sandbox.freeze(name, frozen=True)
        await bench.sandbox.freeze(name, frozen=True)
        async with asyncio.timeout(PATIENCE_S):
            await bench.sandbox.stop(name)
        await bench.sandbox.freeze(name, frozen=True)

    del mode
    on(ground, body)


def test_an_environment_that_is_being_stopped_is_not_frozen(ground: Path, mode: str) -> None:
    """What is frozen after its SIGKILL would never die."""
    stubborn = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "for n in range(10**6): print(n, flush=True); time.sleep(0.005)"
    )

    async def body(bench: Bench) -> None:
        name = await bench.up(stubborn)
        stopping = asyncio.ensure_future(bench.sandbox.stop(name, 1.0))
        await asyncio.sleep(0)  # it begins
        await bench.sandbox.freeze(name, frozen=True)
        told = len(bench.recorder.text(name))
        await bench.recorder.until(lambda: len(bench.recorder.text(name)) > told + 20)
        await stopping

    del mode
    on(ground, body)


async def quiet(bench: Bench, name: str) -> None:
    """Wait until nothing was told for 20 of the ticker's periods."""
    async with asyncio.timeout(PATIENCE_S):
        told = -1
        while told != (told := len(bench.recorder.text(name))):
            await asyncio.sleep(0.1)


def test_twenty_start_at_once_and_close_leaves_none(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        names = await asyncio.gather(*(bench.up() for _ in range(20)))
        await bench.sandbox.close()
        assert all(len(bench.recorder.exits(name)) == 1 for name in names)

    del mode
    on(ground, body)


def test_a_start_that_is_given_up_leaves_nothing(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        for turns in range(12):
            starting = asyncio.ensure_future(bench.sandbox.start(bench.spec(SLEEP)))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    del mode
    on(ground, body)


def test_a_start_without_code_or_interpreter_fails_with_a_reason(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        with pytest.raises(SandboxError, match="none"):
            await bench.start(SLEEP, code="/none/code")
        with pytest.raises(SandboxError, match=r"dotnet8"):
            await bench.start(SLEEP, runtime="dotnet8")
        assert bench.recorder.told == {}

    del mode
    on(ground, body)


SERVER = """
import asyncio, sys
sys.path[:0] = {path!r}
from dataclasses import replace
from pathlib import Path
from e2e.sandboxes import process_bench as t
from lambda_home.sandboxes import process, process_tools
if {plain}:
    tools = process_tools.find_tools()
    process.find_tools = lambda: replace(tools, bwrap=None)
async def main():
    ground = Path({ground!r})
    sandbox = t.ProcessSandbox(t.place(ground), 1, t.NumberedEndpoints())
    bench = t.Bench(sandbox, t.Recorder(), t.NumberedEndpoints(), ground / "code")
    await sandbox.open(bench.recorder)
    name = await bench.up({script!r})
    await bench.recorder.until(lambda: "up" in bench.recorder.text(name))
    print("ready", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_nothing_survives_a_killed_server_and_the_next_start(ground: Path, mode: str) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    before = leftovers(0)
    program = SERVER.format(
        path=sys.path,
        plain=mode == "plain",
        ground=str(ground),
        script=ORPHAN.replace("os.environ.clear()", "") + SLEEP + f"\n'{marker}'",
    )
    server = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert server.stdout is not None
    with server, server.stdout:
        assert b"ready\n" in iter(server.stdout.readline, b"")
        assert running(marker)
        assert leftovers(server.pid) - before, "it has made what must be cleared away"
        server.kill()

    async def body(bench: Bench) -> None:
        await bench.ask("1")
        async with asyncio.timeout(PATIENCE_S):
            while running(marker):
                await asyncio.sleep(0.01)

    async def main() -> None:
        endpoints = NumberedEndpoints()
        sandbox = ProcessSandbox(place(ground), PORT, endpoints)
        bench = Bench(sandbox, Recorder(), endpoints, ground / "code")
        await sandbox.open(bench.recorder)
        await body(bench)
        await sandbox.close()

    asyncio.run(main())
    assert leftovers(server.pid) <= before
