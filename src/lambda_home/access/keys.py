"""Access keys: who may come in where signatures are verified, and with which role.

Keys of people are kept in the registry, their secrets encrypted; those of execution environments
only in memory. Ids look as AWS's do:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import string
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from lambda_home.access.roles import Role
from lambda_home.arns import PARTITION, Scope
from lambda_home.errors import (
    ExpiredTokenException,
    InvalidParameterValueException,
    ResourceNotFoundException,
    ServiceException,
    UnrecognizedClientException,
)
from lambda_home.registry.resources import Document, ResourceKind, Resources
from lambda_home.vault import Vault, VaultError

MOST_REQUESTS_PER_SECOND: Final = 1_000_000
_USER_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_ACCOUNT = re.compile(r"\d{12}")
_ID_CHARACTERS: Final = string.ascii_uppercase + "234567"
_SECRET_CHARACTERS: Final = string.ascii_letters + string.digits + "+/"
_EVERYWHERE: Final = "aws-global"  # keys belong to an account, not to a region
_LONG_TERM: Final = "AKIA"
_TEMPORARY: Final = "ASIA"
_OUTDATED_S: Final = 1.0
_REMEMBERED: Final = 4096
_INVALID: Final = "The security token included in the request is invalid."
_EXPIRED: Final = "The security token included in the request is expired"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key that may be used; `arn` is the principal that it speaks for.

    `session_token` must come with each request that a temporary one signs.
    """

    id: str
    secret: str = field(repr=False)
    account: str
    user_name: str
    role: Role
    requests_per_second: int | None
    arn: str
    user_id: str
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What may be told of a key of a person. `created_at` is seconds since the epoch."""

    id: str
    account: str
    user_name: str
    role: Role
    requests_per_second: int | None
    is_enabled: bool
    created_at: float

    @property
    def arn(self) -> str:
        """The user's ARN."""
        return f"arn:{PARTITION}:iam::{self.account}:user/{self.user_name}"

    def document(self, created_at: str) -> dict[str, Any]:
        """All of it as a JSON object; `created_at` as whoever shows it writes moments."""
        return {
            "access_key_id": self.id,
            "account": self.account,
            "user_name": self.user_name,
            "arn": self.arn,
            "role": str(self.role),
            "requests_per_second": self.requests_per_second,
            "enabled": self.is_enabled,
            "created_at": created_at,
        }


class EnvironmentCredentials:
    """Credentials of execution environments, good until they are revoked."""

    def __init__(self) -> None:
        self._keys: dict[str, AccessKey] = {}
        self._revoked: OrderedDict[str, None] = OrderedDict()

    def issue(self, account: str, role: Role, principal: str) -> AccessKey:
        """New credentials of `principal`, the ARN of an assumed role, with a session token."""
        key = AccessKey(
            id=_new_id(_TEMPORARY),
            secret=_new_secret(),
            account=account,
            user_name="",
            role=role,
            requests_per_second=None,
            arn=principal,
            user_id=f"{_unique_id('AROA', principal)}:{principal.rpartition('/')[2]}",
            session_token=secrets.token_urlsafe(96),
        )
        self._keys[key.id] = key
        return key

    def revoke(self, access_key_id: str) -> None:
        """The environment is gone: nobody may use its credentials any more."""
        if self._keys.pop(access_key_id, None) is None:
            return
        self._revoked[access_key_id] = None
        if len(self._revoked) > _REMEMBERED:
            self._revoked.popitem(last=False)

    def find(self, access_key_id: str, session_token: str | None) -> AccessKey | None:
        """The key of this id; raises as `AccessKeys.find`."""
        key = self._keys.get(access_key_id)
        if key is None:
            if access_key_id in self._revoked:
                raise ExpiredTokenException(_EXPIRED)
            return None
        right = (key.session_token or "").encode()
        if not hmac.compare_digest(right, (session_token or "").encode()):
            raise UnrecognizedClientException(_INVALID)
        return key


class _Known:
    """A key as it was read; its secret is decrypted when somebody uses it."""

    __slots__ = ("document", "key")

    def __init__(self, document: Document) -> None:
        self.document = document
        self.key: AccessKey | None = None


class AccessKeys:
    """The keys of all accounts.

    `find` is for the event loop; what changes keys blocks on the disk, and is for other threads.
    """

    def __init__(
        self,
        resources: Resources,
        vault: Vault,
        monotonic: Callable[[], float],
        environments: EnvironmentCredentials | None = None,
    ) -> None:
        self._resources = resources
        self._vault = vault
        self._monotonic = monotonic
        self.environments = environments or EnvironmentCredentials()
        self._known: dict[str, _Known] = {}
        self._good_until = float("-inf")

    def find(self, access_key_id: str, session_token: str | None = None) -> AccessKey | None:
        """A key that may be used now, None for one that is unknown or disabled.

        What another process made, disabled or deleted is noticed within a second. Raises
        UnrecognizedClientException if the session token is not the key's, ExpiredTokenException if
        its environment is gone, ServiceException if its secret cannot be read.
        """
        if access_key_id.startswith(_TEMPORARY):
            return self.environments.find(access_key_id, session_token)
        if self._monotonic() >= self._good_until:
            self._read()
        known = self._known.get(access_key_id)
        if known is None:
            return None
        if session_token:
            raise UnrecognizedClientException(_INVALID)
        if known.key is None:
            known.key = self._usable(access_key_id, known.document)
        return known.key

    def with_secret(self, access_key_id: str, secret: str) -> AccessKey | None:
        """The key that an id and its secret name; None for a wrong secret. Raises as `find`."""
        key = self.find(access_key_id)
        known = key.secret if key is not None else ""
        given = secret.encode("utf-8", "surrogatepass")
        return key if hmac.compare_digest(known.encode(), given) else None

    def create(
        self,
        account: str,
        user_name: str,
        role: str,
        now: float,
        requests_per_second: int | None = None,
    ) -> AccessKey:
        """Make a key; this is the only time that anybody is told its secret.

        Raises InvalidParameterValueException, VaultError.
        """
        chosen = checked_role(account, user_name, role, requests_per_second)
        access_key_id, secret = _new_id(_LONG_TERM), _new_secret()
        document = {
            "account": account,
            "user_name": user_name,
            "role": str(chosen),
            "requests_per_second": requests_per_second,
            "enabled": True,
            "created_at": now,
            "secret": self._vault.encrypt(secret),
        }
        self._change(account, access_key_id, lambda _: document)
        return self._made(access_key_id, document, secret)

    def all_of(self, account: str) -> list[KeyRecord]:
        """An account's keys, the oldest first."""
        found = self._resources.all_of(Scope(account, _EVERYWHERE), ResourceKind.ACCESS_KEY)
        records = [_record(access_key_id, document) for access_key_id, document in found.items()]
        return sorted(records, key=lambda record: (record.created_at, record.id))

    def record_of(self, account: str, access_key_id: str) -> KeyRecord:
        """One key of an account. Raises ResourceNotFoundException."""
        scope = Scope(account, _EVERYWHERE)
        document = self._resources.get(scope, ResourceKind.ACCESS_KEY, access_key_id)
        return _record(access_key_id, _existing(document, access_key_id))

    def everywhere(self) -> list[KeyRecord]:
        """The keys of all accounts, account by account."""
        found = self._resources.everywhere(ResourceKind.ACCESS_KEY)
        records = [
            _record(access_key_id, document) for (_, access_key_id), document in found.items()
        ]
        return sorted(records, key=lambda record: (record.account, record.created_at, record.id))

    def delete(self, account: str, access_key_id: str) -> None:
        """Forget a key. Raises ResourceNotFoundException."""

        def nothing(old: Document | None) -> None:
            _existing(old, access_key_id)

        self._change(account, access_key_id, nothing)

    def enable(self, account: str, access_key_id: str, *, enabled: bool) -> KeyRecord:
        """Let a key be used, or not for now. Raises ResourceNotFoundException."""

        def switched(old: Document | None) -> Document:
            return {**_existing(old, access_key_id), "enabled": enabled}

        return _record(access_key_id, self._change(account, access_key_id, switched) or {})

    # --------------------------------------------------------------------------------------------

    def _change(
        self, account: str, access_key_id: str, edit: Callable[[Document | None], Document | None]
    ) -> Document | None:
        scope = Scope(account, _EVERYWHERE)
        changed = self._resources.change(scope, ResourceKind.ACCESS_KEY, access_key_id, edit)
        self._good_until = float("-inf")
        return changed

    def _read(self) -> None:
        """Read all keys again; of those that are as they were, what was decrypted stays."""
        good_until = self._monotonic() + _OUTDATED_S
        self._good_until = good_until  # before reading: a change meanwhile makes it old again
        known = {}
        for (_, key_id), document in self._resources.everywhere(ResourceKind.ACCESS_KEY).items():
            before = self._known.get(key_id)
            same = before is not None and before.document == document
            if document["enabled"]:
                known[key_id] = before if before is not None and same else _Known(document)
        self._known = known

    def _usable(self, access_key_id: str, document: Document) -> AccessKey:
        try:
            secret = self._vault.decrypt(document["secret"])
        except VaultError as error:
            raise ServiceException(str(error)) from error
        return self._made(access_key_id, document, secret)

    @staticmethod
    def _made(access_key_id: str, document: Document, secret: str) -> AccessKey:
        record = _record(access_key_id, document)
        return AccessKey(
            id=access_key_id,
            secret=secret,
            account=record.account,
            user_name=record.user_name,
            role=record.role,
            requests_per_second=record.requests_per_second,
            arn=record.arn,
            user_id=_unique_id("AIDA", record.arn),
        )


def checked_role(account: str, user_name: str, role: str, requests_per_second: Any) -> Role:
    """The role; raises InvalidParameterValueException for whatever makes no key."""
    if not _ACCOUNT.fullmatch(account):
        raise InvalidParameterValueException("An account is a number of 12 digits.")
    if not _USER_NAME.fullmatch(user_name):
        raise InvalidParameterValueException(
            "A user name has 1 to 64 letters, digits or characters of +=,.@_- and no others."
        )
    if role not in set(Role):
        roles = ", ".join(Role)
        raise InvalidParameterValueException(f"The role must be one of {roles}.")
    if requests_per_second is not None and (
        type(requests_per_second) is not int
        or not 1 <= requests_per_second <= MOST_REQUESTS_PER_SECOND
    ):
        raise InvalidParameterValueException(
            "Requests per second are a whole number from 1 to"
            f" {MOST_REQUESTS_PER_SECOND}; leave them out for no limit."
        )
    return Role(role)


def _existing(document: Document | None, access_key_id: str) -> Document:
    if document is None:
        raise ResourceNotFoundException(f"There is no access key of the id {access_key_id}.")
    return document


def _record(access_key_id: str, document: Document) -> KeyRecord:
    return KeyRecord(
        id=access_key_id,
        account=document["account"],
        user_name=document["user_name"],
        role=Role(document["role"]),
        requests_per_second=document["requests_per_second"],
        is_enabled=document["enabled"],
        created_at=document["created_at"],
    )


def _new_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(16))


def _new_secret() -> str:
    return "".join(secrets.choice(_SECRET_CHARACTERS) for _ in range(40))


def _unique_id(prefix: str, arn: str) -> str:
    """A principal's unique id, which is the same for all its keys."""
    digest = hashlib.sha256(arn.encode()).digest()
    return prefix + base64.b32encode(digest).decode()[:17]
