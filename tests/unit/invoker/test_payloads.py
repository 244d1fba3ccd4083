"""Payload checks: sizes, and JSON errors in the words of AWS."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.errors import InvalidRequestContentException, RequestTooLargeException
from lambda_home.invocations import InvocationType
from lambda_home.invoker.payloads import check_json, check_size, payload_too_large

SYNC = 6_291_556
ASYNC = 1_048_576
PREFIX = "Could not parse request body into json: Could not parse payload into json: "
SOURCE = "\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); "
AT_START = f"{SOURCE}line: 1, column: 1]"
VALUES = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
EXPECTED = f"expected a valid value {VALUES}"


def complaint(payload: bytes) -> str:
    with pytest.raises(InvalidRequestContentException) as caught:
        check_json(payload)
    message = str(caught.value)
    assert message.startswith(PREFIX)
    return message.removeprefix(PREFIX)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        (InvocationType.REQUEST_RESPONSE, SYNC),
        (InvocationType.DRY_RUN, SYNC),
        (InvocationType.EVENT, ASYNC),
    ],
)
def test_a_payload_may_be_as_long_as_its_limit_and_no_longer(
    kind: InvocationType, limit: int
) -> None:
    check_size(0, kind)
    check_size(limit, kind)
    with pytest.raises(RequestTooLargeException) as caught:
        check_size(limit + 1, kind)
    assert str(limit) in str(caught.value)
    assert caught.value.status == 413


def test_sizes_are_refused_in_the_words_of_aws() -> None:
    with pytest.raises(RequestTooLargeException) as caught:
        check_size(ASYNC + 1, InvocationType.EVENT)
    assert str(caught.value) == (
        "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
    )
    assert str(payload_too_large()) == (
        "Request must be smaller than 6291556 bytes for the InvokeFunction operation"
    )


@pytest.mark.parametrize(
    "payload",
    [b"{}", b"[]", b'"text"', b"0", b"-1.5e10", b"null", b"true", b' \n{"a": [1, {}]}\r\t '],
)
def test_any_json_value_is_taken(payload: bytes) -> None:
    check_json(payload)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(value=JSON, compact=st.booleans())
def test_whatever_is_written_as_json_is_taken(value: object, *, compact: bool) -> None:
    check_json(json.dumps(value, ensure_ascii=compact).encode())


@given(payload=st.binary(max_size=30))
def test_any_bytes_are_taken_or_refused_in_two_lines(payload: bytes) -> None:
    try:
        json.loads(payload.decode(), parse_constant=int)  # int refuses them
    except ValueError:
        assert SOURCE in complaint(payload)
    else:
        check_json(payload)


COMPLAINTS = [
    (b"hello", f"Unrecognized token 'hello': was expecting {VALUES}", 1, 1),
    (b"True", f"Unrecognized token 'True': was expecting {VALUES}", 1, 1),
    (b'{"a":\n  no}', f"Unrecognized token 'no': was expecting {VALUES}", 2, 3),
    (b"<a/>", f"Unexpected character ('<' (code 60)): {EXPECTED}", 1, 1),
    (b"'a'", f"Unexpected character (''' (code 39)): {EXPECTED}", 1, 1),
    (b'{"a":', "Unexpected end-of-input", 1, 6),
    (b"[1,", "Unexpected end-of-input", 1, 4),
]


@pytest.mark.parametrize(("payload", "reason", "line", "column"), COMPLAINTS)
def test_what_is_no_json_is_refused_with_the_place(
    payload: bytes, reason: str, line: int, column: int
) -> None:
    assert complaint(payload) == f"{reason}{SOURCE}line: {line}, column: {column}]"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            b"n\x87r\x9e\xe9\xb5\xd7I\xee\x9bmt",
            f"Invalid UTF-8 start byte 0x87{SOURCE}line: 1, column: 3]",
        ),
        (
            b"\x99\xeb,j\x07\xa1zYh",
            f"Unexpected character ((CTRL-CHAR, code 153)): {EXPECTED}{AT_START}",
        ),
    ],
)
def test_bytes_that_are_no_text_are_refused_as_recorded(payload: bytes, expected: str) -> None:
    assert complaint(payload) == expected


@pytest.mark.parametrize("payload", [b"NaN", b"-Infinity", b'{"a": Infinity}'])
def test_numbers_that_json_does_not_have_are_refused(payload: bytes) -> None:
    assert complaint(payload)


def test_nesting_without_end_is_refused_and_breaks_nothing() -> None:
    assert complaint(b"[" * 100_000)


def test_a_number_too_long_to_convert_is_refused() -> None:
    assert complaint(b"1" * 10_000)


def test_a_control_character_is_named_by_its_code() -> None:
    assert complaint(b"\x00").startswith("Unexpected character ((CTRL-CHAR, code 0)): ")
