"""Refusals are logged, and nobody can fill the log with them."""

from __future__ import annotations

from structlog.testing import capture_logs

from lambda_home.runtime_api.refusals import Refusals


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_flood_is_cut_to_twenty_lines_then_one_a_second_that_counts_the_others() -> None:
    clock = _Clock()
    with capture_logs() as lines:
        refusals = Refusals(clock)
        for _ in range(1000):
            refusals.log("refused", path="/x")
        clock.now = 1.0
        refusals.log("refused", path="/last")
        refusals.log("refused", path="/one too many")
    assert len(lines) == 21
    assert lines[-1] == {
        "event": "refused", "log_level": "warning", "path": "/last", "others_not_logged": 980
    }  # fmt: skip


def test_one_kind_of_refusal_takes_no_room_from_another() -> None:
    with capture_logs() as lines:
        refusals = Refusals(_Clock())
        for _ in range(1000):
            refusals.log("loud")
        refusals.log("quiet")
    assert lines[-1]["event"] == "quiet"


def test_a_line_is_short_and_printable_whatever_was_asked_for() -> None:
    with capture_logs() as lines:
        Refusals(_Clock()).log("refused", path="/\x1b[31m\n" + "x" * 60_000)
    (line,) = lines
    assert len(line["path"]) < 250
    assert line["path"].isprintable()
