"""Which folders may be read, by tables."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_home.errors import InvalidParameterValueException
from lambda_home.hot_reload.folders import FolderRules, is_below, link_target

RULES = FolderRules("hot-reload", ("/home/me/work", "/srv/code"))


@pytest.mark.parametrize(
    ("code", "folder"),
    [
        ({"S3Bucket": "hot-reload", "S3Key": "/home/me/work/fn"}, "/home/me/work/fn"),
        ({"S3Bucket": "hot-reload", "S3Key": "/"}, "/"),
        ({"S3Bucket": "hot-reload", "S3Key": "code.zip"}, None),
        ({"S3Bucket": "hot-reload"}, None),
        ({"S3Bucket": "hot-reload-2", "S3Key": "/home/me/work/fn"}, None),
        ({"S3Bucket": "Hot-Reload", "S3Key": "/home/me/work/fn"}, None),
        ({"S3Key": "/home/me/work/fn"}, None),
        ({"ZipFile": b"PK", "S3Bucket": "hot-reload", "S3Key": "/home"}, None),
        ({"ImageUri": "image:1"}, None),
    ],
)
def test_a_bucket_of_the_settings_and_an_absolute_key_name_a_folder(
    code: dict[str, Any], folder: str | None
) -> None:
    assert RULES.folder_in(code) == folder


@pytest.mark.parametrize("key", ["/home/me/work/../../root", "/home/..", "/home/me\0/work"])
def test_a_key_that_climbs_is_refused(key: str) -> None:
    with pytest.raises(InvalidParameterValueException, match="absolute path"):
        RULES.folder_in({"S3Bucket": "hot-reload", "S3Key": key})


def test_without_a_bucket_there_is_no_hot_reload() -> None:
    nowhere = FolderRules("", ("/",))
    assert nowhere.folder_in({"S3Bucket": "", "S3Key": "/home"}) is None


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/home/me/work", True),
        ("/home/me/work/fn/src", True),
        ("/srv/code/x", True),
        ("/home/me/work2", False),
        ("/home/me", False),
        ("/", False),
        ("/srv/codes", False),
        ("/etc", False),
    ],
)
def test_a_folder_is_allowed_at_a_root_and_below_it(path: str, *, allowed: bool) -> None:
    assert is_below(path, RULES.roots) is allowed
    if allowed:
        RULES.check(path, path)
    else:
        with pytest.raises(InvalidParameterValueException, match="hot_reload_folders"):
            RULES.check(path, path)


def test_a_refusal_says_where_a_link_led() -> None:
    with pytest.raises(InvalidParameterValueException, match="which leads to /etc,"):
        RULES.check("/etc", "/home/me/work/link")


def test_without_roots_nothing_may_be_read_and_the_setting_is_named() -> None:
    with pytest.raises(InvalidParameterValueException, match="lambda-home dev"):
        FolderRules("hot-reload").check("/home/me", "/home/me")


@pytest.mark.parametrize(
    ("name", "target", "inside"),
    [
        ("link", "file", "file"),
        ("a/link", "../file", "../file"),
        ("a/b/link", "../../c/file", "../../c/file"),
        ("link", "a/../b", "a/../b"),
        ("link", "/fn/src/file", "src/file"),
        ("a/link", "/fn/src/file", "../src/file"),
        ("link", "/fn", "."),
        ("link", "../file", None),
        ("a/link", "../../file", None),
        ("link", "a/../../file", None),
        ("link", "/etc/passwd", None),
        ("link", "/fnord/file", None),
        ("link", "/fn/../etc/passwd", None),
    ],
)
def test_links_may_lead_everywhere_in_the_folder_and_nowhere_else(
    name: str, target: str, inside: str | None
) -> None:
    assert link_target(name, target, "/fn") == inside
