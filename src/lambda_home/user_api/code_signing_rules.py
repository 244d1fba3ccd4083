"""What code signing asks of a function: a configuration that exists, and code in a ZIP.

The configuration that a function uses is its document of the kind CODE_SIGNING:
`{"CodeSigningConfigArn": arn}`. Texts are recorded on AWS except where a comment says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from lambda_home.arns import PARTITION, Scope
from lambda_home.errors import (
    CodeSigningConfigNotFoundException,
    InvalidParameterValueException,
)
from lambda_home.registry.resources import ResourceKind
from lambda_home.user_api.operations import Backend


async def check(backend: Backend, scope: Scope, arn: str, *, image: bool = False) -> None:
    """Whether a function, with an `image` as code or a ZIP, may use the configuration `arn`.

    Raises InvalidParameterValueException for an image, CodeSigningConfigNotFoundException.
    """
    if image:
        raise unsupported()
    if await asyncio.to_thread(find, backend, scope, arn) is None:
        raise CodeSigningConfigNotFoundException(
            "The code signing configuration cannot be found. Check that the provided"
            f" configuration is not deleted: {arn}."
        )


def find(backend: Backend, scope: Scope, arn: str) -> Mapping[str, Any] | None:
    """The configuration `arn` of the caller's account and region; blocking."""
    name = arn.rpartition(":")[2]
    if arn != config_arn(scope, name):
        return None
    return backend.resources.get(scope, ResourceKind.CODE_SIGNING_CONFIG, name)


def config_arn(scope: Scope, name: str) -> str:
    """The ARN of a configuration."""
    return f"arn:{PARTITION}:lambda:{scope.region}:{scope.account}:code-signing-config:{name}"


def of_function(arn: str) -> dict[str, str]:
    """The document of a function that uses the configuration `arn`."""
    return {"CodeSigningConfigArn": arn}


def unsupported() -> InvalidParameterValueException:
    """The error for a function whose code is an image; text seen on AWS in several reports."""
    return InvalidParameterValueException(
        "Code signing is not supported for functions created with container images."
    )
