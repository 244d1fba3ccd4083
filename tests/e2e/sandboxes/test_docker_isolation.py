"""The Docker sandbox against a real daemon: profile, limits and networks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from e2e.sandboxes.docker_bench import SETTINGS, SLEEP, Recorder, run_to_end, sandbox, spec

from lambda_home.sandboxes.docker import DockerSandbox

pytestmark = pytest.mark.docker

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


def test_runtime_api_is_reached_by_the_environments_own_host_name(client: Any) -> None:
    script = (
        "import http.client, os\n"
        "api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'], timeout=60)\n"
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
        "own = socket.create_connection(('127.0.0.1', 8080), 60)\n"
        "print('listening', socket.gethostbyname(socket.gethostname()), flush=True)\n"
        "while True: server.accept()"
    )
    reach = (
        "import os, socket\n"
        "try: socket.create_connection((os.environ['PEER'], 8080), 1); print('reached')\n"
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
        "deadline = time.monotonic() + 50\n"
        "def zombies():\n"
        "    return {p for p in os.listdir('/proc') if p.isdigit()} - {'1', str(os.getpid())}\n"
        "while zombies() and time.monotonic() < deadline: time.sleep(0.01)\n"
        "print('left', zombies())"
    )
    assert run_to_end(client, script).text.endswith(b"left set()\n")


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
