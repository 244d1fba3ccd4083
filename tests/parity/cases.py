"""The recorded cases: calls to make again, and what AWS answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from parity.added_calls import ADDED

RECORDED = Path(__file__).parent / "recorded"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, `times` in a row; `raised` is the code that came where calls were captured."""

    service: str
    operation: str
    parameters: Mapping[str, Any]
    times: int = 1
    raised: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A case that was recorded on AWS."""

    name: str
    calls: Sequence[Call]
    answers: Mapping[str, Any]

    @property
    def is_replayed(self) -> bool:
        """Whether there is something to call."""
        return bool(self.calls)


@cache
def all_cases() -> Mapping[str, Case]:
    """Every case of lambda_api.json, with calls that the capture lacks, by name."""
    recorded = json.loads((RECORDED / "lambda_api.json").read_text("utf-8"))
    return {
        name: Case(name, _calls(name, case.get("calls", ())), case["answers"])
        for name, case in recorded.items()
    }


def _calls(name: str, captured: Sequence[Mapping[str, Any]]) -> Sequence[Call]:
    added = ADDED.get(name)
    if added is None:
        return [Call(**call) for call in captured]
    kept = captured[: added.keep]
    more = [
        Call(service, operation, parameters, times)
        for service, operation, parameters, times in added.calls
    ]
    return [*(Call(**call) for call in kept), *more]
