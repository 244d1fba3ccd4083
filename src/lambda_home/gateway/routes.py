"""Routes: which function answers which requests; pure.

A route takes its path and everything below it, on the boundaries of segments. Of those that take a
request the best is, in this order: one for the request's host; the one with most segments; literal
segments before `{name}`, from left to right; `{name+}` before nothing; one for the request's method
before one for any. A route that ends in `{name}` leaves what is below its path to one that ends in
`{name+}` at the same place, as API Gateway has it.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
and Lambda@Home's routes, which are prefixes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from lambda_home.gateway.cors import Cors
from lambda_home.gateway.errors import PayloadFormat

_PARAMETER = re.compile(r"\{([A-Za-z0-9._-]+)(\+?)\}")


@dataclass(frozen=True, slots=True)
class Throttle:
    """How often a route may be used: `rate_limit` a second, `burst_limit` at once."""

    rate_limit: int
    burst_limit: int


@dataclass(frozen=True, slots=True)
class Route:
    """One route.

    `method` None is any, `host` None is any host. `function_name` is a name, `name:alias` or an
    ARN. `authorization` None: as the server's mode has it. `timeout_ms` None: as long as the
    function may run. `strip_prefix`: the function sees the path without the route's own.
    """

    route_id: str
    path: str
    function_name: str
    created_at: str
    method: str | None = None
    host: str | None = None
    payload_format: PayloadFormat = PayloadFormat.V1
    strip_prefix: bool = False
    stream: bool = False
    authorization: str | None = None
    timeout_ms: int | None = None
    max_body_bytes: int | None = None
    stage_variables: Mapping[str, str] = field(default_factory=dict)
    cors: Cors | None = None
    throttle: Throttle | None = None

    @property
    def place(self) -> tuple[str | None, tuple[str, ...], str | None]:
        """What no two routes share: host, path (whatever its parameters are called) and method."""
        return self.host, tuple(_shape(part) for part in segments_of(self.path)), self.method

    @property
    def key(self) -> str:
        """`GET /pets/{id}`."""
        return f"{self.method or 'ANY'} {self.path}"


@dataclass(frozen=True, slots=True)
class Match:
    """A route that takes a request.

    `parameters` are decoded; `used` of the path's segments are the route's own.
    """

    route: Route
    parameters: dict[str, str]
    used: int


def segments_of(path: str) -> list[str]:
    """The segments of a path; a slash at its end makes no further one."""
    inner = path[1:-1] if path.endswith("/") and len(path) > 1 else path[1:]
    return inner.split("/") if inner else []


def parameter_of(segment: str) -> tuple[str, bool] | None:
    """The name that a route's segment gives to a request's, and whether to all that follow, too."""
    match = _PARAMETER.fullmatch(segment)
    return None if match is None else (match[1], bool(match[2]))


def without_prefix(path: str, used: int) -> str:
    """A (raw) path without its first segments."""
    at = 0
    for _ in range(used):
        at = path.find("/", at + 1)
        if at < 0:
            return "/"
    return path[at:]


def bare_host(host: str) -> str:
    """A Host header as routes name hosts: in lower case, without port and final dot."""
    if host.startswith("["):
        return (host.partition("]")[0] + "]").lower()
    return host.partition(":")[0].lower().removesuffix(".")


class _Node:
    """The routes whose path is this one, and the nodes below."""

    __slots__ = ("any_segment", "greedy", "literals", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.any_segment: _Node | None = None
        self.routes: dict[str | None, Route] = {}
        self.greedy: dict[str | None, Route] = {}

    def add(self, route: Route) -> None:
        """Put a route where its path ends."""
        node = self
        for segment in segments_of(route.path):
            parameter = parameter_of(segment)
            if parameter is None:
                node = node.literals.setdefault(unquote(segment), _Node())
            elif parameter[1]:
                node.greedy[route.method] = route
                return
            else:
                if node.any_segment is None:
                    node.any_segment = _Node()
                node = node.any_segment
        node.routes[route.method] = route

    def find(self, segments: list[str], method: str) -> tuple[Route, int] | None:
        """The best route, and how many segments are its own."""
        found = None
        level = [(self, False)]
        for used in range(len(segments) + 1):
            is_end = used == len(segments)
            for node, gives_way in level:  # literal segments come before others here
                if route := node.at(method, is_end=is_end, gives_way=gives_way):
                    found = route, used
                    break
            if is_end:
                break
            level = [pair for node, _ in level for pair in node.below(segments[used], method)]
            if not level:
                break
        return found

    def at(self, method: str, *, is_end: bool, gives_way: bool) -> Route | None:
        """The route here; one that takes all that follows needs something to follow."""
        if not is_end:
            if route := _for(self.greedy, method):
                return route
            if gives_way:
                return None
        return _for(self.routes, method)

    def below(self, segment: str, method: str) -> Iterator[tuple[_Node, bool]]:
        """The nodes that a segment leads to, and whether they leave what is below to this one."""
        if literal := self.literals.get(segment):
            yield literal, False
        if segment and self.any_segment is not None:
            yield self.any_segment, _for(self.greedy, method) is not None


def _for(routes: Mapping[str | None, Route], method: str) -> Route | None:
    return (routes.get(method) or routes.get(None)) if routes else None


class RouteTable:
    """All routes, for quick lookup; never changed."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._hosts: dict[str | None, _Node] = {None: _Node()}
        for route in routes:
            self._hosts.setdefault(route.host, _Node()).add(route)

    def has_host(self, host: str) -> bool:
        """Whether there is a route for this Host header alone."""
        return len(self._hosts) > 1 and bare_host(host) in self._hosts

    def find(self, host: str, method: str, path: str) -> Match | None:
        """The route of a request, by its Host header, method and raw path."""
        if not path.startswith("/"):
            return None
        segments = segments_of(path)
        if "%" in path:
            segments = [unquote(segment) for segment in segments]
        found = None
        if len(self._hosts) > 1 and (tree := self._hosts.get(bare_host(host))):
            found = tree.find(segments, method)
        found = found or self._hosts[None].find(segments, method)
        if found is None:
            return None
        route, used = found
        return Match(route, _parameters(route, segments), used)


def _parameters(route: Route, segments: list[str]) -> dict[str, str]:
    if "{" not in route.path:
        return {}
    parameters = {}
    for at, segment in enumerate(segments_of(route.path)):
        if (parameter := parameter_of(segment)) is not None:
            name, is_greedy = parameter
            parameters[name] = "/".join(segments[at:]) if is_greedy else segments[at]
    return parameters


def _shape(segment: str) -> str:
    parameter = parameter_of(segment)
    if parameter is None:
        return unquote(segment)
    return "{+}" if parameter[1] else "{}"
