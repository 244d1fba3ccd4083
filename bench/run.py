"""`make bench`: measures everything that SPECIFICATION.md promises, in one run on one machine.

    bench/run.py [SECTION ...]         all sections without names
    BENCH_SECONDS=1 bench/run.py       shorter loads and fewer samples; 5 is a full run

Prints a table and writes bench/results.json; a full run of all sections also writes docs/bench.svg
and docs/bench.md. Absolute times differ between machines and days; ratios to the yardsticks of the
same run are what counts. Needs wrk, for one section ab (Debian: wrk, apache2-utils).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "tests")) if path not in sys.path]

from bench import report  # noqa: E402  found by the line above
from bench.asynchronous import asynchronous  # noqa: E402
from bench.cold import burst, cold, creation  # noqa: E402
from bench.figures import Effort, Outcome, SkippedError  # noqa: E402
from bench.front import front  # noqa: E402
from bench.glambdar import glambdar  # noqa: E402
from bench.loads import soak, warm  # noqa: E402
from bench.logs import logs  # noqa: E402
from bench.memory import memory, starting  # noqa: E402
from bench.primes import primes  # noqa: E402
from bench.registry import registry  # noqa: E402
from bench.reload import reload  # noqa: E402
from bench.resetting import reset  # noqa: E402
from bench.runtimes import runtimes  # noqa: E402
from bench.servers import hardware  # noqa: E402
from bench.streaming import streaming  # noqa: E402

RESULTS = ROOT / "bench" / "results.json"
Section = Callable[[Effort, Outcome], None]
SECTIONS: Mapping[str, Section] = {
    "warm": warm,
    "front": front,
    "soak": soak,
    "cold": cold,
    "burst": burst,
    "create": creation,
    "reload": reload,
    "runtimes": runtimes,
    "registry": registry,
    "async": asynchronous,
    "streaming": streaming,
    "logs": logs,
    "memory": memory,
    "start": starting,
    "reset": reset,
    "glambdar": glambdar,
    "primes": primes,
}


def measure(names: Sequence[str], effort: Effort) -> dict[str, Any]:
    """Run sections, print the table, and return the document of results.json."""
    outcome = Outcome()
    section_of: dict[str, str] = {}
    took: dict[str, float] = {}
    network = _network()
    try:
        for name in names:
            took[name] = _one(name, effort, outcome)
            for row in outcome.rows:
                section_of.setdefault(row.key, name)
    finally:
        if not network and _network():
            _docker("network", "rm", "lambda-home")  # servers keep theirs for the next start
    machine = hardware()
    print("\n" + report.text(outcome, machine))
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": effort.seconds,
        "hardware": machine,
        "sections": outcome.sections,
        "section_of": section_of,
        "took_s": took,
        "rows": [row.as_json() for row in outcome.rows],
        "skipped": outcome.skipped,
        "failed": outcome.failed,
        "pages": {
            "bench.svg": report.svg(outcome.rows, machine, _today()),
            "bench.md": report.markdown(outcome, machine, _today()),
        },
    }


def _one(name: str, effort: Effort, outcome: Outcome) -> float:
    """One section; whatever happens to it, the others go on. Returns how long it took (seconds)."""
    print(f"bench: {name} ...", file=sys.stderr, flush=True)
    start = time.monotonic()
    try:
        SECTIONS[name](effort, outcome)
    except SkippedError as why:
        outcome.skipped.append(f"{name}: {why}")
    except Exception as error:
        outcome.failed.append(f"{name}: {type(error).__name__}: {error}")
        traceback.print_exc()
    else:
        outcome.sections.append(name)
    return round(time.monotonic() - start, 1)


def write(results: dict[str, Any], *, pages: bool) -> None:
    """Write results.json, and the pages of docs/ if they are to show this run."""
    texts: dict[str, str] = results.pop("pages")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if pages:
        for name, text in texts.items():
            (ROOT / "docs" / name).write_text(text, encoding="utf-8")


def _docker(*words: str) -> str:
    try:
        done = subprocess.run(
            ["docker", *words], check=False, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _network() -> str:
    return _docker("network", "ls", "--quiet", "--filter", "name=^lambda-home$")


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def end(number: int, frame: FrameType | None) -> None:
    """A benchmark that is told to end ends what it has started."""
    del frame
    raise SystemExit(128 + number)


def effort_from(environment: Mapping[str, str], default: float = Effort.FULL) -> Effort:
    """BENCH_SECONDS."""
    return Effort(max(1.0, float(environment.get("BENCH_SECONDS") or default)))


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    names = parser.parse_args().sections or list(SECTIONS)
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"no section {unknown[0]}; there are {', '.join(SECTIONS)}")
    signal.signal(signal.SIGTERM, end)
    effort = effort_from(os.environ)
    results = measure(names, effort)
    pages = effort.full and names == list(SECTIONS) and not results["failed"]
    write(results, pages=pages)
    said = ", docs/bench.svg and docs/bench.md" if pages else ""
    print(f"\nwrote bench/results.json{said}")
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
