"""Prints where our answers differ from the recorded ones.

    .venv/bin/python tests/parity/report.py [part of a case's name] [--all-answers]

A line for each case, and for one that fails its differences: by recorded answer, first what was
recorded and then what ours says. With --all-answers everything that our server answered as well.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "src")]

from parity.cases import all_cases  # noqa: E402  found by the line before
from parity.exceptions import EXCEPTIONS  # noqa: E402
from parity.replay import Outcome, replay_all, target  # noqa: E402

_MOST_LINES = 12


def main(words: list[str]) -> int:
    """Replay the cases whose names have the word; returns how many fail."""
    wanted = next((word for word in words if not word.startswith("--")), "")
    cases = [case for case in all_cases().values() if wanted in case.name]
    replayed = [case for case in cases if case.is_replayed]
    began = time.monotonic()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with target() as at:
        outcomes = replay_all(replayed, at)
    failed = [outcome for outcome in outcomes.values() if not outcome.passed]
    for case in cases:
        if not case.is_replayed:
            _say(f"NO CALLS {case.name}")
    for outcome in outcomes.values():
        if outcome.passed:
            _say(f"ok       {outcome.case.name}")
    for outcome in failed:
        _print(outcome, everything="--all-answers" in words)
    took = time.monotonic() - began
    _say(f"\n{len(replayed) - len(failed)} of {len(replayed)} pass, {took:.1f} s")
    return len(failed)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print(outcome: Outcome, *, everything: bool) -> None:
    _say(f"\nFAILS    {outcome.case.name}")
    if reason := EXCEPTIONS.get(outcome.case.name):
        _say(f"    expected: {reason}")
    for name, lines in outcome.faults.items():
        _say(f"    {name}")
        for line in lines[:_MOST_LINES]:
            _say(f"      {line}")
    if everything:
        for place, reply in enumerate(outcome.replies):
            _say(f"    {place:3} {reply.operation} {reply.answer}")


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
