"""Who may run now: AWS's concurrency limits as pure bookkeeping.

An account has `limit` concurrent executions. A function with reserved concurrency has exactly that
many, taken from the account's; all others share what is left.
Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from lambda_home.arns import Scope
from lambda_home.errors import ThrottleReason, TooManyRequestsException


@dataclass(slots=True)
class _Account:
    reserved: Mapping[str, int] = field(default_factory=dict)
    running: Counter[str] = field(default_factory=Counter)
    unreserved_running: int = 0
    unreserved_limit: int = 0


class Admission:
    """Counts running invocations per account and region, and refuses what is over a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._accounts: dict[Scope, _Account] = {}

    def knows(self, scope: Scope) -> bool:
        """Whether `set_reserved` has been called for this scope."""
        return scope in self._accounts

    def set_reserved(self, scope: Scope, reserved: Mapping[str, int]) -> None:
        """Replace the reserved concurrency of a scope's functions; running ones still count."""
        account = self._accounts.setdefault(scope, _Account())
        account.reserved = dict(reserved)
        account.unreserved_limit = self._limit - sum(reserved.values())
        account.unreserved_running = sum(
            count for name, count in account.running.items() if name not in reserved
        )

    def admit(self, scope: Scope, name: str) -> None:
        """Take a slot; `release` gives it back. Raises TooManyRequestsException with its Reason."""
        account = self._accounts.get(scope)
        if account is None:
            self.set_reserved(scope, {})
            account = self._accounts[scope]
        reserved = account.reserved.get(name)
        if reserved is not None:
            if account.running[name] >= reserved:
                raise TooManyRequestsException(ThrottleReason.RESERVED_CONCURRENT)
        elif account.unreserved_running >= account.unreserved_limit:
            raise TooManyRequestsException(ThrottleReason.CONCURRENT)
        else:
            account.unreserved_running += 1
        account.running[name] += 1

    def release(self, scope: Scope, name: str) -> None:
        """Give a slot back."""
        account = self._accounts[scope]
        account.running[name] -= 1
        if account.running[name] == 0:
            del account.running[name]
        if name not in account.reserved:
            account.unreserved_running -= 1

    def running(self, scope: Scope, name: str) -> int:
        """Invocations of a function that hold a slot."""
        account = self._accounts.get(scope)
        return account.running[name] if account else 0
