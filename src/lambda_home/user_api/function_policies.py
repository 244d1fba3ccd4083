"""The policy of a function, version or alias: finding what it belongs to, reading, changing.

AddPermission and PutResourcePolicy change one and the same policy. It is stored under the qualifier
that it was given for: "" for the function. Its RevisionId is its own: the function's does not
follow it (recorded on AWS).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from lambda_home.arns import LATEST, FunctionRef
from lambda_home.errors import InvalidParameterValueException, ResourceNotFoundException
from lambda_home.registry.configs import ConfigKind
from lambda_home.user_api.operations import Backend
from lambda_home.user_api.policy_documents import Policy

Stored = Mapping[str, Any]

_ALIAS = re.compile(r"(?!\d+$)[a-zA-Z0-9-_]+")


def refuse_latest(ref: FunctionRef) -> None:
    """Raise InvalidParameterValueException for `$LATEST`, which can have no policy."""
    if ref.qualifier == LATEST:
        raise InvalidParameterValueException(
            "We currently do not support adding policies for $LATEST."
        )


def revision_of(backend: Backend, ref: FunctionRef) -> str:
    """The RevisionId of the function, version or alias itself.

    Raises ResourceNotFoundException: `Cannot find alias arn` for what can be an alias's name, else
    `Function not found`.
    """
    if ref.qualifier and _ALIAS.fullmatch(ref.qualifier):
        return str(backend.aliases.get(ref)["RevisionId"])
    return backend.registry.get(ref).revision_id


def find(backend: Backend, ref: FunctionRef) -> Stored:
    """The stored policy: `Policy` and `RevisionId`; one 404 for everything that may be missing."""
    try:
        stored = backend.configs.get(ref, ConfigKind.POLICY, ref.qualifier or "")
    except ResourceNotFoundException:
        stored = None
    if stored is None:
        raise no_policy()
    return stored


def change(
    backend: Backend, ref: FunctionRef, edit: Callable[[Stored | None], Policy | None]
) -> Stored | None:
    """Replace a policy by what `edit` makes of the stored one (None: nothing); answers the new one.

    Two changes at once are made one after the other. `edit` may raise, and must not use the
    registry.
    """
    made: list[Stored | None] = []

    def revised(old: Stored | None) -> Stored | None:
        policy = edit(old)
        made.append(policy and {"Policy": policy, "RevisionId": str(uuid.uuid4())})
        return made[-1]

    backend.configs.change(ref, ConfigKind.POLICY, revised, ref.qualifier or "")
    return made[-1]


def no_policy() -> ResourceNotFoundException:
    """What GetPolicy answers, whatever is missing."""
    return ResourceNotFoundException("The resource you requested does not exist.")
