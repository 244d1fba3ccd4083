"""Sessions of browsers: after one login with an access key, a cookie says who it is.

Sessions are kept in memory, under a digest of their token: a restart ends them all.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets
from collections import OrderedDict
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Final, Protocol

from lambda_home.errors import ThrottleReason, TooManyRequestsException

COOKIE: Final = "lambda_home_session"
LIFETIME_S: Final = 12 * 3600
MOST_SESSIONS: Final = 1024
_ADDRESSES: Final = 4096
_FAILURES: Final = 10  # at once; afterwards one in _FORGIVEN_S seconds
_FORGIVEN_S: Final = 6.0


class Keys(Protocol):
    """Finds access keys."""

    def find(self, access_key_id: str, session_token: str | None = None) -> object | None:
        """A key that may be used now."""


class Sessions:
    """The sessions that are open; for the event loop."""

    def __init__(self, keys: Keys, monotonic: Callable[[], float]) -> None:
        self._keys = keys
        self._monotonic = monotonic
        self._open: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def open(self, access_key_id: str) -> str:
        """Begin a session; answers its token, which only the browser keeps.

        With too many of them the oldest one ends.
        """
        token = secrets.token_urlsafe(32)
        self._open[_digest(token)] = (access_key_id, self._monotonic() + LIFETIME_S)
        if len(self._open) > MOST_SESSIONS:
            self._open.popitem(last=False)
        return token

    def find(self, token: str) -> str | None:
        """The access key id that a session was opened with; None if it is over.

        It is over with its time, and once its key is deleted or disabled.
        """
        digest = _digest(token)
        found = self._open.get(digest)
        if found is None:
            return None
        access_key_id, until = found
        if self._monotonic() >= until or self._keys.find(access_key_id) is None:
            del self._open[digest]
            return None
        return access_key_id

    def close(self, token: str) -> None:
        """End a session, if there is one."""
        self._open.pop(_digest(token), None)


class FailedLogins:
    """Lets an address fail ten times, then once in six seconds. Times are of a monotonic clock."""

    def __init__(self) -> None:
        self._debts: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, address: str, now: float) -> None:
        """Raise TooManyRequestsException for an address that has to wait."""
        debt = self._debt(_group(address), now)
        if debt > _FAILURES - 1:
            wait_s = math.ceil((debt - (_FAILURES - 1)) * _FORGIVEN_S)
            raise TooManyRequestsException(
                ThrottleReason.CALLER_RATE,
                "Too many logins have failed from this address. Try again later.",
                retry_after_s=max(1, wait_s),
            )

    def failed(self, address: str, now: float) -> None:
        """Count a login that failed."""
        group = _group(address)
        self._debts[group] = (self._debt(group, now) + 1, now)
        self._debts.move_to_end(group)
        if len(self._debts) > _ADDRESSES:
            self._debts.popitem(last=False)

    def _debt(self, group: str, now: float) -> float:
        count, at = self._debts.get(group, (0.0, now))
        return max(0.0, count - (now - at) / _FORGIVEN_S)


def token_in(cookies: str) -> str | None:
    """The token of a session in a Cookie header; None if there is none."""
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None else None


def _digest(token: str) -> bytes:
    """What a token is found by: how long that takes says nothing about the tokens of others."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _group(address: str) -> str:
    """An address, or the network of an IPv6 address: one machine has a whole /64 to itself."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)
