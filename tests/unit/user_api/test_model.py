"""Our reading of AWS's model against botocore's own."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.model import ServiceModel
from botocore.session import get_session

from lambda_home.user_api.protocol import deviations
from lambda_home.user_api.protocol.model import Shape, operations

MODEL: ServiceModel = get_session().get_service_model("lambda")


def test_every_operation_is_read() -> None:
    assert list(operations()) == list(MODEL.operation_names)


@pytest.mark.parametrize("name", MODEL.operation_names)
def test_an_operation_reads_as_botocore_reads_it(name: str) -> None:
    ours, theirs = operations()[name], MODEL.operation_model(name)
    path, _, query = theirs.http["requestUri"].partition("?")
    assert (ours.method, ours.path) == (theirs.http["method"], path)
    assert "&".join(f"{key}={value}" for key, value in ours.query) == query
    if name not in deviations.STATUSES:
        assert ours.status == theirs.http["responseCode"]
    for shape, given in ((ours.input, theirs.input_shape), (ours.output, theirs.output_shape)):
        if given is None:
            assert shape.members == {}
        else:
            same(shape, given)
    for payload, given in (
        (ours.input_payload, theirs.input_shape),
        (ours.output_payload, theirs.output_shape),
    ):
        assert payload == (given.serialization.get("payload") if given else None)


def same(ours: Shape, theirs: Any) -> None:
    assert (ours.name, ours.kind) == (theirs.name, theirs.type_name)
    limits = (theirs.metadata.get("min"), theirs.metadata.get("max"))
    assert (ours.minimum, ours.maximum) == limits
    if ours.kind == "structure":
        assert list(ours.members) == list(theirs.members)
        for name, member in ours.members.items():
            given = theirs.members[name]
            assert member.wire == given.serialization.get("name", name)
            assert member.location == given.serialization.get("location", "body")
            assert member.required is (name in theirs.required_members)
            same(member.shape, given)
    elif ours.kind == "list":
        assert ours.element is not None
        same(ours.element, theirs.member)
    elif ours.kind == "map":
        assert ours.key is not None
        assert ours.element is not None
        same(ours.key, theirs.key)
        same(ours.element, theirs.value)
    elif ours.name not in deviations.PATTERNS:
        assert ours.pattern == theirs.metadata.get("pattern")
