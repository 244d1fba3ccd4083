"""What callers hand to the registry, and what it tells others after a commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

from lambda_home.arns import Scope
from lambda_home.functions import Layer, State


class ChangeKind(StrEnum):
    """What happened to a function."""

    CREATED = "created"
    UPDATED = "updated"
    PUBLISHED = "published"
    SETTLED = "settled"
    VERSION_DELETED = "version_deleted"
    DELETED = "deleted"
    CONCURRENCY = "concurrency"
    CONFIGURED = "configured"


class ConfigKind(StrEnum):
    """What a document of `configs` is about, named after AWS's operations where AWS has them."""

    ALIAS = "alias"
    EVENT_INVOKE = "event_invoke"
    PROVISIONED = "provisioned_concurrency"
    SCALING = "scaling"
    RECURSION = "recursion"
    RATE_LIMIT = "rate_limit"
    POLICY = "policy"
    TAGS = "tags"
    RUNTIME_MANAGEMENT = "runtime_management"
    CODE_SIGNING = "code_signing"
    URL = "url"
    HOT_RELOAD = "hot_reload"


@dataclass(frozen=True, slots=True)
class Change:
    """A committed change of function `name` in `scope`."""

    scope: Scope
    name: str
    kind: ChangeKind


@dataclass(frozen=True, slots=True)
class Usage:
    """`AccountUsage`: number of functions, bytes of all ZIPs of `$LATEST` and every version."""

    function_count: int
    total_code_size: int


@dataclass(frozen=True, slots=True)
class Overview:
    """A function version in short."""

    scope: Scope
    name: str
    version: str
    state: State
    memory_mb: int
    is_latest: bool


class Configuration(TypedDict, total=False):
    """Members that UpdateFunctionConfiguration may change, named as in FunctionVersion.

    `documents` is merged member by member; a member that is None goes away.
    """

    runtime: str
    handler: str
    role: str
    description: str
    timeout_s: int
    memory_mb: int
    tmp_mb: int
    environment: Mapping[str, str] | None
    layers: tuple[Layer, ...]
    documents: Mapping[str, object]


class NewFunction(Configuration, total=False):
    """What CreateFunction takes besides name and code; missing members get AWS's defaults."""

    architectures: tuple[str, ...]
    package_type: str
