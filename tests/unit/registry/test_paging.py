from __future__ import annotations

import base64

import pytest
from unit.registry.world import ELSEWHERE, HERE, World, ref

from lambda_home.errors import InvalidParameterValueException, ResourceNotFoundException


def names(world: World, size: int | None, *, all_versions: bool = False) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    marker = None
    while True:
        page = world.registry.list_functions(
            HERE, marker=marker, max_items=size, all_versions=all_versions
        )
        seen += [(item.name, item.version) for item in page.items]
        marker = page.next_marker
        if marker is None:
            return seen


def fill(world: World) -> None:
    for name in ("c", "a", "B", "d"):
        world.active(name)
        for text in ("x", "y"):
            world.described(text, name)
            world.registry.publish(ref(name))
    world.create("other", scope=ELSEWHERE)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, None])
def test_pages_hold_each_function_once(world: World, size: int | None) -> None:
    fill(world)
    expected = [(name, "$LATEST") for name in ("B", "a", "c", "d")]
    assert names(world, size) == expected


@pytest.mark.parametrize("size", [1, 4, 11, 12, None])
def test_pages_hold_each_version_once(world: World, size: int | None) -> None:
    fill(world)
    expected = [(name, v) for name in ("B", "a", "c", "d") for v in ("$LATEST", "1", "2")]
    assert names(world, size, all_versions=True) == expected


def test_a_page_has_at_most_50_items_whatever_is_asked_for(world: World) -> None:
    for number in range(52):
        world.create(f"f{number:02}")
    page = world.registry.list_functions(HERE, max_items=10_000)
    assert len(page.items) == 50
    rest = world.registry.list_functions(HERE, marker=page.next_marker)
    assert [item.name for item in rest.items] == ["f50", "f51"]
    assert rest.next_marker is None


def test_a_marker_outlives_deletes_and_creates(world: World) -> None:
    for name in ("a", "c", "e", "g"):
        world.create(name)
    page = world.registry.list_functions(HERE, max_items=2)
    for name in ("a", "c"):
        world.registry.delete(ref(name))
    world.create("b")
    world.create("f")
    rest = world.registry.list_functions(HERE, marker=page.next_marker)
    assert [item.name for item in rest.items] == ["e", "f", "g"]


def test_versions_of_a_function_come_in_pages_latest_first(world: World) -> None:
    world.active()
    for number in range(11):
        world.described(str(number))
        world.registry.publish(ref())
    world.create("fn2")
    first = world.registry.list_versions(ref(), max_items=3)
    rest = world.registry.list_versions(ref(), marker=first.next_marker)
    assert [item.version for item in first.items] == ["$LATEST", "1", "2"]
    assert [item.version for item in rest.items] == [str(number) for number in range(3, 12)]
    assert rest.next_marker is None


def test_versions_of_a_missing_function_are_not_found(world: World) -> None:
    with pytest.raises(ResourceNotFoundException):
        world.registry.list_versions(ref())


@pytest.mark.parametrize(
    "marker",
    [
        "x",
        "!!!!",
        "é",
        base64.urlsafe_b64encode(b'{"a": 1}').decode(),
        base64.urlsafe_b64encode(b'[1, "a"]').decode(),
        base64.urlsafe_b64encode(b'["a", 99999999999999999999]').decode(),
        base64.urlsafe_b64encode(b"\xff\xff").decode(),
    ],
)
def test_a_marker_that_is_not_ours_is_refused(world: World, marker: str) -> None:
    with pytest.raises(InvalidParameterValueException):
        world.registry.list_functions(HERE, marker=marker)
