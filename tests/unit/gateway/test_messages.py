"""Responses on the wire: framing is ours, and nobody writes a header of another's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.gateway.messages import (
    BadMessageError,
    HttpRequest,
    HttpResponse,
    TextFields,
    chunk,
    render,
    render_stream_head,
    set_fields,
)


def test_a_response_is_written_with_its_length() -> None:
    response = HttpResponse(200, [("Content-Type", "text/plain"), ("x-a", "é")], b"abc")
    assert render(response) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nx-a: \xe9\r\ncontent-length: 3\r\n\r\nabc"
    )


def test_text_beyond_latin_1_is_sent_as_utf_8() -> None:
    assert b"x-a: \xe2\x82\xac\r\n" in render(HttpResponse(200, [("x-a", "€")]))


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (200, "HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"),
        (204, "GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (304, "GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        (299, "GET", b"HTTP/1.1 299 \r\ncontent-length: 3\r\n\r\nabc"),
    ],
)
def test_what_has_no_body_gets_none(status: int, method: str, expected: bytes) -> None:
    assert render(HttpResponse(status, [], b"abc"), method) == expected


@pytest.mark.parametrize(
    "name",
    ["Connection", "content-length", "Transfer-Encoding", "TE", "trailer", "Upgrade", "Keep-Alive"],
)
def test_what_frames_a_message_is_not_the_functions_to_say(name: str) -> None:
    plain = render(HttpResponse(200, [], b"abc"))
    assert render(HttpResponse(200, [(name, "5")], b"abc")) == plain


@pytest.mark.parametrize(
    "pair",
    [
        ("x-a", "1\r\nset-cookie: stolen=1"),
        ("x-a", "1\nx"),
        ("x-a", "1\rx"),
        ("x-a", "1\0x"),
        ("x-a", "\x7f"),
        ("x-a", "\ud800"),
        ("x-a\r\nset-cookie", "1"),
        ("x a", "1"),
        ("x:a", "1"),
        ("", "1"),
        ("ü", "1"),
    ],
)
def test_headers_that_break_a_message_are_refused(pair: tuple[str, str]) -> None:
    response = HttpResponse(200, [pair])
    with pytest.raises(BadMessageError):
        render(response)
    with pytest.raises(BadMessageError):
        render_stream_head(response)


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 600, 1000])
def test_only_final_statuses_are_sent(status: int) -> None:
    with pytest.raises(BadMessageError):
        render(HttpResponse(status))


@given(fields=st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=3))
def test_a_head_has_no_more_lines_than_were_meant(fields: TextFields) -> None:
    try:
        head = render(HttpResponse(200, fields, b"body"))
    except BadMessageError:
        return
    lines = head.removesuffix(b"body").split(b"\r\n")
    assert len(lines) <= 1 + len(fields) + 1 + 2
    assert b"\n" not in b"".join(lines)


def test_a_stream_begins_with_its_head_alone() -> None:
    response = HttpResponse(200, [("content-length", "3")])
    expected = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert render_stream_head(response) == (expected, True)
    assert render_stream_head(response, "HEAD") == (expected, False)
    nothing = b"HTTP/1.1 204 No Content\r\n\r\n"
    assert render_stream_head(HttpResponse(204)) == (nothing, False)


def test_pieces_are_chunks_and_nothing_is_no_chunk() -> None:
    assert chunk(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"
    assert chunk(b"") == b""


def test_headers_are_replaced_whatever_their_case() -> None:
    response = HttpResponse(200, [("X-A", "1"), ("x-b", "2")])
    set_fields(response, [("x-a", "3")])
    assert response.fields == [("x-b", "2"), ("x-a", "3")]


def test_of_several_headers_the_last_is_found() -> None:
    request = HttpRequest("GET", "/", "", [("a", "1"), ("a", "2")], b"", "", "", 0, "")
    assert (request.header("a"), request.header("b")) == ("2", None)
