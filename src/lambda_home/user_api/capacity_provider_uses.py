"""Capacity providers as functions use them: whether one is there, and who runs on it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lambda_home.arns import Scope
from lambda_home.errors import (
    FunctionVersionsPerCapacityProviderLimitExceededException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambda_home.functions import FunctionVersion
from lambda_home.registry.resources import Document, ResourceKind
from lambda_home.user_api import capacity_provider_rules as rules
from lambda_home.user_api.capacity_provider_rules import State
from lambda_home.user_api.operations import Backend


async def check(backend: Backend, scope: Scope, config: Mapping[str, Any]) -> None:
    """Whether a new function version may use the provider of a `CapacityProviderConfig`.

    Raises ResourceNotFoundException, ResourceConflictException for one that is not Active,
    FunctionVersionsPerCapacityProviderLimitExceededException.
    """
    arn = rules.provider_of({"CapacityProviderConfig": config}) or ""
    await settled(backend, scope, arn)
    using = await asyncio.to_thread(versions_using, backend, scope, arn)
    if len(using) >= rules.MOST_VERSIONS:
        # AWS has this limit; its text is not recorded.
        raise FunctionVersionsPerCapacityProviderLimitExceededException(
            f"The capacity provider {arn} has reached its limit of {rules.MOST_VERSIONS} function"
            " versions."
        )


async def settled(backend: Backend, scope: Scope, name_or_arn: str) -> Document:
    """A provider that is Active: waits for it to become that unless states are strict.

    Raises ResourceNotFoundException, ResourceConflictException for one that is Deleting or, where
    states are strict, Pending; that text is not recorded.
    """
    name, arn = rules.named(scope, name_or_arn)
    while True:
        found = await asyncio.to_thread(
            backend.resources.get, scope, ResourceKind.CAPACITY_PROVIDER, name
        )
        moment = now()
        state = rules.state_of(found, moment, hold_s(backend)) if found else None
        if found is None or state is None:
            raise not_found(arn)
        if state is State.ACTIVE:
            return found
        if state is State.DELETING or backend.rules.strict_states:
            raise ResourceConflictException(
                "The operation cannot be performed at this time. The capacity provider is"
                f" currently in the following state: {state}"
            )
        await asyncio.sleep(rules.remaining_s(found, moment, hold_s(backend)))


def versions_using(backend: Backend, scope: Scope, arn: str) -> list[FunctionVersion]:
    """The versions that run on a provider, `$LATEST` too, by name and number; blocking."""
    found: list[FunctionVersion] = []
    marker: str | None = None
    while True:
        page = backend.registry.list_functions(scope, marker=marker, all_versions=True)
        found += [item for item in page.items if rules.provider_of(item.documents) == arn]
        marker = page.next_marker
        if marker is None:
            return found


def hold_s(backend: Backend) -> float:
    """How long a provider is Pending or Deleting."""
    return backend.rules.transition_ms / 1000


def now() -> float:
    """Seconds since the epoch."""
    return datetime.now(UTC).timestamp()


def not_found(arn: str) -> ResourceNotFoundException:
    """Text: recorded on AWS, for tags."""
    return ResourceNotFoundException(f"Capacity provider not found: {arn}")
