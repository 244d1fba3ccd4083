"""Which TCP ports the processes of an environment listen on, for those that share our network.

A port is the environment's own if one of its processes holds the socket (proc(5): /proc/PID/fd,
/proc/net/tcp). So nobody can have the server connect to a service of the machine, or to another
function.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_LISTENING = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_LOOPBACK = "127.0.0.1"
_PROC = Path("/proc")


def loopback_address(environment_id: str) -> str:
    """An address of the loopback network for one environment, so that equal ports do not meet."""
    digest = hashlib.sha256(environment_id.encode()).digest()
    second, third, fourth = (1 + byte % 254 for byte in digest[:3])
    return f"127.{second}.{third}.{fourth}"


def address_of(pids: Iterable[int], port: int, own: str) -> tuple[str, int] | None:
    """Where a listener of these processes is reached; `own` is their loopback address."""
    inodes = _inodes(pids)
    if not inodes:
        return None
    for table, width in (("tcp", 8), ("tcp6", 32)):
        for address, inode in _listeners(_PROC / "net" / table, port, width):
            if inode in inodes:
                return _reachable(address, own), port
    return None


def _inodes(pids: Iterable[int]) -> set[str]:
    found = set()
    for pid in pids:
        with suppress(OSError):
            for entry in os.scandir(_PROC / str(pid) / "fd"):
                with suppress(OSError):
                    match = _SOCKET.fullmatch(os.readlink(entry.path))  # noqa: PTH115
                    if match is not None:
                        found.add(match[1])
    return found


def _listeners(table: Path, port: int, width: int) -> list[tuple[ipaddress.IPv4Address, str]]:
    """Addresses and inodes of the listening sockets of a port; wildcards of IPv6 are 0.0.0.0."""
    found = []
    with suppress(OSError):
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            address, _, number = fields[1].partition(":")
            if fields[3] == _LISTENING and int(number, 16) == port and len(address) == width:
                found.append((_address(address), fields[9]))
    return found


def _address(text: str) -> ipaddress.IPv4Address:
    """An address in the kernel's hexadecimal words, each in the machine's byte order."""
    last = int(text[-8:], 16).to_bytes(4, "little")
    return ipaddress.IPv4Address(last) if len(text) == len("00000000") else _mapped(text)


def _mapped(text: str) -> ipaddress.IPv4Address:
    words = (int(text[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(text), 8))
    address = ipaddress.IPv6Address(b"".join(words))
    return address.ipv4_mapped or ipaddress.IPv4Address(0)


def _reachable(address: ipaddress.IPv4Address, own: str) -> str:
    return own if address.is_unspecified else str(address)
