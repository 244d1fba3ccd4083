"""Sessions: bounded, over in time and with their key; and who fails to log in must wait."""

from __future__ import annotations

import pytest
from fakes import HandTurnedClock

from lambda_home.access.sessions import LIFETIME_S, MOST_SESSIONS, FailedLogins, Sessions
from lambda_home.errors import TooManyRequestsException


class Keys:
    """Knows the ids that it was given."""

    def __init__(self, *ids: str) -> None:
        self.ids = set(ids)

    def find(self, access_key_id: str, session_token: str | None = None) -> str | None:
        del session_token
        return access_key_id if access_key_id in self.ids else None


@pytest.fixture
def clock() -> HandTurnedClock:
    return HandTurnedClock()


def test_a_session_leads_to_its_key_until_it_is_closed(clock: HandTurnedClock) -> None:
    sessions = Sessions(Keys("a", "b"), clock.monotonic)
    first, second = sessions.open("a"), sessions.open("b")
    assert len(first) >= 43, "256 bits"
    assert (sessions.find(first), sessions.find(second)) == ("a", "b")
    for wrong in ("", first[:-1], first + "A", "\ud800", "ü"):
        assert sessions.find(wrong) is None
    sessions.close(first)
    sessions.close(first)
    assert (sessions.find(first), sessions.find(second)) == (None, "b")


def test_a_session_ends_after_half_a_day(clock: HandTurnedClock) -> None:
    sessions = Sessions(Keys("a"), clock.monotonic)
    token = sessions.open("a")
    clock.turn(LIFETIME_S - 1)
    assert sessions.find(token) == "a"
    clock.turn(1)
    assert sessions.find(token) is None


def test_a_session_ends_with_its_key_and_does_not_come_back(clock: HandTurnedClock) -> None:
    keys = Keys("a")
    sessions = Sessions(keys, clock.monotonic)
    token = sessions.open("a")
    keys.ids.clear()
    assert sessions.find(token) is None
    keys.ids.add("a")
    assert sessions.find(token) is None


def test_the_oldest_of_too_many_sessions_ends(clock: HandTurnedClock) -> None:
    sessions = Sessions(Keys("a"), clock.monotonic)
    tokens = [sessions.open("a") for _ in range(MOST_SESSIONS + 1)]
    assert sessions.find(tokens[0]) is None
    assert all(sessions.find(token) for token in tokens[1:])


def fail(logins: FailedLogins, address: str, times: int, now: float) -> None:
    for _ in range(times):
        logins.check(address, now)
        logins.failed(address, now)


def test_ten_failures_at_once_then_one_in_six_seconds() -> None:
    logins = FailedLogins()
    fail(logins, "10.0.0.1", 10, 100.0)
    with pytest.raises(TooManyRequestsException) as refused:
        logins.check("10.0.0.1", 100.0)
    assert refused.value.retry_after_s == 6
    logins.check("10.0.0.2", 100.0)
    with pytest.raises(TooManyRequestsException):
        logins.check("10.0.0.1", 105.0)
    fail(logins, "10.0.0.1", 1, 106.0)
    with pytest.raises(TooManyRequestsException):
        logins.check("10.0.0.1", 106.0)
    fail(logins, "10.0.0.1", 10, 106.0 + 61)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "10.0.0.1", False),
        ("not an address", "10.0.0.1", False),
    ],
)
def test_addresses_that_one_machine_has_count_together(
    first: str, second: str, *, same: bool
) -> None:
    logins = FailedLogins()
    fail(logins, first, 10, 0.0)
    if same:
        with pytest.raises(TooManyRequestsException):
            logins.check(second, 0.0)
    else:
        logins.check(second, 0.0)
