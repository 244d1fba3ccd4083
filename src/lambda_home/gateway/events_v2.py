"""Events of payload format 2.0, as HTTP APIs and function URLs send them; pure.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html,
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html. AWS does not list the content
types whose bodies come as text; those here are as measured on AWS by others (forms are not text).
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from lambda_home.gateway.messages import HttpRequest, RouteContext

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TEXT = frozenset({"application/json", "application/xml", "application/javascript"})


def event_v2(request: HttpRequest, *, route: RouteContext) -> dict[str, Any]:
    """The event of a request; members without anything in them are left out, as AWS does."""
    headers, cookies = _headers(request)
    path = request.path if route.path is None else route.path
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route.route_key,
        "rawPath": path,
        "rawQueryString": request.query,
    }
    if cookies:
        event["cookies"] = cookies
    event["headers"] = headers
    if request.query and (parameters := _parameters(request.query)):
        event["queryStringParameters"] = parameters
    event["requestContext"] = _context(request, route, path, headers)
    if request.body:
        body, event["isBase64Encoded"] = encoded_body(request.body, as_text=is_text(headers))
        event["body"] = body
    else:
        event["isBase64Encoded"] = False
    if route.path_parameters:
        event["pathParameters"] = dict(route.path_parameters)
    if route.stage_variables:
        event["stageVariables"] = dict(route.stage_variables)
    return event


def _headers(request: HttpRequest) -> tuple[dict[str, str], list[str]]:
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in request.fields:
        if name == "cookie":
            cookies.extend(pair for part in value.split(";") if (pair := part.strip()))
        elif name in headers:
            headers[name] = f"{headers[name]},{value}"
        else:
            headers[name] = value
    return headers, cookies


def _parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        known = parameters.get(name)
        parameters[name] = value if known is None else f"{known},{value}"
    return parameters


def _context(
    request: HttpRequest, route: RouteContext, path: str, headers: dict[str, str]
) -> dict[str, Any]:
    context: dict[str, Any] = {"accountId": route.account_id, "apiId": route.api_id}
    if route.authentication is not None:
        context["authentication"] = dict(route.authentication)
    if route.authorizer is not None:
        context["authorizer"] = dict(route.authorizer)
    domain = route.domain_name or domain_of(request.host)
    context |= {
        "domainName": domain,
        "domainPrefix": route.domain_prefix or domain.partition(".")[0],
        "http": {
            "method": request.method,
            "path": path,
            "protocol": request.protocol,
            "sourceIp": request.source_ip,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request.request_id,
        "routeKey": route.route_key,
        "stage": route.stage,
        "time": log_time(request.time_ms // 1000),
        "timeEpoch": request.time_ms,
    }
    return context


def is_text(headers: dict[str, str]) -> bool:
    """Whether a body of this content type is sent as text, if it is valid UTF-8."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in _TEXT or kind.startswith("text/")


def encoded_body(body: bytes, *, as_text: bool) -> tuple[str, bool]:
    """A body as an event has it, and whether that is base64; nothing is ever lost."""
    if as_text:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


@lru_cache(maxsize=4)
def log_time(seconds: int) -> str:
    """A moment as access logs write it: `12/Mar/2020:19:03:58 +0000`."""
    at = datetime.fromtimestamp(seconds, UTC)
    month = _MONTHS[at.month - 1]
    return f"{at.day:02}/{month}/{at.year}:{at.hour:02}:{at.minute:02}:{at.second:02} +0000"


def domain_of(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
