"""A hypothesis strategy of requests: right, at the boundary and wrong, by AWS's model.

A planned request is right at first: members and values that the model allows, with names from the
pool. Then some of its values are spoiled, and sometimes its form on the wire (see `http_forms`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from model_requests.building import (
    ACCOUNT,
    ARN,
    CODE,
    EXAMPLES,
    KMS_KEY,
    OTHER_CODE,
    REGION,
    operation,
    value,
)
from model_requests.http_forms import SPOILS
from model_requests.known_names import Ref

Draw = Callable[[SearchStrategy[Any]], Any]

ANYTHING_ELSE: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    float("nan"),
    "",
    "5",
    [],
    {},
    [None],
    [[]],
)
HOSTILE: Final = (
    "",
    " ",
    "\0",
    "a\nb",
    "a\r\nX-Injected: 1",
    "$(id)",
    "`id`",
    "; rm -rf /",
    "' OR 1=1; --",
    "../../etc/passwd",
    "..%2f..%2fetc",
    "%00",
    "%",
    "{}",
    "{0}",
    "%s%n",
    "-1",
    "0",
    "1" * 400,
    "é",
    "e\u0301",
    "😀",
    "\ud800",
    "\udfff\ud800",
    "\u202e",
    "\u0661\u0662",
    "a" * 63,
    "a" * 64,
    "a" * 65,
    "a" * 140,
    "a" * 141,
    "a" * 257,
    "a" * 10_001,
    ":",
    "::::::::",
    "name:1:2",
    "name:$LATEST",
    "name:$LATEST.PUBLISHED",
    "function:name",
    f"{ACCOUNT}:function:name",
    "arn:",
    "arn:aws:lambda",
    f"{ARN}:function",
    f"{ARN}:function:",
    f"{ARN}:function:name:1:2",
    f"{ARN}:layer:name",
    f"{ARN}:layer:name:99999999999999999999",
    "arn:aws:lambda:eu-west-1:000000000000:function:name",
    "arn:aws:lambda:us-east-1:111111111111:function:name",
    "arn:aws-cn:lambda:us-east-1:000000000000:function:name",
    "$LATEST",
    "$LATEST.PUBLISHED",
    "null",
    "NaN",
    '{"Version": "2012-10-17", "Statement": [{}]}',
    '{"Statement": {"Effect": "Allow", "Principal": 5, "Action": [], "Resource": null}}',
    "[" * 2000,
    '{"a":' * 2000,
    '{"body": {"a": [{"numeric": [">", 1e999]}]}}',
)

# Where the names come from that a member may have: kinds of the pool.
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "AdditionalVersion": ("version",),
    "Alias": ("alias",),
    "CapacityProviderArn": ("provider arn",),
    "CapacityProviderName": ("provider", "provider arn"),
    "CodeSigningConfigArn": ("signing",),
    "FunctionName": ("function", "function", "function arn"),
    "FunctionUrlFunctionName": ("function", "function", "function arn"),
    "FunctionUrlQualifier": ("alias",),
    "LayerNameOrArn": ("layer", "layer arn"),
    "LayerVersionArn": ("layer version",),
    "NamespacedFunctionName": ("function", "function", "function arn"),
    "NamespacedStatementId": ("statement",),
    "NumericLatestPublishedOrAliasQualifier": ("version", "alias"),
    "PolicyResourceArn": ("function arn",),
    "PublishedFunctionQualifier": ("version",),
    "Qualifier": ("version", "alias"),
    "RevisionId": ("revision",),
    "StatementId": ("statement",),
    "TaggableResource": (
        "function arn",
        "signing",
        "mapping arn",
        "provider arn",
        "layer arn",
    ),
    "UUIDString": ("mapping",),
    "UnqualifiedFunctionName": ("function",),
    "VersionWithLatestPublished": ("version",),
}
_BY_MEMBER: Final[Mapping[str, tuple[str, ...]]] = {
    "CodeSha256": ("hash",),
    "Marker": ("marker",),
    "RevisionId": ("revision",),
}
_ARN_SOURCES: Final = (
    f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue",
    f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue.fifo",
    f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/name",
    f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/name/stream/2026-01-01T00:00:00.000",
    f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/name/{'0' * 8}",
    f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:name:b-1",
    f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:name",
    "arn:aws:s3:::bucket",
    f"arn:aws:sns:{REGION}:{ACCOUNT}:topic",
)
POLICY: Final = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",'
    '"Action":"lambda:InvokeFunction","Resource":"*"}]}'
)
_MORE: Final[Mapping[str, tuple[str, ...]]] = {
    "Action": ("lambda:InvokeFunction", "lambda:InvokeFunctionUrl", "lambda:*", "*"),
    "Alias": ("live", "next", "blue"),
    "Arn": _ARN_SOURCES,
    "CapacityProviderName": ("fuzz-1", "fuzz-2", "fuzz-3"),
    "DestinationArn": (*_ARN_SOURCES, f"{ARN}:function:fuzz-1", f"{ARN}:function:fuzz-2"),
    "Handler": ("lambda_function.handler", "index.handler", "a"),
    "KMSKeyArn": (KMS_KEY, ""),
    "LayerNameOrArn": ("fuzz-1", "fuzz-2", "fuzz-3"),
    "NumericLatestPublishedOrAliasQualifier": ("$LATEST", "1"),
    "Pattern": ('{"body": {"kind": ["order"]}}', "{}", '{"a": [{"prefix": "x"}]}'),
    "Principal": ("*", ACCOUNT, "sqs.amazonaws.com", f"arn:aws:iam::{ACCOUNT}:user/someone"),
    "Qualifier": ("$LATEST", "1"),
    "ResourcePolicy": (POLICY,),
    "Runtime": ("python3.11", "python3.12", "nodejs22.x", "provided.al2023", "java21"),
    "StatementId": ("one", "two", "three"),
    "TagKey": ("stage", "owner", "lambda:key", "aws:reserved", "名前"),
    "VersionWithLatestPublished": ("$LATEST", "1", "2"),
}
_NEW_FUNCTIONS: Final = tuple(f"fuzz-{number}" for number in range(1, 7))

# Members that make a request one that can succeed, where the model's required ones do not.
_ZIP: Final = {"Runtime": "python3.11", "Handler": "lambda_function.handler"}
PRESETS: Final[Mapping[str, tuple[Mapping[str, Any], ...]]] = {
    "CreateEventSourceMapping": (
        {"EventSourceArn": _ARN_SOURCES[0]},
        {"EventSourceArn": _ARN_SOURCES[0]},
        {"EventSourceArn": _ARN_SOURCES[1]},
        {"EventSourceArn": _ARN_SOURCES[2], "StartingPosition": "LATEST"},
        {"EventSourceArn": _ARN_SOURCES[3], "StartingPosition": "TRIM_HORIZON"},
        {"EventSourceArn": _ARN_SOURCES[4], "StartingPosition": "LATEST", "Topics": ["topic"]},
        {
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a.b:9092"]}},
            "Topics": ["topic"],
            "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": EXAMPLES["URI"]}],
        },
    ),
    "CreateFunction": (
        {"Code": {"ZipFile": CODE}, **_ZIP},
        {"Code": {"ZipFile": OTHER_CODE}, **_ZIP, "Publish": True},
        {"Code": {"ImageUri": "registry.example/example:1"}, "PackageType": "Image"},
        {"Code": {"S3Bucket": "bucket", "S3Key": "key"}, **_ZIP},
    ),
    "PublishLayerVersion": ({"Content": {"ZipFile": CODE}}, {"Content": {"ZipFile": OTHER_CODE}}),
    "PutFunctionEventInvokeConfig": ({"MaximumRetryAttempts": 1},),
    "PutProvisionedConcurrencyConfig": ({"ProvisionedConcurrentExecutions": 1},),
    "UpdateFunctionCode": ({"ZipFile": CODE}, {"ZipFile": OTHER_CODE}, {"DryRun": True}),
    "UpdateFunctionEventInvokeConfig": ({"MaximumRetryAttempts": 2},),
}


@dataclass(frozen=True, slots=True)
class Planned:
    """A request that has not been sent: parameters with places in the pool, and what is spoiled.

    `wire` names a way in which its form on the wire is wrong (one of SPOILS), "" for none. `like`
    says that it names what another request has made, and which one.
    """

    operation: str
    params: dict[Any, Any]
    wire: str = ""
    like: int | None = None


# ---------------------------------------------------------------------------------- right values


@cache
def right(shape: Any, member: str = "") -> SearchStrategy[Any]:
    """Values of a shape that the model allows, with names from the pool."""
    match shape.type_name:
        case "structure":
            return _structure(shape)
        case "list":
            least = shape.metadata.get("min", 0)
            most = min(shape.metadata.get("max", 3), least + 2)
            return st.lists(right(shape.member), min_size=least, max_size=most)
        case "map":
            return st.dictionaries(right(shape.key), right(shape.value), max_size=2)
    return _right_scalar(shape, member)


def _right_scalar(shape: Any, member: str) -> SearchStrategy[Any]:
    match shape.type_name:
        case "string":
            return _text(shape, member)
        case "boolean":
            return st.booleans()
        case "blob":
            return st.sampled_from((CODE, OTHER_CODE, CODE, b"", b"{}", b"PK\x05\x06" + b"\0" * 18))
        case "timestamp":
            return st.sampled_from((0, 1_700_000_000, 1_767_225_600.5))
    return _number(shape)


def _number(shape: Any) -> SearchStrategy[Any]:
    least, most = shape.metadata.get("min", 1), shape.metadata.get("max", 20)
    whole = shape.type_name in {"integer", "long"}
    middle = (least + most) // 2 if whole else (least + most) / 2
    # Small values are the ones that succeed: a version, a count of environments.
    return st.sampled_from((least, least, min(least + 1, most), middle, most))


def _text(shape: Any, member: str) -> SearchStrategy[Any]:
    if enum := shape.metadata.get("enum"):
        return st.sampled_from(_MORE.get(shape.name, tuple(enum)))
    kinds = KINDS.get(shape.name) or _BY_MEMBER.get(member)
    example = value(shape, everything=True)
    plain = st.sampled_from(_MORE.get(shape.name, (example,)))
    if kinds is None:
        return plain
    refs = st.builds(Ref, st.sampled_from(kinds), st.integers(0, 7), st.just(example))
    return st.one_of(refs, refs, plain) if shape.name in _MORE else refs


@cache
def _structure(shape: Any) -> SearchStrategy[dict[str, Any]]:
    required = set(shape.required_members)
    optional = [name for name in shape.members if name not in required]
    chosen = (
        st.lists(st.sampled_from(optional), max_size=3, unique=True) if optional else st.just([])
    )

    def build(draw: Draw) -> dict[str, Any]:
        names = [*shape.required_members, *draw(chosen)]
        return {name: draw(right(shape.members[name], name)) for name in names}

    return _composed(build)


def _composed(build: Callable[[Draw], Any]) -> SearchStrategy[Any]:
    @st.composite
    def made(draw: Any) -> Any:
        return build(draw)

    return made()


# ---------------------------------------------------------------------------------- wrong values


@cache
def wrong(shape: Any) -> SearchStrategy[Any]:
    """Values at and beyond the boundary of a shape, of other types, and hostile ones."""
    kind = shape.type_name
    if kind == "string":
        hostile = st.sampled_from(HOSTILE)
        sized = st.sampled_from(_sizes(shape.metadata))
        return st.one_of(hostile, hostile, sized, st.text(max_size=12), _else())
    if kind in {"integer", "long", "float", "double"}:
        edges = st.sampled_from((*_edges(shape.metadata, 1), *_NUMBERS))
        return st.one_of(edges, st.integers(), st.floats(), _else())
    if kind == "list":
        most = shape.metadata.get("max", 100)
        many = st.just([value(shape.member, everything=True)] * (most + 1))
        return st.one_of(st.sampled_from(_ODD[kind]), many, _else())
    return st.one_of(st.sampled_from(_ODD.get(kind, ANYTHING_ELSE)), st.floats(), _else())


def _edges(bounds: Mapping[str, Any], least: int) -> tuple[Any, ...]:
    most = bounds.get("max", 100)
    return (bounds.get("min", least) - 1, most, most + 1)


def _sizes(bounds: Mapping[str, Any]) -> list[str]:
    return ["a" * size for size in (100, *_edges(bounds, 1)) if 0 <= size < _LONGEST]


_LONGEST: Final = 30_000
_NUMBERS: Final = (-(2**31), 2**31, 2**63, 1e308, float("inf"), 0.1, -0.0)
_ODD: Final[Mapping[str, tuple[Any, ...]]] = {
    "blob": ("not base64!", "====", "YQ", "Y Q = =", "\ud800", "UEsFBgAA", "é", b"\xff\0"),
    "timestamp": (-1, 1e20, -1e300, 2**63, "never", "2020-01-01T00:00:00Z", "2020-13-01"),
    "list": ([{}], [None, None], ["x", 1], [[[]]], {"0": "x"}, "x"),
    "map": ({"": ""}, {"a": None}, {"a": {}}, {"\ud800": "\ud800"}, {"a" * 200: "b" * 300}),
    "structure": ({}, {"Unknown": 1}, {"": None}, [{}]),
}


def _else() -> SearchStrategy[Any]:
    return st.sampled_from(ANYTHING_ELSE)


def _places(shape: Any, given: Any) -> list[tuple[Any, Any, Any]]:
    """Every place of a value: container, key, and the shape of what is there."""
    found: list[tuple[Any, Any, Any]] = []
    if shape.type_name == "structure" and isinstance(given, dict):
        for name, item in given.items():
            if name in shape.members:
                found.append((given, name, shape.members[name]))
                found.extend(_places(shape.members[name], item))
    elif shape.type_name == "list" and isinstance(given, list):
        for number, item in enumerate(given):
            found.append((given, number, shape.member))
            found.extend(_places(shape.member, item))
    elif shape.type_name == "map" and isinstance(given, dict):
        for key, item in given.items():
            found.append((given, key, shape.value))
            found.extend(_places(shape.value, item))
    return found


def _spoil(draw: Draw, shape: Any, params: dict[Any, Any]) -> None:
    """Take one member away, add one that nobody knows, or put a wrong value in a place."""
    how = draw(st.sampled_from(("value", "value", "value", "value", "gone", "unknown")))
    places = _places(shape, params)
    if how == "unknown" or not places:
        params[
            draw(st.sampled_from(("Unknown", "functionname", "__proto__", "", "FunctionArn")))
        ] = draw(_else())
        return
    container, key, found = draw(st.sampled_from(places))
    if how == "gone" and isinstance(container, dict):
        del container[key]
    else:
        container[key] = draw(wrong(found))


# -------------------------------------------------------------------------------------- requests

# Members of a CreateFunction that go together with all others.
_TOGETHER: Final = frozenset(
    {
        "Architectures",
        "Code",
        "DeadLetterConfig",
        "Description",
        "Environment",
        "EphemeralStorage",
        "FunctionName",
        "Handler",
        "Layers",
        "LoggingConfig",
        "PackageType",
        "Publish",
        "Role",
        "Runtime",
        "Tags",
        "Timeout",
        "TracingConfig",
    }
)

_SOUND: Final = (0, 0, 0, 0, 1, 1, 1, 2, 4)
_SPOILED: Final = (*[""] * (6 * len(SPOILS)), *SPOILS)
_LIKE: Final = st.one_of(st.integers(0, 7), st.none())


def requests(name: str) -> SearchStrategy[Planned]:
    """Planned requests for an operation."""
    shape = operation(name).input_shape

    def build(draw: Draw) -> Planned:
        params = draw(_structure(shape)) if shape.members else {}
        if name in PRESETS and draw(st.sampled_from((True, True, True, False))):
            params |= copy.deepcopy(dict(draw(st.sampled_from(PRESETS[name]))))
        if name == "CreateFunction":
            params["FunctionName"] = draw(st.sampled_from(_NEW_FUNCTIONS))
            params["Role"] = EXAMPLES["RoleArn"]
            if draw(st.sampled_from((True, True, False))):
                params = {key: params[key] for key in params if key in _TOGETHER}
        for _ in range(draw(st.sampled_from(_SOUND))):
            _spoil(draw, shape, params)
        return Planned(name, params, draw(st.sampled_from(_SPOILED)), draw(_LIKE))

    return _composed(build)
