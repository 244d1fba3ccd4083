"""Logs of builds: lines with moments, bounded, harmless to terminals."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_home.builds.logbook import LONGEST_LINE, Logbook, read_log

NOW = 1_700_000_000.25
STAMP = "2023-11-14T22:13:20.250000Z"


def book(path: Path, limit: int = 1000, hidden: str = "") -> Logbook:
    return Logbook(path, limit, lambda: NOW, hidden)


def contents(path: Path) -> list[str]:
    return [line.content for line in read_log(path).lines]


def test_lines_are_whole_and_have_their_moment(tmp_path: Path) -> None:
    log = book(tmp_path / "log")
    log.feed(b"on")
    log.feed(b"e\ntwo\nthr")
    assert (tmp_path / "log").read_text() == f"{STAMP} one\n{STAMP} two\n"
    log.say("server")
    log.close()
    log.feed(b"late\n")
    assert contents(tmp_path / "log") == ["one", "two", "thr", "server"]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"10%\r50%\r100%", "100%"),
        (b"\x1b]0;title\x07x", "x"),
        (b"a\x00\x07\x9bb\tc", "a\ufffdb\tc"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("\u202eevil\u2028".encode(), "evil"),
        (b"x" * (LONGEST_LINE + 5), "x" * LONGEST_LINE + " ... (cut)"),
        (b"crlf\r", "crlf"),
        (b"fatal: https://tok@host", "fatal: https://***@host"),
    ],
)
def test_a_line_does_nothing_to_a_terminal(tmp_path: Path, printed: bytes, shown: str) -> None:
    log = book(tmp_path / "log", 100_000, "tok")
    log.feed(printed + b"\n")
    log.close()
    assert contents(tmp_path / "log") == [shown]


def test_of_a_flood_the_beginning_and_the_end_are_kept(tmp_path: Path) -> None:
    log = book(tmp_path / "log")
    log.feed(b"first\n")
    for _ in range(300):
        log.feed(b"y\n" * 1000)
    log.feed(b"error: at the end\n")
    log.say("over")
    log.close()
    lines = contents(tmp_path / "log")
    assert lines[0] == "first"
    assert "bytes are left out here" in " ".join(lines)
    assert lines[-2:] == ["error: at the end", "over"]
    assert (tmp_path / "log").stat().st_size < 20_000
    assert log.total == 600_024


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    log = book(tmp_path / "log", 10**6)
    for _ in range(100):
        log.feed(b"x" * 1000)
    log.close()
    assert (tmp_path / "log").stat().st_size < 60_000


def test_the_tail_is_that_of_the_step(tmp_path: Path) -> None:
    log = book(tmp_path / "log")
    log.feed(b"old\n")
    log.fresh()
    log.feed(b"new\nlast")
    assert log.tail().split("\n") == ["new", "last"]
    log.close()


def test_reading_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert read_log(path).lines == ()
    log = book(path)
    log.feed(b"one\n")
    first = read_log(path)
    log.feed(b"two\n")
    second = read_log(path, first.next)
    log.close()
    assert [line.content for line in second.lines] == ["two"]
    assert read_log(path, second.next).lines == ()
    assert read_log(path, 10**9).lines == ()
