"""Which filter patterns Lambda takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_home.errors import InvalidParameterValueException
from lambda_home.event_sources.filters import check_filters, is_pattern

TAKEN: list[Any] = [
    {"eventName": ["INSERT", "MODIFY"]},
    {"dynamodb": {"NewImage": {"presentKey": {"S": [{"exists": True}]}}}},
    {"dynamodb": {"NewImage": {"presentKey": [{"exists": False}]}}},
    {"body": {"my-key": [{"prefix": "yes"}]}},
    {"body": {"my-number": [{"numeric": [">", 100]}]}},
    {"body": {"my-number": [{"numeric": [">=", 100, "<", 200]}]}},
    {"body": ["plain text", 1, 1.5, True, None, ""]},
    {"a": [{"anything-but": "b"}]},
    {"a": [{"anything-but": ["b", "c"]}]},
    {"a": [{"anything-but": [1, 2]}]},
    {"a": [{"anything-but": {"prefix": "b"}}]},
    {"a": [{"anything-but": {"wildcard": ["b*", "*c"]}}]},
    {"a": [{"suffix": {"equals-ignore-case": ".PNG"}}]},
    {"a": [{"equals-ignore-case": "b"}, "c"]},
    {"a": [{"wildcard": "b*c"}]},
    {"a": [{"cidr": "10.0.0.0/24"}]},
    {"$or": [{"a": ["b"]}, {"c": {"d": ["e"]}}]},
]
REFUSED_JSON: list[Any] = [
    {},
    [],
    "text",
    1,
    None,
    {"eventSource": "aws:sqs"},
    {"a": {"b": "c"}},
    {"a": None},
    {"a": 1},
    {"a": True},
    {"a": []},
    {"a": {}},
    {"a": [[]]},
    {"a": [{}]},
    {"a": [{"unknown": 1}]},
    {"a": [{"prefix": "b", "suffix": "c"}]},
    {"a": [{"prefix": 1}]},
    {"a": [{"prefix": {"unknown": "b"}}]},
    {"a": [{"exists": "true"}]},
    {"a": [{"numeric": [">"]}]},
    {"a": [{"numeric": []}]},
    {"a": [{"numeric": ["!", 1]}]},
    {"a": [{"numeric": ["=", "1"]}]},
    {"a": [{"numeric": ["<", 1, ">", 2]}]},
    {"a": [{"numeric": [">", 2, "<", 1]}]},
    {"a": [{"numeric": [[], 1]}]},
    {"a": [6_000_000_000]},
    {"a": [{"anything-but": []}]},
    {"a": [{"anything-but": ["b", 1]}]},
    {"a": [{"anything-but": {"prefix": ""}}]},
    {"a": [{"anything-but": {"exists": True}}]},
    {"a": [{"anything-but": None}]},
    {"a": [{"wildcard": "b**"}]},
    {"a": [{"cidr": "10.0.0.0"}]},
    {"a": [{"cidr": "300.0.0.0/8"}]},
    {"$or": [{"a": ["b"]}]},
    {"$or": [{"a": ["b"]}, {}]},
]
REFUSED_TEXTS = [
    None,
    "",
    "simple string",
    "single-string",
    '[{"eventName": ["INSERT"=123}]',
    '{"a": [1]',
    '{"a": [NaN]}',
    '{"a": ["b"]} x',
    '{"a":' * 3000,
]


@pytest.mark.parametrize("pattern", TAKEN)
def test_a_pattern_of_the_documented_language_is_taken(pattern: Any) -> None:
    assert is_pattern(json.dumps(pattern))


@pytest.mark.parametrize("pattern", REFUSED_JSON)
def test_json_that_is_no_pattern_is_refused(pattern: Any) -> None:
    assert not is_pattern(json.dumps(pattern))


@pytest.mark.parametrize("text", REFUSED_TEXTS)
def test_a_text_that_is_not_json_is_refused(text: str | None) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        check_filters({"Filters": [{"Pattern": text}]})
    assert refused.value.message == "Invalid filter pattern definition."


def test_every_filter_is_looked_at_and_there_may_be_five() -> None:
    good = {"Pattern": '{"a": ["b"]}'}
    check_filters(None)
    check_filters({})
    check_filters({"Filters": [good] * 5})
    with pytest.raises(InvalidParameterValueException):
        check_filters({"Filters": [good, {}]})
    with pytest.raises(InvalidParameterValueException, match="must not exceed 5"):
        check_filters({"Filters": [good] * 6})
