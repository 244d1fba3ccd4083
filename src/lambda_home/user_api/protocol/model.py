"""AWS's own model of the Lambda API, read from botocore's file into small frozen shapes.

The file is read as what it is, JSON: botocore's own reader brings half of botocore along, which
would be a tenth of the server's memory and of its start (a test holds that both read the same).
What AWS does differently (`deviations`) is applied here where it changes a value of the model, and
in `validation` where it changes a rule.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from lambda_home.user_api.protocol import deviations

Kind = Literal[
    "structure",
    "list",
    "map",
    "string",
    "integer",
    "long",
    "float",
    "double",
    "boolean",
    "blob",
    "timestamp",
]
Location = Literal["body", "uri", "querystring", "header", "headers", "statusCode"]
API_VERSION = "2015-03-31"


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A type of the model. `minimum` and `maximum` bound a number's value or a length."""

    name: str
    kind: Kind
    members: Mapping[str, Member] = field(default_factory=lambda: MappingProxyType({}))
    element: Shape | None = None
    key: Shape | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    accepted: frozenset[str] = frozenset()
    sensitive: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A member of a structure: AWS's name, its name on the wire and where it travels."""

    name: str
    wire: str
    location: Location
    shape: Shape
    required: bool


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operation: its route, its success status and what goes in and out.

    `path` is the model's template without its query; `query` holds the pairs that the template
    wants literally. `input_payload` and `output_payload` name the member that is the whole body.
    """

    name: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    status: int
    input: Shape
    output: Shape
    input_payload: str | None
    output_payload: str | None


@cache
def operations() -> Mapping[str, Operation]:
    """All operations of the model by name; reading the model takes some 20 ms."""
    return operations_of("lambda", API_VERSION)


def operations_of(
    service: str, version: str, names: Collection[str] | None = None
) -> Mapping[str, Operation]:
    """Operations of any service's model by name: all of them, or those in `names`."""
    document = _read_model(service, version)
    shapes = _Shapes(document["shapes"])
    return MappingProxyType(
        {
            name: _operation(name, given, shapes)
            for name, given in document["operations"].items()
            if names is None or name in names
        }
    )


def operation(name: str) -> Operation:
    """The operation called `name`; raises KeyError where the model has none."""
    return operations()[name]


def _read_model(service: str, version: str) -> dict[str, Any]:
    """The model without its documentation, which is most of it."""
    found = find_spec("botocore")
    if found is None or not found.submodule_search_locations:
        raise ImportError("botocore, which has AWS's models of its APIs, is not installed")
    folder = Path(found.submodule_search_locations[0], "data", service, version)
    packed = folder / "service-2.json.gz"
    text = gzip.decompress(packed.read_bytes()) if packed.exists() else None
    document: dict[str, Any] = json.loads(
        text if text is not None else (folder / "service-2.json").read_bytes(),
        object_hook=_without_documentation,
    )
    return document


def _without_documentation(members: dict[str, Any]) -> dict[str, Any]:
    if isinstance(members.get("documentation"), str):
        del members["documentation"]
    return members


def _operation(name: str, given: Mapping[str, Any], shapes: _Shapes) -> Operation:
    http = given["http"]
    path, _, literal_query = http["requestUri"].partition("?")
    pairs = (pair.partition("=") for pair in literal_query.split("&") if pair)
    inward, outward = given.get("input", {}).get("shape"), given.get("output", {}).get("shape")
    return Operation(
        name=name,
        method=http["method"],
        path=path,
        query=tuple((key, value) for key, _, value in pairs),
        status=deviations.STATUSES.get(name, http.get("responseCode", 200)),
        input=shapes.top(inward),
        output=shapes.top(outward),
        input_payload=shapes.payload(inward),
        output_payload=shapes.payload(outward),
    )


class _Shapes:
    """Builds each shape once; the model has no recursive shapes (the tests hold that)."""

    def __init__(self, given: Mapping[str, Mapping[str, Any]]) -> None:
        self._given = given
        self._built: dict[str, Shape] = {}

    def top(self, name: str | None) -> Shape:
        """What goes in or out of an operation."""
        return self.shape(name) if name else Shape("Unit", "structure")

    def payload(self, name: str | None) -> str | None:
        """The member that is the whole body, if any."""
        return self._given[name].get("payload") if name else None

    def shape(self, name: str) -> Shape:
        """The shape of that name."""
        if name not in self._built:
            self._built[name] = self._build(name, self._given[name])
        return self._built[name]

    def _build(self, name: str, given: Mapping[str, Any]) -> Shape:
        kind: Kind = given["type"]
        limits: dict[str, Any] = {
            "minimum": given.get("min"),
            "maximum": given.get("max"),
            "sensitive": bool(given.get("sensitive")),
        }
        if kind == "structure":
            return Shape(name, kind, members=self._members(given), **limits)
        if kind == "list":
            return Shape(name, kind, element=self.shape(given["member"]["shape"]), **limits)
        if kind == "map":
            key, value = self.shape(given["key"]["shape"]), self.shape(given["value"]["shape"])
            return Shape(name, kind, key=key, element=value, **limits)
        modelled = tuple(given.get("enum", ()))
        printed = deviations.ENUM_VALUES.get(name, modelled)
        return Shape(
            name,
            kind,
            pattern=deviations.PATTERNS.get(name, given.get("pattern")),
            enum=printed,
            accepted=frozenset(modelled) | frozenset(printed),
            **limits,
        )

    def _members(self, given: Mapping[str, Any]) -> Mapping[str, Member]:
        required = given.get("required", ())
        return MappingProxyType(
            {
                name: Member(
                    name=name,
                    wire=member.get("locationName", name),
                    location=member.get("location", "body"),
                    shape=self.shape(member["shape"]),
                    required=name in required,
                )
                for name, member in given.get("members", {}).items()
            }
        )
