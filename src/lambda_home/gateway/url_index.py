"""Function URLs by their ids, held in memory until something in the registry changes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lambda_home.arns import LATEST, FunctionRef
from lambda_home.errors import ResourceNotFoundException
from lambda_home.gateway.url_rules import FunctionUrl, function_url
from lambda_home.registry.changes import ConfigKind
from lambda_home.registry.configs import FunctionConfigs
from lambda_home.registry.policies import Policies


@dataclass(slots=True)
class _Known:
    """What was read since the last change: all configurations, and the URLs that were called."""

    documents: Mapping[str, tuple[FunctionRef, Mapping[str, Any]]]
    urls: dict[str, FunctionUrl] = field(default_factory=dict)


class UrlIndex:
    """Finds function URLs."""

    def __init__(self, configs: FunctionConfigs, policies: Policies) -> None:
        self._configs = configs
        self._policies = policies
        self._known: _Known | None = None
        self._generation = 0

    def at_hand(self, url_id: str) -> FunctionUrl | None:
        """A URL that is in memory; None if it must be looked up."""
        return None if self._known is None else self._known.urls.get(url_id)

    def is_unknown(self, url_id: str) -> bool:
        """Whether there is surely no such URL."""
        return self._known is not None and url_id not in self._known.documents

    async def look_up(self, url_id: str) -> FunctionUrl | None:
        """Read a URL and keep it; None if there is none."""
        generation, known = self._generation, self._known
        if known is None:
            known = _Known(await asyncio.to_thread(self._read))
        found = known.documents.get(url_id)
        url = known.urls.get(url_id)
        if found is not None and url is None:
            ref, document = found
            policy = await asyncio.to_thread(self._policy, ref)
            url = known.urls[url_id] = function_url(url_id, ref, document, policy)
        if generation == self._generation and self._known is None:  # nothing changed meanwhile
            self._known = known
        return url

    def forget(self) -> None:
        """Something changed in the registry."""
        self._known = None
        self._generation += 1

    # --------------------------------------------------------------------------------------------

    def _read(self) -> dict[str, tuple[FunctionRef, Mapping[str, Any]]]:
        found = {}
        for (scope, name, qualifier), document in self._configs.everywhere(ConfigKind.URL).items():
            ref = FunctionRef(scope, name, None if qualifier == LATEST else qualifier)
            found[document["UrlId"]] = (ref, document)
        return found

    def _policy(self, ref: FunctionRef) -> Mapping[str, Any] | None:
        """The policy of a function or an alias; None where that is gone, which its URL outlives."""
        try:
            return self._policies.get(ref).policy
        except ResourceNotFoundException:
            return None
