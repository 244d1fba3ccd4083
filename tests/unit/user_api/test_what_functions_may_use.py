"""What CreateFunction asks about capacity providers and code signing configurations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lambda_home.arns import FunctionRef, Scope
from lambda_home.config import load
from lambda_home.errors import (
    CodeSigningConfigNotFoundException,
    FunctionVersionsPerCapacityProviderLimitExceededException,
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambda_home.functions import Code
from lambda_home.registry.database import Database
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.registry.resources import ResourceKind, Resources
from lambda_home.user_api import capacity_provider_rules as rules
from lambda_home.user_api import capacity_provider_uses, code_signing_rules
from lambda_home.user_api.capacity_provider_rules import State
from lambda_home.user_api.operations import Backend

SCOPE = Scope("123456789012", "eu-west-1")
ELSEWHERE = Scope("123456789012", "us-east-1")
ARN = rules.provider_arn(SCOPE, "cp")
CONFIG: Any = {"LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": ARN}}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("uses") / "lhome.db"
    opened = Database.open(path)
    yield opened
    opened.close()


def backend_of(database: Database, *, strict: bool = False, hold_ms: int = 0) -> Backend:
    changed = {"transition_ms": hold_ms, "strict_states": strict, "endpoint_url": False}
    settings = load().functions.model_copy(update=changed)
    parts = SimpleNamespace(
        resources=Resources(database),
        registry=FunctionRegistry(database, lambda _: None),
        rules=settings,
    )
    return cast("Backend", parts)


def begin(backend: Backend, state: State, ago_s: float = 0) -> None:
    given: Any = {"VpcConfig": {}, "PermissionsConfig": {}}
    since = datetime.now(UTC).timestamp() - ago_s
    document = rules.begun(rules.new_document(SCOPE, "cp", given), state, since)
    backend.resources.change(SCOPE, ResourceKind.CAPACITY_PROVIDER, "cp", lambda _: document)


def check(backend: Backend, scope: Scope = SCOPE) -> None:
    asyncio.run(capacity_provider_uses.check(backend, scope, CONFIG))


def test_a_provider_that_is_active_may_be_used_in_its_own_world_alone(database: Database) -> None:
    backend = backend_of(database)
    begin(backend, State.PENDING)
    check(backend)
    with pytest.raises(ResourceNotFoundException, match=f"Capacity provider not found: {ARN}"):
        check(backend, ELSEWHERE)


def test_a_provider_that_is_pending_is_waited_for_unless_states_are_strict(
    database: Database,
) -> None:
    begin(backend_of(database), State.PENDING)
    with pytest.raises(ResourceConflictException, match="Pending"):
        check(backend_of(database, strict=True, hold_ms=60_000))
    began = time.monotonic()
    begin(backend_of(database), State.PENDING)
    check(backend_of(database, hold_ms=60))
    assert time.monotonic() - began >= 0.06 - 0.01


@pytest.mark.parametrize("strict", [True, False])
def test_a_provider_that_is_going_is_refused_and_then_gone(
    database: Database, *, strict: bool
) -> None:
    backend = backend_of(database, strict=strict, hold_ms=60_000)
    begin(backend, State.DELETING)
    with pytest.raises(ResourceConflictException, match="Deleting"):
        check(backend)
    begin(backend, State.DELETING, ago_s=61)
    with pytest.raises(ResourceNotFoundException):
        check(backend)


def test_a_provider_takes_a_hundred_function_versions(database: Database) -> None:
    backend = backend_of(database)
    begin(backend, State.PENDING)
    code = Code(key="k", sha256="s", size=1)
    for number in range(rules.MOST_VERSIONS):
        check(backend)
        ref = FunctionRef(SCOPE, f"fn-{number}")
        backend.registry.create(ref, code, {"documents": {"CapacityProviderConfig": CONFIG}})
    backend.registry.create(FunctionRef(SCOPE, "other"), code, {})
    using = capacity_provider_uses.versions_using(backend, SCOPE, ARN)
    assert len(using) == rules.MOST_VERSIONS
    with pytest.raises(FunctionVersionsPerCapacityProviderLimitExceededException):
        check(backend)


def test_a_code_signing_configuration_must_exist_and_the_code_be_a_zip(database: Database) -> None:
    backend = backend_of(database)
    arn = code_signing_rules.config_arn(SCOPE, "csc-0123456789abcdef0")
    name = arn.rpartition(":")[2]
    kind = ResourceKind.CODE_SIGNING_CONFIG
    with pytest.raises(CodeSigningConfigNotFoundException, match=arn):
        asyncio.run(code_signing_rules.check(backend, SCOPE, arn))
    backend.resources.change(SCOPE, kind, name, lambda _: {"CodeSigningConfigId": name})
    asyncio.run(code_signing_rules.check(backend, SCOPE, arn))
    with pytest.raises(CodeSigningConfigNotFoundException):
        asyncio.run(code_signing_rules.check(backend, ELSEWHERE, arn))
    with pytest.raises(InvalidParameterValueException, match="container images"):
        asyncio.run(code_signing_rules.check(backend, SCOPE, arn, image=True))
