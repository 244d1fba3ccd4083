"""Faults: rows 16 to 30 of the forty tests to survive, on the real server.

Where each of the forty rows is held ("here": this file; load, limits, crashes: test_contract_…):

row  what                                      test
 1   10,000 warm calls                         load; figures: bench
 2   50 cold functions at once                 load
 3   20 parallel calls of a cold Node function load; Python: test_invocations, parallel_first_calls
 4   reserved concurrency, 45 x 429            test_scaling, of_fifty_at_once
 5   reserved concurrency 0                    test_async, reserved_concurrency_of_0
 6   5,000 events                              test_async, a_burst_of_5000_events
 8   streams                                   load; figures: bench
10   1,000 functions                           load; unit/registry/test_paging
11   SIGKILL after a 202                       test_async, events_acknowledged_by_a_killed_server
12   SIGKILL during UpdateFunctionCode         crashes; unit/registry/test_crash
13   SIGKILL while environments run            crashes; test_process_life, nothing_survives;
                                               test_docker_life, dead_servers_containers
15   disk full                                 crashes; unit/packager/test_deployer, no_room
16   out of memory                             here; test_spares, the_memory_limit_of_a_spare
17   segmentation fault, os._exit(0)           test_invocations, a_runtime_that_dies
18   timeout                                   here; words: test_invocations, a_timeout_kills
19   slow init                                 here; unit/scheduler/test_pool, init_over_its_limit
20   init that raises                          here; types: test_invocations, init_errors_are_told
21   environment killed while idle             here
23   deletion during an invocation             test_invocations, a_deletion_during
24   update during an invocation               here; settings: test_invocations, an_update_during
25   three tries of an event                   test_async; unit/invoker/test_async_queue
29   clock jumps                               here; unit/scheduler/test_pool, time_that
30   client goes away                          here
31   hostile ZIPs                              tests/api/test_bad_input; unit/packager/test_archive
32-35 bad input and limits                     limits; tests/api/test_bad_input
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING, Any

import pytest
from fakes import HandTurnedClock
from fakes import until as until_async
from functions_under_test import NODE, PYTHON, create, invoke
from live import LiveServer, zip_of
from observing import containers, log_of, until, until_logged
from raw_http import dial, invocations, request
from unit.scheduler.stage import Stage, play

from lambda_home.sandboxes.process_table import is_zombie
from lambda_home.scheduler.scheduler import TICK_S

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

ACTOR = """
import os, time
calls = 0
def handler(event, context):
    global calls
    calls += 1
    print("begun", flush=True)
    time.sleep(event.get("seconds", 0))
    if event.get("eat"):
        held = bytearray(512 << 20)
        held[::4096] = b"x" * len(held[::4096])
    print("done")
    host = os.environ["AWS_LAMBDA_RUNTIME_API"]  # no other environment has it
    return {"calls": calls, "stream": context.log_stream_name, "host": host}
"""


@pytest.fixture
def client(server: LiveServer) -> LambdaClient:
    return server.client()


# ------------------------------------------------------------------ 16 to 21: environments that end


def test_row_16_out_of_memory_is_a_killed_runtime_and_the_next_call_a_cold_start(
    client: LambdaClient,
) -> None:
    name = create(client, ACTOR, Timeout=30)
    assert invoke(client, name, {}).payload["calls"] == 1
    killed = invoke(client, name, {"eat": True}, LogType="Tail")
    assert (killed.status, killed.error) == (200, "Unhandled")
    assert killed.payload == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {killed.request_id} Error: Runtime exited with error:"
        " signal: killed",
    }
    assert "Status: error\tError Type: Runtime.ExitError" in killed.log
    assert invoke(client, name, {}).payload["calls"] == 1


def test_row_18_a_timeout_comes_in_time_and_ends_its_own_environment_only(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, ACTOR, Timeout=2)
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(timed, client, name, {"seconds": 60})
        until_logged(server, name, "begun")
        good = invoke(client, name, {"seconds": 0.5})
        answer, seconds = late.result()
        assert answer.payload["errorMessage"].endswith("Task timed out after 2.00 seconds")
        assert answer.payload["errorType"] == "Sandbox.Timedout"
        after = invoke(client, name, {}).payload
        assert after["stream"] == good.payload["stream"]
    # A first call waits for its environment, which the limit does not count. Figures: bench.
    assert 2 <= seconds < 30


def timed(client: LambdaClient, name: str, event: Any) -> tuple[Any, float]:
    start = time.monotonic()
    return invoke(client, name, event), time.monotonic() - start


@pytest.mark.parametrize(
    ("kind", "runtime"),
    [
        pytest.param("process", NODE, marks=pytest.mark.process),
        pytest.param("docker", PYTHON, marks=pytest.mark.docker),
    ],
)
def test_row_19_init_over_its_limit_is_done_again_within_the_invocation(
    kind: str, runtime: Any
) -> None:
    python = """
import time
print("loading", flush=True)
time.sleep({ms} / 1000)
def handler(event, context):
    return context.get_remaining_time_in_millis()
"""
    node = """
console.log("loading");
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, {ms});
exports.handler = async (event, context) => context.getRemainingTimeInMillis();
"""
    source, text = python if runtime == PYTHON else node, ""
    for limit_ms in (600, 6000):  # on a busy machine the first may be over before it is loading
        load_ms = limit_ms * 3 // 2
        limit = {"LAMBDA_HOME_SANDBOX__INIT_TIMEOUT_MS": str(limit_ms)}
        with LiveServer("--sandbox", kind, "--ephemeral", environment=limit) as server:
            client = server.client()
            code = source.replace("{ms}", str(load_ms))
            name = create(client, code, Runtime=runtime, Timeout=30)
            answer = invoke(client, name, LogType="Tail")
            assert answer.error is None
            left = answer.payload
            assert left <= 30_000 - load_ms, "init is not counted against the function's timeout"
            init = re.search(r"\tInit Duration: ([\d.]+) ms", answer.log)
            assert init is not None
            assert load_ms <= float(init[1]) < 30_000
            text = until(lambda: reported(server, name), "no report")  # noqa: B023
            if text.count("loading") == 2:
                break
    assert text.count("loading") == 2


def reported(server: LiveServer, name: str) -> str:
    text = log_of(server, name)
    return text if "REPORT" in text else ""


@pytest.mark.parametrize(
    ("runtime", "source", "kind_"),
    [
        (PYTHON, "print('loading')\nraise KeyError('at import')\n", "KeyError"),
        (NODE, "console.log('loading'); throw new TypeError('at import');", "TypeError"),
    ],
)
def test_row_20_init_that_raises_is_told_once_and_not_tried_again(
    server: LiveServer, client: LambdaClient, runtime: Any, source: str, kind_: str
) -> None:
    name = create(client, source, Runtime=runtime, Timeout=30)
    for count in (1, 2):
        failed = invoke(client, name)
        assert (failed.status, failed.error) == (200, "Unhandled")
        assert failed.payload["errorType"] == kind_
        assert "at import" in failed.payload["errorMessage"]
        until_logged(server, name, f"REPORT RequestId: {failed.request_id}")
        assert len(re.findall(r"[ \t]loading\n", log_of(server, name))) == count


def test_row_21_an_environment_killed_while_idle_is_replaced_by_the_next_call(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, ACTOR, Timeout=30)
    for _ in range(3):
        before = invoke(client, name, {}).payload
        kill_from_outside(server, before["host"].partition(":")[0])
        answer, seconds = timed(client, name, {})
        assert (answer.error, answer.payload["calls"]) == (None, 1)
        assert answer.payload["stream"] != before["stream"]
        assert seconds < 25, "it waited for the timeout of the dead one"


def kill_from_outside(server: LiveServer, host: str) -> None:
    """Kill the environment with this host name; returns when it is dead and the server knows."""
    if server.facts["sandbox"].startswith("docker"):
        (found,) = (c["ID"] for c in containers(server) if knows(c["ID"], host))
        subprocess.run(["docker", "kill", found], check=True, capture_output=True)
    else:
        pids = carrying(host)
        assert pids, "no process has that host name"
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
        until(lambda: all(is_zombie(pid) for pid in pids), "it does not die")
    # By the time that this is answered the server has seen the lost connection, too.
    assert request(server, "GET", "/healthz")[0] == 200


def knows(container: str, host: str) -> bool:
    """Whether a container was made with this host name."""
    command = ["docker", "inspect", container]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return host in done.stdout  # empty for one that went meanwhile


def carrying(text: str) -> list[int]:
    """Processes with a text in their variables."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and text.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


# ------------------------------------------------------------------- 24, 30: what goes on meanwhile


def test_row_24_an_invocation_finishes_on_its_code_while_the_next_uses_the_new(
    server: LiveServer, client: LambdaClient
) -> None:
    source = """
import time
def handler(event, context):
    print("begun", flush=True)
    time.sleep(event["seconds"])
    from part import N
    return [N, {number}]
"""

    def package(number: int) -> bytes:
        handler = source.replace("{number}", str(number))
        return zip_of({"lambda_function.py": handler, "part.py": f"N = {number}"})

    waited = True
    for seconds in (2, 20):  # the first is too short where environments start slowly
        name = create(client, "", Timeout=30, Code={"ZipFile": package(1)})
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(invoke, client, name, {"seconds": seconds})
            until_logged(server, name, "begun")
            client.update_function_code(FunctionName=name, ZipFile=package(2))
            assert [invoke(client, name, {"seconds": 0}).payload for _ in range(3)] == [[2, 2]] * 3
            waited = running.done()
            assert running.result().payload == [1, 1], "it read a file of the new code"
        if not waited:
            break
    assert not waited, "the update waited for it"


def test_row_30_a_client_that_goes_away_neither_ends_its_invocation_nor_keeps_its_slot(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, ACTOR, Timeout=30)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    with dial(server) as caller:
        head = f"POST {invocations(name)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16\r\n\r\n"
        caller.sendall(head.encode() + b'{"seconds": 2.5}')
        until_logged(server, name, "begun")
    with pytest.raises(client.exceptions.TooManyRequestsException):
        invoke(client, name, {})
    text = until(lambda: reported(server, name), "it did not finish")
    assert re.search(r"START .*begun\n.*done\n.*END .*REPORT ", text, re.DOTALL)
    assert float(re.findall(r"\tDuration: ([\d.]+) ms", text)[0]) >= 2500
    assert invoke(client, name, {}).payload["calls"] == 2


# --------------------------------------------------------------------------------- 29: clock jumps

HOUR = 3600.0


@pytest.mark.parametrize("leap", [HOUR, -HOUR])
def test_row_29_a_leap_of_the_wall_clock_moves_no_deadline(leap: float) -> None:
    clock = HandTurnedClock()

    async def scene(stage: Stage) -> None:
        caller = stage.run("a")
        (runtime,) = await stage.runtimes()
        delivery = await runtime.next()
        assert delivery is not None
        assert delivery.deadline_ms == int((clock.now() + 3) * 1000)
        clock.leap(leap)
        clock.turn(2.9)
        await ticks()
        assert not caller.done(), "the leap was taken for time"
        clock.turn(0.2)
        await until_async(caller.done, "the timeout")
        assert (await caller).error_type == "Sandbox.Timedout"

    play(scene, clock=lambda: clock)


@pytest.mark.parametrize("leap", [HOUR, -HOUR])
def test_row_29_a_leap_of_the_wall_clock_neither_ends_nor_starts_environments(leap: float) -> None:
    clock = HandTurnedClock()

    async def scene(stage: Stage) -> None:
        runtime, poll = await stage.warm()
        clock.leap(leap)
        await ticks()
        assert stage.sandbox.verbs == ["start"], "nothing is frozen, stopped or started"
        caller = stage.run("b")
        delivery = await poll
        assert delivery is not None
        assert delivery.deadline_ms == int((clock.now() + 3) * 1000), "what the function reads"
        assert runtime.respond("b")
        assert (await caller).error_type is None
        assert stage.sandbox.verbs == ["start"]

    play(scene, clock=lambda: clock)


async def ticks() -> None:
    """Let the scheduler look at its clock a few times."""
    await asyncio.sleep(4 * TICK_S)
