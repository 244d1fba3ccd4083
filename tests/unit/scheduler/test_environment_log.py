"""Which line belongs to which invocation, however the output is cut and whenever it arrives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.invocations import LOG_TAIL_LIMIT
from lambda_home.scheduler.environment_log import EnvironmentLog, InvocationLog

FENCE = re.compile(rb"\x1eFENCE [0-9A-Za-z-]{1,64}\x1e\r?\n")


def fence(request_id: str) -> bytes:
    return b"\x1eFENCE " + request_id.encode() + b"\x1e\n"


@dataclass
class Written:
    """An environment's log and what it has emitted."""

    lines: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = EnvironmentLog(self.emit)

    def emit(self, text: bytes, request_id: str) -> None:
        del request_id
        self.lines += text.decode("utf-8", "replace").split("\n")

    def begin(self, name: str, *, tail: bool = True) -> InvocationLog:
        return self.log.begin(name, f"START {name}", tail=tail)

    def finish(self, log: InvocationLog, *, fence: bool | None) -> None:
        name = log.request_id
        self.log.finish(log, [f"END {name}"], fence=fence, on_done=lambda: self.ended.append(name))


def lines_of(output: bytes) -> list[str]:
    """What must be emitted of one invocation's output: a fence ends a line and is not shown."""
    lines: list[str] = []
    for piece in FENCE.split(output):
        *whole, rest = piece.split(b"\n")
        lines += [line.decode("utf-8", "replace") for line in [*whole, *([rest] if rest else [])]]
    return lines


TOKENS = [b"a", b" ", b"\n", b"\r", b"\x1e", b"\x1eFENCE ", b"x-1", b"\xff", "é".encode()]
TOKENS += [fence("other"), fence("other")[:-1] + b"\r\n"]
OUTPUTS = st.lists(st.lists(st.sampled_from(TOKENS), max_size=8).map(b"".join), max_size=4)


@given(outputs=OUTPUTS, data=st.data())
def test_the_lines_of_each_invocation_are_the_same_however_output_is_cut_and_delayed(
    outputs: list[bytes], data: st.DataObject
) -> None:
    stream, begins = b"", []
    for number, output in enumerate(outputs):
        begins.append(len(stream))
        stream += output + (fence(f"r{number}") if output else b"")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=12)) | {len(stream)})
    written, logs, sent = Written(), list[InvocationLog](), 0
    for number, output in enumerate(outputs):
        logs.append(written.begin(f"r{number}"))
        limit = begins[number + 1] if number + 1 < len(begins) else len(stream)
        for phase in ("running", "answered"):
            # A runtime cannot write for an invocation that it has not been given.
            possible = [cut for cut in cuts if sent < cut <= limit]
            for cut in possible[: data.draw(st.integers(0, len(possible)))]:
                written.log.write(stream[sent:cut])
                sent = cut
            if phase == "running":
                written.finish(logs[number], fence=bool(output))
    for cut in [cut for cut in cuts if cut > sent]:
        written.log.write(stream[sent:cut])
        sent = cut
    expected: list[str] = []
    for number, output in enumerate(outputs):
        mine = [f"START r{number}", *lines_of(output), f"END r{number}"]
        expected += mine
        shown = logs[number].last_4_kb().decode("utf-8", "replace")
        assert shown == "".join(f"{line}\n" for line in mine)
    assert written.lines == expected
    assert written.ended == [f"r{number}" for number in range(len(outputs))]


def test_the_fence_may_come_before_the_answer() -> None:
    written = Written()
    log = written.begin("r")
    written.log.write(b"out\n" + fence("r"))
    assert written.ended == []
    written.finish(log, fence=True)
    assert written.lines == ["START r", "out", "END r"]
    assert written.ended == ["r"]


def test_the_answer_waits_for_its_fence() -> None:
    written = Written()
    written.finish(written.begin("r"), fence=True)
    assert written.ended == []
    written.log.write(b"late" + fence("r"))
    assert written.lines == ["START r", "late", "END r"]
    assert written.ended == ["r"]


def test_an_answer_without_output_waits_for_nothing() -> None:
    written = Written()
    written.finish(written.begin("r"), fence=False)
    assert (written.lines, written.ended) == (["START r", "END r"], ["r"])


def test_an_invocation_begun_before_the_fence_of_the_previous_waits_its_turn() -> None:
    written = Written()
    first = written.begin("1")
    written.finish(first, fence=True)
    second = written.begin("2")
    written.finish(second, fence=True)
    third = written.begin("3")
    written.finish(third, fence=False)
    assert written.lines == ["START 1"]
    written.log.write(b"one\n" + fence("1") + b"two\n" + fence("2"))
    assert written.lines == [
        *("START 1", "one", "END 1"),
        *("START 2", "two", "END 2"),
        *("START 3", "END 3"),
    ]
    assert second.last_4_kb() == b"START 2\ntwo\nEND 2\n"


def test_output_of_a_foreign_client_counts_until_the_next_invocation() -> None:
    written = Written()
    first = written.begin("1")
    written.log.write(b"one\n")
    written.finish(first, fence=None)
    assert written.ended == []
    written.log.write(b"one, late")
    second = written.begin("2")
    written.log.write(b"two\n")
    written.finish(second, fence=None)
    written.log.release(second)
    assert written.lines == [
        *("START 1", "one", "one, late", "END 1"),
        *("START 2", "two", "END 2"),
    ]
    assert written.ended == ["1", "2"]


def test_release_ends_the_wait_for_a_lost_fence_once() -> None:
    written = Written()
    first = written.begin("1")
    written.finish(first, fence=True)
    second = written.begin("2")
    written.log.release(first)
    assert written.lines == ["START 1", "END 1", "START 2"]
    written.log.release(first)
    assert not second.done
    written.log.write(fence("1") + b"two\n")
    assert written.lines[3:] == ["two"]
    assert written.ended == ["1"]


def test_the_fence_of_one_that_waits_released_early_does_not_overtake() -> None:
    written = Written()
    first = written.begin("1")
    written.finish(first, fence=True)
    second = written.begin("2")
    written.finish(second, fence=True)
    written.log.release(second)
    assert written.ended == []
    written.log.write(fence("1"))
    assert written.ended == ["1", "2"]


@pytest.mark.parametrize(
    "forged",
    [
        fence("other"),
        b"\x1eFENCE \x1e\n",
        b"\x1eFENCE " + b"x" * 65 + b"\x1e\n",
        b"\x1eFENCE r\x1e no",
        b"\x1e" * 200,
        b"\x1eFENCE r",
        b"\x1eFENCE r\x1eFENCE r",
        "\x1eFENCE é\x1e\n".encode(),
    ],
)
def test_forged_fences_neither_end_the_log_nor_hide_what_follows(forged: bytes) -> None:
    written = Written()
    log = written.begin("r")
    written.finish(log, fence=True)
    written.log.write(b"before\n" + forged)
    assert written.ended == []
    written.log.write(b"\nafter\n" + fence("r"))
    assert written.lines[1] == "before"
    assert written.lines[-2:] == ["after", "END r"]


def test_what_looks_like_a_fence_to_come_is_held_back_but_not_lost() -> None:
    written = Written()
    log = written.begin("r")
    written.log.write(b"x\x1eFENCE r")
    assert written.lines == ["START r"]
    written.log.write(b" is no fence" + b"." * 80 + b"\n")
    assert written.lines == ["START r", "x\x1eFENCE r is no fence" + "." * 80]
    written.log.write(b"\x1eFENCE")
    written.finish(log, fence=False)
    assert written.lines[2:] == ["\x1eFENCE", "END r"]


def test_lines_cut_inside_a_character_are_whole() -> None:
    written = Written()
    for byte in "größer\n".encode():
        written.log.write(bytes([byte]))
    assert written.lines == ["größer"]


def test_a_line_without_end_is_let_go_in_pieces() -> None:
    written = Written()
    for _ in range(10):
        written.log.write(b"x" * 100_000)
    written.log.write(b"\n")
    assert "".join(written.lines) == "x" * 1_000_000
    assert all(len(line) <= 400_000 for line in written.lines)
    assert len(written.lines) > 1


def test_the_tail_is_the_last_4_kb_of_its_own_invocation() -> None:
    written = Written()
    log = written.begin("r")
    for number in range(2000):
        written.log.write(b"line %04d\n" % number)
    written.finish(log, fence=False)
    whole = "".join(f"{line}\n" for line in written.lines).encode()
    assert log.last_4_kb() == whole[-LOG_TAIL_LIMIT:]
    assert log.tail is not None
    assert len(log.tail) < 8 * LOG_TAIL_LIMIT


def test_no_tail_is_kept_where_none_is_wanted() -> None:
    written = Written()
    log = written.begin("r", tail=False)
    written.log.write(b"x\n")
    assert log.tail is None
    assert log.last_4_kb() == b""


def test_output_before_the_first_invocation_is_emitted_and_its_end_remembered() -> None:
    written = Written()
    for number in range(3000):
        written.log.write(b"init %05d\n" % number)
    assert len(written.lines) == 3000
    assert len(written.log.init_output) == LOG_TAIL_LIMIT
    assert written.log.init_output.endswith(b"init 02999\n")
    log = written.begin("r")
    assert log.last_4_kb() == b"START r\n"


def test_the_end_of_the_environment_ends_the_last_line_and_every_answered_log() -> None:
    written = Written()
    first = written.begin("1")
    written.finish(first, fence=True)
    second = written.begin("2")
    written.finish(second, fence=True)
    written.log.write(b"torn \x1eFENCE 1")
    written.log.close()
    assert written.lines == ["START 1", "torn \x1eFENCE 1", "END 1", "START 2", "END 2"]
    assert written.ended == ["1", "2"]


def test_closing_leaves_an_invocation_without_answer_open() -> None:
    written = Written()
    log = written.begin("r")
    written.log.write(b"last words")
    written.log.close()
    assert written.lines == ["START r", "last words"]
    assert not log.done
    written.finish(log, fence=False)
    assert written.ended == ["r"]


def test_closing_twice_or_without_anything_is_fine() -> None:
    written = Written()
    written.log.close()
    written.log.close()
    assert written.lines == []


def test_the_first_invocation_waits_for_what_the_init_phase_wrote() -> None:
    written = Written()
    written.log.write(b"loading\nstill ")
    assert written.log.await_init() is not None
    log = written.begin("r")
    written.log.write(b"loading\n" + fence("init") + b"handling\n" + fence("r"))
    written.finish(log, fence=True)
    assert written.lines == ["loading", "still loading", "START r", "handling", "END r"]
    assert log.last_4_kb() == b"START r\nhandling\nEND r\n"
    assert written.log.init_output == b"loading\nstill loading\n"


def test_an_init_phase_whose_output_is_there_already_holds_nothing_back() -> None:
    written = Written()
    written.log.write(b"loading\n" + fence("init"))
    assert written.log.await_init() is None
    written.begin("r")
    assert written.lines == ["loading", "START r"]


def test_a_lost_fence_of_the_init_phase_is_not_waited_for_for_ever() -> None:
    written = Written()
    waiting = written.log.await_init()
    assert waiting is not None
    log = written.begin("r")
    written.finish(log, fence=False)
    written.log.release(waiting)
    assert written.lines == ["START r", "END r"]


def test_an_environment_that_ends_in_its_init_phase_ends_its_log() -> None:
    written = Written()
    written.log.await_init()
    log = written.begin("r")
    written.log.close()
    written.finish(log, fence=False)
    assert written.ended == ["r"]
