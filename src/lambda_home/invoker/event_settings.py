"""What is configured for the asynchronous invokes of a function, as it is now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lambda_home.arns import LATEST, FunctionRef
from lambda_home.errors import ResourceNotFoundException
from lambda_home.invoker.retries import Policy
from lambda_home.registry.configs import ConfigKind, FunctionConfigs
from lambda_home.registry.functions import FunctionRegistry

_MOST_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class InForce:
    """ARNs are "" where there is none; `stopped` is a reserved concurrency of 0."""

    policy: Policy
    on_success: str = ""
    on_failure: str = ""
    dead_letter: str = ""
    stopped: bool = False


class EventSettings:
    """Reads them from the registry and remembers them until something changes."""

    def __init__(
        self, registry: FunctionRegistry, configs: FunctionConfigs, policy: Policy
    ) -> None:
        self._registry = registry
        self._configs = configs
        self._policy = policy
        self._known: dict[FunctionRef, InForce] = {}
        self._generation = 0

    async def of(self, ref: FunctionRef) -> InForce:
        """What holds for events that were sent to `ref`; defaults for a function that has gone."""
        found = self._known.get(ref)
        if found is None:
            generation = self._generation
            found = await asyncio.to_thread(self._read, ref)
            if generation == self._generation and len(self._known) < _MOST_REMEMBERED:
                self._known[ref] = found
        return found

    def forget(self) -> None:
        """Something changed."""
        self._generation += 1
        self._known.clear()

    def _read(self, ref: FunctionRef) -> InForce:
        try:
            document = self._configs.get(ref, ConfigKind.EVENT_INVOKE, ref.qualifier or LATEST)
            reserved = self._registry.get_reserved(replace(ref, qualifier=None))
            dead_letter = self._dead_letter(ref)
        except ResourceNotFoundException:
            return InForce(self._policy)
        given: Mapping[str, Any] = document or {}
        destinations = given.get("DestinationConfig") or {}
        return InForce(
            Policy(
                self._policy.base_s,
                given.get("MaximumEventAgeInSeconds", self._policy.max_age_s),
                given.get("MaximumRetryAttempts", self._policy.retries),
            ),
            (destinations.get("OnSuccess") or {}).get("Destination", ""),
            (destinations.get("OnFailure") or {}).get("Destination", ""),
            dead_letter,
            reserved == 0,
        )

    def _dead_letter(self, ref: FunctionRef) -> str:
        config = self._registry.get(ref).documents.get("DeadLetterConfig")
        return str(config.get("TargetArn") or "") if isinstance(config, Mapping) else ""
