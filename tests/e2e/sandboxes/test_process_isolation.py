"""The process sandbox for real: who a function is, what it sees, and its limits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from e2e.sandboxes.process_bench import AS_ROOT, PORT, SLEEP, Bench, cgroups_here, on

from lambda_home.sandboxes.base import Exit
from lambda_home.sandboxes.process_tools import find_tools

pytestmark = pytest.mark.process

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


def _code(bench: Bench, code: int) -> Exit:
    return Exit(next(reversed(bench.recorder.told)), code=code)


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
