"""What a function is: frozen values, no behaviour beyond deriving one from another.

Sizes are in bytes unless the name says MB (mebibytes, as AWS counts), times in seconds.
Limits: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from lambda_home.arns import LATEST, Scope, function_arn

ZIPPED_LIMIT = 52_428_800
UNZIPPED_LIMIT = 262_144_000
CREATE_REQUEST_LIMIT = 70_167_211
TOTAL_CODE_LIMIT = 80_530_636_800
ENVIRONMENT_LIMIT = 4096
MINIMUM_UNRESERVED = 100
SECRET_REFERENCE = "SECRET_REF:"  # noqa: S105  a prefix
"""What the value of an environment variable begins with that is a secret's; its name follows."""

_NOTHING: Mapping[str, object] = MappingProxyType({})


class State(StrEnum):
    """`State` of a function version."""

    PENDING = "Pending"
    ACTIVE = "Active"
    INACTIVE = "Inactive"
    FAILED = "Failed"


class UpdateStatus(StrEnum):
    """`LastUpdateStatus` of a function version."""

    SUCCESSFUL = "Successful"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Code:
    """A deployment package in the content-addressed store.

    `key` is the lower-case hex SHA-256 of the ZIP, `sha256` the same digest in base64
    (`CodeSha256`), `size` the ZIP's length in bytes (`CodeSize`). Of a container image, which lies
    elsewhere, there are `image_uri` as it was given, its digest as 64 hex digits in `sha256`, an
    empty key and size 0. `kms_key_arn` is the key that a ZIP is said to be encrypted with.
    """

    key: str
    sha256: str
    size: int
    image_uri: str = ""
    kms_key_arn: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer version that a function uses; it keeps it even after the version is deleted.

    `arn` names the version, `key` is that of its ZIP in the store, `size` the ZIP's length.
    """

    arn: str
    key: str
    size: int


def layers_key(layer_keys: Sequence[str]) -> str:
    """The key of what a list of layers makes together, told apart from that of any ZIP."""
    return hashlib.sha256("\n".join(("layers", *layer_keys)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Status:
    """Where a version stands: `State*` and `LastUpdateStatus*` of its configuration."""

    state: State = State.PENDING
    reason: str | None = None
    reason_code: str | None = None
    update: UpdateStatus | None = None
    update_reason: str | None = None
    update_reason_code: str | None = None

    @property
    def busy(self) -> bool:
        """True while a create or an update is still going on."""
        return self.state is State.PENDING or self.update is UpdateStatus.IN_PROGRESS


CREATING = Status(State.PENDING, "The function is being created.", "Creating")
READY = Status(State.ACTIVE, update=UpdateStatus.SUCCESSFUL)
UPDATING = Status(
    State.ACTIVE,
    update=UpdateStatus.IN_PROGRESS,
    update_reason="The function is being created.",
    update_reason_code="Creating",
)


@dataclass(frozen=True, slots=True)
class FunctionVersion:
    """One version of a function, `$LATEST` or a published one: everything needed to run it.

    `documents` holds the AWS-shaped members that are stored and returned as they came
    (`VpcConfig`, `TracingConfig`, `LoggingConfig` ...). `revision_id` changes whenever AWS's does;
    `run_key` changes only when an execution environment started before can no longer serve it.
    """

    scope: Scope
    name: str
    version: str
    runtime: str
    handler: str
    role: str
    code: Code
    revision_id: str
    last_modified: str
    description: str = ""
    timeout_s: int = 3
    memory_mb: int = 128
    tmp_mb: int = 512
    environment: Mapping[str, str] | None = None
    architectures: tuple[str, ...] = ("x86_64",)
    package_type: str = "Zip"
    status: Status = CREATING
    run_key: str = ""
    layers: tuple[Layer, ...] = ()
    documents: Mapping[str, object] = field(default_factory=lambda: _NOTHING)

    @property
    def arn(self) -> str:
        """The unqualified ARN of the function."""
        return function_arn(self.scope, self.name)

    @property
    def qualified_arn(self) -> str:
        """The ARN with this version's number or `$LATEST`."""
        return function_arn(self.scope, self.name, self.version)

    @property
    def is_image(self) -> bool:
        """True if its code is a container image."""
        return self.package_type == "Image"

    @property
    def is_snap_started(self) -> bool:
        """True for a published version whose environments are restored by SnapStart."""
        config = self.documents.get("SnapStart")
        applies = isinstance(config, Mapping) and config.get("ApplyOn") == "PublishedVersions"
        return applies and not self.is_latest

    @property
    def code_keys(self) -> frozenset[str]:
        """The keys of all ZIPs that it is made of, and of its list of layers; an image's digest."""
        keys = [self.code.key or self.code.sha256] if self.code.key or self.is_image else []
        if self.layers:
            layers = [layer.key for layer in self.layers]
            keys += [*layers, layers_key(layers)]
        return frozenset(keys)

    @property
    def is_latest(self) -> bool:
        """True for the unpublished version."""
        return self.version == LATEST
