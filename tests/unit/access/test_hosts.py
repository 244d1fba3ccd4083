"""access/hosts.py: which host names and origins come in, as tables."""

from __future__ import annotations

import timeit

import pytest

from lambda_home.access.hosts import HostRules
from lambda_home.direct_http import Head
from lambda_home.errors import AccessDeniedException, ValidationException

RULES = HostRules(
    ["lambda.example.org", ".home.arpa"],
    ["https://console.example.org", "http://localhost:3000"],
    own=["nas"],
)
HERE = "127.0.0.1:9000"


def head(*fields: tuple[str, str], method: str = "POST", scheme: str = "http") -> Head:
    found = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    return Head(method.encode(), b"/", b"", dict(found), 9000, found, "127.0.0.1", scheme)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:9000",
        "192.168.1.20:9000",
        "0.0.0.0:9000",
        "[::1]",
        "[::1]:9000",
        "[fe80::1:2]:9000",
        "[::ffff:127.0.0.1]",
        "localhost",
        "LOCALHOST:9000",
        "localhost.:9000",
        "localhost:",
        "abc.lambda-url.us-east-1.localhost:9000",
        "nas:9000",
        "NAS.",
        "lambda.example.org",
        "Lambda.Example.ORG:443",
        "home.arpa",
        "pi.home.arpa:9000",
        "a.b.home.arpa",
    ],
)
def test_our_names_and_addresses_come_in(host: str) -> None:
    RULES.check_host(head(("Host", host)))
    RULES.check_host(head(("Host", host)))


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "evil.com:9000",
        "localhost.evil.com",
        "evillocalhost",
        "127.0.0.1.evil.com",
        "127.0.0.1.nip.io",
        "127.1",
        "2130706433",
        "0x7f000001",
        "256.1.1.1",
        "127.0.0.01",
        "x.lambda.example.org",
        "evilhome.arpa",
        "home.arpa.evil.com",
        "nas.evil.com",
        "nas.local",
        "xn--lcalhost-54a",
        "a_b.example",
    ],
)
def test_other_names_are_refused_with_the_setting_that_would_allow_them(host: str) -> None:
    for _ in range(2):  # the second is told from memory
        with pytest.raises(AccessDeniedException, match=r"server\.allowed_hosts") as refused:
            RULES.check_host(head(("Host", host)))
        assert refused.value.message is not None
        assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        ".",
        ":9000",
        "local host",
        "localhost ",
        "user@localhost",
        "user:pass@localhost:9000",
        "localhost/",
        "localhost/../evil",
        "http://localhost",
        "localhost?x",
        "localhost#x",
        "localhost\\evil",
        "localhost,evil.com",
        "localhost\tevil",
        "localhost\x00",
        "localhost:port",
        "localhost:-1",
        "localhost:65536",
        "localhost:123456",
        "localhost:9000:9000",
        "::1",
        "[::1",
        "[::1]evil",
        "[::1%25eth0]",
        "[127.0.0.1]",
        "[zz::1]",
        "a..localhost",
        ".localhost",
        "l\u00f6calhost",
        "%6cocalhost",
    ],
)
def test_a_malformed_host_is_refused(host: str) -> None:
    with pytest.raises(ValidationException, match="malformed") as refused:
        RULES.check_host(head(("Host", host)))
    assert refused.value.message is not None
    assert refused.value.message.isascii()
    assert refused.value.message.isprintable()


def test_there_is_one_host_header() -> None:
    with pytest.raises(ValidationException, match="missing"):
        RULES.check_host(head())
    with pytest.raises(ValidationException, match="once"):
        RULES.check_host(head(("Host", "localhost"), ("Host", "localhost")))
    RULES.check_host(head(("Host", "localhost"), ("Cookie", "a=1"), ("Cookie", "b=2")))


def test_without_settings_only_the_machine_itself_is_known() -> None:
    bare = HostRules()
    bare.check_host(head(("Host", HERE)))
    for host in ("nas", "lambda.example.org"):
        with pytest.raises(AccessDeniedException):
            bare.check_host(head(("Host", host)))


def test_what_is_remembered_has_a_bound() -> None:
    rules = HostRules()
    for number in range(5000):
        with pytest.raises(AccessDeniedException):
            rules.check_host(head(("Host", f"h{number}.evil.com")))
    assert len(rules._judged) <= 1024  # noqa: SLF001  nothing else shows it


def test_a_known_host_is_judged_in_microseconds() -> None:
    known = head(("Host", HERE), ("User-Agent", "x"))
    best = min(timeit.repeat(lambda: RULES.check_host(known), number=1000, repeat=5))
    assert best / 1000 < 3e-6


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", HERE, "http://127.0.0.1:9000"),
        ("http", "localhost", "http://localhost"),
        ("http", "localhost:80", "http://localhost"),
        ("https", "localhost", "https://localhost:443"),
        ("https", "LOCALHOST:9000", "https://localhost:9000"),
        ("http", "[::1]:9000", "http://[::1]:9000"),
        ("http", HERE, "https://console.example.org"),
        ("http", HERE, "HTTPS://console.example.org:443"),
        ("http", HERE, "http://localhost:3000"),
    ],
)
def test_pages_of_our_own_and_of_configured_origins_come_in(
    scheme: str, host: str, origin: str
) -> None:
    RULES.check_origin(head(("Host", host), ("Origin", origin), scheme=scheme))


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.com",
        "http://127.0.0.1",
        "http://127.0.0.1:9001",
        "https://127.0.0.1:9000",
        "http://localhost:9000",
        "http://127.0.0.1:9000.evil.com",
        "http://127.0.0.1:9000@evil.com",
        "http://127.0.0.1:9000/",
        "http://127.0.0.1:9000 http://evil.com",
        "http://console.example.org",
        "https://console.example.org:8443",
        "https://console.example.org.evil.com",
        "https://x.console.example.org",
        "file://",
        "chrome-extension://abcdef",
        "*",
    ],
)
def test_pages_of_other_origins_are_refused(origin: str) -> None:
    given = head(("Host", HERE), ("Origin", origin))
    with pytest.raises(AccessDeniedException, match=r"server\.allowed_origins") as refused:
        RULES.check_origin(given)
    assert refused.value.status == 403
    assert RULES.cors_headers(given) == []


def test_two_origins_are_none() -> None:
    ours = ("Origin", "http://127.0.0.1:9000")
    with pytest.raises(AccessDeniedException):
        RULES.check_origin(head(("Host", HERE), ("Origin", "http://evil.com"), ours))
    with pytest.raises(AccessDeniedException):
        RULES.check_origin(head(("Host", HERE), ours, ours))


@pytest.mark.parametrize(
    ("method", "site", "mode", "dest", "allowed"),
    [
        ("POST", "same-origin", "cors", "empty", True),
        ("GET", "none", "navigate", "document", True),
        ("GET", "cross-site", "navigate", "document", True),
        ("HEAD", "same-site", "navigate", "document", True),
        ("GET", "cross-site", "navigate", "iframe", False),
        ("GET", "cross-site", "no-cors", "image", False),
        ("GET", "same-site", "no-cors", "script", False),
        ("GET", "cross-site", "cors", "empty", False),
        ("POST", "cross-site", "navigate", "document", False),
        ("POST", "same-site", "navigate", "document", False),
        ("DELETE", "cross-site", "cors", "empty", False),
        ("GET", "something-new", "cors", "empty", False),
    ],
)
def test_without_an_origin_the_browser_says_whose_page_it_is(
    method: str, site: str, mode: str, dest: str, *, allowed: bool
) -> None:
    given = head(
        ("Host", HERE),
        ("Sec-Fetch-Site", site),
        ("Sec-Fetch-Mode", mode),
        ("Sec-Fetch-Dest", dest),
        method=method,
    )
    if allowed:
        RULES.check_origin(given)
    else:
        with pytest.raises(AccessDeniedException):
            RULES.check_origin(given)


def test_programs_say_nothing_and_come_in() -> None:
    RULES.check_origin(head(("Host", HERE)))


@pytest.mark.parametrize("origin", ["http://127.0.0.1:9000", None])
def test_web_sockets_are_refused(origin: str | None) -> None:
    named = [("Origin", origin)] if origin else []
    with pytest.raises(AccessDeniedException, match="WebSocket"):
        RULES.check_origin(
            head(("Host", HERE), ("Connection", "Upgrade"), ("Upgrade", "WebSocket"), *named)
        )


def test_a_configured_origin_may_read_answers_and_no_other() -> None:
    given = head(("Host", HERE), ("Origin", "https://console.example.org"))
    answer = dict(RULES.cors_headers(given))
    assert answer[b"access-control-allow-origin"] == b"https://console.example.org"
    assert answer[b"vary"] == b"origin"
    assert b"access-control-allow-credentials" not in answer
    assert RULES.cors_headers(head(("Host", HERE))) == []
    assert RULES.cors_headers(head(("Host", HERE), ("Origin", "http://127.0.0.1:9000"))) == []


def asks(origin: str, *more: tuple[str, str], method: str = "OPTIONS") -> Head:
    return head(("Host", HERE), ("Origin", origin), *more, method=method)


def test_a_preflight_of_a_configured_origin_is_answered() -> None:
    wants = ("Access-Control-Request-Method", "PUT")
    names = ("Access-Control-Request-Headers", "authorization, x-amz-date")
    answer = dict(RULES.preflight(asks("http://localhost:3000", wants, names)) or [])
    assert answer[b"access-control-allow-origin"] == b"http://localhost:3000"
    assert b"PUT" in answer[b"access-control-allow-methods"]
    assert answer[b"access-control-allow-headers"] == b"authorization, x-amz-date"
    odd = ("Access-Control-Request-Headers", "a b: c")
    assert b"access-control-allow-headers" not in dict(
        RULES.preflight(asks("http://localhost:3000", wants, odd)) or []
    )


@pytest.mark.parametrize(
    "given",
    [
        asks("http://evil.com", ("Access-Control-Request-Method", "PUT")),
        asks("null", ("Access-Control-Request-Method", "PUT")),
        asks("http://localhost:3000"),
        asks("http://localhost:3000", ("Access-Control-Request-Method", "PUT"), method="POST"),
        head(("Host", HERE), ("Access-Control-Request-Method", "PUT"), method="OPTIONS"),
    ],
)
def test_nothing_else_is_a_preflight(given: Head) -> None:
    assert RULES.preflight(given) is None
