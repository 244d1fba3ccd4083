"""Restarts: drained under load, after a power cut, and servers that go on for long.

Rows 9 and 14 of the forty tests to survive; test_contract_crashes holds rows 11 to 13 and 15.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING

import power_cut
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
)
from functions_under_test import QUICK_WAITER, create, invoke
from live import LiveServer, steady_port, zip_of
from observing import until

from lambda_home.sandboxes.process_table import descendants

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

ECHO = "import time\ndef handler(event, context):\n    time.sleep(0.01)\n    return event\n"
SLEEP = """
import time
def handler(event, context):
    time.sleep(2)
    return "slept"
"""


# -------------------------------------------------------------------------- drained under load


_NOT_ACCEPTED = (EndpointConnectionError, ConnectionClosedError)


class Callers:
    """Call a function without end, each with its own numbers, and reconnect where nobody listens.

    Not accepted are requests whose connection was refused, or closed while they were on their way
    (RFC 9112, 9.6).
    """

    def __init__(self, clients: Sequence[LambdaClient], name: str) -> None:
        self._name = name
        self._ended = threading.Event()
        self.answered = 0
        self.wrong: list[str] = []
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(len(clients))
        self._calls = [self._pool.submit(self._call, client) for client in clients]

    def stop(self) -> None:
        self._ended.set()
        self._pool.shutdown()
        for call in self._calls:
            call.result()

    def _call(self, client: LambdaClient) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            event = {"caller": id(client), "number": number}
            try:
                answer = invoke(client, self._name, event)
            except _NOT_ACCEPTED:
                time.sleep(0.02)  # until the next server listens
                continue
            except (BotoCoreError, ClientError) as error:
                with self._lock:
                    self.wrong.append(repr(error))
                continue
            with self._lock:
                self.answered += 1
                if answer.payload != event or answer.error:
                    self.wrong.append(repr(answer.payload))


def until_served(callers: Callers) -> None:
    before = callers.answered
    until(lambda: callers.answered > before + 50, "nobody is served")


def stopped_while_asleep(server: LiveServer, sleeper: str) -> None:
    """Stop a server while it is in the middle of requests; each of them must be answered."""
    client = server.client()
    invoke(client, sleeper)  # it is warm, and this connection is open
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(invoke, client, sleeper) for _ in range(3)]
        time.sleep(1)  # sent long ago, and not answered yet
        assert server.stop() == 0, "".join(server.output)
        assert [call.result().payload for call in calls] == ["slept"] * 3


@pytest.mark.slow
def test_a_restart_under_load_fails_no_request_that_was_accepted(tmp_path: Path) -> None:
    port = ("--port-user-api", str(steady_port()))
    flags = ("--sandbox", "process", "--data-dir", str(tmp_path / "data"), *port)
    with LiveServer(*flags) as first:
        name = create(first.client(), ECHO)
        sleeper = create(first.client(), SLEEP, Timeout=20)
        callers = Callers([first.client() for _ in range(6)], name)
        until_served(callers)
        stopped_while_asleep(first, sleeper)
    try:
        for _ in range(2):
            with LiveServer(*flags) as server:
                until_served(callers)
                stopped_while_asleep(server, sleeper)
    finally:
        callers.stop()
    assert callers.answered > 150
    assert not callers.wrong, callers.wrong[:3]
    # What was on its way when its connection closed has not been run either: nobody waits for it.
    log = (tmp_path / f"data/logs/000000000000/us-east-1/aws/lambda/{name}.log").read_text()
    assert log.count(" START RequestId: ") == callers.answered


# ---------------------------------------------------------------------------- 14: a power cut


@pytest.mark.slow
@pytest.mark.needs("cc")
def test_row_14_after_a_power_cut_nothing_acknowledged_is_missing(tmp_path: Path) -> None:
    data, synced = tmp_path / "data", tmp_path / "synced"
    synced.mkdir()
    environment = {
        "LD_PRELOAD": str(power_cut.build(tmp_path)),
        "SYNCED_BELOW": f"{data}/",
        "SYNCED_TO": str(synced),
    }
    acknowledged: list[str] = []
    server = LiveServer("--sandbox", "process", "--data-dir", str(data), environment=environment)
    with server:
        client = server.client()
        name = create(client, "def handler(event, context):\n    return 'kept'\n")
        # One at a time, for long: what else is accepted waits.
        waiting = create(client, "import time\ndef handler(event, context):\n    time.sleep(60)\n",
                         Timeout=60)  # fmt: skip
        client.put_function_concurrency(FunctionName=waiting, ReservedConcurrentExecutions=1)

        def send() -> None:
            while True:
                try:
                    answer = invoke(client, waiting, {}, InvocationType="Event")
                except (BotoCoreError, ClientError):
                    return
                acknowledged.append(answer.request_id)

        with ThreadPoolExecutor(4) as pool:
            senders = [pool.submit(send) for _ in range(4)]
            until(lambda: len(acknowledged) > 60, "no events are accepted")
            client.update_function_code(
                FunctionName=name,
                ZipFile=zip_of({"lambda_function.py": "def handler(e, c):\n    return 'new'\n"}),
            )
            server.stop(SIGKILL)
            for sender in senders:
                sender.result()
    after = tmp_path / "after"
    power_cut.rebuilt(synced, data, after)
    with closing(sqlite3.connect(after / "lhome.db")) as database:
        kept = {row[0] for row in database.execute("SELECT request_id FROM events")}
    missing = set(acknowledged) - kept
    assert not missing, f"{len(missing)} of {len(acknowledged)} accepted events are lost"
    # What sleeps need not end well.
    hasty = {"LAMBDA_HOME_SERVER__SHUTDOWN_GRACE_S": "0.5"}
    flags = ("--sandbox", "process", "--data-dir", str(after))
    with LiveServer(*flags, environment=hasty) as server:
        client = server.client()
        client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
        assert invoke(client, name).payload == "new"


# ----------------------------------------------------------------------------------- 9: a soak


_SLACK = 15  # connections and threads that are kept; what leaks grows by one each time, or more


def used(server: LiveServer) -> dict[str, int]:
    """What a server holds: descriptors, threads, processes, files in its data directory."""
    assert server.process is not None
    pid = server.process.pid
    proc = Path(f"/proc/{pid}")
    return {
        "descriptors": len(list((proc / "fd").iterdir())),
        "threads": len(list((proc / "task").iterdir())),
        "processes": len(descendants(pid)),
        "packages": len(list((server.data_dir / "code").iterdir())),
        "folders": len(list((server.data_dir / "tasks").iterdir())),
    }


def code_in(data: Path) -> tuple[int, int]:
    """How many packages a data directory holds, and how many of them are unpacked."""
    packages, unpacked = (list((data / name).glob("[!.]*")) for name in ("code", "unpacked"))
    return len(packages), len(unpacked)


@pytest.mark.slow
def test_row_9_code_updates_and_invokes_without_end_hold_on_to_nothing(tmp_path: Path) -> None:
    """A day's updates, one a minute, are `make soak`; these are half an hour's."""
    rounds = int(os.environ.get("SOAK_ROUNDS", "24"))
    flags = ("--sandbox", "process", "--data-dir", str(tmp_path))
    with LiveServer(*flags) as server:
        client = server.client()
        name = create(client, "def handler(event, context):\n    return 0\n")

        def work(first: int, last: int) -> None:
            for number in range(first, last):
                source = f"def handler(event, context):\n    return {number}\n"
                client.update_function_code(
                    FunctionName=name, ZipFile=zip_of({"lambda_function.py": source})
                )
                client.get_waiter("function_updated_v2").wait(
                    FunctionName=name, WaiterConfig=QUICK_WAITER
                )
                assert invoke(client, name).payload == number

        work(0, 6)
        before = used(server)
        work(6, 6 + rounds)

        def settled() -> bool:
            now = used(server)
            grown = {what for what in now if now[what] > before[what] + _SLACK}
            return not grown - {"packages"}  # old packages stay for ten minutes, see below

        until(settled, f"something grows: {before} then {json.dumps(used(server))}")
        assert used(server)["packages"] <= rounds + 8
    # Nobody can still need what was stored before a start.
    with LiveServer(*flags) as server:
        until(lambda: code_in(tmp_path)[0] == 1, "packages of old versions are left")
        until(lambda: code_in(tmp_path)[1] <= 1, "folders of old versions are left")
        assert invoke(server.client(), name).payload == 5 + rounds


def test_nothing_is_left_of_a_server_that_ended_while_functions_ran(tmp_path: Path) -> None:
    environment = {"TMPDIR": str(tmp_path)}
    with LiveServer("--sandbox", "process", "--ephemeral", environment=environment) as server:
        client = server.client()
        create(client, ECHO)
        assert server.process is not None
        pids = (server.process.pid, *descendants(server.process.pid))
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "a process is left")
    assert not list(tmp_path.iterdir()), subprocess.run(["ls", "-R", tmp_path], check=False)
