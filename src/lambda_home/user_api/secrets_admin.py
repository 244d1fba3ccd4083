"""Secrets: `/api/admin/secrets`, and as Lambda@Home has it, `/admin/secrets`.

    POST   {"name": NAME, "value": VALUE}   201  makes a secret, or gives it another value
    GET                                     200  {"secrets": [{name, created_at, updated_at}, ...]}
    PUT    /NAME {"value": VALUE}           200  as POST
    DELETE /NAME                            204

They belong to the caller's account and region. Nothing here ever tells a value. Whether the caller
may do it is decided before (`front`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lambda_home.access.callers import caller_in
from lambda_home.errors import InvalidParameterValueException
from lambda_home.registry.secrets import Secret, Secrets
from lambda_home.user_api.admin_requests import in_aws_shape, read_object
from lambda_home.user_api.dates import microseconds

PATHS: Final = ("/api/admin/secrets", "/admin/secrets")
LONGEST_VALUE: Final = 65_536
"""Bytes in UTF-8: an environment takes no variable of twice that length."""
_LONGEST_BODY: Final = 6 * LONGEST_VALUE + 4096  # JSON may write each byte as \u00xx
_NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,256}")
_DOTS = frozenset({".", ".."})


def secret_routes(secrets: Secrets, now: Callable[[], float]) -> APIRouter:
    """The routes, for the user API. `now` tells seconds since the epoch."""
    router = APIRouter()
    doors = _SecretRoutes(secrets, now)
    for path in PATHS:
        one = f"{path}/{{name:path}}"
        router.add_api_route(path, doors.list, methods=["GET"], response_model=None)
        router.add_api_route(path, doors.create, methods=["POST"], response_model=None)
        router.add_api_route(one, doors.put, methods=["PUT"], response_model=None)
        router.add_api_route(one, doors.delete, methods=["DELETE"], response_model=None)
    return router


class _SecretRoutes:
    def __init__(self, secrets: Secrets, now: Callable[[], float]) -> None:
        self._secrets = secrets
        self._now = now
        self.list = in_aws_shape(self._list)
        self.create = in_aws_shape(self._create)
        self.put = in_aws_shape(self._put)
        self.delete = in_aws_shape(self._delete)

    async def _list(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._secrets.all_of, caller_in(request.scope).scope)
        return JSONResponse({"secrets": [_shown(secret) for secret in found]})

    async def _create(self, request: Request) -> Response:
        document = await read_object(request, _LONGEST_BODY)
        if set(document) != {"name", "value"}:
            raise InvalidParameterValueException(
                'The body must be {"name": NAME, "value": VALUE}, with no other members.'
            )
        return await self._store(request, document["name"], document["value"], 201)

    async def _put(self, name: str, request: Request) -> Response:
        document = await read_object(request, _LONGEST_BODY)
        if set(document) - {"name"} != {"value"} or document.get("name", name) != name:
            raise InvalidParameterValueException(
                'The body must be {"value": VALUE}, with no other members.'
            )
        return await self._store(request, name, document["value"], 200)

    async def _delete(self, name: str, request: Request) -> Response:
        scope = caller_in(request.scope).scope
        await asyncio.to_thread(self._secrets.delete, scope, _checked_name(name))
        return Response(status_code=204)

    async def _store(self, request: Request, name: Any, value: Any, status: int) -> Response:
        scope = caller_in(request.scope).scope
        checked = (_checked_name(name), _checked_value(value))
        made = await asyncio.to_thread(self._secrets.put, scope, *checked, self._now())
        return JSONResponse(_shown(made), status)


def _checked_name(name: Any) -> str:
    if (
        not isinstance(name, str)
        or not _NAME.fullmatch(name)
        or not _DOTS.isdisjoint(name.split("/"))
    ):
        raise InvalidParameterValueException(
            "The name of a secret has 1 to 256 letters, digits or characters of _.-/ and no others,"
            " and no part that is . or .."
        )
    return name


def _checked_value(value: Any) -> str:
    """The value; what is wrong with another one is said without it."""
    if not isinstance(value, str):
        raise InvalidParameterValueException("The value of a secret must be a string.")
    size = len(value.encode())
    if "\0" in value:
        raise InvalidParameterValueException(
            "The value of a secret must not contain NUL: no environment variable can hold it."
        )
    if size > LONGEST_VALUE:
        raise InvalidParameterValueException(
            f"The value of a secret has at most {LONGEST_VALUE} bytes; this one has {size}."
        )
    return value


def _shown(secret: Secret) -> dict[str, str]:
    return {
        "name": secret.name,
        "created_at": microseconds(datetime.fromtimestamp(secret.created_at, UTC)),
        "updated_at": microseconds(datetime.fromtimestamp(secret.updated_at, UTC)),
    }
