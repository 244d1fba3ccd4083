"""The bridge network of execution environments, and the address at which they find the server."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

import docker.errors

from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.docker_profile import MARK

_OPTIONS = {"com.docker.network.bridge.enable_icc": "false"}
_ATTEMPTS = 5
HOST_GATEWAY = "host-gateway"
"""Docker's word for the host's address, where the bridge is in a virtual machine."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network's name, the host's address on it, and the addresses of its containers (CIDR)."""

    name: str
    gateway: str
    subnet: str


def ensure_network(client: Any, name: str, *, internet: bool = True) -> Network:
    """Return a network that keeps its containers apart, and from everything else if so wanted.

    A network of that name made by something else is left alone, and a numbered name is used.
    Raises SandboxError if no network can be made.
    """
    if not internet:
        name += "-internal"
    for number in range(1, _ATTEMPTS + 1):
        candidate = name if number == 1 else f"{name}-{number}"
        network = _inspect(client, candidate)
        fits = network is not None and _keeps_apart(network, internet=internet)
        if network is not None and not fits and _is_ours_and_idle(network):
            client.remove_network(network["Id"])
            network = None
        if network is None:
            network = _make(client, candidate, internet=internet)
        block = _block(network)
        if _keeps_apart(network, internet=internet) and block is not None:
            return Network(candidate, block["Gateway"].split("/")[0], block.get("Subnet", ""))
    raise SandboxError(
        f"Networks {name} to {name}-{_ATTEMPTS} exist in Docker, but not as bridges without"
        " traffic between containers: remove one or set docker.network to another name."
    )


def is_local_address(address: str) -> bool:
    """True if this host can listen on `address`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _inspect(client: Any, name: str) -> dict[str, Any] | None:
    # By listing: `inspect` would also take the beginning of another network's id for a name.
    for network in client.networks(names=[name]):
        if network["Name"] == name:
            found: dict[str, Any] = client.inspect_network(network["Id"])
            return found
    return None


def _make(client: Any, name: str, *, internet: bool) -> dict[str, Any]:
    try:
        client.create_network(
            name,
            driver="bridge",
            options=_OPTIONS,
            labels={MARK: "1"},
            check_duplicate=True,
            internal=not internet,
        )
    except docker.errors.APIError as error:
        # Another server may have been quicker; anything else is told.
        if _inspect(client, name) is None:
            raise SandboxError(f"Cannot make Docker network {name}: {error.explanation}") from error
    network = _inspect(client, name)
    if network is None:
        raise SandboxError(f"Docker network {name} vanished while it was being made.")
    return network


def _keeps_apart(network: dict[str, Any], *, internet: bool) -> bool:
    if network.get("Driver") != "bridge" or network.get("Internal", False) is internet:
        return False
    options = network.get("Options") or {}
    return all(options.get(key) == value for key, value in _OPTIONS.items())


def _is_ours_and_idle(network: dict[str, Any]) -> bool:
    return (network.get("Labels") or {}).get(MARK) == "1" and not network.get("Containers")


def _block(network: dict[str, Any]) -> dict[str, str] | None:
    """The IPv4 addresses of a network that has a gateway among them."""
    for block in (network.get("IPAM") or {}).get("Config") or ():
        gateway = block.get("Gateway", "")
        if gateway and ":" not in gateway:
            found: dict[str, str] = block
            return found
    return None
