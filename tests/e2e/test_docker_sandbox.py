"""The Docker sandbox against a real daemon.

The image of these tests runs the Python source in its variable SCRIPT.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from lambda_home.config import DockerSettings
from lambda_home.sandboxes.base import Exit, SandboxError, SandboxSpec
from lambda_home.sandboxes.docker import DockerSandbox
from lambda_home.sandboxes.docker_daemon import connect, probe
from lambda_home.sandboxes.docker_profile import INSTANCE, OWNER, Owner

pytestmark = pytest.mark.docker

BASE = "lambda-home/base-python:bookworm"
IMAGE = "lambda-home/test-script:latest"
NETWORK = "lambda-home-test"
SETTINGS = DockerSettings(host="", network=NETWORK, allow_pull=False, images={})
PATIENCE_S = 30.0

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


@dataclass
class Recorder:
    """An observer that remembers what it was told, in order."""

    told: list[bytes | Exit] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def output(self, environment_id: str, chunk: bytes) -> None:
        del environment_id
        self.told.append(chunk)
        self.news.set()

    def exited(self, how: Exit) -> None:
        self.told.append(how)
        self.news.set()

    @property
    def text(self) -> bytes:
        return b"".join(item for item in self.told if isinstance(item, bytes))

    @property
    def exits(self) -> list[Exit]:
        return [item for item in self.told if isinstance(item, Exit)]

    async def until(self, condition: Callable[[Recorder], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition(self):
                self.news.clear()
                await self.news.wait()


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    try:
        client = connect("", timeout_s=30)
    except SandboxError as error:
        pytest.skip(str(error))
    if not client.images(name=BASE):
        client.close()
        pytest.skip("no base image: run `make base-images`")
    recipe = (
        f"FROM {BASE}\n"
        'ENTRYPOINT ["python3", "-u", "-c", "import os; exec(os.environ[\'SCRIPT\'])"]\n'
    ).encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        item = tarfile.TarInfo("Dockerfile")
        item.size = len(recipe)
        tar.addfile(item, io.BytesIO(recipe))
    context.seek(0)
    lines = client.build(fileobj=context, custom_context=True, tag=IMAGE, rm=True, decode=True)
    assert not [line for line in lines if "error" in line]
    yield client
    client.remove_image(IMAGE)
    for network in client.networks(names=[NETWORK]):
        client.remove_network(network["Id"])
    client.close()


def spec(script: str, **changes: Any) -> SandboxSpec:
    id_ = uuid.uuid4().hex
    values: dict[str, Any] = {
        "id": id_,
        "host": f"t{id_}.lambda-home.internal",
        "runtime": "python3.11",
        "code": IMAGE,
        "environment": {"SCRIPT": script, "PATH": "/usr/bin:/bin"},
        "memory_mb": 256,
        "tmp_mb": 64,
        "labels": {"function": "Upper_CASE", "version": "$LATEST"},
    }
    return SandboxSpec(**{**values, **changes})


@asynccontextmanager
async def sandbox(client: Any) -> AsyncIterator[tuple[DockerSandbox, Recorder]]:
    docker_sandbox, recorder = DockerSandbox(client, SETTINGS, "test"), Recorder()
    await docker_sandbox.open(recorder)
    try:
        yield docker_sandbox, recorder
    finally:
        await docker_sandbox.close()
    assert ours(client) == []


def ours(client: Any) -> list[Any]:
    found: list[Any] = client.containers(all=True, filters={"label": f"{INSTANCE}=test"})
    return found


def run_to_end(client: Any, script: str, **changes: Any) -> Recorder:
    async def main() -> Recorder:
        async with sandbox(client) as (box, recorder):
            await box.start(spec(script, **changes))
            await recorder.until(lambda told: told.exits)
            return recorder

    return asyncio.run(main())


FACTS = """
import json, os, resource
def first(*paths):
    for path in paths:
        if os.path.exists(path):
            return open(path).read().strip()
def refused(action):
    try: action()
    except OSError as error: return error.strerror
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
tmp, cg = os.statvfs("/tmp"), "/sys/fs/cgroup/"
open("/tmp/run.sh", "w").write("#!/bin/sh\\nexit 7\\n")
os.chmod("/tmp/run.sh", 0o755)
mounts = [line.split() for line in open("/proc/mounts")]
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "caps": [int(status[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privs": status["NoNewPrivs"], "seccomp": status["Seccomp"],
    "write_root": refused(lambda: open("/x", "w")),
    "write_task": refused(lambda: open("/var/task/x", "w")),
    "root_options": next(m[3] for m in mounts if m[1] == "/").split(",")[0],
    "tmp_mb": tmp.f_blocks * tmp.f_frsize >> 20, "tmp_mode": oct(os.stat("/tmp").st_mode & 0o7777),
    "tmp_options": next(m[3] for m in mounts if m[1] == "/tmp").split(","),
    "tmp_exec": os.waitstatus_to_exitcode(os.system("/tmp/run.sh")),
    "memory": first(cg + "memory/memory.limit_in_bytes", cg + "memory.max"),
    "memory_and_swap": first(cg + "memory/memory.memsw.limit_in_bytes"),
    "swap": first(cg + "memory.swap.max"),
    "pids": first(cg + "pids/pids.max", cg + "pids.max"),
    "cpu": first(cg + "cpu/cpu.shares", cg + "cpu,cpuacct/cpu.shares", cg + "cpu.weight"),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "docker": os.path.exists("/var/run/docker.sock") or os.path.exists("/run/docker.sock"),
    "hostname": os.uname().nodename, "api": os.environ["AWS_LAMBDA_RUNTIME_API"],
}))
"""


def test_environment_has_the_isolation_profile(client: Any) -> None:
    facts = json.loads(run_to_end(client, FACTS, memory_mb=884).text)
    assert (facts["uid"], facts["gid"]) == (1000, 1000)
    assert 0 not in facts["groups"]
    assert facts["caps"] == [0, 0, 0, 0, 0]
    assert facts["no_new_privs"] == "1"
    assert facts["seccomp"] == "2"
    assert facts["write_root"] == facts["write_task"] == "Read-only file system"
    assert facts["root_options"] == "ro"
    assert facts["tmp_mb"] == 64
    assert facts["tmp_mode"] == "0o1777"
    assert {"nosuid", "nodev"} <= set(facts["tmp_options"])
    assert facts["tmp_exec"] == 7
    assert facts["memory"] == str(884 << 20)
    assert facts["memory_and_swap"] in {None, str(884 << 20)}
    assert facts["swap"] in {None, "0"}
    assert facts["pids"] == "1024"
    # cgroup v1 shows the shares, v2 the weight that Docker makes of them
    assert int(facts["cpu"]) in {511, 1 + (511 - 2) * 9999 // 262142}
    assert facts["nofile"] == [1024, 1024]
    assert facts["docker"] is False
    assert facts["hostname"] == "sandbox"


def test_output_of_both_streams_comes_before_the_exit(client: Any) -> None:
    script = (
        "import os, sys; os.dup2(1, 2)\n"  # as our bootstraps do
        "for n in range(20000): print(n)\n"
        "sys.stdout.flush(); print('last', file=sys.stderr); sys.exit(3)"
    )
    recorder = run_to_end(client, script)
    assert recorder.text == b"".join(b"%d\n" % n for n in range(20000)) + b"last\n"
    assert isinstance(recorder.told[-1], Exit)
    assert recorder.exits == [Exit(recorder.exits[0].id, code=3)]


def test_exit_without_output_is_told(client: Any) -> None:
    assert run_to_end(client, "pass").exits[0].code == 0


def test_function_that_closes_its_output_is_watched_until_it_ends(client: Any) -> None:
    script = "import os, time; os.close(1); os.close(2); time.sleep(0.5); os._exit(5)"
    assert run_to_end(client, script).exits[0].code == 5


@pytest.mark.parametrize("number", [6, 9, 11])
def test_death_by_a_signal_is_told_as_that_signal(client: Any, number: int) -> None:
    how = run_to_end(client, f"import os; os.kill(os.getpid(), {number})").exits[0]
    assert (how.code, how.signal, how.out_of_memory) == (None, number, False)


def test_exhausted_memory_is_told(client: Any) -> None:
    how = run_to_end(client, "x = b'x' * (400 << 20)", memory_mb=128).exits[0]
    assert (how.code, how.signal, how.out_of_memory) == (None, 9, True)


def test_peak_memory_is_known(client: Any) -> None:
    async def main() -> None:
        async with sandbox(client) as (box, recorder):
            one = spec("x = b'x' * (100 << 20); del x; " + SLEEP)
            await box.start(one)
            await recorder.until(lambda told: b"up" in told.text)
            assert 100 <= box.peak_memory_mb(one.id) <= 256
            assert box.peak_memory_mb("unknown") == 0

    asyncio.run(main())


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
            await asyncio.sleep(0.1)  # what was on its way may arrive
            before = recorder.text
            await asyncio.sleep(0.3)
            assert recorder.text == before
            await box.freeze(one.id, frozen=False)
            await recorder.until(lambda told: told.text != before)

    asyncio.run(main())


def test_runtime_api_is_reached_by_the_environments_own_host_name(client: Any) -> None:
    script = (
        "import http.client, os\n"
        "api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'], timeout=10)\n"
        "api.request('GET', '/hello'); print(api.getresponse().status)"
    )
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async def main() -> None:
        async with sandbox(client) as (box, recorder):
            server = await asyncio.start_server(answer, box.gateway_address(), 0)
            async with server:
                box.runtime_api_port = server.sockets[0].getsockname()[1]
                one = spec(script)
                await box.start(one)
                await recorder.until(lambda told: told.exits)
            assert recorder.text == b"204\n"
            assert f"Host: {one.host}:{box.runtime_api_port}\r\n".encode() in heads[0]

    asyncio.run(main())


def test_environments_cannot_reach_each_other(client: Any) -> None:
    listen = (
        "import socket\n"
        "server = socket.create_server(('0.0.0.0', 8080))\n"
        "own = socket.create_connection(('127.0.0.1', 8080), 2)\n"
        "print('listening', socket.gethostbyname(socket.gethostname()), flush=True)\n"
        "while True: server.accept()"
    )
    reach = (
        "import os, socket\n"
        "try: socket.create_connection((os.environ['PEER'], 8080), 2); print('reached')\n"
        "except OSError as error: print('refused', type(error).__name__)"
    )

    async def main() -> None:
        async with sandbox(client) as (box, recorder):
            await box.start(spec(listen))
            await recorder.until(lambda told: b"\n" in told.text)
            peer = recorder.text.split()[1].decode()
            environment = {"SCRIPT": reach, "PEER": peer, "PATH": "/usr/bin:/bin"}
            await box.start(spec("", environment=environment))
            await recorder.until(lambda told: told.exits)
            assert recorder.text.endswith(b"refused TimeoutError\n")

    asyncio.run(main())


def test_zombies_are_reaped(client: Any) -> None:
    script = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    child = os.fork()\n"
        "    if child: print(child, flush=True); os._exit(0)\n"
        "    os._exit(0)\n"
        "os.wait(); orphan = None\n"
        "deadline = time.monotonic() + 10\n"
        "def zombies():\n"
        "    return {p for p in os.listdir('/proc') if p.isdigit()} - {'1', str(os.getpid())}\n"
        "while zombies() and time.monotonic() < deadline: time.sleep(0.01)\n"
        "print('left', zombies())"
    )
    assert run_to_end(client, script).text.endswith(b"left set()\n")


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


def test_foreign_network_of_that_name_is_left_alone(client: Any) -> None:
    name = "lambda-home-test-foreign"
    client.create_network(name, driver="bridge")
    settings = SETTINGS.model_copy(update={"network": name})

    async def main() -> None:
        box = DockerSandbox(client, settings, "test")
        await box.open(Recorder())
        await box.close()

    try:
        asyncio.run(main())
        found = {network["Name"]: network for network in client.networks(names=[name])}
        assert found[name]["Options"] == {}
        options = found[f"{name}-2"]["Options"]
        assert options["com.docker.network.bridge.enable_icc"] == "false"
    finally:
        for network in client.networks(names=[name]):
            client.remove_network(network["Id"])


def test_probe_says_why(client: Any) -> None:
    assert probe("", lambda found: found.inspect_image(IMAGE))[0] is True
    assert client.ping()

    def none(_: Any) -> None:
        raise SandboxError("no base image")

    assert probe("", none) == (False, "no base image")
    nowhere = f"unix:///nonexistent-{os.getpid()}.sock"
    assert probe(nowhere, none) == (False, f"no Docker daemon answers at {nowhere}")
