"""Bodies and answers on the bare ASGI interface."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.http_io import (
    BodyTooLarge,
    ClientGone,
    answer,
    discard_rest,
    is_gone,
    read_body,
    refuse_length,
)


class Sender:
    """A client that sends these chunks, then hangs up (unless the last was its last)."""

    def __init__(self, *chunks: bytes, complete: bool = True) -> None:
        self.left = list(chunks)
        self.complete = complete
        self.disconnected = False

    async def receive(self) -> MutableMapping[str, Any]:
        if not self.left:
            self.disconnected = True
            return {"type": "http.disconnect"}
        body = self.left.pop(0)
        more = bool(self.left) or not self.complete
        return {"type": "http.request", "body": body, "more_body": more}


def read(sender: Sender, limit: int = 10) -> bytes:
    return asyncio.run(read_body(sender.receive, limit))


@given(chunks=st.lists(st.binary(max_size=5), min_size=1, max_size=6), limit=st.integers(0, 12))
def test_a_body_is_whole_or_over_the_limit_however_it_is_cut(
    chunks: list[bytes], limit: int
) -> None:
    whole = b"".join(chunks)
    if len(whole) <= limit:
        assert read(Sender(*chunks), limit) == whole
    else:
        with pytest.raises(BodyTooLarge):
            read(Sender(*chunks), limit)


def test_a_request_without_members_is_an_empty_body() -> None:
    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    assert asyncio.run(read_body(receive, 0)) == b""


@pytest.mark.parametrize("chunks", [(), (b"a",), (b"a", b"b")])
def test_a_client_that_goes_away_is_told_apart_from_a_short_body(chunks: tuple[bytes]) -> None:
    with pytest.raises(ClientGone):
        read(Sender(*chunks, complete=False))


def test_reading_stops_as_soon_as_the_limit_is_passed() -> None:
    sender = Sender(b"aaa", b"bbb", b"ccc", b"ddd")
    with pytest.raises(BodyTooLarge) as caught:
        read(sender, 5)
    assert caught.value.more
    assert sender.left == [b"ccc", b"ddd"]


def test_whether_more_of_a_refused_body_comes_is_known() -> None:
    for chunks in ((b"abc",), (b"a", b"bc")):
        with pytest.raises(BodyTooLarge) as caught:
            read(Sender(*chunks), 2)
        assert not caught.value.more


def discard(sender: Sender, most: int, *, more: bool = True) -> None:
    asyncio.run(discard_rest(BodyTooLarge(more=more), sender.receive, most))


def test_the_rest_of_a_refused_body_is_read_to_its_end() -> None:
    sender = Sender(b"a", b"b", b"c")
    discard(sender, 100)
    assert sender.left == []
    assert not sender.disconnected


def test_nothing_is_read_where_nothing_more_comes() -> None:
    sender = Sender(b"a")
    discard(sender, 100, more=False)
    assert sender.left == [b"a"]


def test_a_body_without_end_is_given_up() -> None:
    sender = Sender(*[b"aa"] * 10)
    discard(sender, 6)
    assert len(sender.left) == 7


def test_a_client_that_goes_away_while_its_rest_is_read_is_no_error() -> None:
    sender = Sender(b"a", complete=False)
    discard(sender, 100)
    assert sender.disconnected


def test_an_answer_is_sent_with_its_length() -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(answer(send, 202, b"hello", [(b"x", b"y")]))
    headers = [(b"x", b"y"), (b"content-length", b"5")]
    assert sent == [
        {"type": "http.response.start", "status": 202, "headers": headers},
        {"type": "http.response.body", "body": b"hello"},
    ]


def test_a_lost_connection_is_seen_on_the_object_that_receive_belongs_to() -> None:
    sender = Sender()
    assert not is_gone(sender.receive)
    sender.disconnected = True
    assert is_gone(sender.receive)


def test_where_nothing_is_known_of_a_connection_it_is_not_taken_for_lost() -> None:
    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("never read")

    assert not is_gone(receive)


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ([(b"content-length", b"11")], True),
        ([(b"content-length", b"11"), (b"expect", b"100-continue")], False),
        ([(b"content-length", b"%d" % (1 << 40))], False),
    ],
)
def test_a_length_over_the_limit_is_refused_unread(
    fields: list[tuple[bytes, bytes]], *, more: bool
) -> None:
    with pytest.raises(BodyTooLarge) as refused:
        refuse_length(fields, 10)
    assert refused.value.more is more


@pytest.mark.parametrize("fields", [[], [(b"content-length", b"10")], [(b"expect", b"x")]])
def test_a_length_within_the_limit_or_none_is_taken(fields: list[tuple[bytes, bytes]]) -> None:
    refuse_length(fields, 10)
