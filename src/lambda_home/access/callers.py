"""Who is calling: an account in a region, and on whose behalf.

Where signatures are not verified, an access key id that is a 12-digit number is taken for the
account, as other emulators do; the region is that of the SigV4 credential scope.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from lambda_home.access.roles import Role
from lambda_home.arns import PARTITION, Scope

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([a-z0-9-]+)/[a-z0-9-]+/aws4_request")
_ACCOUNT = re.compile(r"\d{12}")
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for something.

    `arn` is the principal as policies name it, `key_id` the access key's id, empty for nobody's.
    `is_verified` says whether a signature or a secret proved it.
    """

    scope: Scope
    arn: str
    role: Role
    key_id: str = ""
    user_id: str = ""
    is_verified: bool = False


def root_arn(account: str) -> str:
    """The principal of an account as a whole."""
    return f"arn:{PARTITION}:iam::{account}:root"


class Callers:
    """Takes callers for who they say they are, which is right where nobody else can call.

    Remembers what it has read, as the same credentials come with every request.
    """

    def __init__(self, default: Scope) -> None:
        self._default = self._caller(default, "")
        self._known: dict[bytes, Caller] = {}

    @property
    def default(self) -> Caller:
        """Whoever does not say who they are."""
        return self._default

    def caller_of(self, authorization: bytes | None) -> Caller:
        """Whom an Authorization header speaks for."""
        if not authorization:
            return self._default
        credential = authorization.partition(b"Credential=")[2].partition(b",")[0]
        found = self._known.get(credential)
        if found is None:
            found = self._read(credential)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[credential] = found
        return found

    def _read(self, credential: bytes) -> Caller:
        match = _CREDENTIAL.match("Credential=" + credential.decode("latin-1"))
        if match is None:
            return self._default
        return self.named(match[1], match[2])

    def named(self, key: str, region: str) -> Caller:
        """Whom an access key id speaks for."""
        account = key if _ACCOUNT.fullmatch(key) else self._default.scope.account
        return self._caller(Scope(account, region), key)

    @staticmethod
    def _caller(scope: Scope, key_id: str) -> Caller:
        return Caller(scope, root_arn(scope.account), Role.ADMIN, key_id)


_IN_SCOPE = "lambda_home.caller"


def put_caller(scope: MutableMapping[str, Any], caller: Caller) -> None:
    """Note who sends an ASGI request."""
    scope[_IN_SCOPE] = caller


def caller_in(scope: MutableMapping[str, Any]) -> Caller:
    """Who sends an ASGI request that has come through the gate; raises KeyError for another."""
    caller: Caller = scope[_IN_SCOPE]
    return caller
