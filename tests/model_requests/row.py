"""What requests for an operation need: what must exist, what names it, how they are split.

A row says what has to exist (`given`), which members name it (`names`), and which variants of a
full request there are. Members that no row mentions have the values that the model's examples give.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from model_requests.building import full, minimal, operation
from model_requests.stage import ALIAS, Stage

Members = Callable[[Stage], dict[str, Any]]


def nothing(_: Stage) -> dict[str, Any]:
    """Nothing to name, nothing to make."""
    return {}


@dataclass(frozen=True, slots=True)
class Variant:
    """One full request: all members, `only` some, or all `without` some (member: reason)."""

    name: str = "full"
    members: Members = nothing
    only: Collection[str] = ()
    without: Mapping[str, str] = field(default_factory=dict)

    def sends(self, name: str) -> frozenset[str]:
        """The members that it has in the request for an operation."""
        known = frozenset(operation(name).input_shape.members)
        return frozenset(self.only) or known - set(self.without)


@dataclass(frozen=True, slots=True)
class Row:
    """What an operation needs; `needs` are members that AWS requires and the model does not."""

    names: Members = nothing
    given: Callable[[Stage], object] = nothing
    variants: tuple[Variant, ...] = (Variant(),)
    needs: tuple[str, ...] = ()


# What members name where a row does not say otherwise.
REFERENCES: Mapping[str, Callable[[Stage], Any]] = {
    "Arn": lambda s: s.layer_version,
    "CapacityProviderName": lambda s: s.provider,
    "CodeSigningConfigArn": lambda s: s.signing,
    "FunctionName": lambda s: s.function,
    "LayerName": lambda s: s.layer,
    "Name": lambda _: ALIAS,
    "Resource": lambda s: s.arn,
    "ResourceArn": lambda s: s.arn + ":1",
    "UUID": lambda s: s.mapping,
}


def minimal_request_of(name: str, row: Row, stage: Stage) -> dict[str, Any]:
    """The minimal request for an operation, naming what exists; makes what is `given`."""
    row.given(stage)
    given = row.names(stage)
    everything = full(name) if row.needs else {}
    request = minimal(name, **{member: everything[member] for member in row.needs})
    return {**request, **referring(request, stage, given)}


def full_request_of(name: str, row: Row, variant: Variant, stage: Stage) -> dict[str, Any]:
    """A full request for an operation, naming what exists; makes what is `given`."""
    row.given(stage)
    wanted = variant.sends(name)
    request = {key: item for key, item in full(name).items() if key in wanted}
    given = row.names(stage) | variant.members(stage)
    return {**request, **referring(request, stage, given)}


def referring(request: Mapping[str, Any], stage: Stage, given: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a request that name something: as `given`, else by `REFERENCES`."""
    found = {name: item for name, item in given.items() if name in request}
    for name in request:
        if name in REFERENCES and name not in found:
            found[name] = REFERENCES[name](stage)
    return found


def page(name: str, **members: Callable[[Stage], Any]) -> Members:
    """The second page of a list, of one item."""

    def made(stage: Stage) -> dict[str, Any]:
        found = {key: read(stage) for key, read in members.items()}
        return {**found, "MaxItems": 1, "Marker": stage.marker(name, **found)}

    return made


def listing(
    name: str, given: Callable[[Stage], object] = nothing, **members: Callable[[Stage], Any]
) -> Row:
    """An operation that lists: its full request asks for a second page."""
    return Row(given=given, variants=(Variant(members=page(name, **members)),))


def put(name: str, **members: Any) -> Callable[[Stage], object]:
    """Calls an operation for what the stage has."""

    def make(stage: Stage) -> object:
        request = minimal(name)
        return stage.call(name, {**request, **referring(request, stage, members), **members})

    return make


def both(*steps: Callable[[Stage], object]) -> Callable[[Stage], object]:
    """Makes one thing after the other."""
    return lambda stage: [step(stage) for step in steps]
