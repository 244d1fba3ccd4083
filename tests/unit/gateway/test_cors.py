"""CORS of routes: who is let in, and never everybody together with credentials."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.gateway.cors import Cors, add_cors, preflight
from lambda_home.gateway.messages import HttpResponse

SHOP = "https://shop.example"
ORIGIN, METHODS = "access-control-allow-origin", "access-control-allow-methods"
NAMES, CREDENTIALS = "access-control-allow-headers", "access-control-allow-credentials"


def asked(
    cors: Cors, origin: str = SHOP, method: str = "PUT", names: str = "x-a"
) -> dict[str, str]:
    answer = preflight(cors, origin, method, names)
    assert (answer.status, answer.body) == (204, b"")
    return dict(answer.fields)


def answered(cors: Cors, origin: str | None, *fields: tuple[str, str]) -> dict[str, str]:
    response = HttpResponse(200, list(fields))
    add_cors(response, cors, origin)
    return dict(response.fields)


@pytest.mark.parametrize(
    ("allowed", "origin", "is_let_in"),
    [
        ("*", SHOP, True),
        (SHOP, SHOP, True),
        (SHOP, "https://SHOP.example", True),
        (SHOP, "http://shop.example", False),
        (SHOP, "https://shop.example.evil", False),
        (SHOP, "https://shop.example:444", False),
        (SHOP, "null", False),
        ("null", "null", True),
        ("https://*", "https://any.example", True),
        ("https://*", "http://any.example", False),
        ("http://*", "http://any.example", True),
    ],
)
def test_origins_are_let_in_by_name_or_scheme(
    allowed: str, origin: str, *, is_let_in: bool
) -> None:
    cors = Cors(allow_origins=(allowed,), allow_methods=("PUT",))
    assert (ORIGIN in asked(cors, origin)) is is_let_in
    assert (ORIGIN in answered(cors, origin)) is is_let_in


def test_a_preflight_tells_what_is_allowed() -> None:
    cors = Cors((SHOP,), ("GET", "PUT"), ("x-a", "x-b"), ("x-c",), 60, allow_credentials=True)
    told = asked(cors)
    vary = told.pop("vary")
    assert "origin" in vary
    assert told == {
        ORIGIN: SHOP,
        METHODS: "GET,PUT",
        NAMES: "x-a,x-b",
        CREDENTIALS: "true",
        "access-control-max-age": "60",
    }
    assert ORIGIN not in asked(cors, method="DELETE")


def test_stars_stand_for_what_is_asked_for() -> None:
    told = asked(Cors(("*",), ("*",), ("*",)), method="DELETE", names="x-a,x-b")
    assert (told[ORIGIN], told[METHODS], told[NAMES]) == ("*", "DELETE", "x-a,x-b")


def test_what_a_function_says_of_cors_is_replaced() -> None:
    cors = Cors((SHOP,), expose_headers=("x-c",))
    mine = ("Access-Control-Allow-Origin", "*")
    told = answered(cors, SHOP, mine, ("x-d", "1"))
    assert told == {
        "x-d": "1",
        ORIGIN: SHOP,
        "access-control-expose-headers": "x-c",
        "vary": "origin",
    }
    assert answered(cors, None, mine) == {"vary": "origin"}
    assert answered(Cors(("*",)), SHOP, mine) == {ORIGIN: "*"}


lists = st.lists(st.sampled_from(["*", SHOP, "https://*", "PUT", "x-a"]), max_size=3).map(tuple)


@given(
    cors=st.builds(
        Cors,
        allow_origins=lists,
        allow_methods=lists,
        allow_headers=lists,
        expose_headers=st.just(()),
        max_age=st.none(),
        allow_credentials=st.just(value=True),
    ),
    origin=st.sampled_from([SHOP, "http://evil.example", "null"]),
)
def test_nobody_is_told_a_star_together_with_credentials(cors: Cors, origin: str) -> None:
    for told in (asked(cors, origin), answered(cors, origin)):
        assert "*" not in told.values()
