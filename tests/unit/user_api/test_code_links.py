"""`Code.Location`: a link that serves one package, for ten minutes."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from fakes import HandTurnedClock

from lambda_home.user_api.code_links import CodeLinks

KEY, OTHER = "a" * 64, "b" * 64


def parts(link: str) -> tuple[str, str, str]:
    url = urlsplit(link)
    query = parse_qs(url.query)
    return url.path.removeprefix("/api/code/"), query["Expires"][0], query["Signature"][0]


def test_a_link_serves_its_package_until_it_expires() -> None:
    clock = HandTurnedClock()
    links = CodeLinks(clock)
    key, expires, signature = parts(links.link("http://here:1", KEY))
    assert key == KEY
    assert links.allows(key, expires, signature)
    clock.leap(599)
    assert links.allows(key, expires, signature)
    clock.leap(2)
    assert not links.allows(key, expires, signature)


def test_a_link_cannot_be_changed_nor_made_by_another_server() -> None:
    clock = HandTurnedClock()
    links = CodeLinks(clock)
    key, expires, signature = parts(links.link("http://here:1", KEY))
    assert not links.allows(OTHER, expires, signature)
    assert not links.allows(key, str(int(expires) + 1), signature)
    assert not links.allows(key, expires, signature[:-1] + "é")
    assert not links.allows(key, "", "")
    assert not CodeLinks(clock).allows(key, expires, signature)
