"""The process sandbox for real, in bubblewrap and without it.

The runtime of these tests runs the Python source in its variable SCRIPT.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lambda_home.sandboxes import process, process_cgroups, process_table
from lambda_home.sandboxes.base import Exit, SandboxError, SandboxSpec
from lambda_home.sandboxes.interpreters import Search
from lambda_home.sandboxes.process import Place, ProcessSandbox
from lambda_home.sandboxes.process_tools import find_tools
from lambda_home.sandboxes.task_folders import TaskFolders

pytestmark = pytest.mark.process

PATIENCE_S = 30.0
PORT = 9001
AS_ROOT = os.geteuid() == 0
SLEEP = "print('up', flush=True)\nimport time\ntime.sleep(600)"
BOOTSTRAP = """#!/bin/sh
python=/var/lang/bin/python3
[ -x "$python" ] || python=python3
exec "$python" -S -c "$SCRIPT"
"""
ORPHAN = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.environ.clear()
        print("orphan", flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
"""


@dataclass
class Recorder:
    """An observer that remembers what it was told of each environment, in order."""

    told: dict[str, list[bytes | Exit]] = field(default_factory=lambda: defaultdict(list))
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def output(self, environment_id: str, chunk: bytes) -> None:
        self.told[environment_id].append(chunk)
        self.news.set()

    def exited(self, how: Exit) -> None:
        self.told[how.id].append(how)
        self.news.set()

    def text(self, environment_id: str) -> str:
        chunks = [item for item in self.told[environment_id] if isinstance(item, bytes)]
        return b"".join(chunks).decode()

    def exits(self, environment_id: str) -> list[Exit]:
        return [item for item in self.told[environment_id] if isinstance(item, Exit)]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def end_of(self, environment_id: str) -> Exit:
        await self.until(lambda: self.exits(environment_id))
        return self.exits(environment_id)[0]


class NumberedEndpoints:
    """Addresses that nobody listens at; remembers which are open."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    async def open(self, environment_id: str) -> str:
        self.opened.append(environment_id)
        return f"127.0.0.1:{20_000 + len(self.opened)}"

    async def close(self, environment_id: str) -> None:
        if environment_id in self.opened:
            self.opened.remove(environment_id)


@dataclass
class Bench:
    """An open sandbox with its observer and a folder of code."""

    sandbox: ProcessSandbox
    recorder: Recorder
    endpoints: NumberedEndpoints
    code: Path

    def spec(self, script: str, **changes: Any) -> SandboxSpec:
        environment = {"SCRIPT": script, "PATH": "/usr/bin:/bin", "LAMBDA_TASK_ROOT": "/var/task"}
        environment |= changes.pop("environment", {})
        name = uuid.uuid4().hex
        spec = SandboxSpec(
            name, f"{name}.test", "python3.11", str(self.code), environment, 256, 16, {}
        )
        return replace(spec, **changes)

    async def start(self, script: str, **changes: Any) -> str:
        spec = self.spec(script, **changes)
        await self.sandbox.start(spec)
        return spec.id

    async def up(self, script: str = SLEEP, **changes: Any) -> str:
        """Start and wait for the first line."""
        name = await self.start(script, **changes)
        await self.recorder.until(lambda: "\n" in self.recorder.text(name))
        return name

    async def run(self, script: str, **changes: Any) -> tuple[Exit, str]:
        name = await self.start(script, **changes)
        how = await self.recorder.end_of(name)
        return how, self.recorder.text(name)

    async def ask(self, expression: str, **changes: Any) -> Any:
        """The value of a Python expression inside."""
        imports = "import ctypes, glob, json, os, pathlib, resource, socket, sys"
        script = f"{imports}\nprint(json.dumps({expression}))"
        how, text = await self.run(script, **changes)
        assert how.code == 0, (how, text)
        return json.loads(text)


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that every user may read, with code and the runtime of these tests."""
    folder = Path(tempfile.mkdtemp(prefix="lambda-home-test-"))
    folder.chmod(0o755)
    for name in ("code", "runtimes", "runtimes/python", "libraries"):
        (folder / name).mkdir()
    (folder / "code" / "app.py").write_text("answer = 42\n")
    (folder / "runtimes" / "python" / "bootstrap").write_text(BOOTSTRAP)
    (folder / "libraries" / "boto3.py").write_text("answer = 43\n")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["bwrap", "plain"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    tools = find_tools()
    if request.param == "bwrap" and tools.bwrap is None:
        pytest.skip("bubblewrap does not work here")
    if request.param == "plain":
        monkeypatch.setattr(process, "find_tools", lambda: replace(tools, bwrap=None))
    return str(request.param)


@pytest.fixture
def without_cgroups(monkeypatch: pytest.MonkeyPatch) -> None:
    none = process_cgroups.Cgroups(0, {}, "none for this test")
    monkeypatch.setattr(process, "discover", lambda: none)


def cgroups_here() -> process_cgroups.Cgroups:
    """What can be used on this machine; leaves nothing made."""
    found = process_cgroups.discover()
    found.close()
    return found


def place(ground: Path) -> Place:
    """Interpreters that any user may run: the system's."""
    search = Search((Path("/usr/bin"), Path("/usr/local/bin")), Path("/none"), Path("/none"))
    tasks = TaskFolders(ground / "tasks")
    return Place(ground / "runtimes", ground / "libraries", search, tasks)


@asynccontextmanager
async def opened(ground: Path) -> AsyncIterator[Bench]:
    """A sandbox that must have left nothing behind when it is closed."""
    before = leftovers(os.getpid())
    endpoints = NumberedEndpoints()
    bench = Bench(
        ProcessSandbox(place(ground), PORT, endpoints), Recorder(), endpoints, ground / "code"
    )
    await bench.sandbox.open(bench.recorder)
    try:
        yield bench
    finally:
        await bench.sandbox.close()
    assert leftovers(os.getpid()) <= before
    assert endpoints.opened == []
    for name, told in bench.recorder.told.items():
        exits = [number for number, item in enumerate(told) if isinstance(item, Exit)]
        assert exits == [len(told) - 1], f"one exit, after all output, of {name}"


def leftovers(server: int) -> set[str]:
    """Control groups and temporary folders of a server; our own descriptors and children."""
    bases = cgroups_here().bases.values()
    found = {str(folder) for base in bases if base.exists() for folder in base.glob(f"{server}.*")}
    found |= {str(path) for path in Path(tempfile.gettempdir()).glob(f"lambda-home-tmp-{server}.*")}
    found |= {f"child {pid}" for pid in process_table.children(os.getpid())}
    # Numbered: fewer than before are no leftovers, other tests' connections close meanwhile.
    return found | {f"descriptor {n}" for n, _ in enumerate(Path("/proc/self/fd").iterdir())}


def on(ground: Path, body: Callable[[Bench], Any]) -> Any:
    async def main() -> Any:
        async with opened(ground) as bench:
            return await body(bench)

    return asyncio.run(main())


# ------------------------------------------------------------------------------------- who it is


def test_a_function_is_nobody_and_can_become_nobody_else(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        status = dict(
            line.split(":\t", 1)
            for line in await bench.ask("open('/proc/self/status').read().splitlines()")
            if ":\t" in line
        )
        assert "0" not in status["Uid"].split()
        assert "0" not in status["Gid"].split()
        assert status["NoNewPrivs"] == "1"
        sets = ("CapEff", "CapPrm", "CapInh", "CapAmb") + (("CapBnd",) if AS_ROOT else ())
        assert {int(status[name], 16) for name in sets} == {0}
        if AS_ROOT:
            assert status["Groups"].strip() in {"", status["Gid"].split()[0]}

    del mode
    on(ground, body)


@pytest.mark.skipif(not AS_ROOT, reason="only root can give each environment a user of its own")
def test_each_environment_is_another_user_on_the_host(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        script = "import os; print(os.getuid(), flush=True); import time; time.sleep(600)"
        names = await asyncio.gather(*(bench.up(script) for _ in range(20)))
        uids = {int(bench.recorder.text(name)) for name in names}
        assert len(uids) == 20
        assert 0 not in uids

    del mode
    on(ground, body)


def test_the_environment_holds_nothing_of_the_host(
    ground: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_SECRET", "swordfish")

    async def body(bench: Bench) -> None:
        odd = {"SECONDS": "7", "VALUE": 'it\'s\n$HOME `id` \\ "x" é'}
        variables = await bench.ask("dict(os.environ)", environment=odd)
        assert "swordfish" not in json.dumps(variables)
        assert {name: variables.get(name) for name in odd} == odd
        known = {"SCRIPT", "PATH", "PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE", *odd}
        known |= {"LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "AWS_LAMBDA_RUNTIME_API"}
        known |= {"TMPDIR", "PYTHONPATH", "_LAMBDA_HOME_ENVIRONMENT"} if mode == "plain" else set()
        assert set(variables) <= known

    on(ground, body)


def test_variables_of_a_function_load_no_code_into_privileged_programs(
    ground: Path, mode: str
) -> None:
    """The loader complains about a library that is not there, once a program."""

    async def body(bench: Bench) -> None:
        script = "import os; print(os.environ['LD_PRELOAD'])"
        _, text = await bench.run(script, environment={"LD_PRELOAD": "/var/task/none.so"})
        *complaints, last = text.splitlines()
        assert last == "/var/task/none.so"
        assert len(complaints) <= 2, "only the shell of the bootstrap, and Python"

    del mode
    on(ground, body)


def test_only_the_standard_descriptors_are_open(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        names = await bench.ask("sorted(os.listdir('/proc/self/fd'), key=int)")
        assert names == ["0", "1", "2", "3"], "3 is the listing itself"

    del mode
    on(ground, body)


# ---------------------------------------------------------------------------------- what it sees


def test_code_is_read_only_and_the_working_folder(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        assert (
            await bench.ask("[os.getcwd(), os.environ['LAMBDA_TASK_ROOT']]")
            == ["/var/task" if mode == "bwrap" else str(bench.code)] * 2
        )
        assert await bench.ask("open('app.py').read()") == "answer = 42\n"
        if mode == "bwrap" or AS_ROOT:
            how, text = await bench.run("open('new.txt', 'w')")
            assert how.code == 1
            assert "Read-only" in text or "Permission denied" in text

    on(ground, body)


def test_libraries_of_the_runtime_are_found(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        folder = {"PYTHONPATH": "/var/runtime"} if mode == "bwrap" else {}
        assert await bench.ask("__import__('boto3').answer", environment=folder) == 43

    on(ground, body)


def test_bubblewrap_shows_no_file_of_the_host(ground: Path) -> None:
    if find_tools().bwrap is None:
        pytest.skip("bubblewrap does not work here")

    async def body(bench: Bench) -> None:
        top = await bench.ask("sorted(os.listdir('/'))")
        allowed = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "sbin"}
        assert set(top) <= allowed | {"tmp", "usr", "var"}
        assert await bench.ask("os.path.exists(sys.argv[0] or '/none')") is False
        assert await bench.ask(f"os.path.exists({str(ground)!r})") is False
        assert await bench.ask("[sorted(os.listdir('/var')), os.listdir('/opt')]") == [
            ["lang", "runtime", "task"],
            [],
        ]
        assert await bench.ask("sorted(os.listdir('/var/runtime'))") == ["bootstrap", "boto3.py"]
        passwd = await bench.ask("open('/etc/passwd').read()")
        assert "sbx_user1051" in passwd
        assert len(passwd.splitlines()) <= 2
        for path in ("/etc/x", "/etc/hosts", "/var/x", "/opt/x", "/usr/x", "/x", "/var/lang/x"):
            how, text = await bench.run(f"open({path!r}, 'a')")
            assert how.code == 1, (path, text)

    on(ground, body)


def test_bubblewrap_names_the_environment_in_its_hosts_file(ground: Path) -> None:
    if find_tools().bwrap is None:
        pytest.skip("bubblewrap does not work here")

    async def body(bench: Bench) -> None:
        spec = bench.spec("")
        ask = f"[socket.gethostbyname({spec.host!r}), os.environ['AWS_LAMBDA_RUNTIME_API']]"
        script = f"import json, os, socket; print(json.dumps({ask}), socket.gethostname())"
        await bench.sandbox.start(replace(spec, environment={**spec.environment, "SCRIPT": script}))
        await bench.recorder.end_of(spec.id)
        text = bench.recorder.text(spec.id)
        assert json.loads(text.rpartition(" ")[0]) == ["127.0.0.1", f"{spec.host}:{PORT}"]
        assert socket.gethostname() not in text.rpartition(" ")[2].split()

    on(ground, body)


def test_tmp_is_private_and_has_its_size(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        where = "os.environ.get('TMPDIR', '/tmp')"
        writer = f"import os\nprint(open({where} + '/mine', 'w').write('x'), flush=True)\n{SLEEP}"
        first = await bench.up(writer)
        assert await bench.ask(f"os.path.exists({where} + '/mine')") is False
        if mode == "bwrap":
            how, text = await bench.run("open('/tmp/big', 'wb').write(bytes(17 << 20))")
            assert how.code == 1
            assert "No space left" in text
            assert await bench.ask("open('/tmp/fits', 'wb').write(bytes(15 << 20))") == 15 << 20
        await bench.sandbox.stop(first)

    on(ground, body)


def test_other_processes_are_out_of_reach(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        await bench.up(SLEEP)
        if mode == "bwrap":
            numbers = await bench.ask("[p for p in os.listdir('/proc') if p.isdecimal()]")
            assert len(numbers) <= 3, "the namespace's own init, perhaps a shell, and Python"
        if mode == "bwrap" or AS_ROOT:
            how, text = await bench.run(f"import os; os.kill({os.getpid()}, 0)")
            assert how.code == 1
            assert "ProcessLookupError" in text or "PermissionError" in text

    on(ground, body)


# ---------------------------------------------------------------------------------------- limits


def test_the_1025th_descriptor_is_denied(ground: Path, mode: str) -> None:
    script = "import os\ntry:\n while 1: n = os.dup(0)\nexcept OSError as e: print(n, e.errno)"

    async def body(bench: Bench) -> None:
        assert await bench.run(script) == (_code(bench, 0), "1023 24\n")

    del mode
    on(ground, body)


def test_no_core_is_dumped(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        assert await bench.ask("resource.getrlimit(resource.RLIMIT_CORE)") == [0, 0]

    del mode
    on(ground, body)


@pytest.mark.slow
def test_a_fork_bomb_is_bounded_and_cleared_away(ground: Path, mode: str) -> None:
    script = (
        "import os, time\nn = 0\ntry:\n"
        " while n < 1500:\n  if os.fork() == 0: time.sleep(600)\n  n += 1\n"
        "except BlockingIOError: pass\nprint(n, flush=True)"
    )

    async def body(bench: Bench) -> None:
        how, text = await bench.run(script, memory_mb=4096)
        assert how.code == 0
        assert 900 < int(text) <= 1024

    if mode == "plain" and not AS_ROOT and not cgroups_here().bases:
        pytest.skip("an ordinary user's processes cannot be counted apart")
    on(ground, body)


HOG = "x = []\nfor _ in range(400): x.append(b'x' * (1 << 20))\nprint('survived')"


def test_too_much_memory_ends_as_out_of_memory(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        how, text = await bench.run(HOG, memory_mb=128)
        assert "survived" not in text
        assert (how.signal, how.out_of_memory) == (signal.SIGKILL, True)
        how, text = await bench.run(HOG, memory_mb=1024)
        assert (how.code, how.out_of_memory) == (0, False)

    del mode
    if not cgroups_here().bases:
        pytest.skip("no control group is writable here")
    on(ground, body)


@pytest.mark.usefixtures("without_cgroups")
def test_memory_is_watched_where_the_kernel_does_not_limit_it(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        script = "x = b'x' * (200 << 20)\n" + SLEEP
        how, _ = await bench.run(script, memory_mb=128)
        assert (how.signal, how.out_of_memory) == (signal.SIGKILL, True)

    del mode
    on(ground, body)


def test_a_child_killed_for_memory_is_not_the_end_of_the_environment(
    ground: Path, mode: str
) -> None:
    script = (
        "import os\npid = os.fork()\n"
        "if pid == 0:\n x = []\n while 1: x.append(b'x' * (1 << 20))\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )

    async def body(bench: Bench) -> None:
        how, text = await bench.run(script, memory_mb=128)
        assert text == "-9\n"
        assert (how.code, how.out_of_memory) == (0, False)

    del mode
    if cgroups_here().version != 1:
        pytest.skip("version 2 kills the group as a whole")
    on(ground, body)


def test_peak_memory_is_told(ground: Path, mode: str) -> None:
    async def body(bench: Bench) -> None:
        name = await bench.up(f"x = b'x' * (100 << 20)\n{SLEEP}")
        assert 100 <= bench.sandbox.peak_memory_mb(name) <= 200
        await bench.sandbox.stop(name)
        assert bench.sandbox.peak_memory_mb(name) == 0

    del mode
    on(ground, body)


# -------------------------------------------------------------------------------------- the end


def _code(bench: Bench, code: int) -> Exit:
    return Exit(next(reversed(bench.recorder.told)), code=code)


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


def running(marker: str) -> list[int]:
    """Processes with this text in their command line, and not zombies."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return [pid for pid in found if not process_table.is_zombie(pid)]


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
        async with asyncio.timeout(10):
            await bench.sandbox.stop(name)
        await bench.sandbox.freeze(name, frozen=True)

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
        with pytest.raises(SandboxError, match=r"ruby3\.3"):
            await bench.start(SLEEP, runtime="ruby3.3")
        assert bench.recorder.told == {}

    del mode
    on(ground, body)


SERVER = """
import asyncio, sys
sys.path[:0] = {path!r}
import test_process_sandbox as t
from dataclasses import replace
from pathlib import Path
if {plain}:
    tools = t.find_tools()
    t.process.find_tools = lambda: replace(tools, bwrap=None)
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
        path=[str(Path(__file__).parent), *sys.path],
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
