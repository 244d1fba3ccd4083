"""Finds which answer of ours each recorded one belongs to.

A case keeps some of its answers, mostly in the order in which they came. Ours are more: polls, and
what the case did not keep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from parity.comparison import Bindings, differences

Faults = dict[str, list[str]]
_MOST_STEPS = 3_000
_FAILED_ITSELF = "<aws_internal_failure>"
_UNFIT = 30


@dataclass(frozen=True, slots=True)
class Reply:
    """What our server answered to a call; an error as botocore parses it."""

    operation: str
    answer: dict[str, Any]

    @property
    def error_code(self) -> str:
        """The code of an error, else empty."""
        code: str = self.answer.get("Error", {}).get("Code", "")
        return code


def faults(recorded: Mapping[str, Any], replies: Sequence[Reply], account: str) -> Faults:
    """The differences of each recorded answer from the one of ours that fits best."""
    return _Alignment(recorded, replies, account).faults()


class _Alignment:
    def __init__(self, recorded: Mapping[str, Any], replies: Sequence[Reply], account: str) -> None:
        self._recorded = {n: a for n, a in recorded.items() if a != _FAILED_ITSELF}
        self._names = list(self._recorded)
        self._replies = replies
        self._account = account
        self._steps = 0
        self._unlike = [
            [
                len(self._differences(name, place, Bindings(loose=True)))
                for place in range(len(replies))
            ]
            for name in self._names
        ]

    def faults(self) -> Faults:
        """None if answers of ours equal all recorded ones, in order or else in any order."""
        for in_order in (True, False):
            self._steps = 0
            if self._search(0, frozenset(), Bindings(), in_order=in_order):
                return {}
        return self._by_likeness()

    def _search(
        self, index: int, used: frozenset[int], bindings: Bindings, *, in_order: bool
    ) -> bool:
        if index == len(self._names):
            return True
        for place, unlike in enumerate(self._unlike[index]):
            if unlike or place in used or (in_order and used and place < max(used)):
                continue
            self._steps += 1
            if self._steps > _MOST_STEPS:
                return False
            tried = bindings.copy()
            if self._differences(self._names[index], place, tried):
                continue
            if self._search(index + 1, used | {place}, tried, in_order=in_order):
                return True
        return False

    def _by_likeness(self) -> Faults:
        bindings = Bindings()
        found: Faults = {}
        for name, place in zip(self._names, self._places(), strict=True):
            if place is None:
                found[name] = [f"no answer of ours is like {self._recorded[name]!r:.300}"]
            elif lines := self._differences(name, place, bindings):
                found[name] = [f"(answer {place}: {self._replies[place].operation})", *lines]
        return found or {"all": ["equal one by one, but not in one order with one set of values"]}

    def _places(self) -> tuple[int | None, ...]:
        """The answers of ours, in order, that are least unlike."""
        count = len(self._names)

        @cache
        def best(index: int, after: int) -> tuple[int, tuple[int | None, ...]]:
            if index == count:
                return 0, ()
            skipped, places = best(index + 1, after)
            found: tuple[int, tuple[int | None, ...]] = (skipped + _UNFIT, (None, *places))
            for place in range(after, len(self._replies)):
                cost, rest = best(index + 1, place + 1)
                cost += min(self._unlike[index][place], _UNFIT - 1)
                if cost < found[0]:
                    found = (cost, (place, *rest))
            return found

        return best(0, 0)[1]

    def _differences(self, name: str, place: int, bindings: Bindings) -> list[str]:
        """The least differences of any form of our answer; `bindings` learns from that one."""
        recorded = self._recorded[name]
        least: list[str] | None = None
        learned = bindings
        for form in _forms(recorded, self._replies, place):
            tried = bindings.copy()
            lines = list(differences(recorded, form, self._account, tried))
            if least is None or len(lines) < len(least):
                least, learned = lines, tried
        bindings.become(learned)
        return least or []


def _forms(recorded: Any, replies: Sequence[Reply], place: int) -> Iterator[Any]:
    """Our answer in the forms in which cases keep answers."""
    answer = replies[place].answer
    yield answer
    if not isinstance(recorded, dict) or "ResponseMetadata" in recorded:
        return
    bare = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    yield bare
    if "CreateFunctionResponse" in recorded:
        yield {"CreateEventSourceMappingResponse": None, "CreateFunctionResponse": answer}
    if "Error" in answer and "Code" in recorded:
        yield from _errors(answer["Error"])
    if replies[place].operation.startswith("List"):
        yield _merged(replies, place)
        for items in bare.values():
            if isinstance(items, list):
                yield from items


def _errors(error: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    code, message = error["Code"], error["Message"] or ""
    yield {"Code": code, "Message": message}
    count, told, texts = message.partition(" validation error")
    if told and count.isdecimal():
        found = texts.partition("detected: ")[2].split("; ")
        yield {"Code": code, "Count": int(count), "Errors": sorted(found)}


def _merged(replies: Sequence[Reply], place: int) -> dict[str, Any]:
    """The pages from `place` on as one."""
    merged: dict[str, Any] = {}
    for reply in replies[place:]:
        if reply.operation != replies[place].operation:
            break
        for name, value in reply.answer.items():
            if isinstance(value, list):
                merged[name] = merged.get(name, []) + value
        if not reply.answer.get("NextMarker"):
            break
    return merged
