"""Checks of an invoke payload, in the words of AWS (which are those of the Jackson JSON parser)."""

from __future__ import annotations

import json
import unicodedata

from lambda_home.errors import InvalidRequestContentException, RequestTooLargeException
from lambda_home.invocations import ASYNC_PAYLOAD_LIMIT, SYNC_PAYLOAD_LIMIT, InvocationType

_PREFIX = "Could not parse request body into json: Could not parse payload into json: "
_EXPECTED = (
    "expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
)
_SOURCE = " at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); "


def check_size(size: int, invocation_type: InvocationType) -> None:
    """Raise RequestTooLargeException where the payload is over the limit of its invocation type."""
    if invocation_type is InvocationType.EVENT:
        if size > ASYNC_PAYLOAD_LIMIT:
            raise RequestTooLargeException(
                f"{size} byte payload is too large for the Event invocation type"
                f" (limit {ASYNC_PAYLOAD_LIMIT} bytes)"
            )
    elif size > SYNC_PAYLOAD_LIMIT:
        raise payload_too_large()


def payload_too_large() -> RequestTooLargeException:
    """The error for a payload that no invocation type takes."""
    return RequestTooLargeException(
        f"Request must be smaller than {SYNC_PAYLOAD_LIMIT} bytes for the InvokeFunction operation"
    )


def check_json(payload: bytes) -> None:
    """Raise InvalidRequestContentException unless the payload is one JSON value."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(payload, error) from error
    try:
        _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _invalid(_reason(text, error.pos), error.lineno, error.colno) from error
    except RecursionError as error:
        raise _invalid("Document nesting depth exceeds the maximum allowed", 1, 1) from error
    except ValueError as error:
        raise _invalid(str(error), 1, 1) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(
        f"Non-standard token '{name}': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow"
    )


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _not_utf8(payload: bytes, error: UnicodeDecodeError) -> InvalidRequestContentException:
    """Jackson takes a bad byte where a value begins for a character, elsewhere for a bad byte.

    In the second case it has read the byte already, so that its column is one more.
    """
    before = payload[: error.start].decode("utf-8")
    line = before.count("\n") + 1
    column = len(before.rpartition("\n")[2].encode()) + 1
    bad = payload[error.start]
    if _value_begins_after(before):
        return _invalid(f"Unexpected character ({_shown(chr(bad))}): {_EXPECTED}", line, column)
    if error.reason == "invalid continuation byte":
        middle = payload[error.start + 1 : error.start + 2]
        reason = f"Invalid UTF-8 middle byte 0x{middle.hex().lstrip('0') or '0'}"
    else:
        reason = f"Invalid UTF-8 start byte 0x{bad:x}"
    return _invalid(reason, line, column + 1)


def _value_begins_after(before: str) -> bool:
    try:
        json.loads(before)
    except json.JSONDecodeError as error:
        if error.msg.startswith(("Unterminated string", "Invalid")):
            return False
    return not before.strip() or before.rstrip()[-1] in "[:,"


def _shown(character: str) -> str:
    code = ord(character)
    if unicodedata.category(character) == "Cc":
        return f"(CTRL-CHAR, code {code})"
    return f"'{character}' (code {code})"


def _reason(text: str, position: int) -> str:
    if position >= len(text):
        return "Unexpected end-of-input"
    character = text[position]
    if character.isalpha():
        end = position
        while end < len(text) and text[end].isalnum():
            end += 1
        token = text[position:end]
        return (
            f"Unrecognized token '{token}': was expecting (JSON String, Number, Array, Object or"
            " token 'null', 'true' or 'false')"
        )
    return f"Unexpected character ({_shown(character)}): {_EXPECTED}"


def _invalid(reason: str, line: int, column: int) -> InvalidRequestContentException:
    return InvalidRequestContentException(
        f"{_PREFIX}{reason}\n{_SOURCE}line: {line}, column: {column}]"
    )
