from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_home.errors import ApiError, SerializationException
from lambda_home.user_api.protocol import (
    Match,
    match,
    operation_names,
    parse,
    read_document,
    serialize_error,
    validate,
)
from lambda_home.user_api.protocol.model import Shape, operations

NOWHERE = Match("", {})
FUZZ = settings(
    max_examples=150,
    database=None,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def parsed(operation: str, body: object, **path: str) -> dict[str, Any]:
    return parse(operation, Match(operation, path), "", {}, json.dumps(body).encode())


def refused(operation: str, body: bytes) -> str:
    with pytest.raises(SerializationException) as caught:
        parse(operation, NOWHERE, "", {}, body)
    status, headers, _ = serialize_error(caught.value)
    assert (status, headers["x-amzn-ErrorType"]) == (400, "SerializationException")
    return str(caught.value.message)


def test_members_come_from_path_query_and_headers() -> None:
    found = parse(
        "Invoke",
        Match("Invoke", {"FunctionName": "f"}),
        "Qualifier=a%20b&Unknown=1&Qualifier=second",
        {"x-amz-invocation-type": "Event", "x-unknown": "1"},
        b"\x00raw",
    )
    assert found == {
        "FunctionName": "f",
        "Qualifier": "a b",
        "InvocationType": "Event",
        "Payload": b"\x00raw",
    }


def test_blobs_are_decoded_and_unknown_members_and_nulls_ignored() -> None:
    body = {
        "FunctionName": "f",
        "Code": {"ZipFile": base64.b64encode(b"zip").decode(), "Extra": 1},
        "Unknown": {"a": [1]},
        "Timeout": None,
        "Environment": {"Variables": {"AB": None}},
    }
    assert parsed("CreateFunction", body) == {
        "FunctionName": "f",
        "Code": {"ZipFile": b"zip"},
        "Environment": {"Variables": {"AB": None}},
    }


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (1767225600, datetime(2026, 1, 1, tzinfo=UTC)),
        (1767225600.5, datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("1767225600", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T01:00:00+01:00", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_timestamps_are_read_as_epoch_or_iso_8601(sent: object, read: datetime) -> None:
    body = {"StartingPositionTimestamp": sent}
    assert parsed("CreateEventSourceMapping", body) == {"StartingPositionTimestamp": read}


def test_query_values_become_the_type_of_the_model() -> None:
    found = parse("UntagResource", Match("", {"Resource": "r"}), "tagKeys=a&tagKeys=b", {}, b"")
    assert found == {"Resource": "r", "TagKeys": ["a", "b"]}
    query = "MaxItems=5&ReverseOrder=True&StartedAfter=2026-01-01T00%3A00%3A00Z"
    found = parse(
        "ListDurableExecutionsByFunction", Match("", {"FunctionName": "f"}), query, {}, b""
    )
    assert found == {
        "FunctionName": "f",
        "MaxItems": 5,
        "ReverseOrder": True,
        "StartedAfter": datetime(2026, 1, 1, tzinfo=UTC),
    }


@pytest.mark.parametrize("value", ["", "x", "1_0", "1.5", "nan", "inf", "٣", "9" * 30, "9" * 9999])
def test_a_query_number_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(SerializationException, match="converted to an Integer"):
        parse("ListFunctions", NOWHERE, f"MaxItems={value}", {}, b"")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Timeout": "3"}, "STRING_VALUE can not be converted to an Integer"),
        ({"Timeout": True}, "TRUE_VALUE can not be converted to an Integer"),
        ({"Timeout": 1.5}, "NUMBER_VALUE can not be converted to an Integer"),
        ({"Timeout": 2**31}, "NUMBER_VALUE can not be converted to an Integer"),
        ({"Timeout": {}}, "Start of structure or map found where not expected."),
        ({"Timeout": [3]}, "Start of list found where not expected."),
        ({"Runtime": 5}, "NUMBER_VALUE can not be converted to a String"),
        ({"Runtime": False}, "FALSE_VALUE can not be converted to a String"),
        ({"Publish": "true"}, "STRING_VALUE can not be converted to a Boolean"),
        ({"Publish": 1}, "NUMBER_VALUE can not be converted to a Boolean"),
        ({"Code": "zip"}, "Unexpected field type"),
        ({"Code": []}, "Start of list found where not expected."),
        ({"Code": {"ZipFile": 1}}, "NUMBER_VALUE can not be converted to a Blob"),
        ({"Layers": "l"}, "Unexpected field type"),
        ({"Layers": {}}, "Start of structure or map found where not expected."),
        ({"Layers": [{}]}, "Start of structure or map found where not expected."),
        ({"Tags": []}, "Start of list found where not expected."),
        ({"Tags": {"a": 1}}, "NUMBER_VALUE can not be converted to a String"),
    ],
)
def test_json_of_another_type_is_refused(body: object, message: str) -> None:
    assert refused("CreateFunction", json.dumps(body).encode()) == message


@pytest.mark.parametrize("text", ["!", "a", "YQ=", "YQ==\n", "é"])
def test_bad_base64_is_refused(text: str) -> None:
    body = json.dumps({"Code": {"ZipFile": text}}).encode()
    assert "base64" in refused("CreateFunction", body)


@pytest.mark.parametrize("stamp", [1e300, -1e300, True, {}, "yesterday", "9" * 50, 10**400])
def test_bad_timestamps_are_refused(stamp: object) -> None:
    refused("CreateEventSourceMapping", json.dumps({"StartingPositionTimestamp": stamp}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b"[]",
        b"5",
        b'"text"',
        b"null",
        b"\xff\xfe{}",
        b'{"Timeout": NaN}',
        b'{"Timeout": -Infinity}',
        b'{"Timeout": ' + b"9" * 5000 + b"}",
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"Unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"FunctionName": 1e999}',
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    assert refused("CreateFunction", body)


def test_infinity_is_no_weight() -> None:
    refused("CreateAlias", b'{"RoutingConfig": {"AdditionalVersionWeights": {"1": 1e999}}}')


def test_the_last_of_duplicate_keys_counts() -> None:
    assert read_document(b'{"a": 1, "a": 2}') == {"a": 2}


def test_lone_surrogates_become_question_marks_and_pairs_stay() -> None:
    body = rb'{"Description": "a\ud800b", "\uDc00": ["\ud83d\ude00"]}'
    assert read_document(body) == {"Description": "a?b", "?": ["\N{GRINNING FACE}"]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("YQ=="),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def member_names(shape: Shape) -> set[str]:
    inner = [member.shape for member in shape.members.values()]
    inner += [part for part in (shape.key, shape.element) if part is not None]
    return set(shape.members).union(*(member_names(part) for part in inner))


KEYS = st.sampled_from(
    sorted({name for o in operations().values() for name in member_names(o.input)})
)
DOCUMENT = st.recursive(
    JSON,
    lambda inner: st.dictionaries(KEYS, inner, max_size=5) | st.lists(inner, max_size=2),
    max_leaves=12,
)
BODY = DOCUMENT.map(lambda document: json.dumps(document).encode()) | st.binary()


@FUZZ
@given(st.sampled_from(operation_names()), BODY, st.text(), st.text())
def test_no_input_raises_anything_but_an_api_error(
    operation: str, body: bytes, query: str, segment: str
) -> None:
    path = dict.fromkeys(("FunctionName", "Name", "VersionNumber", "LayerName", "Arn"), segment)
    found = Match(operation, _AnyPath(path, segment))
    try:
        validate(operation, parse(operation, found, f"MaxItems={query}&{query}", {}, body))
    except ApiError as error:
        status, _, answer = serialize_error(error)
    else:
        status, answer = 400, b"{}"
    assert status == 400
    assert isinstance(json.loads(answer), dict)


class _AnyPath(dict[str, str]):
    """Path parameters of whatever name."""

    def __init__(self, known: dict[str, str], other: str) -> None:
        super().__init__(known)
        self.other = other

    def __missing__(self, key: str) -> str:
        return self.other


@FUZZ
@given(st.sampled_from(["GET", "POST", "PUT", "DELETE"]), st.text(), st.text())
def test_no_path_raises(method: str, path: str, query: str) -> None:
    match(method, path, query)
    match(method, f"/2015-03-31/functions/{path}", query)
    match(method, f"/2018-10-31/layers/{path}", f"find={query}")
