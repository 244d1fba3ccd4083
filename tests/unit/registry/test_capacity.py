from __future__ import annotations

import pytest
from unit.registry.world import ELSEWHERE, HERE, World, code, ref

from lambda_home.arns import Scope
from lambda_home.errors import InvalidParameterValueException, ResourceNotFoundException
from lambda_home.registry.changes import Usage

ARN = "arn:aws:lambda:us-east-1:000000000000:function"


def test_reserved_concurrency_is_put_got_and_deleted(world: World) -> None:
    before = world.active()
    assert world.registry.get_reserved(ref()) is None
    assert world.registry.put_reserved(ref(), 0, 1000) == 0
    assert world.registry.get_reserved(ref()) == 0
    world.registry.put_reserved(ref(), 7, 1000)
    assert world.registry.reserved(HERE) == {"fn": 7}
    assert world.registry.reserved(ELSEWHERE) == {}
    world.registry.delete_reserved(ref())
    assert world.registry.get_reserved(ref()) is None
    assert world.registry.get(ref()) == before


def test_a_hundred_executions_stay_unreserved(world: World) -> None:
    world.active("a")
    world.active("b")
    for scope in (ELSEWHERE, Scope(HERE.account, "eu-west-1"), Scope("2" * 12, HERE.region)):
        world.create("c", scope=scope)
        world.registry.put_reserved(ref("c", scope=scope), 900, 1000)
    world.registry.put_reserved(ref("a"), 600, 1000)
    with pytest.raises(InvalidParameterValueException) as caught:
        world.registry.put_reserved(ref("b"), 301, 1000)
    assert caught.value.body() == {
        "message": "Specified ReservedConcurrentExecutions for function decreases account's"
        " UnreservedConcurrentExecution below its minimum value of [100]."
    }
    world.registry.put_reserved(ref("b"), 300, 1000)
    world.registry.put_reserved(ref("a"), 600, 1000)
    assert world.registry.reserved(HERE) == {"a": 600, "b": 300}


def test_giving_back_is_fine_even_in_an_account_that_became_smaller(world: World) -> None:
    world.active()
    world.registry.put_reserved(ref(), 500, 1000)
    world.registry.put_reserved(ref(), 400, 256)
    with pytest.raises(InvalidParameterValueException):
        world.registry.put_reserved(ref(), 401, 256)


def test_reserving_for_a_missing_function_names_latest(world: World) -> None:
    with pytest.raises(ResourceNotFoundException) as put:
        world.registry.put_reserved(ref(), 1, 1000)
    with pytest.raises(ResourceNotFoundException) as got:
        world.registry.get_reserved(ref())
    with pytest.raises(ResourceNotFoundException):
        world.registry.delete_reserved(ref())
    assert put.value.message == f"Function not found: {ARN}:fn:$LATEST"
    assert got.value.message == f"Function not found: {ARN}:fn"


def test_reserving_for_a_version_is_refused(world: World) -> None:
    world.active()
    with pytest.raises(InvalidParameterValueException, match="permitted on Lambda functions only"):
        world.registry.put_reserved(ref("fn", "$LATEST"), 0, 1000)


def test_usage_counts_the_zip_of_latest_and_of_each_version(world: World) -> None:
    assert world.registry.usage(HERE) == Usage(0, 0)
    world.active("a", size=100)
    world.create("b", scope=ELSEWHERE)
    world.registry.publish(ref("a"))
    world.registry.update_configuration(ref("a"), {"timeout_s": 9})
    world.active("c", size=7)
    assert world.registry.usage(HERE) == Usage(2, 207)
    world.registry.update_code(ref("a"), code("n", 50))
    assert world.registry.usage(HERE) == Usage(2, 157)
    world.registry.delete(ref("a", "1"))
    assert world.registry.usage(HERE) == Usage(2, 57)


def test_code_keys_are_those_that_some_version_needs(world: World) -> None:
    world.active()
    world.registry.publish(ref())
    world.registry.update_code(ref(), code("b"))
    world.create("x", scope=ELSEWHERE)
    world.registry.update_code(ref("x", scope=ELSEWHERE), code("c"))
    assert world.registry.code_keys() == {code(key).key for key in "abc"}
    world.registry.delete(ref("fn", "1"))
    assert world.registry.code_keys() == {code(key).key for key in "bc"}
