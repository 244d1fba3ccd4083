"""Recursive loops: a function that calls itself through others is stopped at the 17th time.

The trace header carries who took part in a chain of requests: `Lineage=a87bd80c:1|68fd508a:5` is a
hash of each function with how often it was invoked, of the 16 that came up most. AWS SDKs hand the
header on from the environment variable `_X_AMZN_TRACE_ID`. AWS documents the effect ("approximately
16 times in the same chain of requests") and the SDKs' part, not the format, which is as published
by those who met it.
Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
"""

from __future__ import annotations

import hashlib
import re

from lambda_home.errors import RecursiveInvocationException

MOST_INVOCATIONS = 16
_MOST_FUNCTIONS = 16
_ENTRY = re.compile(r"([0-9a-f]{8}):(\d{1,5})")
_SECOND_FORM = re.compile(r"\d{1,5}:([0-9a-f]{8}):(\d{1,3})")  # requests:hash:loops


def identity(arn: str) -> str:
    """What a function, by its unqualified ARN, is called in a lineage: eight hex digits."""
    return hashlib.sha256(arn.encode()).hexdigest()[:8]


def continued(trace_id: str, request_id: str, who: str) -> tuple[str, int]:
    """The trace header that function `who` gets, and how often the chain has now invoked it.

    `trace_id` is the caller's header. Without a root in it a trace starts, not sampled, with digits
    of the request id (a UUID).
    """
    if "Root=" not in trace_id:
        digits = request_id.replace("-", "")
        root = f"Root=1-{digits[:8]}-{digits[8:32]};Parent={digits[16:32]};Sampled=0"
        return f"{root};Lineage={who}:1", 1
    fields: list[str] = []
    counts: dict[str, int] = {}
    for part in trace_id.split(";"):
        name, _, value = part.strip().partition("=")
        if name.lower() == "lineage":
            counts |= _read(value)
        elif name:
            fields.append(part.strip())
    count = counts.pop(who, 0) + 1
    kept = sorted(counts, key=lambda other: counts[other], reverse=True)[: _MOST_FUNCTIONS - 1]
    lineage = "|".join([f"{who}:{count}", *(f"{other}:{counts[other]}" for other in kept)])
    return ";".join([*fields, f"Lineage={lineage}"]), count


def check(count: int) -> None:
    """Stop a function that its chain of requests has now invoked `count` times, if too often.

    Raises RecursiveInvocationException.
    """
    if count > MOST_INVOCATIONS:
        raise RecursiveInvocationException(
            "Lambda has detected your function being invoked in a recursive loop with other Amazon"
            " Web Services resources and stopped your function's invocation."
        )


def _read(value: str) -> dict[str, int]:
    """Counts by function; what cannot be read counts for nothing."""
    if second := _SECOND_FORM.fullmatch(value):
        return {second[1]: int(second[2])}
    found: dict[str, int] = {}
    for entry in re.split(r"[|,]", value):
        if match := _ENTRY.fullmatch(entry):
            found[match[1]] = max(int(match[2]), found.get(match[1], 0))
    return found
