"""Which repositories are fetched, and by which words."""

from __future__ import annotations

import pytest

from lambda_home.builds.git_sources import (
    GitSource,
    checked_source,
    fetch_commands,
    is_git_url,
    local_source,
    password_in,
    shown_url,
)
from lambda_home.builds.trees import PlanError


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a/b.git",
        "https://token@example.org:8443/a",
        "https://[::1]:8443/a",
        "ssh://git@example.org/a",
        "git@example.org:a/b.git",
    ],
)
def test_repositories_on_the_network_may_be_fetched(url: str) -> None:
    assert checked_source(url, "feature/x-1.0") == GitSource(url, "feature/x-1.0")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "--upload-pack=touch /tmp/x",
        "-u",
        "ext::sh -c touch% /tmp/x",
        "ext::true",
        "fd::7",
        "file:///etc",
        "file://localhost/etc",
        "FILE:///etc",
        "/etc",
        "./repo",
        "../repo",
        "repo",
        "C:/repo/x/../y z",
        "http://example.org/a",
        "git://example.org/a",
        "ftp://example.org/a",
        "ssh://-oProxyCommand=touch/x",
        "ssh://-oProxyCommand=x@example.org/a",
        "-oProxyCommand=x:a",
        "https://",
        "https:///a",
        "https://-host/a",
        "https://example.org/a\nb",
        "https://example.org/a b",
        "https://example.org:99999/a",
        "https://" + "a" * 3000,
        "remote-https::https://example.org/a",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(PlanError):
        checked_source(url)


@pytest.mark.parametrize(
    "ref", ["-x", "--upload-pack=x", "a..b", "a b", "a\n", "@{1}", "a:b", "^a", "x" * 300, "a~1"]
)
def test_a_ref_is_no_option_and_no_expression(ref: str) -> None:
    with pytest.raises(PlanError, match="no branch, tag or commit"):
        checked_source("https://example.org/a", ref)
    with pytest.raises(PlanError, match="no branch, tag or commit"):
        local_source("file:///a", ref)


def test_commands_are_words_with_the_url_where_no_option_can_be() -> None:
    init, fetch, checkout, parse = fetch_commands(GitSource("https://example.org/a", "v1"), "/x")
    assert fetch[-3:] == ("--end-of-options", "https://example.org/a", "v1")
    assert "--depth=1" in fetch
    assert init[-2:] == ("--", "/x")
    assert checkout[-1] == "FETCH_HEAD"
    assert parse[-2:] == ("rev-parse", "HEAD")
    for words in (init, fetch, checkout, parse):
        assert words[:3] == ("git", "-c", "core.hooksPath=/dev/null")
        assert "protocol.ext.allow=never" in words


def test_only_the_command_line_fetches_from_this_machine() -> None:
    assert local_source("file:///srv/a.git", "main").ref == "main"
    with pytest.raises(PlanError):
        local_source("ext::true")


@pytest.mark.parametrize(
    ("url", "shown", "secret"),
    [
        ("https://me:pass@example.org/a", "https://example.org/a", "pass"),
        ("https://token@example.org/a?x=1", "https://example.org/a", "token"),
        ("ssh://git@example.org/a", "ssh://example.org/a", ""),
        ("git@example.org:a", "git@example.org:a", ""),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str, secret: str) -> None:
    assert shown_url(url) == shown
    assert password_in(url) == secret


@pytest.mark.parametrize(
    ("text", "is_url"),
    [
        ("https://x/y", True),
        ("git@x:y", True),
        ("file:///x", True),
        ("ext::x", True),
        ("./x", False),
        ("x.zip", False),
        ("a:b", False),
    ],
)
def test_an_argument_is_a_url_or_a_path(text: str, *, is_url: bool) -> None:
    assert is_git_url(text) is is_url
