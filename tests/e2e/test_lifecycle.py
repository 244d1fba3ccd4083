"""The life of environments and of the server: idling, draining, restarts, crashes of the server."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import SANDBOXES
from functions_under_test import create, invoke
from live import LiveServer
from observing import WITHOUT_SPARES, containers, log_of, short_idle, until

COUNT = """
calls = 0
def handler(event, context):
    global calls
    calls += 1
    return {"calls": calls, "stream": context.log_stream_name}
"""
SLEEP = """
import time
def handler(event, context):
    print("begun", flush=True)
    time.sleep(event["seconds"])
    return "slept"
"""


@pytest.fixture(params=SANDBOXES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_frozen_environment_is_resumed_and_not_replaced(kind: str) -> None:
    with LiveServer(
        "--sandbox", kind, "--ephemeral", environment=short_idle(200, 600_000)
    ) as server:
        client = server.client()
        name = create(client, COUNT)
        first = invoke(client, name).payload
        if kind == "docker":
            until(lambda: containers(server, "status=paused"), "the idle container was not paused")
        else:
            time.sleep(0.6)  # longer than soft_ms; what follows does not depend on it
        second = invoke(client, name).payload
        assert (second["calls"], second["stream"]) == (2, first["stream"])


@pytest.fixture(scope="module", params=SANDBOXES)
def impatient(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """A server that freezes what idles for 100 ms and removes it after 300."""
    flags = ("--sandbox", str(request.param), "--ephemeral")
    with LiveServer(*flags, environment=short_idle(100, 300)) as server:
        yield server


def test_an_idle_environment_is_removed_and_the_next_call_starts_anew(
    impatient: LiveServer,
) -> None:
    client = impatient.client()
    name = create(client, COUNT)
    first = invoke(client, name).payload["stream"]

    def replaced() -> bool:
        time.sleep(0.5)
        return bool(invoke(client, name).payload["stream"] != first)

    until(replaced, "the idle environment was not removed")
    if impatient.facts["sandbox"].startswith("docker"):
        until(lambda: not containers(impatient), "a container was left")


def test_an_invocation_longer_than_the_idle_times_is_not_stopped(impatient: LiveServer) -> None:
    client = impatient.client()
    name = create(client, SLEEP, Timeout=20)
    assert invoke(client, name, {"seconds": 0.9}).payload == "slept"


def test_functions_settings_and_limits_survive_a_killed_server(kind: str, tmp_path: Path) -> None:
    flags = ("--sandbox", kind, "--data-dir", str(tmp_path / "data"))
    with LiveServer(*flags, environment=WITHOUT_SPARES) as server:
        client = server.client()
        name = create(client, COUNT, Environment={"Variables": {"KEY": "value"}})
        client.publish_version(FunctionName=name)
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=7)
        before = client.get_function_configuration(FunctionName=name)
        assert invoke(client, name).payload["calls"] == 1
        server.stop(signal.SIGKILL)
    with LiveServer(*flags, environment=WITHOUT_SPARES) as server:
        client = server.client()
        after = client.get_function_configuration(FunctionName=name)
        del before["ResponseMetadata"], after["ResponseMetadata"]
        assert after == before
        kept = client.get_function_concurrency(FunctionName=name)
        assert kept["ReservedConcurrentExecutions"] == 7
        assert invoke(client, name, Qualifier="1").payload["calls"] == 1
        if kind == "docker":
            until(lambda: len(containers(server)) == 1, "the dead one was not reaped")


def test_an_accepted_event_runs_although_the_server_is_killed(kind: str, tmp_path: Path) -> None:
    flags = ("--sandbox", kind, "--data-dir", str(tmp_path / "data"))
    with LiveServer(*flags) as server:
        client = server.client()
        name = create(client, "import time\ndef handler(event, context):\n    time.sleep(1)\n"
                              "    print('ran event', event['n'])\n", Timeout=20)  # fmt: skip
        for number in range(3):
            assert invoke(client, name, {"n": number}, InvocationType="Event").status == 202
        server.stop(signal.SIGKILL)
    with LiveServer(*flags) as server:

        def all_ran() -> bool:
            text = log_of(server, name)
            return all(f"ran event {number}" in text for number in range(3))

        until(all_ran, "an accepted event was lost")


def test_a_failing_event_is_tried_three_times(kind: str) -> None:
    environment = {"LAMBDA_HOME_ASYNC__RETRY_BASE_S": "0.2"}
    with LiveServer("--sandbox", kind, "--ephemeral", environment=environment) as server:
        client = server.client()
        name = create(client, "def handler(event, context):\n    print('try of', "
                              "context.aws_request_id)\n    raise ValueError('no')\n")  # fmt: skip
        request_id = invoke(client, name, {}, InvocationType="Event").request_id

        def tries() -> int:
            return log_of(server, name).count(f"try of {request_id}")

        until(lambda: tries() == 3, "the event was not tried three times")
        invoke(client, name, {})  # anything after the last try would have come by now
        assert tries() == 3


def test_stopping_lets_a_running_invocation_finish(kind: str) -> None:
    with LiveServer("--sandbox", kind, "--ephemeral") as server:
        client = server.client()
        name = create(client, SLEEP, Timeout=20)
        invoke(client, name, {"seconds": 0})
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(invoke, client, name, {"seconds": 2})
            until(lambda: log_of(server, name).count("begun") == 2, "it did not begin")
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            assert running.result().payload == "slept"
        assert server.stop() == 0


@pytest.mark.docker
def test_nothing_is_left_behind_by_an_ephemeral_server() -> None:
    with LiveServer("--sandbox", "docker", "--ephemeral") as server:
        client = server.client()
        create(client, COUNT)
        instance = (server.data_dir / "instance-id").read_text()
        data_dir = server.data_dir
        label = f"label=lambda-home.instance={instance}"
    for what in (["ps", "-aq"], ["images", "-q"]):
        command = ["docker", *what, "--filter", label]
        assert subprocess.run(command, check=True, capture_output=True).stdout == b""
    assert not data_dir.exists()


@pytest.mark.process
def test_no_process_is_left_behind_by_a_killed_server() -> None:
    with LiveServer("--sandbox", "process", "--ephemeral") as server:
        client = server.client()
        name = create(client, "import os\ndef handler(event, context):\n"
                              "    return os.environ['AWS_LAMBDA_LOG_STREAM_NAME']\n")  # fmt: skip
        mark = invoke(client, name).payload.encode()
        data_dir = server.data_dir
        server.stop(signal.SIGKILL)

    def carrying() -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes():
                        found.append(entry.name)
                except OSError:
                    continue
        return found

    until(lambda: not carrying(), "a process outlived its server")
    subprocess.run(["rm", "-rf", str(data_dir)], check=True)


@pytest.mark.process
@pytest.mark.parametrize(
    ("flags", "environment", "named"),
    [
        (("--config", "/nonexistent.toml"), {}, "/nonexistent.toml"),
        ((), {"LAMBDA_HOME_SERVER__PORTS": "1"}, "server.ports"),
        ((), {"LAMBDA_HOME_IDLE__SOFT_MS": "soon"}, "idle.soft_ms"),
        (("--host", "0.0.0.0"), {}, "0.0.0.0"),
        (("--data-dir", "/proc/nowhere"), {}, "/proc/nowhere"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line_that_names_it(
    flags: tuple[str, ...], environment: dict[str, str], named: str
) -> None:
    with pytest.raises(RuntimeError, match="did not start") as caught:
        LiveServer(*flags, environment=environment).__enter__()
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 1
    assert lines[0].startswith("lambda-home: ")
    assert named in lines[0]


@pytest.mark.process
def test_two_servers_do_not_share_a_data_directory(tmp_path: Path) -> None:
    flags = ("--sandbox", "process", "--data-dir", str(tmp_path))
    with LiveServer(*flags), pytest.raises(RuntimeError, match="in use by another server"):
        LiveServer(*flags).__enter__()


@pytest.mark.docker
def test_the_runtime_api_listens_on_loopback_and_the_bridge_only() -> None:
    with LiveServer("--sandbox", "docker", "--ephemeral") as server:
        command = ["ss", "-Hltn", f"sport = :{server.runtime_port}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        addresses = {line.split()[3].rsplit(":", 1)[0] for line in done.stdout.splitlines()}
        assert "127.0.0.1" in addresses
        others = addresses - {"127.0.0.1"}
        assert len(others) == 1
        assert not others & {"0.0.0.0", "*", "[::]"}
