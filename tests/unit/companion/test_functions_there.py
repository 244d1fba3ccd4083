"""What callers may make moto fetch."""

from __future__ import annotations

import pytest

from lambda_home.companion.functions_there import Home, is_elsewhere


@pytest.mark.parametrize(
    ("url", "elsewhere"),
    [
        ("http://192.0.2.1/hook", True),
        ("https://[2001:db8::1]/hook", True),
        ("http://10.0.0.5:8080/hook", True),
        ("http://127.0.0.1:9000/hook", False),
        ("http://localhost:9000/hook", False),
        ("http://[::1]:9000/hook", False),
        ("http://[::ffff:127.0.0.1]:9000/hook", False),
        ("http://0.0.0.0:9000/hook", False),
        ("http://2130706433/hook", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("http://[fe80::1]/", False),
        ("http://[nonsense", False),
    ],
)
def test_nothing_on_this_machine_and_no_metadata_service(url: str, elsewhere: bool) -> None:  # noqa: FBT001
    assert is_elsewhere(url) is elsewhere


def test_the_host_name_that_is_a_secret_is_not_shown() -> None:
    given = {"LAMBDA_HOME_COMPANION_URL": "http://u", "LAMBDA_HOME_COMPANION_HOST": "a-secret"}
    home = Home.of(given)
    assert (home.url, home.host) == ("http://u", "a-secret")
    assert "a-secret" not in repr(home)
