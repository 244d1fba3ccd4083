"""Access keys: `/api/admin/keys`.

    POST   {"user_name": NAME, "role": ROLE, "requests_per_second": N}   201  the key and its secret
    GET                                                                  200  {"keys": [...]}
    PUT    /ID {"enabled": true or false}                                200
    DELETE /ID                                                           204

They belong to the caller's account. A key's secret is told once, when it is made; the limit may be
left out. Whether the caller may do it is decided before (`front`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lambda_home.access.callers import caller_in
from lambda_home.access.keys import AccessKeys, KeyRecord
from lambda_home.errors import InvalidParameterValueException
from lambda_home.user_api.admin_requests import in_aws_shape, read_object
from lambda_home.user_api.dates import microseconds

PATH: Final = "/api/admin/keys"
_LONGEST_BODY: Final = 4096
_MEMBERS: Final = frozenset({"user_name", "role", "requests_per_second"})


def key_routes(keys: AccessKeys, now: Callable[[], float]) -> APIRouter:
    """The routes, for the user API. `now` tells seconds since the epoch."""
    router = APIRouter()
    doors = _KeyRoutes(keys, now)
    one = f"{PATH}/{{access_key_id}}"
    router.add_api_route(PATH, doors.list, methods=["GET"], response_model=None)
    router.add_api_route(PATH, doors.create, methods=["POST"], response_model=None)
    router.add_api_route(one, doors.put, methods=["PUT"], response_model=None)
    router.add_api_route(one, doors.delete, methods=["DELETE"], response_model=None)
    return router


class _KeyRoutes:
    def __init__(self, keys: AccessKeys, now: Callable[[], float]) -> None:
        self._keys = keys
        self._now = now
        self.list = in_aws_shape(self._list)
        self.create = in_aws_shape(self._create)
        self.put = in_aws_shape(self._put)
        self.delete = in_aws_shape(self._delete)

    async def _list(self, request: Request) -> Response:
        account = _account(request)
        found = await asyncio.to_thread(self._keys.all_of, account)
        return JSONResponse({"keys": [_shown(record) for record in found]})

    async def _create(self, request: Request) -> Response:
        account = _account(request)
        document = await read_object(request, _LONGEST_BODY)
        user_name, role = document.get("user_name"), document.get("role")
        if not isinstance(user_name, str) or not isinstance(role, str) or set(document) - _MEMBERS:
            raise InvalidParameterValueException(
                'The body must be {"user_name": NAME, "role": ROLE}; "requests_per_second": N may'
                " be added, and nothing else."
            )
        limit = document.get("requests_per_second")
        made = await asyncio.to_thread(
            self._keys.create, account, user_name, role, self._now(), limit
        )
        record = await asyncio.to_thread(self._keys.record_of, account, made.id)
        answer = {**_shown(record), "secret_access_key": made.secret}
        return JSONResponse(answer, 201, {"Cache-Control": "no-store"})

    async def _put(self, access_key_id: str, request: Request) -> Response:
        account = _account(request)
        document = await read_object(request, _LONGEST_BODY)
        enabled = document.get("enabled")
        if not isinstance(enabled, bool) or len(document) > 1:
            raise InvalidParameterValueException(
                'The body must be {"enabled": true} or {"enabled": false}.'
            )
        record = await asyncio.to_thread(self._keys.enable, account, access_key_id, enabled=enabled)
        return JSONResponse(_shown(record))

    async def _delete(self, access_key_id: str, request: Request) -> Response:
        account = _account(request)
        await asyncio.to_thread(self._keys.delete, account, access_key_id)
        return Response(status_code=204)


def _account(request: Request) -> str:
    return caller_in(request.scope).scope.account


def _shown(record: KeyRecord) -> dict[str, Any]:
    return record.document(microseconds(datetime.fromtimestamp(record.created_at, UTC)))
