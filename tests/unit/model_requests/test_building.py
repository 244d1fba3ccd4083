"""The requests that tests build from the model satisfy the model."""

from __future__ import annotations

import pytest
from botocore.validate import ParamValidator
from model_requests.building import (
    broken_constraints,
    durable_operations,
    full,
    minimal,
    operation,
    operation_names,
)


@pytest.mark.parametrize("name", operation_names())
def test_minimal_and_full_requests_satisfy_the_model(name: str) -> None:
    shape = operation(name).input_shape
    for request in (minimal(name), full(name)):
        assert not ParamValidator().validate(request, shape).has_errors()
        assert not list(broken_constraints(shape, request))
    assert set(minimal(name)) == set(shape.required_members)
    assert set(full(name)) == set(shape.members)


def test_the_model_has_the_operations_that_the_project_promises() -> None:
    assert len(operation_names()) >= 91
    assert "CheckpointDurableExecution" in durable_operations()
    assert "SendDurableExecutionCallbackSuccess" in durable_operations()
    assert len(durable_operations()) == 12
