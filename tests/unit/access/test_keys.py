"""Access keys: made once, found quickly, and gone within a second of being deleted elsewhere."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fakes import HandTurnedClock

from lambda_home.access.keys import AccessKey, AccessKeys
from lambda_home.access.roles import Role
from lambda_home.errors import (
    ExpiredTokenException,
    InvalidParameterValueException,
    ResourceNotFoundException,
    ServiceException,
    UnrecognizedClientException,
)
from lambda_home.registry.database import Database
from lambda_home.registry.resources import Resources
from lambda_home.registry.secrets import open_vault
from lambda_home.vault import KEY_FILE

ACCOUNT = "000000000000"
PRINCIPAL = f"arn:aws:sts::{ACCOUNT}:assumed-role/lambda-role/my-function"


@dataclass
class Household:
    """One data directory; each `process` has memory of its own."""

    folder: Path
    clock: HandTurnedClock = field(default_factory=HandTurnedClock)

    def __post_init__(self) -> None:
        self.database = Database.open(self.folder / "lhome.db")
        self.keys = self.process()

    def process(self) -> AccessKeys:
        vault = open_vault("", self.folder, self.database)
        return AccessKeys(Resources(self.database), vault, self.clock.monotonic)

    def made(self, role: Role = Role.VIEWER, limit: int | None = None) -> AccessKey:
        return self.keys.create(ACCOUNT, "ann", role, 5.0, limit)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Household]:
    made = Household(tmp_path)
    yield made
    made.database.close()


def test_a_key_looks_as_those_of_aws_do(home: Household) -> None:
    key = home.made(Role.DEPLOYER, 7)
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", key.id)
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", key.secret)
    assert re.fullmatch(r"AIDA[A-Z2-7]{17}", key.user_id)
    assert key.arn == f"arn:aws:iam::{ACCOUNT}:user/ann"
    assert (key.role, key.requests_per_second, key.session_token) == (Role.DEPLOYER, 7, None)
    other = home.made()
    assert other.user_id == key.user_id
    assert {other.id, other.secret}.isdisjoint({key.id, key.secret})


def test_a_key_is_found_after_a_restart_as_it_was_made(home: Household) -> None:
    key = home.made(Role.INVOKER, 3)
    assert home.keys.find(key.id) == key
    assert home.process().find(key.id) == key
    for unknown in ("", "AKIA" + "A" * 16, key.id.lower(), "000000000000"):
        assert home.keys.find(unknown) is None


def test_a_secret_is_neither_listed_nor_shown_nor_kept_in_clear(home: Household) -> None:
    key = home.made()
    temporary = home.keys.environments.issue(ACCOUNT, Role.INVOKER, PRINCIPAL)
    shown = repr([home.keys.all_of(ACCOUNT), home.keys.everywhere(), key, temporary])
    for secret in (key.secret, temporary.secret, temporary.session_token or "-"):
        assert secret not in shown
    for file in home.folder.iterdir():
        assert key.secret.encode() not in file.read_bytes()


def test_keys_are_listed_by_account_the_oldest_first(home: Household) -> None:
    late = home.keys.create(ACCOUNT, "late", "admin", 9.0)
    early = home.keys.create(ACCOUNT, "early", "viewer", 1.0, 5)
    other = home.keys.create("111111111111", "other", "viewer", 2.0)
    found = home.keys.all_of(ACCOUNT)
    assert [record.id for record in found] == [early.id, late.id]
    assert (found[0].user_name, found[0].role, found[0].requests_per_second) == (
        "early",
        Role.VIEWER,
        5,
    )
    assert (found[0].created_at, found[0].is_enabled) == (1.0, True)
    assert [record.id for record in home.keys.everywhere()] == [early.id, late.id, other.id]


def test_a_deleted_or_disabled_key_is_refused_at_once_here(home: Household) -> None:
    key = home.made()
    assert home.keys.find(key.id) is not None
    assert home.keys.enable(ACCOUNT, key.id, enabled=False).is_enabled is False
    assert home.keys.find(key.id) is None
    assert home.keys.enable(ACCOUNT, key.id, enabled=True).is_enabled is True
    assert home.keys.find(key.id) == key
    home.keys.delete(ACCOUNT, key.id)
    assert home.keys.find(key.id) is None
    assert home.keys.all_of(ACCOUNT) == []


def test_another_process_notices_within_a_second(home: Household) -> None:
    server = home.process()
    assert server.find("AKIA" + "A" * 16) is None
    key = home.made()
    home.clock.turn(1.0)
    assert server.find(key.id) == key
    home.keys.enable(ACCOUNT, key.id, enabled=False)
    home.clock.turn(1.0)
    assert server.find(key.id) is None
    home.keys.enable(ACCOUNT, key.id, enabled=True)
    home.clock.turn(1.0)
    assert server.find(key.id) == key
    home.keys.delete(ACCOUNT, key.id)
    home.clock.turn(1.0)
    assert server.find(key.id) is None


def test_after_a_long_pause_the_first_request_sees_what_is_so(home: Household) -> None:
    server, key = home.process(), home.made()
    assert server.find(key.id) == key
    home.keys.delete(ACCOUNT, key.id)
    home.clock.turn(3600)
    assert server.find(key.id) is None


def test_a_key_of_another_account_is_not_deleted(home: Household) -> None:
    key = home.made()
    for refused in (
        lambda: home.keys.delete("111111111111", key.id),
        lambda: home.keys.delete(ACCOUNT, "AKIA" + "A" * 16),
        lambda: home.keys.enable("111111111111", key.id, enabled=False),
        lambda: home.keys.record_of("111111111111", key.id),
    ):
        with pytest.raises(ResourceNotFoundException, match="AKIA"):
            refused()
    assert home.keys.find(key.id) == key


@pytest.mark.parametrize(
    ("account", "user_name", "role", "limit", "says"),
    [
        ("123", "ann", "admin", None, "12 digits"),
        ("a" * 12, "ann", "admin", None, "12 digits"),
        (ACCOUNT, "", "admin", None, "user name"),
        (ACCOUNT, "a" * 65, "admin", None, "user name"),
        (ACCOUNT, "ann/bob", "admin", None, "user name"),
        (ACCOUNT, "ann\n", "admin", None, "user name"),
        (ACCOUNT, "ann", "root", None, "admin, deployer, invoker, viewer"),
        (ACCOUNT, "ann", "ADMIN", None, "admin, deployer, invoker, viewer"),
        (ACCOUNT, "ann", "admin", 0, "whole number"),
        (ACCOUNT, "ann", "admin", -1, "whole number"),
        (ACCOUNT, "ann", "admin", 1_000_001, "whole number"),
        (ACCOUNT, "ann", "admin", True, "whole number"),
        (ACCOUNT, "ann", "admin", 1.5, "whole number"),
        (ACCOUNT, "ann", "admin", "5", "whole number"),
    ],
)
def test_what_makes_no_key_is_refused(
    home: Household, account: str, user_name: str, role: str, limit: Any, says: str
) -> None:
    with pytest.raises(InvalidParameterValueException, match=says):
        home.keys.create(account, user_name, role, 1.0, limit)
    assert home.keys.everywhere() == []
    assert not (home.folder / KEY_FILE).exists(), "nothing half-written"


def test_a_key_whose_secret_cannot_be_read_says_so_and_spares_no_other(home: Household) -> None:
    key = home.made()
    (home.folder / KEY_FILE).unlink()
    server = home.process()
    with pytest.raises(ServiceException, match=r"secrets\.key"):
        server.find(key.id)
    assert server.find("AKIA" + "A" * 16) is None


def test_finding_a_key_costs_a_request_next_to_nothing(home: Household) -> None:
    key = home.made()
    home.keys.find(key.id)
    best = min(_time_of_a_thousand(home.keys, key.id) for _ in range(5))
    assert best < 0.2, "as long as checking a secret"


def _time_of_a_thousand(keys: AccessKeys, key_id: str) -> float:
    began = time.perf_counter()
    for _ in range(1000):
        keys.find(key_id)
    return time.perf_counter() - began


# -- credentials of execution environments


def test_an_environment_has_credentials_until_it_is_gone(home: Household) -> None:
    environments = home.keys.environments
    key = environments.issue(ACCOUNT, Role.DEPLOYER, PRINCIPAL)
    other = environments.issue(ACCOUNT, Role.DEPLOYER, PRINCIPAL)
    assert re.fullmatch(r"ASIA[A-Z2-7]{16}", key.id)
    assert re.fullmatch(r"AROA[A-Z2-7]{17}:my-function", key.user_id)
    assert (key.arn, key.account, key.role) == (PRINCIPAL, ACCOUNT, Role.DEPLOYER)
    assert home.keys.find(key.id, key.session_token) == key
    environments.revoke(key.id)
    environments.revoke(key.id)
    with pytest.raises(ExpiredTokenException, match="expired"):
        home.keys.find(key.id, key.session_token)
    assert home.keys.find(other.id, other.session_token) == other
    assert home.keys.find("ASIA" + "A" * 16, "x") is None
    assert home.keys.everywhere() == []


@pytest.mark.parametrize("token", [None, "", "wrong", "ü"])
def test_a_session_token_must_be_the_keys_own(home: Household, token: str | None) -> None:
    key = home.keys.environments.issue(ACCOUNT, Role.INVOKER, PRINCIPAL)
    with pytest.raises(UnrecognizedClientException, match="security token"):
        home.keys.find(key.id, token)


def test_a_key_of_a_person_takes_no_session_token(home: Household) -> None:
    key = home.made()
    assert home.keys.find(key.id, "") == key
    with pytest.raises(UnrecognizedClientException):
        home.keys.find(key.id, "token")
