"""From method and raw path to an operation, by the route templates of the model.

The path is matched as it came, still percent-encoded: ARNs carry `%2F` and `%3A`. A literal segment
beats a parameter, and of two operations that share a path the one whose literal query is present
wins (`?find=LayerVersion`, `?List=ALL`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import parse_qsl, unquote

from lambda_home.user_api.protocol.model import Operation, operations


@dataclass(frozen=True, slots=True)
class Match:
    """A routed request: the operation and the percent-decoded parameters of its path."""

    operation_name: str
    path_params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Route:
    """A template: literal segments by position, parameters by position, literal query pairs."""

    operation_name: str
    literals: tuple[tuple[int, str], ...]
    parameters: tuple[tuple[int, str], ...]
    query: tuple[tuple[str, str], ...]


_Key = tuple[str, int, str]


def match(method: str, raw_path: str, raw_query: str = "") -> Match | None:
    """Find the operation for `method` and the raw path, or None.

    One trailing slash is ignored, as AWS does: SDKs differ in whether they send it.
    """
    segments = raw_path.split("/")
    if segments[-1] == "" and len(segments) > 1:
        del segments[-1]
    if len(segments) < 2:  # noqa: PLR2004 - the empty one before the first slash, and one more
        return None
    for route in _index().get((method, len(segments), segments[1]), ()):
        if all(segments[position] == literal for position, literal in route.literals) and (
            not route.query or _has_pairs(route.query, raw_query)
        ):
            params = {name: _decoded(segments[position]) for position, name in route.parameters}
            return Match(route.operation_name, params)
    return None


def _decoded(segment: str) -> str:
    return unquote(segment, errors="replace") if "%" in segment else segment


def _has_pairs(wanted: tuple[tuple[str, str], ...], raw_query: str) -> bool:
    if not raw_query:
        return False
    present = parse_qsl(raw_query, keep_blank_values=True, errors="replace")
    return all(pair in present for pair in wanted)


@cache
def _index() -> Mapping[_Key, tuple[_Route, ...]]:
    """Routes by method, number of segments and first segment (a date), best match first."""
    found: dict[_Key, list[_Route]] = {}
    for key, route in _routes(operations()):
        found.setdefault(key, []).append(route)
    return {
        key: tuple(sorted(routes, key=lambda route: (-len(route.literals), -len(route.query))))
        for key, routes in found.items()
    }


def _routes(all_operations: Mapping[str, Operation]) -> Iterator[tuple[_Key, _Route]]:
    for operation in all_operations.values():
        segments = operation.path.rstrip("/").split("/")
        places = list(enumerate(segments))[2:]
        route = _Route(
            operation.name,
            tuple((place, text) for place, text in places if not text.startswith("{")),
            tuple((place, text.strip("{}+")) for place, text in places if text.startswith("{")),
            operation.query,
        )
        yield (operation.method, len(segments), segments[1]), route
