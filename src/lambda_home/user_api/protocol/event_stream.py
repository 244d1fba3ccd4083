"""Messages of `application/vnd.amazon.eventstream`, as InvokeWithResponseStream answers with them.

A message is a prelude (total length, length of the headers, CRC of both), headers, payload and the
CRC of everything before it; all numbers are big-endian.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html (the format)
and botocore's model of InvokeWithResponseStream (the events). The model has no exceptions among
the events: a function that fails is told of by InvokeComplete.
"""

from __future__ import annotations

import json
import struct
from zlib import crc32

CONTENT_TYPE = "application/vnd.amazon.eventstream"
# Of one message; a receiver may refuse more.
LARGEST_PAYLOAD = 16 * 1024 * 1024

_STRING = 7
_WORD = struct.Struct(">I")
_PRELUDE = struct.Struct(">II")
_AROUND_HEADERS = 16  # prelude with its CRC, and the message's CRC


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack(f">B{len(key)}sBH{len(text)}s", len(key), key, _STRING, len(text), text)


def _event_headers(event_type: str, content_type: str) -> bytes:
    return b"".join(
        (
            _header(":event-type", event_type),
            _header(":content-type", content_type),
            _header(":message-type", "event"),
        )
    )


_CHUNK_HEADERS = _event_headers("PayloadChunk", "application/octet-stream")
_COMPLETE_HEADERS = _event_headers("InvokeComplete", "application/json")


def _message(headers: bytes, payload: bytes) -> bytes:
    prelude = _PRELUDE.pack(_AROUND_HEADERS + len(headers) + len(payload), len(headers))
    prelude_crc = _WORD.pack(crc32(prelude))
    crc = crc32(payload, crc32(headers, crc32(prelude_crc, crc32(prelude))))
    return b"".join((prelude, prelude_crc, headers, payload, _WORD.pack(crc)))


def payload_chunk(data: bytes) -> bytes:
    """The event PayloadChunk: a piece of the response, at most LARGEST_PAYLOAD bytes."""
    return _message(_CHUNK_HEADERS, data)


def invoke_complete(
    error_code: str | None = None,
    error_details: str | None = None,
    log_result: str | None = None,
) -> bytes:
    """The event InvokeComplete, the last one; `log_result` is base64 of the log's last 4 KB."""
    document = {
        "ErrorCode": error_code,
        "ErrorDetails": error_details,
        "LogResult": log_result,
    }
    given = {name: value for name, value in document.items() if value is not None}
    return _message(_COMPLETE_HEADERS, json.dumps(given).encode())


def json_event(event_type: str, payload: bytes) -> bytes:
    """An event of another operation's stream; `payload` is its JSON document."""
    return _message(_event_headers(event_type, "application/json"), payload)


def exception_event(exception_type: str, payload: bytes) -> bytes:
    """The exception that ends a stream; `payload` is its JSON document."""
    headers = b"".join(
        (
            _header(":exception-type", exception_type),
            _header(":content-type", "application/json"),
            _header(":message-type", "exception"),
        )
    )
    return _message(headers, payload)
