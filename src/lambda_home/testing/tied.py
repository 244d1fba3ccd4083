"""Runs `lambda-home` until whoever started it is gone: a killed test run leaves no server behind.

    python -m lambda_home.testing.tied serve ...

Its standard input is a pipe that nobody writes to. The system closes the other end with the
process that has it, however that ends, and what is read then is the end of the input.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Run the command line, tied to the standard input."""
    tie = os.dup(sys.stdin.fileno())  # for this process alone: what it starts reads nothing
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  a descriptor is wanted
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    threading.Thread(target=_end_with, args=(tie,), name="tie", daemon=True).start()
    runpy.run_module("lambda_home", run_name="__main__", alter_sys=True)


def _end_with(tie: int) -> None:
    while os.read(tie, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
