"""Secrets in the registry: encrypted, and a change outdates just what refers to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.registry.world import ELSEWHERE, HERE, World, code, ref

from lambda_home.arns import Scope
from lambda_home.errors import ResourceNotFoundException
from lambda_home.registry.changes import Change, ChangeKind, NewFunction
from lambda_home.registry.resources import ResourceKind, Resources
from lambda_home.registry.secrets import Secret, Secrets, open_vault, renew
from lambda_home.vault import KEY_FILE, VaultError

NAME = "db/pass_word.1"


class WithSecrets(World):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.vault = open_vault("", self.path.parent, self.database)
        self.secrets = Secrets(self.database, self.changes.append, self.vault)

    def refers(self, name: str, value: str, scope: Scope = HERE) -> None:
        values = NewFunction(
            runtime="python3.12",
            handler="index.handler",
            role="arn:aws:iam::r",
            environment={"PLAIN": "x", "VALUE": value},
        )
        self.registry.create(ref(name, scope=scope), code(), values)
        self.changes.clear()

    def keys(self, *names: str, scope: Scope = HERE) -> list[frozenset[str]]:
        return [self.registry.run_keys(scope, name) for name in names]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[WithSecrets]:
    made = WithSecrets(tmp_path / "lhome.db")
    yield made
    made.close()


def test_a_secret_is_made_replaced_listed_and_deleted(world: WithSecrets) -> None:
    secrets = world.secrets
    assert secrets.put(HERE, NAME, "one", 10.0) == Secret(NAME, 10.0, 10.0)
    secrets.put(HERE, "a", "other", 11.0)
    assert secrets.values(HERE, {NAME, "a", "none"}) == {NAME: "one", "a": "other"}
    assert secrets.put(HERE, NAME, "two", 12.5) == Secret(NAME, 10.0, 12.5)
    assert secrets.values(HERE, {NAME}) == {NAME: "two"}
    assert secrets.all_of(HERE) == [Secret("a", 11.0, 11.0), Secret(NAME, 10.0, 12.5)]
    secrets.delete(HERE, NAME)
    assert secrets.values(HERE, {NAME}) == {}
    with pytest.raises(ResourceNotFoundException, match=NAME):
        secrets.delete(HERE, NAME)


def test_accounts_and_regions_have_their_own(world: WithSecrets) -> None:
    world.secrets.put(HERE, NAME, "mine", 1.0)
    for other in (ELSEWHERE, Scope(HERE.account, "eu-west-1"), Scope("1" * 12, HERE.region)):
        assert world.secrets.values(other, {NAME}) == {}
        assert world.secrets.all_of(other) == []


def test_the_file_holds_no_value_in_clear(world: WithSecrets) -> None:
    world.secrets.put(HERE, NAME, "correct-horse-battery", 1.0)
    for file in world.path.parent.iterdir():
        assert b"correct-horse" not in file.read_bytes()


def test_a_new_key_is_not_made_where_secrets_are_kept(world: WithSecrets) -> None:
    world.secrets.put(HERE, NAME, "x", 1.0)
    (world.path.parent / KEY_FILE).unlink()
    again = Secrets(
        world.database, world.changes.append, open_vault("", world.path.parent, world.database)
    )
    with pytest.raises(VaultError):
        again.put(HERE, NAME, "y", 2.0)
    with pytest.raises(VaultError):
        again.values(HERE, {NAME})
    assert [secret.name for secret in again.all_of(HERE)] == [NAME]
    again.delete(HERE, NAME)
    again.put(HERE, NAME, "y", 3.0)  # nothing is kept that a new key could not read


@pytest.mark.parametrize("how", ["create", "replace", "delete"])
def test_each_change_outdates_the_functions_that_refer_to_it(world: WithSecrets, how: str) -> None:
    world.refers("refers", f"SECRET_REF:{NAME}")
    if how != "create":
        world.secrets.put(HERE, NAME, "old", 1.0)
        world.changes.clear()
    (before,) = world.keys("refers")
    if how == "delete":
        world.secrets.delete(HERE, NAME)
    else:
        world.secrets.put(HERE, NAME, "new", 2.0)
    (after,) = world.keys("refers")
    assert after.isdisjoint(before)
    assert world.changes == [Change(HERE, "refers", ChangeKind.UPDATED)]


def test_functions_that_do_not_refer_to_it_stay_as_they_are(world: WithSecrets) -> None:
    world.refers("longer", f"SECRET_REF:{NAME}2")
    world.refers("shorter", f"SECRET_REF:{NAME[:-1]}")
    world.refers("like", "SECRET_REF:db/passXword.1")
    world.refers("upper", f"SECRET_REF:{NAME.upper()}")
    world.refers("part", f"x SECRET_REF:{NAME}")
    world.refers("elsewhere", f"SECRET_REF:{NAME}", ELSEWHERE)
    world.active("without")
    world.changes.clear()
    names = ("longer", "shorter", "like", "upper", "part", "without")
    before = [*world.keys(*names), *world.keys("elsewhere", scope=ELSEWHERE)]
    world.secrets.put(HERE, NAME, "new", 1.0)
    assert [*world.keys(*names), *world.keys("elsewhere", scope=ELSEWHERE)] == before
    assert world.changes == []


def test_published_versions_are_outdated_but_stay_what_they_are(world: WithSecrets) -> None:
    world.refers("fn", f"SECRET_REF:{NAME}")
    world.settle(world.registry.get(ref("fn")))
    published = world.registry.publish(ref("fn"))
    latest = world.registry.get(ref("fn"))
    world.secrets.put(HERE, NAME, "new", 1.0)
    for old, qualifier in ((published, "1"), (latest, None)):
        new = world.registry.get(ref("fn", qualifier))
        assert new.run_key != old.run_key
        assert (new.revision_id, new.last_modified) == (
            world.registry.get(ref("fn", qualifier)).revision_id,
            old.last_modified,
        )
        assert new.status == old.status
    assert world.registry.publish(ref("fn")).version == "1", "nothing to publish"


def test_a_refused_change_outdates_nothing(world: WithSecrets) -> None:
    world.refers("fn", f"SECRET_REF:{NAME}")
    before = world.keys("fn")
    with pytest.raises(ResourceNotFoundException):
        world.secrets.delete(HERE, NAME)
    assert world.keys("fn") == before
    assert world.changes == []


def test_after_a_start_with_a_new_key_before_the_old_one_the_old_one_is_not_needed(
    world: WithSecrets,
) -> None:
    world.secrets.put(HERE, "a", "one", 10.0)
    world.secrets.put(ELSEWHERE, "b", "two", 11.0)
    access_key = {"secret": world.vault.encrypt("s"), "role": "admin"}
    resources = Resources(world.database)
    resources.change(HERE, ResourceKind.ACCESS_KEY, "AKIA", lambda _: access_key)
    world.refers("f", "SECRET_REF:a")
    before = world.keys("f")
    old, new = (world.path.parent / KEY_FILE).read_text().strip(), f"{'A' * 43}="
    folder = world.path.parent

    assert renew(world.database, open_vault(f"{new},{old}", folder, world.database)) == 3
    assert renew(world.database, open_vault(f"{new},{old}", folder, world.database)) == 0

    vault = open_vault(new, folder, world.database)
    secrets = Secrets(world.database, world.changes.append, vault)
    assert secrets.values(HERE, ["a"]) == {"a": "one"}
    assert secrets.values(ELSEWHERE, ["b"]) == {"b": "two"}
    assert secrets.all_of(HERE) == [Secret("a", 10.0, 10.0)], "it is no change of the secret"
    kept = resources.get(HERE, ResourceKind.ACCESS_KEY, "AKIA")
    assert kept is not None
    assert vault.decrypt(kept["secret"]) == "s"
    assert kept["role"] == "admin"
    assert world.keys("f") == before, "environments that run are as good as before"


def test_what_no_key_reads_stays_as_it_is(world: WithSecrets) -> None:
    world.secrets.put(HERE, "a", "one", 10.0)
    others = ",".join(f"{letter * 43}=" for letter in "AE")
    assert renew(world.database, open_vault(others, world.path.parent, world.database)) == 0
    assert world.secrets.values(HERE, ["a"]) == {"a": "one"}
