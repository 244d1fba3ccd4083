"""Events of payload format 1.0, as REST APIs send them; pure.

Names of headers are in lower case, as REST APIs have them from HTTP/2 clients. Members without
anything in them are null. A body is text where its content type says so (or there is none) and it
is valid UTF-8, else base64: nothing is ever lost.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from lambda_home.gateway.events_v2 import domain_of, encoded_body, log_time
from lambda_home.gateway.messages import HttpRequest, RouteContext

_TEXT = frozenset(
    {
        "",
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/yaml",
    }
)
_TEXT_ENDS = ("+json", "+xml")
_NOBODY: dict[str, Any] = {
    "accessKey": None,
    "accountId": None,
    "caller": None,
    "cognitoAuthenticationProvider": None,
    "cognitoAuthenticationType": None,
    "cognitoIdentityId": None,
    "cognitoIdentityPoolId": None,
    "principalOrgId": None,
    "sourceIp": "",
    "user": None,
    "userAgent": None,
    "userArn": None,
}


def event_v1(request: HttpRequest, *, route: RouteContext) -> dict[str, Any]:
    """The event of a request."""
    headers: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for name, value in request.fields:
        headers[name] = value
        if name in several:
            several[name].append(value)
        else:
            several[name] = [value]
    query, queries = _parameters(request.query)
    body, is_base64 = None, False
    if request.body:
        body, is_base64 = encoded_body(request.body, as_text=is_text(headers))
    return {
        "resource": route.resource,
        "path": request.path if route.path is None else route.path,
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": several,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": queries,
        "pathParameters": _or_null(route.path_parameters),
        "stageVariables": _or_null(route.stage_variables),
        "requestContext": _context(request, route, headers),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def is_text(headers: dict[str, str]) -> bool:
    """Whether a body of this content type is sent as text, if it is valid UTF-8."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in _TEXT or kind.startswith("text/") or kind.endswith(_TEXT_ENDS)


def _parameters(query: str) -> tuple[dict[str, str] | None, dict[str, list[str]] | None]:
    if not query:
        return None, None
    last: dict[str, str] = {}
    every: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        last[name] = value
        every.setdefault(name, []).append(value)
    return (last, every) if every else (None, None)


def _or_null(members: Any) -> dict[str, str] | None:
    return dict(members) if members else None


def _context(request: HttpRequest, route: RouteContext, headers: dict[str, str]) -> dict[str, Any]:
    domain = route.domain_name or domain_of(request.host)
    context: dict[str, Any] = {
        "accountId": route.account_id,
        "apiId": route.api_id,
        "domainName": domain,
        "domainPrefix": route.domain_prefix or domain.partition(".")[0],
        # An id of its own, in the form of AWS's: 15 characters of base64 and an equals sign.
        "extendedRequestId": request.request_id.replace("-", "")[:15] + "=",
        "httpMethod": request.method,
        "identity": {
            **_NOBODY,
            **(route.identity or {}),
            "sourceIp": request.source_ip,
            "userAgent": headers.get("user-agent"),
        },
        "path": request.path if route.stage_path is None else route.stage_path,
        "protocol": request.protocol,
        "requestId": request.request_id,
        "requestTime": log_time(request.time_ms // 1000),
        "requestTimeEpoch": request.time_ms,
        "resourceId": route.resource_id,
        "resourcePath": route.resource,
        "stage": route.stage,
    }
    if route.authorizer is not None:
        context["authorizer"] = dict(route.authorizer)
    return context
