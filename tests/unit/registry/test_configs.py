from __future__ import annotations

import pytest
from unit.registry.world import ELSEWHERE, HERE, World, ref

from lambda_home.errors import ResourceNotFoundException
from lambda_home.registry.changes import Change, ChangeKind
from lambda_home.registry.configs import ConfigKind, FunctionConfigs


@pytest.fixture
def told() -> list[Change]:
    return []


@pytest.fixture
def configs(world: World, told: list[Change]) -> FunctionConfigs:
    world.active()
    return FunctionConfigs(world.database, told.append)


def test_a_document_is_put_got_replaced_and_deleted(
    configs: FunctionConfigs, told: list[Change]
) -> None:
    assert configs.get(ref(), ConfigKind.EVENT_INVOKE, "1") is None
    configs.put(ref(), ConfigKind.EVENT_INVOKE, {"a": 1}, "1")
    configs.put(ref(), ConfigKind.EVENT_INVOKE, {"a": 2}, "1")
    assert configs.get(ref(), ConfigKind.EVENT_INVOKE, "1") == {"a": 2}
    assert configs.delete(ref(), ConfigKind.EVENT_INVOKE, "1")
    assert not configs.delete(ref(), ConfigKind.EVENT_INVOKE, "1")
    assert configs.get(ref(), ConfigKind.EVENT_INVOKE, "1") is None
    assert told == [Change(HERE, "fn", ChangeKind.CONFIGURED)] * 4


def test_kinds_and_qualifiers_are_kept_apart(configs: FunctionConfigs) -> None:
    configs.put(ref(), ConfigKind.EVENT_INVOKE, {"q": "1"}, "1")
    configs.put(ref(), ConfigKind.EVENT_INVOKE, {"q": "live"}, "live")
    configs.put(ref(), ConfigKind.RATE_LIMIT, {"per_second": 5})
    assert configs.all_of(ref(), ConfigKind.EVENT_INVOKE) == {
        "1": {"q": "1"},
        "live": {"q": "live"},
    }
    assert configs.everywhere(ConfigKind.RATE_LIMIT) == {(HERE, "fn", ""): {"per_second": 5}}


def test_a_refused_change_changes_nothing(configs: FunctionConfigs, told: list[Change]) -> None:
    configs.put(ref(), ConfigKind.SCALING, {"a": 1})

    def refuse(_: object) -> None:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        configs.change(ref(), ConfigKind.SCALING, refuse)
    assert configs.get(ref(), ConfigKind.SCALING) == {"a": 1}
    assert len(told) == 1


def test_documents_go_with_their_function(configs: FunctionConfigs, world: World) -> None:
    configs.put(ref(), ConfigKind.SCALING, {"a": 1})
    world.registry.delete(ref())
    assert configs.everywhere(ConfigKind.SCALING) == {}
    world.active()
    assert configs.get(ref(), ConfigKind.SCALING) is None


def test_a_missing_function_is_a_404(configs: FunctionConfigs) -> None:
    for elsewhere in (ref("other"), ref(scope=ELSEWHERE)):
        with pytest.raises(ResourceNotFoundException):
            configs.put(elsewhere, ConfigKind.SCALING, {})
        with pytest.raises(ResourceNotFoundException):
            configs.get(elsewhere, ConfigKind.SCALING)
