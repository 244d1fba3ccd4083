"""Who may run now: AWS's concurrency limits as pure bookkeeping.

An account has `limit` concurrent executions. A function with reserved concurrency has exactly that
many, taken from the account's; all others share what is left. A version's provisioned concurrency
is its own part of the function's reserved concurrency, or of the account's where the function has
none; what it runs beyond that spills over into what the other versions have too.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html,
https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from lambda_home.arns import Scope
from lambda_home.errors import ThrottleReason, TooManyRequestsException

_NONE: Mapping[str, int] = {}


@dataclass(slots=True)
class _Function:
    """`reserved` is None where the function shares the account's; counts are by version.

    `spilled` of the running invocations are beyond their version's provisioned concurrency.
    """

    running: Counter[str] = field(default_factory=Counter)
    reserved: int | None = None
    provisioned: Mapping[str, int] = field(default_factory=lambda: _NONE)
    spilled: int = 0


@dataclass(slots=True)
class _Account:
    functions: dict[str, _Function] = field(default_factory=dict)
    shared_running: int = 0
    shared_limit: int = 0


class Admission:
    """Counts running invocations per account and region, and refuses what is over a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._accounts: dict[Scope, _Account] = {}

    def knows(self, scope: Scope) -> bool:
        """Whether `configure` has been called for this scope."""
        return scope in self._accounts

    def configure(
        self,
        scope: Scope,
        reserved: Mapping[str, int],
        provisioned: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        """Replace what a scope's functions have for themselves; running ones still count.

        `reserved` is by function, `provisioned` by function and version.
        """
        account = self._accounts.setdefault(scope, _Account())
        provisioned = provisioned or {}
        for name in {*account.functions, *reserved, *provisioned}:
            function = account.functions.setdefault(name, _Function())
            function.reserved = reserved.get(name)
            function.provisioned = dict(provisioned.get(name, _NONE))
            function.spilled = sum(
                max(0, count - function.provisioned.get(version, 0))
                for version, count in function.running.items()
            )
            if name not in reserved and name not in provisioned and not function.running:
                del account.functions[name]
        sharing = [f for f in account.functions.values() if f.reserved is None]
        own = sum(sum(function.provisioned.values()) for function in sharing)
        account.shared_limit = self._limit - sum(reserved.values()) - own
        account.shared_running = sum(function.spilled for function in sharing)

    def admit(self, scope: Scope, name: str, version: str) -> None:
        """Take a slot; `release` gives it back. Raises TooManyRequestsException with its Reason."""
        account = self._accounts.get(scope)
        if account is None:
            self.configure(scope, {})
            account = self._accounts[scope]
        function = account.functions.get(name)
        if function is None:
            function = account.functions[name] = _Function()
        if function.running[version] >= function.provisioned.get(version, 0):
            if function.reserved is None:
                if account.shared_running >= account.shared_limit:
                    raise TooManyRequestsException(ThrottleReason.CONCURRENT)
                account.shared_running += 1
            elif function.spilled >= function.reserved - sum(function.provisioned.values()):
                raise TooManyRequestsException(ThrottleReason.RESERVED_CONCURRENT)
            function.spilled += 1
        function.running[version] += 1

    def release(self, scope: Scope, name: str, version: str) -> None:
        """Give a slot back."""
        account = self._accounts[scope]
        function = account.functions[name]
        if function.running[version] > function.provisioned.get(version, 0):
            function.spilled -= 1
            if function.reserved is None:
                account.shared_running -= 1
        function.running[version] -= 1
        if function.running[version] == 0:
            del function.running[version]

    def running(self, scope: Scope, name: str) -> int:
        """Invocations of a function that hold a slot."""
        account = self._accounts.get(scope)
        function = account.functions.get(name) if account else None
        return function.running.total() if function else 0
