"""An unmodified botocore client talks to the codec, for every operation of the model.

Inputs and outputs are generated from botocore's model, so that nothing here knows an operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.config import Config
from botocore.model import Shape
from botocore.response import StreamingBody
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lambda_home.user_api import protocol
from lambda_home.user_api.protocol import deviations
from lambda_home.user_api.protocol.patterns import compiled

PRINTABLE = st.characters(min_codepoint=33, max_codepoint=126)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SPECIAL = {"FunctionName": st.just("f" * 64), "Runtime": st.just("python3.13")}
OWN_FRAMING = "EventStream"
Answer = tuple[int, dict[str, str], bytes]


class Body:
    """What botocore reads a response's body from."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, amount: int | None = None) -> bytes:
        taken, self.content = (
            (self.content, b"")
            if amount is None
            else (self.content[:amount], self.content[amount:])
        )
        return taken

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.read()


class Wire:
    """Stands where botocore would open a connection: hands requests to `serve`."""

    def __init__(self) -> None:
        session = botocore.session.Session()
        self.client: BaseClient = session.create_client(
            "lambda",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            endpoint_url="http://lambda.invalid",
            config=Config(retries={"total_max_attempts": 1}),
        )
        self.client.meta.events.register("before-send.lambda", self._send)
        self.serve: Callable[[AWSPreparedRequest], Answer]

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        status, headers, content = self.serve(request)
        return AWSResponse(request.url, status, headers, Body(content))

    def call(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        method = botocore.xform_name(operation)
        answer: dict[str, Any] = getattr(self.client, method)(**params)
        answer.pop("ResponseMetadata")
        return {
            name: value.read() if isinstance(value, StreamingBody) else value
            for name, value in answer.items()
            if name != OWN_FRAMING
        }


WIRE = Wire()
MODEL = WIRE.client.meta.service_model


@cache
def text_of(pattern: str | None, low: int, high: int) -> st.SearchStrategy[str]:
    if pattern in {None, ".*", r"[\s\S]*", r"[\s\S]+"}:
        return st.text(PRINTABLE, min_size=max(low, 1), max_size=min(high, low + 20))
    strategy = st.from_regex(compiled(str(pattern)), fullmatch=True, alphabet=PRINTABLE)
    return strategy.filter(lambda value: max(low, 1) <= len(value) <= high)


def text(shape: Shape) -> st.SearchStrategy[str]:
    if shape.name in SPECIAL:
        return SPECIAL[shape.name]
    if shape.enum:
        return st.sampled_from(shape.enum)
    pattern = deviations.PATTERNS.get(shape.name, shape.metadata.get("pattern"))
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 300)
    return text_of(pattern, low, high)


def values(shape: Shape, *, full: bool) -> st.SearchStrategy[Any]:
    """Values of a shape that satisfy its constraints; `full` fills in optional members too."""
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 1000)
    high = deviations.MAXIMA.get(shape.name, high)
    match shape.type_name:
        case "structure" | "list" | "map":
            return collection(shape, full=full)
        case "integer" | "long":
            return st.integers(low, high)
        case "double":
            return st.floats(low, high)
        case "string":
            return text(shape)
    return {
        "boolean": st.booleans(),
        "blob": st.binary(min_size=1, max_size=50),
        "timestamp": st.integers(0, 10**8).map(lambda seconds: EPOCH + timedelta(seconds=seconds)),
    }[shape.type_name]


def collection(shape: Shape, *, full: bool) -> st.SearchStrategy[Any]:
    if shape.type_name == "list":
        size = max(shape.metadata.get("min", 0), 1)
        return st.lists(values(shape.member, full=full), min_size=size, max_size=size)
    if shape.type_name == "map":
        keys, items = values(shape.key, full=full), values(shape.value, full=full)
        return st.dictionaries(keys, items, min_size=1, max_size=1)
    return st.fixed_dictionaries(
        {
            name: st.just(202) if is_status(member) else values(member, full=full)
            for name, member in shape.members.items()
            if full or name in shape.required_members
        }
    )


def is_status(member: Shape) -> bool:
    return bool(member.serialization.get("location") == "statusCode")


def handled(operation: str, request: AWSPreparedRequest) -> dict[str, Any]:
    """What the codec makes of a request, after it has found nothing wrong with it."""
    parts = urlsplit(request.url)
    match = protocol.match(request.method, parts.path, parts.query)
    assert match is not None
    assert match.operation_name == operation
    headers = {
        key.lower(): value.decode() if isinstance(value, bytes) else value
        for key, value in request.headers.items()
    }
    body = request.body or b""
    raw = (
        body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else body.read()
    )
    params = protocol.parse(operation, match, parts.query, headers, raw)
    protocol.validate(operation, params)
    return params


def test_the_whole_api_is_there() -> None:
    assert set(protocol.operation_names()) == set(MODEL.operation_names)
    assert len(protocol.operation_names()) >= 91


@pytest.mark.parametrize("full", [False, True], ids=["minimal", "full"])
@pytest.mark.parametrize("operation", MODEL.operation_names)
def test_what_botocore_sends_and_reads_is_what_the_codec_reads_and_sends(
    operation: str, *, full: bool
) -> None:
    model = MODEL.operation_model(operation)

    @settings(
        max_examples=2,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(generated(model.input_shape, full=full), generated(model.output_shape, full=full))
    def round_trip(params: dict[str, Any], result: dict[str, Any]) -> None:
        result.pop(OWN_FRAMING, None)
        seen: list[dict[str, Any]] = []

        def serve(request: AWSPreparedRequest) -> Answer:
            seen.append(handled(operation, request))
            return protocol.serialize(operation, result)

        WIRE.serve = serve
        answer = WIRE.call(operation, params)
        assert [without_automatic(given, params) for given in seen] == [params]
        assert without_added(answer, model.output_shape, result) == result

    round_trip()


def generated(shape: Shape | None, *, full: bool) -> st.SearchStrategy[Any]:
    return st.just({}) if shape is None else values(shape, full=full)


def without_automatic(seen: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Botocore makes up idempotency tokens that the caller leaves out."""
    return {name: value for name, value in seen.items() if name in params or name != "ClientToken"}


def without_added(
    answer: dict[str, Any], shape: Shape | None, result: dict[str, Any]
) -> dict[str, Any]:
    """Botocore adds the status and an empty payload, whatever the service sent."""
    return {
        name: value
        for name, value in answer.items()
        if name in result or not (value == b"" or (shape and is_status(shape.members[name])))
    }
