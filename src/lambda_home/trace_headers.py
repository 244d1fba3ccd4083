"""The headers by which a trace goes on from one service to the next; pure.

`X-Amzn-Trace-Id: Root=1-<8 hex>-<24 hex>;Parent=<16 hex>;Sampled=<0|1>` is X-Ray's, which Lambda
hands to functions, `traceparent: 00-<32 hex>-<16 hex>-<flags>` is W3C's. An X-Ray root has the 32
digits of a W3C trace id, the first eight of which are a time.
Sources: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html,
https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_ROOT = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
_SPAN = re.compile(r"[0-9a-f]{16}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One invocation's place in a trace, in hex digits: 32 of the trace, 16 of a span.

    `parent_id` is the caller's span, empty where there is none; `span_id` is the invocation's own,
    `runtime_id` that of the function's run, the parent of what the function does.
    """

    trace_id: str
    parent_id: str
    span_id: str
    runtime_id: str


def of_traceparent(value: str) -> str:
    """A `traceparent` as an X-Ray header; empty if it is none."""
    match = _TRACEPARENT.fullmatch(value.strip())
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return ""
    trace, parent = match[2], match[3]
    if trace == _NO_TRACE or parent == _NO_SPAN:
        return ""
    sampled = int(match[4], 16) & _SAMPLED
    return f"Root=1-{trace[:8]}-{trace[8:]};Parent={parent};Sampled={sampled}"


def is_unsampled(header: str) -> bool:
    """Whether the caller says that its trace is not kept."""
    return _member(header, "sampled") == "0"


def ids_of(header: str) -> tuple[str, str]:
    """The trace's and the caller's span's digits in an X-Ray header; empty where it has none."""
    root = _ROOT.fullmatch(_member(header, "root").lower())
    if root is None:
        return "", ""
    parent = _member(header, "parent").lower()
    return root[1] + root[2], parent if _SPAN.fullmatch(parent) else ""


def under(header: str, context: TraceContext) -> str:
    """The X-Ray header for the function: in the same trace, under the span of its run, sampled.

    Other members (a lineage, a caller's own) stay.
    """
    trace = context.trace_id
    mine = ("root", "parent", "sampled")
    parts = [part.strip() for part in header.split(";")]
    others = [part for part in parts if part and part.partition("=")[0].strip().lower() not in mine]
    root = f"Root=1-{trace[:8]}-{trace[8:]}"
    return ";".join([root, f"Parent={context.runtime_id}", "Sampled=1", *others])


def _member(header: str, wanted: str) -> str:
    for part in header.split(";"):
        name, _, value = part.partition("=")
        if name.strip().lower() == wanted:
            return value.strip()
    return ""
