"""CreateFunction bodies in Lambda@Home's snake_case form, translated to AWS's.

The form: `{function_name, runtime, handler, code: {zip_file}, role?, description?, timeout? (s),
memory_size?, environment? {k: v}, publish?}`. A member that is left out gets the configured default
instead of AWS's. Values of a wrong type go through as they are: the codec refuses them in AWS's
words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

_MILLISECONDS = 1000
_MEMBERS = {
    "function_name": "FunctionName",
    "runtime": "Runtime",
    "handler": "Handler",
    "role": "Role",
    "description": "Description",
    "timeout": "Timeout",
    "memory_size": "MemorySize",
    "publish": "Publish",
}
_CODE_MEMBERS = {
    "zip_file": "ZipFile",
    "s3_bucket": "S3Bucket",
    "s3_key": "S3Key",
    "s3_object_version": "S3ObjectVersion",
}


class Defaults(Protocol):
    """The `[defaults]` settings: sizes in MB, the timeout in milliseconds."""

    @property
    def memory_mb(self) -> int:
        """Memory of a function."""

    @property
    def timeout_ms(self) -> int:
        """Timeout of a function."""

    @property
    def tmp_mb(self) -> int:
        """Size of /tmp."""


def is_snake_case(body: Mapping[str, Any]) -> bool:
    """True for a CreateFunction body in Lambda@Home's form."""
    return "function_name" in body and "FunctionName" not in body


def to_aws(body: Mapping[str, Any], defaults: Defaults, account: str) -> dict[str, Any]:
    """Translate a body in Lambda@Home's form to one in AWS's; unknown members are left out.

    AWS's model wants a role, Lambda@Home's form does not: without one it is `lambda-home` of
    `account`. A timeout in milliseconds is rounded up to whole seconds.
    """
    translated: dict[str, Any] = {
        "Role": f"arn:aws:iam::{account}:role/lambda-home",
        "Timeout": math.ceil(defaults.timeout_ms / _MILLISECONDS),
        "MemorySize": defaults.memory_mb,
        "EphemeralStorage": {"Size": defaults.tmp_mb},
        **_renamed(body, _MEMBERS),
    }
    if (code := body.get("code")) is not None:
        translated["Code"] = _renamed(code, _CODE_MEMBERS) if isinstance(code, Mapping) else code
    if (environment := body.get("environment")) is not None:
        translated["Environment"] = {"Variables": environment}
    return translated


def _renamed(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {aws: body[name] for name, aws in names.items() if body.get(name) is not None}
