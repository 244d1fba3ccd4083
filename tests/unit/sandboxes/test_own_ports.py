"""Ports that an environment listens on, told from those of anybody else."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lambda_home.sandboxes.own_ports import address_of, loopback_address

OWN = "127.9.8.7"
_LISTEN = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listening = socket.socket(family)
listening.bind((sys.argv[1], 0))
listening.listen()
print(listening.getsockname()[1], flush=True)
sys.stdin.read()
"""


def listening(address: str) -> Iterator[tuple[int, int]]:
    """Another process that listens: its pid and port."""
    command = [sys.executable, "-c", _LISTEN, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())


@pytest.mark.parametrize(
    ("bound", "reached"),
    [("0.0.0.0", OWN), (OWN, OWN), ("127.0.0.1", "127.0.0.1"), ("::", OWN)],
)
def test_a_listener_is_reached_where_it_is_bound(bound: str, reached: str) -> None:
    for pid, port in listening(bound):
        assert address_of([pid], port, OWN) == (reached, port)
        with socket.create_connection((reached, port), timeout=5):
            pass


def test_a_port_of_another_process_is_not_given() -> None:
    for pid, port in listening("127.0.0.1"):
        assert address_of([os.getpid()], port, OWN) is None
        assert address_of([], port, OWN) is None
        assert address_of([pid], port + 1 if port < 65_535 else port - 1, OWN) is None
        assert address_of([2**22 + 1], port, OWN) is None


def test_a_connection_is_no_listener() -> None:
    for _, port in listening("127.0.0.1"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            mine = connection.getsockname()[1]
            assert address_of([os.getpid()], mine, OWN) is None


def test_each_environment_has_an_address_of_its_own_within_loopback() -> None:
    addresses = {loopback_address(f"{number:032x}") for number in range(300)}
    assert len(addresses) == 300
    reserved = ipaddress.IPv4Network("127.0.0.0/16")
    for address in addresses:
        assert ipaddress.IPv4Address(address).is_loopback
        assert ipaddress.IPv4Address(address) not in reserved
