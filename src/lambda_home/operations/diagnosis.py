"""What the doctor makes of what was found on a machine: one line each, and what to do; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_MB: Final = 1_000_000
_LITTLE_DISK, _NO_DISK = 2_000 * _MB, 200 * _MB
_LITTLE_MEMORY_MB, _NO_MEMORY_MB = 1024, 256
_CLOCK_SLACK_S: Final = 86_400.0


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `advice` says what to do, and is empty where nothing is to be done."""

    name: str
    status: Status
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class DockerFacts:
    """The daemon. `fault`: why it cannot be asked; `no_images`: why there is no base image."""

    fault: str = ""
    version: str = ""
    no_images: str = ""
    network: str = ""
    has_network: bool = False
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """Sandboxes of processes. `works`, `how`: as `process_tools.probe` says."""

    works: bool
    how: str
    as_root: bool
    cgroup_version: int
    cgroups_writable: bool
    firewall: str


@dataclass(frozen=True, slots=True)
class PortFacts:
    """A TCP port; `holder` "" if it is free, `ours` if one of our servers answers there."""

    setting: str
    port: int
    holder: str = ""
    ours: bool = False


@dataclass(frozen=True, slots=True)
class DataFacts:
    """The data directory. `schema` is compared with `known`; "" for none (yet)."""

    path: str
    exists: bool = True
    fault: str = ""
    in_use: bool = False
    free_bytes: int | None = None
    schema: str = ""
    known: str = ""
    damage: str = ""


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """`now` and `installed_at` are seconds since the epoch; memory in MB, None if not known."""

    now: float
    installed_at: float
    available_mb: int | None


def exit_code(findings: Iterable[Finding]) -> int:
    """1 if a check has failed."""
    return int(any(finding.status is Status.FAILED for finding in findings))


def of_docker(facts: DockerFacts, kind: str) -> list[Finding]:
    """`kind` is the setting sandbox.kind."""
    if kind == "process":
        return [Finding("docker", Status.OK, "not asked for: sandbox.kind is process")]
    bad = Status.FAILED if kind == "docker" else Status.WARNING
    if facts.fault:
        advice = "see that the daemon answers, or set docker.host; else functions run as processes"
        return [Finding("docker", bad, facts.fault, advice)]
    found = [Finding("docker", Status.OK, f"Docker {facts.version} answers")]
    if facts.no_images:
        found.append(Finding("base images", bad, facts.no_images, "run make base-images"))
    else:
        found.append(Finding("base images", Status.OK, "there is one"))
    made = "is there" if facts.has_network else "will be made at the first start"
    found.append(Finding("docker network", Status.OK, f"{facts.network} {made}"))
    if facts.free_bytes is not None:
        found.append(_disk("docker disk", facts.free_bytes, "remove images (docker image prune)"))
    return found


def of_processes(facts: ProcessFacts, kind: str, *, docker_works: bool) -> list[Finding]:
    """What sandboxes of processes need: bubblewrap, control groups, a packet filter."""
    needed = kind == "process" or (kind == "auto" and not docker_works)
    bad = Status.FAILED if needed else Status.WARNING
    if not facts.works:
        advice = "install Python 3, or use Docker"
        return [Finding("processes", bad, facts.how, advice)]
    isolated = facts.how.startswith("isolated")
    return [
        Finding(
            "processes",
            Status.OK if isolated else Status.WARNING,
            facts.how,
            "" if isolated else "install bubblewrap (Debian: apt-get install bubblewrap)",
        ),
        _cgroups(facts),
        _packet_filter(facts),
    ]


def _packet_filter(facts: ProcessFacts) -> Finding:
    lack = "functions can reach metadata services"
    if not facts.as_root:
        message, advice = f"only root may set it up: {lack}", "run the server as root"
    elif not facts.firewall:
        message, advice = f"neither nft nor iptables is there: {lack}", "install nftables"
    else:
        return Finding("packet filter", Status.OK, f"{facts.firewall} is there")
    return Finding("packet filter", Status.WARNING, message, advice)


def _cgroups(facts: ProcessFacts) -> Finding:
    if not facts.cgroup_version:
        message = "there are none: memory limits are those of processes, which is less exact"
        return Finding("control groups", Status.WARNING, message, "mount /sys/fs/cgroup")
    if not facts.cgroups_writable:
        message = f"version {facts.cgroup_version}, not writable by this user"
        delegated = facts.cgroup_version > 1
        advice = f"run the server {'by systemd with Delegate=yes, or ' if delegated else ''}as root"
        return Finding("control groups", Status.WARNING, message, advice)
    return Finding("control groups", Status.OK, f"version {facts.cgroup_version}, writable")


def of_runtimes(found: Iterable[tuple[str, str]], kind: str) -> Finding:
    """`found`: families of interpreters and their versions on this machine."""
    versions: dict[str, list[str]] = {}
    for family, version in found:
        versions.setdefault(family, []).append(version)
    said = "; ".join(f"{family} {', '.join(sorted(set(of)))}" for family, of in versions.items())
    missing = [family for family in ("python", "nodejs") if family not in versions]
    if missing and kind != "docker":
        message = f"{said or 'none'}; no {' and no '.join(missing)}"
        return Finding("runtimes", Status.WARNING, message, "run lambda-home prepare")
    return Finding("runtimes", Status.OK, said or "those of Docker's images")


def of_port(facts: PortFacts) -> Finding:
    """A port that another program has keeps the server from starting."""
    name = f"port {facts.port}"
    if facts.ours:
        return Finding(name, Status.OK, f"a lambda-home server answers ({facts.holder})")
    if not facts.holder:
        return Finding(name, Status.OK, "free")
    advice = f"stop it, or choose another port with server.{facts.setting}"
    return Finding(name, Status.FAILED, f"taken by {facts.holder}", advice)


def of_data(facts: DataFacts) -> list[Finding]:
    """The data directory and the database in it."""
    if facts.fault:
        advice = "name a folder that can be written with --data-dir"
        return [Finding("data", Status.FAILED, f"{facts.path}: {facts.fault}", advice)]
    state = "in use by a server" if facts.in_use else "ready" if facts.exists else "will be made"
    found = [Finding("data", Status.OK, f"{facts.path}: {state}")]
    if facts.free_bytes is not None:
        found.append(_disk("data disk", facts.free_bytes, "make room"))
    if facts.damage:
        advice = "restore a backup with lambda-home restore"
        found.append(Finding("database", Status.FAILED, facts.damage, advice))
    elif facts.schema > facts.known:
        message = f"schema {facts.schema}, and this lambda_home knows {facts.known}"
        found.append(Finding("database", Status.FAILED, message, "upgrade lambda_home"))
    elif facts.schema:
        current = facts.schema == facts.known
        later = "" if current else f", will be migrated to {facts.known} at the next start"
        found.append(Finding("database", Status.OK, f"sound, schema {facts.schema}{later}"))
    return found


def of_machine(facts: MachineFacts) -> list[Finding]:
    """Clock and memory."""
    found = [Finding("clock", Status.OK, "plausible")]
    if facts.now < facts.installed_at - _CLOCK_SLACK_S:
        message = "it is before the day when lambda_home was installed: signatures will be refused"
        found = [Finding("clock", Status.FAILED, message, "set the clock, or run an NTP client")]
    if facts.available_mb is not None:
        found.append(_memory(facts.available_mb))
    return found


def _memory(available_mb: int) -> Finding:
    message = f"{available_mb} MB are available"
    if available_mb < _NO_MEMORY_MB:
        return Finding("memory", Status.FAILED, message, "end other programs, or add memory")
    if available_mb < _LITTLE_MEMORY_MB:
        advice = "few functions fit: set spares.per_size = 0, or add memory"
        return Finding("memory", Status.WARNING, message, advice)
    return Finding("memory", Status.OK, message)


def _disk(name: str, free_bytes: int, advice: str) -> Finding:
    message = f"{free_bytes // _MB} MB are free"
    if free_bytes < _NO_DISK:
        return Finding(name, Status.FAILED, message, advice)
    if free_bytes < _LITTLE_DISK:
        return Finding(name, Status.WARNING, message, advice)
    return Finding(name, Status.OK, message)
