"""The routes of the server: kept in the registry, held in memory for lookup."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from lambda_home.arns import LATEST, FunctionRef, Scope
from lambda_home.clock import Clock
from lambda_home.errors import (
    ApiError,
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambda_home.gateway.route_documents import document_of, route_of
from lambda_home.gateway.routes import Route, RouteTable
from lambda_home.invoker.rate_limits import TokenBucket
from lambda_home.registry.aliases import Aliases
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.registry.resources import Document, ResourceKind, Resources

Exists = Callable[[FunctionRef], object]

_log = structlog.get_logger(__name__)


def existing(functions: FunctionRegistry, aliases: Aliases) -> Exists:
    """What raises ResourceNotFoundException for a function, version or alias that is not there."""

    def check(ref: FunctionRef) -> object:
        named = ref.qualifier or LATEST
        is_version = named == LATEST or named.isdecimal()
        return functions.get(ref) if is_version else aliases.get(ref)

    return check


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a route leads: its function, and its own tokens where it has a rate limit."""

    route: Route
    ref: FunctionRef
    bucket: TokenBucket | None


class RouteBook:
    """All routes of one account and region; changes are committed before they are seen.

    `exists` raises ResourceNotFoundException for a function that does not exist. Changes block;
    they may come from several threads.
    """

    def __init__(self, resources: Resources, scope: Scope, clock: Clock, exists: Exists) -> None:
        self._resources = resources
        self._scope = scope
        self._clock = clock
        self._exists = exists
        self._changing = threading.Lock()
        self._destinations: dict[str, Destination] = {}
        self._table = RouteTable()

    @property
    def scope(self) -> Scope:
        """Whose functions the routes lead to."""
        return self._scope

    @property
    def table(self) -> RouteTable:
        """All routes, for lookup."""
        return self._table

    def destination(self, route: Route) -> Destination | None:
        """Where a route of the table leads; None for one that has just been removed."""
        return self._destinations.get(route.route_id)

    def load(self) -> None:
        """Read the routes that were kept."""
        with self._changing:
            kept = self._resources.all_of(self._scope, ResourceKind.ROUTE)
            self._use({name: led for name in kept if (led := self._kept(name, kept[name]))})

    def all(self) -> list[Route]:
        """All routes, the oldest first."""
        routes = [destination.route for destination in self._destinations.values()]
        return sorted(routes, key=lambda route: (route.created_at, route.route_id))

    def get(self, route_id: str) -> Route:
        """One route. Raises ResourceNotFoundException."""
        found = self._destinations.get(route_id)
        if found is None:
            raise ResourceNotFoundException(f"Route not found: {route_id}")
        return found.route

    def add(self, document: Document) -> Route:
        """Add a route.

        Raises InvalidParameterValueException, ResourceConflictException where there is one for the
        same host, path and method.
        """
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        created_at = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return self._put(route_of(document, str(uuid.uuid4()), created_at))

    def replace(self, route_id: str, document: Document) -> Route:
        """Replace a route by another with its id. Raises as `get` and `add`."""
        return self._put(route_of(document, route_id, self.get(route_id).created_at))

    def remove(self, route_id: str) -> None:
        """Remove a route. Raises ResourceNotFoundException."""
        with self._changing:
            self.get(route_id)
            self._resources.change(self._scope, ResourceKind.ROUTE, route_id, lambda _: None)
            left = {**self._destinations}
            del left[route_id]
            self._use(left)

    def _put(self, route: Route) -> Route:
        ref = self._function(route)
        with self._changing:
            for other in self._destinations.values():
                if other.route.place == route.place and other.route.route_id != route.route_id:
                    raise ResourceConflictException(
                        f"There is a route for {other.route.key} already: {other.route.route_id}"
                    )

            def edit(known: Document | None) -> dict[str, Any]:
                del known
                return document_of(route)

            self._resources.change(self._scope, ResourceKind.ROUTE, route.route_id, edit)
            led = Destination(route, ref, self._bucket(route))
            self._use({**self._destinations, route.route_id: led})
        return route

    def _function(self, route: Route) -> FunctionRef:
        ref = FunctionRef.parse(self._scope, route.function_name)
        try:
            self._exists(ref)
        except ResourceNotFoundException:
            raise InvalidParameterValueException(
                f"There is no function {route.function_name}: create it before its route."
            ) from None
        return ref

    def _kept(self, route_id: str, document: Document) -> Destination | None:
        try:
            route = route_of(document, route_id, str(document.get("created_at", "")))
            ref = FunctionRef.parse(self._scope, route.function_name)
        except ApiError as error:  # another version of this server has kept it
            _log.warning("a route is left out", route_id=route_id, reason=error.message)
            return None
        return Destination(route, ref, self._bucket(route))

    def _bucket(self, route: Route) -> TokenBucket | None:
        """The tokens of a route; those that a change leaves as they were stay spent."""
        if route.throttle is None:
            return None
        known = self._destinations.get(route.route_id)
        if known is not None and known.route.throttle == route.throttle:
            return known.bucket
        limits = route.throttle
        return TokenBucket(limits.rate_limit, self._clock.monotonic(), limits.burst_limit)

    def _use(self, destinations: dict[str, Destination]) -> None:
        self._destinations = destinations
        self._table = RouteTable(led.route for led in destinations.values())
