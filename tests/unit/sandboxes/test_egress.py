"""Firewall rules: what is written for whom, and whose rules are taken away."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from lambda_home.sandboxes import egress
from lambda_home.sandboxes.egress import (
    METADATA_4,
    Firewall,
    FirewallError,
    Functions,
    chain_of,
    iptables_removal,
    iptables_rules,
    is_dead_server,
    nft_table,
    run,
    server_name,
)

USERS = Functions(uids=range(1_900_000_000, 1_900_065_536))
SUBNET = Functions(subnet="172.18.0.0/16")
MINE = server_name()
NAMESPACE = MINE.partition("-")[0]
DEAD = f"{NAMESPACE}-4194999.1"


def test_processes_are_told_by_their_users_and_containers_by_their_subnet() -> None:
    users, subnet = nft_table("me", USERS, (9000,)), nft_table("me", SUBNET, (9000,))
    assert "hook output" in users
    assert "meta skuid 1900000000-1900065535 jump functions" in users
    assert "hook input" not in users
    assert "hook output" not in subnet
    assert subnet.count("ip saddr 172.18.0.0/16 jump functions") == 2
    for table in (users, subnet):
        assert table.startswith("table inet lambda-home-me {")
        assert "tcp dport { 9000 } reject with tcp reset" in table
        assert all(address in table for address in METADATA_4)


def test_without_ports_there_is_no_rule_for_ports() -> None:
    assert "tcp dport { }" not in nft_table("me", USERS, ())
    assert not [rule for rule in iptables_rules("me", USERS, (), (), "") if "LOCAL" in rule]


@pytest.mark.parametrize("saved", [":DOCKER-USER - [0:0]\n", ""])
def test_docker_has_a_chain_for_rules_that_come_before_its_own(saved: str) -> None:
    rules = iptables_rules("me", SUBNET, (), METADATA_4, saved)
    jumps = [rule.split()[1] for rule in rules if rule.startswith("-I ")]
    assert jumps == ["INPUT", "DOCKER-USER" if saved else "FORWARD"]


def test_only_the_named_servers_rules_are_removed() -> None:
    saved = "\n".join(
        f'-A {hook} -m comment --comment "lambda-home-{name}" -j {chain_of(name)}'
        for name in (MINE, DEAD)
        for hook in ("INPUT", "FORWARD")
    )
    saved += '\n-A INPUT -m comment --comment "lambda-home of the neighbour" -j ACCEPT\n'
    gone = iptables_removal(saved, is_dead_server)
    assert gone[:2] == [
        f'-D {hook} -m comment --comment "lambda-home-{DEAD}" -j {chain_of(DEAD)}'
        for hook in ("INPUT", "FORWARD")
    ]
    assert gone[2:] == [f"-F {chain_of(DEAD)}", f"-X {chain_of(DEAD)}"]


def test_only_servers_that_this_one_can_see_are_dead() -> None:
    assert is_dead_server(DEAD)
    assert not is_dead_server(MINE)
    assert not is_dead_server(f"1{DEAD}"), "other process ids are seen there"
    assert not is_dead_server("nobody")
    assert len(chain_of(MINE)) <= 28, "no chain may have a longer name"


@pytest.mark.parametrize(
    ("wanted", "functions", "why"),
    [
        (False, USERS, "firewall = false"),
        (True, "Docker is elsewhere", "Docker is elsewhere"),
        (True, Functions(), "root" if os.geteuid() else "no user ids"),
    ],
)
def test_where_nothing_can_be_done_a_reason_is_given(
    wanted: bool,  # noqa: FBT001
    functions: Functions | str,
    why: str,
) -> None:
    async def main() -> str:
        firewall = Firewall((9000,), wanted=wanted)
        await firewall.open(functions)
        await firewall.close()
        return firewall.why

    assert why in asyncio.run(main())


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user is refused before")
@pytest.mark.parametrize("program", ["#!/bin/sh\necho 'no permission' >&2; exit 4\n", None])
def test_a_filter_that_fails_keeps_nobody_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    broken = tmp_path / "nft"
    if program is not None:
        broken.write_text(program)
        broken.chmod(0o755)
    monkeypatch.setattr(egress, "find_filter", lambda: egress.Nft(str(broken)))

    async def main() -> str:
        firewall = Firewall((9000,))
        await firewall.open(USERS)
        await firewall.close()
        return firewall.why

    expected = "nft refused: no permission" if program else "nft could not be run"
    assert asyncio.run(main()).startswith(expected)


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "_PATIENCE_S", 0.05)
    with pytest.raises(FirewallError, match=r"sleep took more than 0\.05 s"):
        asyncio.run(run("/bin/sleep", "60"))
