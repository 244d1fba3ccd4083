"""The firewall: a cloud machine's metadata service, and the user API, tried from inside for real.

Processes are tried in a network namespace of their own, with a metadata service on its loopback.
Containers are tried on this machine's network, where the address may be a real one's.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from functions_under_test import create, fresh_name, invoke
from live import LiveServer

METADATA = "169.254.169.254"
LINK_LOCAL = "169.254.77.77"
DEAD_SERVER = "lambda-home-0-4194999.1"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may lay firewall rules down"),
    pytest.mark.needs("nft"),
]

CALLER = """
import os, socket
HOST, _, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
def reach(address, port):
    try:
        with socket.create_connection((address, port), 3) as made:
            made.sendall(b"GET / HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n")
            return made.recv(4096).decode("latin-1")
    except OSError as error:
        return type(error).__name__
def handler(event, context):
    return {
        "metadata": reach(event["metadata"], 80),
        "user API": reach(socket.gethostbyname(HOST), event["user_port"]),
        "closed": reach("127.0.0.1", event["closed_port"]),
        "open": reach("127.0.0.1", event["open_port"]),
        "runtime API": reach(HOST, int(PORT))[:5],
    }
"""

# A machine of its own: metadata service, two local services, a server, and what a function reaches.
SCENE = """
import json, os, socket, subprocess, sys, threading
from attacks.test_egress import DEAD_SERVER, METADATA, answering, rules, try_to_reach
from lambda_home.sandboxes.egress import server_name
from live import LiveServer
words = sys.argv[1:]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "addr", "add", METADATA + "/32", "dev", "lo"], check=True)
with answering(METADATA, 80), answering("127.0.0.1", 5432), answering("127.0.0.1", 8080):
    told = {}
    flags = ("--sandbox", "process", "--ephemeral")
    settings = dict(word.split("=") for word in words)
    dead = DEAD_SERVER.replace("-0-", f"-{server_name().partition(chr(45))[0]}-")
    subprocess.run(["/usr/sbin/nft", "add", "table", "inet", dead], check=True)
    told["before"] = rules()
    with LiveServer(*flags, environment=settings) as live:
        told["function"] = try_to_reach(live, METADATA, 5432, 8080)
        told["host"] = socket.create_connection((METADATA, 80), 20).recv(4096).decode()
        told["rules"] = rules()
        told["said"] = "".join(live.output)
        with LiveServer(*flags, environment=settings):
            told["both"] = rules()
        told["again"] = try_to_reach(live, METADATA, 5432, 8080)
    told["after"] = rules()
print("TOLD" + json.dumps(told))
"""


@contextmanager
def answering(address: str, port: int) -> Iterator[None]:
    """A service that answers every connection with the keys to everything."""
    server = socket.create_server((address, port))

    def serve() -> None:
        while True:
            try:
                made, _ = server.accept()
            except OSError:
                return
            with made:
                made.sendall(b"the keys")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def rules() -> list[str]:
    """The servers that have rules."""
    done = subprocess.run(
        ["/usr/sbin/nft", "list", "tables"], check=True, capture_output=True, text=True
    )
    return re.findall(r"inet (lambda-home-\S+)", done.stdout)


def try_to_reach(
    server: LiveServer, metadata: str, closed_port: int = 1, open_port: int = 1
) -> dict[str, str]:
    """What a function of a server reaches."""
    client = server.client()
    name = create(client, CALLER, fresh_name("caller"), Timeout=20)
    event = {
        "metadata": metadata,
        "user_port": int(server.url.rsplit(":", 1)[1]),
        "closed_port": closed_port,
        "open_port": open_port,
    }
    answer = invoke(client, name, event)
    assert answer.error is None, answer.payload
    return dict(answer.payload)


def play(*settings: str, script: str = SCENE) -> dict[str, Any]:
    """Run the scene in a network of its own; what it told."""
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", script, *settings],
        check=False,
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "PYTHONPATH": path},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("TOLD")]
    assert lines, done.stdout + done.stderr
    return dict(json.loads(lines[0].removeprefix("TOLD")))


@pytest.mark.process
def test_processes_reach_neither_metadata_nor_closed_ports_and_rules_come_and_go() -> None:
    told = play("LAMBDA_HOME_SANDBOX__CLOSED_PORTS=[5432]")
    expected = {
        "metadata": "ConnectionRefusedError",
        "user API": "ConnectionRefusedError",
        "closed": "ConnectionRefusedError",
        "open": "the keys",
        "runtime API": "HTTP/",
    }
    assert told["function"] == expected
    assert told["host"] == "the keys", "the machine itself still reaches it"
    assert len(told["before"]) == 1, "a dead server has left its rules"
    assert len(told["rules"]) == 1
    assert set(told["rules"]).isdisjoint(told["before"]), "which are gone"
    assert len(told["both"]) == 2
    assert set(told["rules"]) < set(told["both"])
    assert told["again"] == expected, "other servers come and go without harm"
    assert told["after"] == []


@pytest.mark.process
def test_without_the_firewall_everything_is_reached_and_the_start_says_so() -> None:
    told = play("LAMBDA_HOME_SANDBOX__FIREWALL=false")
    assert told["function"]["metadata"] == "the keys"
    assert told["function"]["user API"].startswith("HTTP/1.")
    assert told["rules"] == told["before"], "there are no rules of this server"
    assert "functions are not kept from metadata services" in told["said"]


@contextmanager
def metadata_service() -> Iterator[None]:
    """One on this machine, at an address of the range that no real one has."""
    command = ["ip", "addr", "add", f"{LINK_LOCAL}/32", "dev", "lo"]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("the address cannot be had here")
    try:
        with answering(LINK_LOCAL, 80):
            yield
    finally:
        subprocess.run(["ip", "addr", "del", f"{LINK_LOCAL}/32", "dev", "lo"], check=True)


@contextmanager
def network(suffix: str = "") -> Iterator[dict[str, str]]:
    """Settings of a network of its own: rules of other servers are for the network they share."""
    name = f"lambda-home-{uuid.uuid4().hex[:8]}"
    try:
        yield {"LAMBDA_HOME_DOCKER__NETWORK": name}
    finally:
        command = ["docker", "network", "rm", name + suffix]
        subprocess.run(command, check=True, capture_output=True)


@pytest.mark.docker
@pytest.mark.parametrize("firewall", ["true", "false"])
def test_containers_reach_metadata_only_without_the_firewall(firewall: str) -> None:
    with (
        network() as own_network,
        metadata_service(),
        LiveServer(
            "--sandbox",
            "docker",
            "--ephemeral",
            environment={"LAMBDA_HOME_SANDBOX__FIREWALL": firewall, **own_network},
        ) as live,
    ):
        assert live.process is not None
        mark = f"-{live.process.pid}."
        own = [name for name in rules() if mark in name]
        found = try_to_reach(live, LINK_LOCAL)
        with socket.create_connection((LINK_LOCAL, 80), 20) as made:
            assert made.recv(4096) == b"the keys"
    left = [name for name in rules() if mark in name]
    assert found["metadata"] == ("ConnectionRefusedError" if firewall == "true" else "the keys")
    assert found["user API"] == "ConnectionRefusedError"
    assert found["runtime API"] == "HTTP/"
    assert (len(own), left) == (1 if firewall == "true" else 0, [])


@pytest.mark.docker
def test_containers_without_internet_reach_the_runtime_api_alone() -> None:
    with network("-internal") as settings:
        settings["LAMBDA_HOME_DOCKER__INTERNET"] = "false"
        with LiveServer("--sandbox", "docker", "--ephemeral", environment=settings) as live:
            found = try_to_reach(live, "192.0.2.1")
    assert found["runtime API"] == "HTTP/"
    assert found["user API"] == "ConnectionRefusedError"
    assert found["metadata"] in {"OSError", "TimeoutError"}, "there is no way out"


# The same by iptables, for machines without nft: rules laid down, tried as a function's user, gone.
BY_IPTABLES = """
import asyncio, json, shutil, subprocess, sys
from attacks.test_egress import METADATA, answering
from lambda_home.sandboxes import egress
names = ("iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore")
egress.find_filter = lambda: egress.Iptables(*(shutil.which(n, path="/usr/sbin") for n in names))
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "addr", "add", METADATA + "/32", "dev", "lo"], check=True)
TRY = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)"
def reaches(user, *where):
    words = ["setpriv", "--reuid", user, "--clear-groups", "/usr/bin/python3", "-c", TRY, *where]
    return subprocess.run(words, capture_output=True).returncode == 0
async def main():
    firewall = egress.Firewall((9000,))
    await firewall.open(egress.Functions(range(1_900_000_000, 1_900_065_536), "172.18.0.0/16"))
    places = ((METADATA, "80"), ("127.0.0.1", "9000"), ("127.0.0.1", "9001"))
    told = {user: [reaches(user, *place) for place in places] for user in ("1900000123", "1234")}
    await firewall.close()
    left = subprocess.run(["iptables-save"], capture_output=True, text=True).stdout
    left += subprocess.run(["ip6tables-save"], capture_output=True, text=True).stdout
    return {"why": firewall.why, **told, "left": left.count("lambda-home")}
with answering(METADATA, 80), answering("127.0.0.1", 9000), answering("127.0.0.1", 9001):
    print("TOLD" + json.dumps(asyncio.run(main())))
"""


@pytest.mark.process
@pytest.mark.needs("iptables")
def test_iptables_does_the_same_where_there_is_no_nft() -> None:
    assert play(script=BY_IPTABLES) == {
        "why": "",
        "1900000123": [False, False, True],
        "1234": [True, True, True],
        "left": 0,
    }
