"""How much one invocation may log; pure.

Between the splitting of an environment's output (`environment_log`) and the log store. What is more
than the limit is left out, and a line says so; the platform's own lines are always written.
"""

from __future__ import annotations

from typing import Final

from lambda_home.scheduler.environment_log import Emit, Sift

_MB: Final = 1024 * 1024
_MOST_KNOWN: Final = 1000
"""Invocations whose output is counted at a time; each environment has few."""


class OutputLimit:
    """Passes lines on to `emit`, of each invocation at most `most_mb` megabytes of its own.

    Its `sift` and `emit` stand for those that it was made with: what `sift` keeps, a function's own
    lines, must be the next that `emit` gets, as both kinds of environment's log do it.
    """

    def __init__(self, emit: Emit, sift: Sift, most_mb: int) -> None:
        self._emit = emit
        self._sift = sift
        self._most_mb = most_mb
        self._own = False
        self._written: dict[str, int] = {}

    def sift(self, text: bytes) -> bytes | None:
        """What is kept of lines that the function wrote."""
        kept = self._sift(text)
        self._own = kept is not None
        return kept

    def emit(self, text: bytes, request_id: str) -> None:
        """Lines for the log store."""
        own, self._own = self._own, False
        if not own or not request_id:
            self._emit(text, request_id)
            return
        most = self._most_mb * _MB
        before = self._written.get(request_id, 0)
        if before > most:
            return
        self._written[request_id] = after = before + len(text) + 1
        if len(self._written) > _MOST_KNOWN:
            self._written.pop(next(iter(self._written)))
        if after <= most:
            self._emit(text, request_id)
            return
        fitting = _lines_within(text, most - before)
        if fitting is not None:
            self._emit(fitting, request_id)
        self._emit(_notice(self._most_mb), request_id)


def limited(emit: Emit, sift: Sift, most_mb: int) -> tuple[Emit, Sift]:
    """Both with a limit of so many megabytes for each invocation; 0: none."""
    if not most_mb:
        return emit, sift
    limit = OutputLimit(emit, sift, most_mb)
    return limit.emit, limit.sift


def _lines_within(text: bytes, most: int) -> bytes | None:
    """The whole lines that fit; None if not even one does."""
    end = text.rfind(b"\n", 0, max(0, most))
    return text[:end] if end >= 0 else None


def _notice(most_mb: int) -> bytes:
    return (
        f"[WARNING] lambda_home: this invocation logged more than {most_mb} MB ([logs]"
        " max_invocation_mb): what follows is left out."
    ).encode()
