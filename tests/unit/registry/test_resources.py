"""Documents of an account: apart by account, region, kind and name, and changed in one step."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lambda_home.arns import Scope
from lambda_home.registry.database import Database
from lambda_home.registry.resources import Document, ResourceKind, Resources

HERE = Scope("000000000000", "us-east-1")
MAPPING, SIGNING = ResourceKind.EVENT_SOURCE_MAPPING, ResourceKind.CODE_SIGNING_CONFIG


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lhome.db"


@pytest.fixture
def resources(path: Path) -> Iterator[Resources]:
    database = Database.open(path)
    yield Resources(database)
    database.close()


def put(resources: Resources, scope: Scope, kind: ResourceKind, name: str, value: int) -> None:
    resources.change(scope, kind, name, lambda _: {"value": value})


def test_a_document_is_known_by_account_region_kind_and_name(resources: Resources) -> None:
    put(resources, HERE, MAPPING, "a", 1)
    elsewhere = (
        (Scope("111111111111", "us-east-1"), MAPPING, "a"),
        (Scope("000000000000", "eu-west-1"), MAPPING, "a"),
        (HERE, SIGNING, "a"),
        (HERE, MAPPING, "b"),
    )
    for number, key in enumerate(elsewhere):
        assert resources.get(*key) is None
        put(resources, *key, 10 + number)
    assert resources.get(HERE, MAPPING, "a") == {"value": 1}
    assert list(resources.all_of(HERE, MAPPING)) == ["a", "b"]


def test_an_edit_sees_the_old_document_and_removes_it_with_none(resources: Resources) -> None:
    seen: list[Document | None] = []

    def edit(old: Document | None) -> Document | None:
        seen.append(old)
        return None if old else {"value": 1}

    assert resources.change(HERE, MAPPING, "a", edit) == {"value": 1}
    assert resources.change(HERE, MAPPING, "a", edit) is None
    assert seen == [None, {"value": 1}]
    assert resources.get(HERE, MAPPING, "a") is None


def test_an_edit_that_raises_changes_nothing(resources: Resources) -> None:
    put(resources, HERE, MAPPING, "a", 1)
    with pytest.raises(ZeroDivisionError):
        resources.change(HERE, MAPPING, "a", lambda _: {"value": 1 // 0})
    assert resources.get(HERE, MAPPING, "a") == {"value": 1}


def test_changes_at_once_are_made_one_after_the_other(resources: Resources) -> None:
    def count(_: int) -> None:
        resources.change(
            HERE, MAPPING, "a", lambda old: {"value": (old["value"] if old else 0) + 1}
        )

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(40)))
    assert resources.get(HERE, MAPPING, "a") == {"value": 40}


def test_several_documents_are_changed_at_once(resources: Resources) -> None:
    for name in "abc":
        put(resources, HERE, MAPPING, name, 1)
    resources.change_all(
        HERE, MAPPING, lambda found: {name: None for name in found if name != "b"} | {"d": {}}
    )
    assert resources.all_of(HERE, MAPPING) == {"b": {"value": 1}, "d": {}}


def test_documents_outlive_the_server(resources: Resources, path: Path) -> None:
    put(resources, HERE, MAPPING, "a", 1)
    reopened = Database.open(path)
    assert Resources(reopened).get(HERE, MAPPING, "a") == {"value": 1}
    reopened.close()
