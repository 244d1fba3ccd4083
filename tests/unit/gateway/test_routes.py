"""Which route takes a request: tables, and a random test against a matcher that tries them all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.gateway.routes import (
    Route,
    RouteTable,
    bare_host,
    parameter_of,
    segments_of,
    without_prefix,
)


def route(key: str, host: str | None = None) -> Route:
    """A route by its key, which is also its id: "GET /pets" or "/pets"."""
    method, _, path = key.rpartition(" ")
    name = key if host is None else f"{host} {key}"
    return Route(name, path, "fn", "", method=method or None, host=host)


def table(*keys: str) -> RouteTable:
    return RouteTable([route(key) for key in keys])


@pytest.mark.parametrize(
    ("keys", "method", "path", "expected"),
    [
        (["/foo"], "GET", "/foo", "/foo"),
        (["/foo"], "GET", "/foo/bar", "/foo"),
        (["/foo"], "GET", "/foo/", "/foo"),
        (["/foo/"], "GET", "/foo", "/foo/"),
        (["/foo"], "GET", "/foobar", None),
        (["/foo"], "GET", "/fo", None),
        (["/foo"], "GET", "/", None),
        (["/foo"], "GET", "//foo", None),
        (["/foo"], "GET", "/FOO", None),
        (["/foo"], "GET", "foo", None),
        (["/foo"], "OPTIONS", "*", None),
        (["/"], "GET", "/anything/at/all", "/"),
        (["/"], "GET", "/", "/"),
        (["/", "/foo", "/foo/bar"], "GET", "/foo/bar/x", "/foo/bar"),
        (["/", "/foo", "/foo/bar"], "GET", "/foo/barx", "/foo"),
        (["GET /foo", "POST /foo"], "POST", "/foo", "POST /foo"),
        (["GET /foo", "/foo"], "GET", "/foo", "GET /foo"),
        (["GET /foo", "/foo"], "PUT", "/foo", "/foo"),
        (["POST /foo"], "GET", "/foo", None),
        (["/foo", "POST /foo/bar"], "GET", "/foo/bar", "/foo"),
        (["GET /foo", "/foo/bar"], "GET", "/foo/bar", "/foo/bar"),
        (["/foo/{id}", "/foo/bar"], "GET", "/foo/bar", "/foo/bar"),
        (["/foo/{id}", "/foo/bar"], "GET", "/foo/other", "/foo/{id}"),
        (["/foo/{id}", "/foo/{all+}"], "GET", "/foo/x", "/foo/{id}"),
        (["/foo/{id}", "/foo/{all+}"], "GET", "/foo/x/y", "/foo/{all+}"),
        (["/foo/{id}", "POST /foo/{all+}"], "GET", "/foo/x/y", "/foo/{id}"),
        (["/foo/{id}", "/foo/{all+}", "/foo/{id}/y"], "GET", "/foo/x/y/z", "/foo/{id}/y"),
        (["/foo", "/{all+}"], "GET", "/foo/x", "/foo"),
        (["/foo", "/foo/{all+}"], "GET", "/foo", "/foo"),
        (["/foo", "/foo/{all+}"], "GET", "/foo/", "/foo"),
        (["/foo", "/foo/{all+}"], "GET", "/foo/x", "/foo/{all+}"),
        (["/{all+}"], "GET", "/x/y", "/{all+}"),
        (["/{all+}"], "GET", "/", None),
        (["/{a}/b"], "GET", "//b", None),
        (["/a/{x}", "/{y}/b/c"], "GET", "/a/b/c", "/{y}/b/c"),
        (["/a/{x}/c", "/{y}/b/c"], "GET", "/a/b/c", "/a/{x}/c"),
        (["/{y}/b", "/a/{x}"], "GET", "/a/b", "/a/{x}"),
        (["/caf%C3%A9"], "GET", "/caf%c3%a9", "/caf%C3%A9"),
        (["/a%20b"], "GET", "/a%20b", "/a%20b"),
        (["/a/b"], "GET", "/a%2Fb", None),
    ],
)
def test_the_best_route_takes_a_request(
    keys: list[str], method: str, path: str, expected: str | None
) -> None:
    for ordered in (keys, keys[::-1]):
        match = table(*ordered).find("localhost", method, path)
        assert (match and match.route.route_id) == expected


@pytest.mark.parametrize(
    ("key", "path", "parameters", "used"),
    [
        ("/foo", "/foo/bar", {}, 1),
        ("/pets/{id}", "/pets/c%2Fat%20x/more", {"id": "c/at x"}, 2),
        ("/{a}/x/{b}", "/1/x/2", {"a": "1", "b": "2"}, 3),
        ("/pets/{all+}", "/pets/a/b%20c/d/", {"all": "a/b c/d"}, 1),
        ("/pets/{id}", "/pets/+", {"id": "+"}, 2),
        ("/pets/{id}", "/pets/%FF", {"id": "\ufffd"}, 2),
    ],
)
def test_parameters_are_decoded(key: str, path: str, parameters: dict[str, str], used: int) -> None:
    match = table(key).find("", "GET", path)
    assert match is not None
    assert (match.parameters, match.used) == (parameters, used)


def test_a_route_for_the_host_comes_before_any_other() -> None:
    routes = RouteTable([route("/a/b"), route("/a", "pets.example"), route("/c", "cats.example")])
    for host, path, expected in (
        ("pets.example", "/a/b", "pets.example /a"),
        ("PETS.example.:9000", "/a/b", "pets.example /a"),
        ("cats.example", "/a/b", "/a/b"),
        ("other.example", "/a/b", "/a/b"),
        ("other.example", "/c", None),
    ):
        match = routes.find(host, "GET", path)
        assert (match and match.route.route_id) == expected


@pytest.mark.parametrize(
    ("path", "used", "left"),
    [
        ("/foo/bar", 0, "/foo/bar"),
        ("/foo/bar", 1, "/bar"),
        ("/foo/bar", 2, "/"),
        ("/foo/", 1, "/"),
        ("/foo", 1, "/"),
        ("/foo/a%2Fb/", 1, "/a%2Fb/"),
        ("/", 0, "/"),
    ],
)
def test_prefixes_are_taken_off_raw_paths(path: str, used: int, left: str) -> None:
    assert without_prefix(path, used) == left


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/a/{x}", "/a/{y}/", True),
        ("/a/{x}", "/a/{x+}", False),
        ("/a", "GET /a", False),
        ("/caf%C3%A9", "/café", True),
        ("/a/{x}", "/a/x", False),
    ],
)
def test_a_place_is_one_however_it_is_written(one: str, other: str, *, same: bool) -> None:
    assert (route(one).place == route(other).place) is same


@pytest.mark.parametrize(
    ("host", "bare"), [("A.b:80", "a.b"), ("a.b.", "a.b"), ("[::1]:80", "[::1]"), ("", "")]
)
def test_hosts_are_compared_without_port_and_case(host: str, bare: str) -> None:
    assert bare_host(host) == bare


SEGMENTS = ["a", "b", "{x}", "{y}", "{z+}"]


@st.composite
def keys(draw: st.DrawFn) -> str:
    segments = draw(st.lists(st.sampled_from(SEGMENTS[:4]), max_size=3))
    if draw(st.booleans()):
        segments.append("{z+}")
    return draw(st.sampled_from(["", "GET ", "POST "])) + "/" + "/".join(segments)


def rank(key: str, method: str, path: str) -> tuple[object, ...] | None:
    """How well a route takes a request; None if it does not."""
    candidate = route(key)
    if candidate.method not in (None, method):
        return None
    wanted, given_segments = segments_of(candidate.path), segments_of(path)
    is_greedy = bool(wanted) and wanted[-1] == "{z+}"
    fixed = wanted[:-1] if is_greedy else wanted
    if len(given_segments) < len(fixed) + is_greedy:
        return None
    kinds = []
    for segment, actual in zip(fixed, given_segments, strict=False):
        is_parameter = parameter_of(segment) is not None
        if not (actual if is_parameter else segment == actual):
            return None
        kinds.append(not is_parameter)
    return len(fixed), kinds, is_greedy, candidate.method is not None


def leaves(key: str, path: str, taking: list[tuple[tuple[object, ...], str]]) -> bool:
    """Whether a route leaves what is below its path to another."""
    shape = route(key).place[1]
    is_below = len(segments_of(path)) > len(shape)
    beside = (*shape[:-1], "{+}")
    others = {route(other).place[1] for _, other in taking}
    return is_below and shape[-1:] == ("{}",) and beside in others


@given(
    wanted=st.lists(keys(), max_size=12, unique_by=lambda key: route(key).place),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=4).map(
        lambda s: "/" + "/".join(s)
    ),
)
def test_the_tree_finds_what_trying_all_routes_finds(
    wanted: list[str], method: str, path: str
) -> None:
    ranked = [(rank(key, method, path), key) for key in wanted]
    taking = [(how, key) for how, key in ranked if how is not None]
    possible = [(how, key) for how, key in taking if not leaves(key, path, taking)]
    best = max(possible, default=None)
    match = table(*wanted).find("", method, path)
    assert (match and match.route.route_id) == (best and best[1])
