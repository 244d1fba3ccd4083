"""What functions may not reach over the network, by rules of the kernel's packet filter.

Functions need the runtime API and the internet. They have no business with the metadata service of
a cloud machine, which hands out the machine's own credentials, nor with the user API, where in the
development default nobody is asked who he is. Rules need root, and something to tell functions by:
user ids of their own (processes) or a subnet of their own (containers). `Firewall.open` says what
could not be had; nothing here keeps a server from starting.

Rules carry the server's name, are laid down and taken away in one transaction, and those of dead
servers go at the next start. With nft each server has a table, else a chain made by iptables.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from lambda_home.sandboxes.process_owners import is_dead, name_here
from lambda_home.sandboxes.process_spawn import readable

METADATA_4 = ("169.254.0.0/16", "168.63.129.16", "100.100.100.200", "192.0.0.192")
"""Link-local addresses, where most clouds and container services have metadata; Azure's, Alibaba's
and Oracle's other addresses. Port 53 stays open: some are also the machine's name server."""

METADATA_6 = ("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::a9fe:a9fe")
"""Those of EC2, EKS, Google Cloud and OpenStack."""

_PREFIX = "lambda-home-"
_PATIENCE_S = 5.0
_DOCKER_CHAIN = "DOCKER-USER"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Functions:
    """What packets of functions are told by: the user ids or the subnet that they come from."""

    uids: range = range(0)
    subnet: str = ""

    @property
    def can_be_told(self) -> bool:
        """Whether there is anything to tell them by."""
        return bool(self.uids or self.subnet)


class FirewallError(Exception):
    """Rules could not be read or laid down; the message is one line."""


class Firewall:
    """The rules of one server. `ports` are TCP ports of this machine that functions may not reach.

    Nothing is laid down where `wanted` is false. Once open, `why` says why there are no rules; it
    is empty if there are.
    """

    def __init__(self, ports: Iterable[int], *, wanted: bool = True) -> None:
        self._ports = tuple(sorted(set(ports)))
        self._wanted = wanted
        self._name = server_name()
        self._filter: Nft | Iptables | None = None
        self.why = "not open"

    async def open(self, functions: Functions | str) -> None:
        """Lay the rules down, or log one line that says why there are none.

        `functions` may be a reason why they cannot be told from anything else.
        """
        self.why = await self._open(functions) if self._wanted else "sandbox.firewall = false"
        if self.why:
            _log.info(
                "functions are not kept from metadata services and the user API", why=self.why
            )

    async def _open(self, functions: Functions | str) -> str:
        if isinstance(functions, str):
            return functions
        if os.geteuid() != 0:
            return "the server does not run as root"
        if not functions.can_be_told:
            return "functions have no user ids of their own here"
        found = find_filter()
        if found is None:
            return "neither nft nor iptables is installed"
        try:
            await found.lay(self._name, functions, self._ports)
        except FirewallError as error:
            return str(error)
        self._filter = found
        return ""

    async def close(self) -> None:
        """Take this server's rules away; without any, nothing is done."""
        found, self._filter = self._filter, None
        if found is not None:
            try:
                await found.take_away(self._name)
            except FirewallError as error:
                _log.warning("firewall rules are left behind", server=self._name, why=str(error))


def server_name(pid_namespace: str | None = None) -> str:
    """The name of this server, told from those that see other process ids but the same network."""
    namespace = pid_namespace or Path("/proc/self/ns/pid").readlink().name
    return f"{''.join(filter(str.isdigit, namespace))}-{name_here()}"


def is_dead_server(name: str) -> bool:
    """Whether `name` is that of a server, in this process's sight, that has ended."""
    namespace, _, rest = name.partition("-")
    return namespace == server_name().partition("-")[0] and is_dead(rest)


def find_filter() -> Nft | Iptables | None:
    """The program that this machine has for rules."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if nft := shutil.which("nft", path=path):
        return Nft(nft)
    names = ("iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore")
    save, restore, save_6, restore_6 = (shutil.which(name, path=path) for name in names)
    return Iptables(save, restore, save_6, restore_6) if save and restore else None


# ------------------------------------------------------------------------------------------- nft


class Nft:
    """Rules as a table of the server's own, which no other program's rules are mixed with."""

    def __init__(self, nft: str) -> None:
        self._nft = nft

    async def lay(self, name: str, functions: Functions, ports: Sequence[int]) -> None:
        """Make the table, and remove those of dead servers. Raises FirewallError."""
        tables = [line.split() for line in (await run(self._nft, "list", "tables")).splitlines()]
        old = [words[2] for words in tables if words[1:2] == ["inet"] and _is_stale(words[2])]
        text = nft_table(name, functions, ports)
        try:
            await run(self._nft, "-f", "-", given=nft_removal(old) + text)
        except FirewallError:
            if not old:
                raise
            await run(self._nft, "-f", "-", given=text)  # another server removed the old ones

    async def take_away(self, name: str) -> None:
        """Remove the table. Raises FirewallError."""
        await run(self._nft, "-f", "-", given=nft_removal([_PREFIX + name]))


def _is_stale(table: str) -> bool:
    return table.startswith(_PREFIX) and is_dead_server(table.removeprefix(_PREFIX))


def nft_removal(tables: Iterable[str]) -> str:
    """The commands that remove tables."""
    return "".join(f"delete table inet {table}\n" for table in tables)


def nft_table(name: str, functions: Functions, ports: Sequence[int]) -> str:
    """The table as nft reads it (nft(8)).

    An address may have been rewritten on the way, as container services do with the metadata
    service's: `ct original` has the one that the function asked for.
    """
    four, six = ", ".join(METADATA_4), ", ".join(METADATA_6)
    numbers = ", ".join(map(str, ports))
    closed = [f"fib daddr type local tcp dport {{ {numbers} }} reject with tcp reset"]
    chains = {
        "functions": [
            *(closed if ports else ()),
            "meta l4proto { tcp, udp } th dport 53 return",
            f"ip daddr {{ {four} }} reject",
            f"ct original ip daddr {{ {four} }} reject",
            f"ip6 daddr {{ {six} }} reject",
        ]
    }
    if functions.uids:
        uids = f"{functions.uids[0]}-{functions.uids[-1]}"
        chains["output"] = [_hook("output"), f"meta skuid {uids} jump functions"]
    if functions.subnet:
        subnet = ipaddress.IPv4Network(functions.subnet)
        for hook in ("input", "forward"):
            chains[hook] = [_hook(hook), f"ip saddr {subnet} jump functions"]
    lines = [f"chain {chain} {{ {'; '.join(rules)}; }}\n" for chain, rules in chains.items()]
    return f"table inet {_PREFIX}{name} {{\n{''.join(lines)}}}\n"


def _hook(hook: str) -> str:
    return f"type filter hook {hook} priority -1; policy accept"


# -------------------------------------------------------------------------------------- iptables


class Iptables:
    """Rules as a chain of the server's own, with tagged jumps to it; IPv6 where it can be had."""

    def __init__(
        self, save: str, restore: str, save_6: str | None = None, restore_6: str | None = None
    ) -> None:
        self._four = (save, restore)
        self._six = (save_6, restore_6) if save_6 and restore_6 else None

    async def lay(self, name: str, functions: Functions, ports: Sequence[int]) -> None:
        """Make chain and jumps, and remove those of dead servers. Raises FirewallError."""
        await self._lay(self._four, name, functions, ports, METADATA_4)
        if self._six is not None and functions.uids:
            users = Functions(functions.uids)
            try:
                await self._lay(self._six, name, users, ports, METADATA_6)
            except FirewallError as error:
                _log.info("functions are not kept from metadata services by IPv6", why=str(error))
                self._six = None

    async def _lay(
        self,
        programs: tuple[str, str],
        name: str,
        functions: Functions,
        ports: Sequence[int],
        metadata: Sequence[str],
    ) -> None:
        saved = await run(programs[0], "-t", "filter")
        rules = iptables_rules(name, functions, ports, metadata, saved)
        old = iptables_removal(saved, is_dead_server)
        try:
            await _restore(programs[1], [*old, *rules])
        except FirewallError:
            if not old:
                raise
            await _restore(programs[1], rules)

    async def take_away(self, name: str) -> None:
        """Remove chain and jumps. Raises FirewallError."""
        for save, restore in filter(None, (self._four, self._six)):
            saved = await run(save, "-t", "filter")
            await _restore(restore, iptables_removal(saved, lambda found: found == name))


async def _restore(program: str, rules: Sequence[str]) -> None:
    if rules:
        text = "\n".join(("*filter", *rules, "COMMIT", ""))
        await run(program, "--noflush", "--wait", "2", given=text)


def chain_of(name: str) -> str:
    """A server's chain; names of chains are short, so not the server's whole name."""
    return _PREFIX + hashlib.sha256(name.encode()).hexdigest()[:12]


def iptables_rules(
    name: str,
    functions: Functions,
    ports: Sequence[int],
    metadata: Sequence[str],
    saved: str,
) -> list[str]:
    """Lines for iptables-restore (iptables-extensions(8)); `saved` shows which chains there are."""
    chain = chain_of(name)
    tag = f'-m comment --comment "{_PREFIX}{name}" -j {chain}'
    lines = [f":{chain} - [0:0]"]
    lines += [
        f"-A {chain} -p tcp -m addrtype --dst-type LOCAL -m tcp --dport {port}"
        " -j REJECT --reject-with tcp-reset"
        for port in ports
    ]
    lines += [f"-A {chain} -p {kind} -m {kind} --dport 53 -j RETURN" for kind in ("tcp", "udp")]
    for address in metadata:
        lines.append(f"-A {chain} -d {address} -j REJECT")
        lines.append(f"-A {chain} -m conntrack --ctorigdst {address} -j REJECT")
    if functions.uids:
        uids = f"{functions.uids[0]}-{functions.uids[-1]}"
        lines.append(f"-I OUTPUT 1 -m owner --uid-owner {uids} {tag}")
    if functions.subnet:
        subnet = ipaddress.IPv4Network(functions.subnet)
        forward = _DOCKER_CHAIN if f":{_DOCKER_CHAIN} " in saved else "FORWARD"
        lines += [f"-I {hook} 1 -s {subnet} {tag}" for hook in ("INPUT", forward)]
    return lines


def iptables_removal(saved: str, whose: Callable[[str], bool]) -> list[str]:
    """Lines that remove the jumps and chains of some servers from what iptables-save showed."""
    jumps: list[str] = []
    names: dict[str, None] = {}
    for line in saved.splitlines():
        _, tagged, rest = line.partition(f"--comment {_PREFIX}")
        if not tagged:
            _, tagged, rest = line.partition(f'--comment "{_PREFIX}')
        name = rest.split(" ")[0].strip('"')
        if tagged and line.startswith("-A ") and whose(name):
            jumps.append(f"-D {line.removeprefix('-A ')}")
            names[name] = None
    chains = [chain_of(name) for name in names]
    return [*jumps, *(f"-{action} {chain}" for chain in chains for action in "FX")]


# ------------------------------------------------------------------------------------------- both


async def run(*words: str, given: str = "") -> str:
    """Run a program; returns what it printed. Raises FirewallError with its last line."""
    program = Path(words[0]).name
    try:
        with readable(given) as descriptor:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=descriptor,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )
    except OSError as error:
        raise FirewallError(f"{program} could not be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(_PATIENCE_S):
            out, err = await process.communicate()
    except TimeoutError as error:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise FirewallError(f"{program} took more than {_PATIENCE_S:g} s") from error
    if process.returncode != 0:
        lines = err.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise FirewallError(f"{program} refused: {lines[0]}")
    return out.decode(errors="replace")
