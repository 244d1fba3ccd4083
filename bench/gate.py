"""`make bench-check` and `make bench-accept`: a new run against the last accepted one.

bench/gate.py check [RESULTS]      a quick run of its own, or the results file given
bench/gate.py accept [RESULTS]     make bench/results.json, or the file given, the accepted run
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "tests")) if path not in sys.path]

from bench import run  # noqa: E402  found by the line above
from bench.check import (  # noqa: E402
    better_of,
    compare,
    sections_to_repeat,
    verdict,
    why_not_accept,
)
from bench.figures import Effort  # noqa: E402

ACCEPTED = ROOT / "bench" / "accepted.json"
QUICK_SECONDS = 2.0
QUICK_SECTIONS = (
    "warm",
    "cold",
    "burst",
    "create",
    "registry",
    "async",
    "memory",
    "start",
    "glambdar",
)
"""Those with figures that are compared, but for what takes long to say the same again."""


def check(file: Path | None) -> int:
    """Compare, print a table; 1 if something is worse."""
    if not ACCEPTED.exists():
        print("bench-check: no accepted run; `make bench` and then `make bench-accept` make one")
        return 1
    accepted = _read(ACCEPTED)
    if file is not None:
        compared = compare(accepted, _read(file))
    else:
        effort = run.effort_from(os.environ, QUICK_SECONDS)
        names = [name for name in QUICK_SECTIONS if name in accepted["sections"]]
        results = run.measure(names, effort)
        if results["failed"]:
            return 1
        compared = compare(accepted, results)
        again = sections_to_repeat(accepted, compared)
        if again:
            print(f"\nbench-check: measuring again: {', '.join(again)}", flush=True)
            compared = better_of(compared, compare(accepted, run.measure(again, effort)))
    print("\n" + verdict(compared))
    if not compared:
        print("bench-check: nothing could be compared")
        return 1
    return 1 if any(one.failed for one in compared) else 0


def accept(file: Path) -> int:
    """Keep a run as the one to compare with: a full one in which nothing failed."""
    results = _read(file)
    if (why_not := why_not_accept(results, QUICK_SECTIONS, Effort.FULL)) is not None:
        print(f"bench-accept: the run in {file} cannot be accepted: {why_not}")
        return 1
    ACCEPTED.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"bench-accept: wrote {ACCEPTED.relative_to(ROOT)} ({len(results['rows'])} rows)")
    return 0


def _read(file: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SystemExit(f"bench: cannot read {file}: {error.strerror}") from error
    return document


def main() -> int:
    """Check or accept."""
    parser = argparse.ArgumentParser(description="Compare a run with the last accepted one.")
    parser.add_argument("what", choices=("check", "accept"))
    parser.add_argument("results", nargs="?", type=Path)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, run.end)
    if given.what == "accept":
        return accept(given.results or run.RESULTS)
    return check(given.results)


if __name__ == "__main__":
    raise SystemExit(main())
