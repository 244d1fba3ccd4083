"""AWS's own model of the Lambda API, read from botocore into small frozen shapes.

The only module that imports botocore. What AWS does differently (`deviations`) is applied here
where it changes a value of the model, and in `validation` where it changes a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from botocore.model import Shape as BotocoreShape

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
    """All operations of the model by name; reading the model takes about a tenth of a second."""
    document = Loader().load_service_model("lambda", "service-2", API_VERSION)
    service = ServiceModel(document, "lambda")
    shapes: dict[str, Shape] = {}
    return MappingProxyType(
        {
            name: _operation(service.operation_model(name), shapes)
            for name in service.operation_names
        }
    )


def operation(name: str) -> Operation:
    """The operation called `name`; raises KeyError where the model has none."""
    return operations()[name]


def _operation(model: OperationModel, shapes: dict[str, Shape]) -> Operation:
    path, _, literal_query = model.http["requestUri"].partition("?")
    pairs = (pair.partition("=") for pair in literal_query.split("&") if pair)
    return Operation(
        name=model.name,
        method=model.http["method"],
        path=path,
        query=tuple((key, value) for key, _, value in pairs),
        status=deviations.STATUSES.get(model.name, model.http["responseCode"]),
        input=_top_shape(model.input_shape, shapes),
        output=_top_shape(model.output_shape, shapes),
        input_payload=_payload(model.input_shape),
        output_payload=_payload(model.output_shape),
    )


def _payload(model: BotocoreShape | None) -> str | None:
    return model.serialization.get("payload") if model else None


def _top_shape(model: BotocoreShape | None, shapes: dict[str, Shape]) -> Shape:
    return _shape(model, shapes) if model else Shape("Unit", "structure")


def _shape(model: BotocoreShape, shapes: dict[str, Shape]) -> Shape:
    """Build a shape once; the model has no recursive shapes (the tests hold that)."""
    if model.name not in shapes:
        shapes[model.name] = _build(model, shapes)
    return shapes[model.name]


def _build(model: BotocoreShape, shapes: dict[str, Shape]) -> Shape:
    metadata: Mapping[str, Any] = model.metadata
    kind: Kind = model.type_name
    limits: dict[str, Any] = {
        "minimum": metadata.get("min"),
        "maximum": metadata.get("max"),
        "sensitive": bool(metadata.get("sensitive")),
    }
    if kind == "structure":
        return Shape(model.name, kind, members=_members(model, shapes), **limits)
    if kind == "list":
        return Shape(model.name, kind, element=_shape(model.member, shapes), **limits)
    if kind == "map":
        key, value = _shape(model.key, shapes), _shape(model.value, shapes)
        return Shape(model.name, kind, key=key, element=value, **limits)
    modelled = tuple(metadata.get("enum", ()))
    printed = deviations.ENUM_VALUES.get(model.name, modelled)
    return Shape(
        model.name,
        kind,
        pattern=deviations.PATTERNS.get(model.name, metadata.get("pattern")),
        enum=printed,
        accepted=frozenset(modelled) | frozenset(printed),
        **limits,
    )


def _members(model: BotocoreShape, shapes: dict[str, Shape]) -> Mapping[str, Member]:
    return MappingProxyType(
        {
            name: Member(
                name=name,
                wire=member.serialization.get("name", name),
                location=member.serialization.get("location", "body"),
                shape=_shape(member, shapes),
                required=name in model.required_members,
            )
            for name, member in model.members.items()
        }
    )
