"""What the admin API's routes have in common: bodies in JSON, errors in AWS's shapes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec

from fastapi import Request, Response

from lambda_home.errors import ApiError, RequestEntityTooLargeException, ServiceException
from lambda_home.http_io import BodyTooLarge, read_body
from lambda_home.user_api.protocol import read_document, serialize_error
from lambda_home.vault import VaultError

P = ParamSpec("P")


def in_aws_shape(
    endpoint: Callable[P, Awaitable[Response]],
) -> Callable[P, Awaitable[Response]]:
    """An endpoint whose ApiErrors, and those of the vault, are answers."""

    @wraps(endpoint)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
        try:
            return await endpoint(*args, **kwargs)
        except ApiError as error:
            return error_answer(error)
        except VaultError as error:
            return error_answer(ServiceException(str(error)))

    return guarded


def error_answer(error: ApiError) -> Response:
    """An error in AWS's shape."""
    status, headers, body = serialize_error(error)
    return Response(body, status, headers)


async def read_object(request: Request, longest: int) -> dict[str, Any]:
    """The body, which must be a JSON object of at most `longest` bytes.

    Raises RequestEntityTooLargeException, SerializationException.
    """
    try:
        body = await read_body(request.receive, longest)
    except BodyTooLarge:
        raise RequestEntityTooLargeException(
            f"Request must be smaller than {longest} bytes."
        ) from None
    return read_document(body)
