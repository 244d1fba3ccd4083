"""Event-stream messages, read back by botocore's own reader."""

from __future__ import annotations

import json
import struct
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from botocore.model import ServiceModel
from botocore.parsers import EventStreamJSONParser
from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.user_api.protocol.event_stream import (
    LARGEST_PAYLOAD,
    invoke_complete,
    payload_chunk,
)

TEXT = st.none() | st.text()


def _read(data: bytes) -> list[Any]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


def _parsed(message: Any) -> dict[str, Any]:
    """What an SDK makes of it, by the model."""
    model: ServiceModel = get_session().get_service_model("lambda")
    shape = model.operation_model("InvokeWithResponseStream").get_event_stream_output()
    parsed: dict[str, Any] = EventStreamJSONParser().parse(message.to_response_dict(), shape)
    return parsed


@given(st.lists(st.binary(max_size=70_000), max_size=4), st.integers(1, 400))
def test_chunks_come_back_whole_however_they_are_cut(chunks: list[bytes], cut: int) -> None:
    data = b"".join(map(payload_chunk, chunks))
    step = max(cut, len(data) // 50)
    buffer = EventStreamBuffer()
    read = []
    for at in range(0, len(data), step):
        buffer.add_data(data[at : at + step])
        read += [message.payload for message in buffer]
    assert read == chunks


@given(TEXT, TEXT, TEXT)
def test_completion_carries_exactly_what_is_known(
    code: str | None, details: str | None, log: str | None
) -> None:
    (message,) = _read(invoke_complete(code, details, log))
    document = json.loads(message.payload)
    assert document == {
        name: value
        for name, value in (("ErrorCode", code), ("ErrorDetails", details), ("LogResult", log))
        if value is not None
    }


def test_an_sdk_understands_both_events() -> None:
    chunk, complete = _read(payload_chunk(b"\x00abc") + invoke_complete("Unhandled", '{"é":1}'))
    assert _parsed(chunk) == {"PayloadChunk": {"Payload": b"\x00abc"}}
    assert _parsed(complete) == {
        "InvokeComplete": {"ErrorCode": "Unhandled", "ErrorDetails": '{"é":1}'}
    }


def test_headers_name_the_event_as_aws_does() -> None:
    (chunk,) = _read(payload_chunk(b""))
    assert chunk.headers == {
        ":event-type": "PayloadChunk",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    (complete,) = _read(invoke_complete())
    assert complete.headers[":event-type"] == "InvokeComplete"
    assert complete.headers[":content-type"] == "application/json"


def test_every_byte_is_covered_by_a_checksum() -> None:
    data = payload_chunk(b"some data")
    assert struct.unpack(">I", data[8:12])[0] == crc32(data[:8])
    for at in (12, len(data) // 2, len(data) - 5):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(ChecksumMismatch):
            _read(bytes(damaged))


def test_the_largest_chunk_is_readable() -> None:
    (message,) = _read(payload_chunk(bytes(LARGEST_PAYLOAD)))
    assert len(message.payload) == LARGEST_PAYLOAD
