"""The layers that a function uses."""

from __future__ import annotations

from collections.abc import Sequence

from lambda_home.arns import Scope
from lambda_home.errors import InvalidParameterValueException
from lambda_home.functions import Layer
from lambda_home.user_api.operations import Backend


async def resolve(backend: Backend, scope: Scope, arns: Sequence[str]) -> tuple[Layer, ...]:
    """The layer versions that a function asks for."""
    del backend, scope
    for arn in arns:
        raise InvalidParameterValueException(f"Layer version {arn} does not exist.")
    return ()
