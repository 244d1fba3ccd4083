from __future__ import annotations

import pytest
from unit.registry.world import ELSEWHERE, HERE, Ticking, World, code, ref

from lambda_home.errors import InvalidParameterValueException
from lambda_home.functions import Layer, layers_key
from lambda_home.registry.layers import LayerPage, LayerRef, Layers, LayerVersion, Matches

V1 = LayerRef(HERE, "tools", 1)
HUGE = 10**25


@pytest.fixture
def layers(world: World) -> Layers:
    return Layers(world.database, clock=Ticking())


def anything(_: LayerVersion) -> bool:
    return True


def runs_on(runtime: str | None, architecture: str | None = None) -> Matches:
    return lambda version: version.runs_on(runtime, architecture)


def names(page: LayerPage) -> list[str]:
    return [f"{version.ref.name}:{version.ref.number}" for version in page.items]


def test_versions_count_up_and_come_back_as_they_were_published(layers: Layers) -> None:
    members = {"Description": "d", "CompatibleRuntimes": ["python3.12"]}
    first = layers.publish(HERE, "tools", code("a"), members)
    second = layers.publish(HERE, "tools", code("b"), {"Description": ""})
    assert first.ref == V1
    assert first.members == {**members, "CreatedDate": "2026-11-21T10:00:01.007+0000"}
    assert second.ref.arn == "arn:aws:lambda:us-east-1:000000000000:layer:tools:2"
    assert second.ref.layer_arn == "arn:aws:lambda:us-east-1:000000000000:layer:tools"
    assert layers.get(V1) == first
    assert layers.get(second.ref) == second


@pytest.mark.parametrize(
    "named",
    [
        LayerRef(HERE, "tools", 2),
        LayerRef(HERE, "tools", 0),
        LayerRef(HERE, "tools", HUGE),
        LayerRef(HERE, "other", 1),
        LayerRef(ELSEWHERE, "tools", 1),
    ],
)
def test_what_was_never_published_is_not_there_and_can_be_deleted(
    layers: Layers, named: LayerRef
) -> None:
    layers.publish(HERE, "tools", code(), {})
    assert layers.get(named) is None
    assert layers.change_policy(named, lambda _: {"Policy": {}}) is None
    layers.delete(named)
    assert layers.get(V1) is not None


def test_a_number_is_never_given_twice_not_even_after_a_restart(world: World) -> None:
    layers = Layers(world.database)
    for _ in range(2):
        layers.publish(HERE, "tools", code(), {})
    layers.change_policy(V1, lambda _: {"Policy": {"Id": "default"}, "RevisionId": "r"})
    layers.delete(LayerRef(HERE, "tools", 2))
    world.close()
    again = World(world.path)
    reopened = Layers(again.database)
    kept = reopened.get(V1)
    assert kept is not None
    assert kept.policy == {"Policy": {"Id": "default"}, "RevisionId": "r"}
    assert reopened.publish(HERE, "tools", code(), {}).ref.number == 3
    for number in (1, 3):
        reopened.delete(LayerRef(HERE, "tools", number))
    assert reopened.list_layers(HERE, anything, None, None) == LayerPage(())
    assert reopened.publish(HERE, "tools", code(), {}).ref.number == 4
    again.close()


def test_accounts_and_regions_count_for_themselves(layers: Layers) -> None:
    layers.publish(HERE, "tools", code(), {})
    assert layers.publish(ELSEWHERE, "tools", code(), {}).ref == LayerRef(ELSEWHERE, "tools", 1)
    layers.delete(V1)
    assert names(layers.list_layers(ELSEWHERE, anything, None, None)) == ["tools:1"]
    assert names(layers.list_layers(HERE, anything, None, None)) == []


def test_a_policy_is_changed_in_one_step_or_not_at_all(layers: Layers) -> None:
    layers.publish(HERE, "tools", code(), {"Description": "d"})
    before = layers.change_policy(V1, lambda version: {"was": version.policy})
    assert before is not None
    assert before.policy is None

    def refuse(_: LayerVersion) -> None:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        layers.change_policy(V1, refuse)
    kept = layers.get(V1)
    assert kept is not None
    assert kept.policy == {"was": None}
    assert kept.members["Description"] == "d"
    layers.change_policy(V1, lambda _: None)
    kept = layers.get(V1)
    assert kept is not None
    assert kept.policy is None


def test_versions_are_listed_newest_first_page_by_page(layers: Layers) -> None:
    for number in range(5):
        layers.publish(HERE, "tools", code(), {"CompatibleRuntimes": ["a", "b"][: 1 + number % 2]})
    layers.publish(HERE, "tools2", code(), {})
    layer = LayerRef(HERE, "tools")
    seen, marker = [], None
    while True:
        page = layers.list_versions(layer, anything, marker, 2)
        seen.append(names(page))
        marker = page.next_marker
        if marker is None:
            break
        layers.publish(HERE, "tools", code(), {})  # what comes meanwhile shifts nothing
    assert seen == [["tools:5", "tools:4"], ["tools:3", "tools:2"], ["tools:1"]]
    found = layers.list_versions(layer, runs_on("b"), None, 1)
    assert names(found) == ["tools:4"]
    found = layers.list_versions(layer, runs_on("b"), found.next_marker, 1)
    assert (names(found), found.next_marker) == (["tools:2"], None)


def test_layers_are_listed_by_name_with_their_newest_version_that_matches(layers: Layers) -> None:
    for name in ("c", "a", "b", "a"):
        layers.publish(HERE, name, code(), {"CompatibleArchitectures": ["arm64"]})
    layers.publish(HERE, "a", code(), {})
    first = layers.list_layers(HERE, anything, None, 2)
    assert names(first) == ["a:3", "b:1"]
    second = layers.list_layers(HERE, anything, first.next_marker, 2)
    assert (names(second), second.next_marker) == (["c:1"], None)
    on_arm = layers.list_layers(HERE, runs_on(None, "arm64"), None, None)
    assert names(on_arm) == ["a:2", "b:1", "c:1"]
    assert names(layers.list_layers(HERE, runs_on("x"), None, None)) == []


def test_a_marker_of_someone_else_is_refused(layers: Layers) -> None:
    with pytest.raises(InvalidParameterValueException, match="Marker"):
        layers.list_layers(HERE, anything, "nonsense!", None)
    with pytest.raises(InvalidParameterValueException, match="Marker"):
        layers.list_versions(V1, anything, "nonsense!", None)


def test_the_zips_of_layers_count(world: World, layers: Layers) -> None:
    world.create(size=100)
    layers.publish(HERE, "tools", code("t", size=70), {})
    assert world.registry.usage(HERE).total_code_size == 170
    layers.delete(V1)
    assert world.registry.usage(HERE).total_code_size == 100


def test_a_zip_is_kept_for_its_layer_and_after_that_for_its_functions(
    world: World, layers: Layers
) -> None:
    kept = layers.publish(HERE, "tools", code("t"), {})
    layers.publish(HERE, "unused", code("u"), {})
    world.settle(world.create())
    layer = Layer(kept.ref.arn, kept.code.key, kept.code.size)
    world.registry.update_configuration(ref(), {"layers": (layer,)})
    used = layers_key([layer.key])
    assert world.registry.code_keys() == {used, *(code(text).key for text in "atu")}
    for name in ("tools", "unused"):
        layers.delete(LayerRef(HERE, name, 1))
    assert world.registry.get(ref()).layers == (layer,)
    assert world.registry.code_keys() == {used, *(code(text).key for text in "at")}
    assert world.registry.get(ref()).code_keys == world.registry.code_keys()
