"""Builds: deployment packages made of sources, `/api/builds`.

    POST   /api/builds              202  takes a place in the queue; answers the build
    GET    /api/builds              200  {"builds": [...]}, the newest first;
                                         query: status, function, limit
    GET    /api/builds/ID           200  one build
    GET    /api/builds/ID/logs      200  lines `TIMESTAMP TEXT`; by Accept also JSON, or events
    GET    /api/builds/ID/artefact  200  the ZIP
    DELETE /api/builds/ID           202  cancels one that has not ended; 204 deletes one that has

The body of a POST is either the sources, a .zip or .tar.gz, and all else stands in the query; or
JSON with a `git` URL (see `builds.documents.Asked` for the members). Logs in JSON have a position
`next`, which is the `after` of the next question; events have it as their id. They belong to the
caller's account and region. Whether the caller may do it is decided before (`front`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from lambda_home.access.callers import caller_in
from lambda_home.arns import Scope
from lambda_home.builds.documents import Build, Status, asked_of
from lambda_home.builds.queue import Builds
from lambda_home.builds.unpacking import is_archive
from lambda_home.errors import InvalidParameterValueException, RequestEntityTooLargeException
from lambda_home.functions import CREATE_REQUEST_LIMIT
from lambda_home.http_io import BodyTooLarge, read_body
from lambda_home.user_api.admin_requests import in_aws_shape
from lambda_home.user_api.build_deploying import function_for
from lambda_home.user_api.operations import Backend
from lambda_home.user_api.protocol import read_document

PATH: Final = "/api/builds"
_USUAL, _MOST = 100, 1000
_LOOK_EVERY_S: Final = 0.1
_KEEP_ALIVE_S: Final = 15.0
_LONGEST_JSON: Final = 64 * 1024
_FLAGS: Final = {"true": True, "false": False, "1": True, "0": False}


def build_routes(builds: Builds, backend: Backend) -> APIRouter:
    """The routes, for the user API."""
    router = APIRouter()
    doors = _BuildRoutes(builds, backend)
    one = f"{PATH}/{{build_id}}"
    for path, door, method in (
        (PATH, doors.create, "POST"),
        (PATH, doors.list, "GET"),
        (one, doors.get, "GET"),
        (one, doors.delete, "DELETE"),
        (f"{one}/logs", doors.logs, "GET"),
        (f"{one}/artefact", doors.artefact, "GET"),
    ):
        router.add_api_route(path, in_aws_shape(door), methods=[method], response_model=None)
    return router


class _BuildRoutes:
    def __init__(self, builds: Builds, backend: Backend) -> None:
        self._builds = builds
        self._backend = backend

    async def create(self, request: Request) -> Response:
        scope = caller_in(request.scope).scope
        try:
            body = await read_body(request.receive, CREATE_REQUEST_LIMIT)
        except BodyTooLarge:
            raise RequestEntityTooLargeException(
                f"Request must be smaller than {CREATE_REQUEST_LIMIT} bytes."
            ) from None
        sources = body if is_archive(body) else None
        members = _query(request) if sources is not None else _json(body)
        asked = asked_of(members, has_archive=sources is not None)
        runtime = asked.runtime
        if asked.function:
            found = await function_for(self._backend, scope, asked.function)
            runtime = runtime or found.runtime
        made = await asyncio.to_thread(self._builds.create, scope, asked, runtime, sources)
        return JSONResponse(made.shown(), 202)

    async def list(self, request: Request) -> Response:
        given = request.query_params
        limit = given.get("limit", str(_USUAL))
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _MOST):
            raise InvalidParameterValueException(f"limit must be a number from 1 to {_MOST}.")
        status, function = given.get("status", ""), given.get("function", "")
        if status and status not in {each.value for each in Status}:
            raise InvalidParameterValueException(f"status is one of {', '.join(Status)}.")
        found = await asyncio.to_thread(self._builds.all_of, caller_in(request.scope).scope)
        fitting = [
            build.shown()
            for build in found
            if status in ("", build.status) and function in ("", build.asked.function)
        ]
        return JSONResponse({"builds": fitting[: int(limit)]})

    async def get(self, build_id: str, request: Request) -> Response:
        return JSONResponse((await self._one(build_id, request)).shown())

    async def delete(self, build_id: str, request: Request) -> Response:
        scope = caller_in(request.scope).scope
        canceled = await asyncio.to_thread(self._builds.remove, scope, build_id)
        if canceled is None:
            return Response(status_code=204)
        return JSONResponse(canceled.shown(), 202)

    async def artefact(self, build_id: str, request: Request) -> Response:
        scope = caller_in(request.scope).scope
        path = await asyncio.to_thread(self._builds.package, scope, build_id)
        return FileResponse(path, media_type="application/zip", filename=f"{build_id}.zip")

    async def logs(self, build_id: str, request: Request) -> Response:
        scope = caller_in(request.scope).scope
        build = await self._one(build_id, request)
        accepts = request.headers.get("accept", "")
        after = _position(request)
        if "text/event-stream" in accepts:
            headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            events = self._followed(scope, build_id, after)
            return StreamingResponse(events, media_type="text/event-stream", headers=headers)
        if "application/json" in accepts:
            page = await asyncio.to_thread(self._builds.log, scope, build_id, after)
            lines = [{"timestamp": line.timestamp, "content": line.content} for line in page.lines]
            # The state is that before the log was read: of one that has ended, no line is missing.
            return JSONResponse({"status": build.status, "lines": lines, "next": page.next})
        text = await asyncio.to_thread(self._text, scope, build_id, after)
        return Response(text, media_type="text/plain; charset=utf-8")

    def _text(self, scope: Scope, build_id: str, after: int) -> str:
        """All lines from a position on, as they stand in the file."""
        lines: list[str] = []
        while (page := self._builds.log(scope, build_id, after)).lines:
            after = page.next
            lines += [f"{line.timestamp} {line.content}\n" for line in page.lines]
        return "".join(lines)

    async def _followed(self, scope: Scope, build_id: str, after: int) -> AsyncIterator[bytes]:
        """Events `log` for lines, comments while there are none, `end` with the build at last."""
        quiet_s = 0.0
        yield b": following\n\n"
        while self._builds.is_followed:
            build = await asyncio.to_thread(self._builds.get, scope, build_id)
            page = await asyncio.to_thread(self._builds.log, scope, build_id, after)
            if page.lines:
                after, quiet_s = page.next, 0.0
                documents = [
                    {"timestamp": line.timestamp, "content": line.content} for line in page.lines
                ]
                yield b"".join(_event("log", each, after) for each in documents)
            elif build.status.has_ended:
                yield _event("end", build.shown(), after)
                return
            else:
                quiet_s += _LOOK_EVERY_S
                if quiet_s >= _KEEP_ALIVE_S:
                    quiet_s = 0.0
                    yield b": still here\n\n"
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _one(self, build_id: str, request: Request) -> Build:
        scope = caller_in(request.scope).scope
        return await asyncio.to_thread(self._builds.get, scope, build_id)


def _json(body: bytes) -> dict[str, Any]:
    if len(body) > _LONGEST_JSON:
        raise InvalidParameterValueException(
            "The body must be the sources, a .zip or .tar.gz, or JSON with a git URL."
        )
    return read_document(body)


def _query(request: Request) -> dict[str, Any]:
    """The members in a query, all of them strings but for flags; variables as variables.NAME."""
    members: dict[str, Any] = {}
    variables: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name.startswith("variables."):
            variables[name.removeprefix("variables.")] = value
        elif name == "deploy":
            if value.lower() not in _FLAGS:
                raise InvalidParameterValueException("deploy must be true or false.")
            members[name] = _FLAGS[value.lower()]
        else:
            members[name] = value
    return {**members, "variables": variables} if variables else members


def _position(request: Request) -> int:
    given = request.query_params.get("after") or request.headers.get("last-event-id") or "0"
    if not (given.isascii() and given.isdigit() and len(given) <= 15):  # noqa: PLR2004
        raise InvalidParameterValueException("after must be the next of the answer before.")
    return int(given)


def _event(kind: str, document: Mapping[str, Any], position: int) -> bytes:
    """One event; JSON has no line breaks of its own."""
    return f"event: {kind}\nid: {position}\ndata: {json.dumps(document)}\n\n".encode()
