"""Function URLs as rules: how one is addressed, who may come, what is answered; pure.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html,
https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html,
https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html. Recorded on AWS are the two
answers with 403, the 502 of a failed function, and how results become responses in both modes. The
text of a 504 is ours; other errors have the shape of Lambda's own API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from lambda_home.access.callers import Caller
from lambda_home.access.policy_evaluation import Decision, Principal, decide, function_arn_of
from lambda_home.arns import FunctionRef
from lambda_home.direct_http import Head
from lambda_home.errors import (
    AccessDeniedException,
    ApiError,
    InvalidSignatureException,
    ResourceConflictException,
    ResourceNotFoundException,
    ServiceException,
    TooManyRequestsException,
)
from lambda_home.gateway.cors import Cors, preflight
from lambda_home.gateway.errors import TIMED_OUT, IntegrationTimeoutError, MalformedResponseError
from lambda_home.gateway.events_v2 import event_v2
from lambda_home.gateway.messages import HttpRequest, HttpResponse, RouteContext
from lambda_home.gateway.results import response_v2
from lambda_home.invocations import InvocationResult

ACTIONS: Final = ("InvokeFunctionUrl", "InvokeFunction")
"""What a caller needs, by IAM's names: both, since October 2025."""

_HOST = re.compile(
    rb"(?P<id>[a-z0-9]+)\.lambda-url\.(?P<region>[a-z0-9-]+)\.[^:\s]+(?::\d+)?", re.IGNORECASE
)
_PATH = re.compile(rb"/lambda-url/(?P<id>[a-z0-9]+)(?P<rest>/.*)?", re.DOTALL)
_SCOPE = re.compile(
    rb"Credential=[^/,\s]+/\d{8}/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)/aws4_request"
)
# Condition keys in a policy's JSON, and those that all requests to a URL have in common.
_KEY = re.compile(r'"([^"\\]*:[^"\\]*)": ')
_OF_URLS: Final = {"lambda:functionurlauthtype", "lambda:invokedviafunctionurl"}
_SIGNED_QUERY: Final = b"X-Amz-Signature="
_JSON: Final = "application/json"
_FORBIDDEN: Final = (
    "Forbidden. For troubleshooting Function URL authorization issues, see:"
    " https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """A function URL. `policy` is that of its function or alias, None where that has none.

    `is_open` says that the policy lets everybody in whatever the request, and need not be asked.
    """

    id: str
    ref: FunctionRef
    auth_type: str
    cors: Cors | None
    streams: bool
    policy: Mapping[str, Any] | None
    is_open: bool = False

    @property
    def is_public(self) -> bool:
        """Whether callers are not asked who they are."""
        return self.auth_type == "NONE"


@dataclass(frozen=True, slots=True)
class Address:
    """Which URL a request names; `path` is what is left for the function, still encoded.

    `region` is that of the host name, None where the path names the URL.
    """

    url_id: str
    region: str | None
    path: bytes


def address_of(head: Head) -> Address | None:
    """Which URL a request is sent to, by its Host header or its path; None for no URL."""
    host = _HOST.fullmatch(head.headers.get(b"host", b""))
    if host is not None:
        region = host["region"].decode().lower()
        return Address(host["id"].decode().lower(), region, head.path or b"/")
    path = _PATH.fullmatch(head.path)
    if path is not None:
        return Address(path["id"].decode(), None, path["rest"] or b"/")
    return None


def function_url(
    url_id: str, ref: FunctionRef, document: Mapping[str, Any], policy: Mapping[str, Any] | None
) -> FunctionUrl:
    """A function URL of its configuration, as CreateFunctionUrlConfig stores it."""
    cors = document.get("Cors")
    url = FunctionUrl(
        url_id,
        ref,
        document["AuthType"],
        _cors(cors) if cors else None,
        document.get("InvokeMode") == "RESPONSE_STREAM",
        policy,
    )
    return replace(url, is_open=_is_open(url))


def _is_open(url: FunctionUrl) -> bool:
    """Whether everybody may come, by a policy that looks at nothing but the URL."""
    text = json.dumps(url.policy)
    if not url.is_public or "${" in text or {*_KEY.findall(text.lower())} - _OF_URLS:
        return False
    anything = Head(b"GET", b"/", b"", {}, 0)
    return all(says(url, anything, None, action, 0) is Decision.ALLOW for action in ACTIONS)


def _cors(given: Mapping[str, Any]) -> Cors:
    return Cors(
        allow_origins=tuple(origin.lower() for origin in given.get("AllowOrigins", ())),
        allow_methods=tuple(method.upper() for method in given.get("AllowMethods", ())),
        allow_headers=tuple(given.get("AllowHeaders", ())),
        expose_headers=tuple(given.get("ExposeHeaders", ())),
        max_age=given.get("MaxAge"),
        allow_credentials=bool(given.get("AllowCredentials")),
    )


def preflight_answer(url: FunctionUrl, head: Head) -> HttpResponse | None:
    """The answer to a preflight, which a URL with CORS settings gives itself; None for the rest."""
    headers = head.headers
    origin, method = headers.get(b"origin"), headers.get(b"access-control-request-method")
    if url.cors is None or head.method != b"OPTIONS" or origin is None or method is None:
        return None
    requested = headers.get(b"access-control-request-headers", b"")
    answer = preflight(
        url.cors, origin.decode("latin-1"), method.decode("latin-1"), requested.decode("latin-1")
    )
    answer.status = 200
    return answer


# ------------------------------------------------------------------------------- who may come


def is_signed(head: Head) -> bool:
    """Whether a request has a signature of SigV4, in a header or in its query."""
    authorization = head.headers.get(b"authorization", b"")
    return authorization.startswith(b"AWS4-") or _SIGNED_QUERY in head.query


def check_scope(head: Head, region: str) -> None:
    """Raise InvalidSignatureException for a signature that is made for something else."""
    match = _SCOPE.search(head.headers.get(b"authorization", b""))
    match = match or _SCOPE.search(unquote_to_bytes(head.query))
    if match is None:
        return  # no signature at all, which is found when it is verified
    if match["service"] != b"lambda":
        raise InvalidSignatureException("Credential should be scoped to correct service: 'lambda'.")
    if match["region"].decode() != region:
        raise InvalidSignatureException("Credential should be scoped to a valid region.")


def says(url: FunctionUrl, head: Head, caller: Caller | None, action: str, now: float) -> Decision:
    """What the policy says about an action of ACTIONS; `caller` is None for nobody known.

    `now` is in seconds since 1970.
    """
    principal = Principal()
    if caller is not None:
        is_own = caller.scope.account == url.ref.scope.account
        principal = Principal(caller.arn, through_account=not is_own)
    headers = head.headers
    context = {
        "aws:CurrentTime": datetime.fromtimestamp(now, UTC).isoformat(),
        "aws:EpochTime": str(int(now)),
        "aws:RequestedRegion": url.ref.scope.region,
        "aws:SecureTransport": "true" if head.scheme == "https" else "false",
    }
    if action == "InvokeFunctionUrl":
        context["lambda:FunctionUrlAuthType"] = url.auth_type
    else:
        context["lambda:InvokedViaFunctionUrl"] = "true"
    if head.client:
        context["aws:SourceIp"] = head.client
    for key, name in (("aws:UserAgent", b"user-agent"), ("aws:Referer", b"referer")):
        if name in headers:
            context[key] = headers[name].decode("latin-1")
    return decide(
        url.policy,
        principal=principal,
        action=f"lambda:{action}",
        resource=function_arn_of(url.ref),
        context=context,
    )


def forbidden() -> ApiError:
    """What AWS answers to whom a URL does not let in."""
    return AccessDeniedException(_FORBIDDEN)


def no_such_url() -> ApiError:
    """What AWS answers where there is no URL."""
    return AccessDeniedException(None)


# ------------------------------------------------------------------------------- event and answer


def event_of(
    url: FunctionUrl, address: Address, request: HttpRequest, caller: Caller | None
) -> dict[str, Any]:
    """The event of a request; `caller` is None where nobody was asked."""
    host = request.host.partition(":")[0]
    region = url.ref.scope.region
    route = RouteContext(
        # Seen on AWS, where the documentation promises the function's own account.
        account_id="anonymous" if caller is None else caller.scope.account,
        api_id=url.id,
        domain_name=host if address.region else f"{url.id}.lambda-url.{region}.localhost",
        domain_prefix=url.id,
        authorizer=None if caller is None else {"iam": iam_of(caller)},
    )
    event = event_v2(request, route=route)
    event["requestContext"]["authentication"] = None
    return event


def iam_of(caller: Caller) -> dict[str, Any]:
    """`requestContext.authorizer.iam`: who has signed."""
    user_id = caller.user_id or caller.key_id
    return {
        "accessKey": caller.key_id,
        "accountId": caller.scope.account,
        "callerId": user_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": caller.arn,
        "userId": user_id,
    }


def response_of(outcome: InvocationResult | Exception, *, streams: bool) -> HttpResponse:
    """The response to an outcome. Raises MalformedResponseError for a result that is none.

    A URL that streams hands on the result of a function that does not: as it is, headers and all.
    """
    if isinstance(outcome, Exception):
        return _failure(outcome)
    if outcome.error_type is not None or outcome.function_error is not None:
        return _timed_out() if outcome.error_type == TIMED_OUT else _bad_gateway()
    if streams:
        return HttpResponse(200, [("content-type", _JSON)], outcome.payload)
    return response_v2(outcome.payload, _JSON)


def error_response(error: ApiError) -> HttpResponse:
    """An error in the shape of Lambda's API."""
    body = json.dumps(error.body(), separators=(",", ":"), ensure_ascii=False)
    fields = [("content-type", _JSON), ("x-amzn-errortype", error.code)]
    if isinstance(error, TooManyRequestsException):
        fields.append(("retry-after", str(error.retry_after_s)))
    return HttpResponse(error.status, fields, body.encode())


def _failure(error: Exception) -> HttpResponse:
    if isinstance(error, ResourceNotFoundException):  # the URL outlived what it is of
        return error_response(forbidden())
    if isinstance(error, MalformedResponseError | ResourceConflictException):
        return _bad_gateway()
    if isinstance(error, IntegrationTimeoutError):
        return _timed_out()
    if isinstance(error, ApiError):
        return error_response(error)
    return error_response(ServiceException("The service encountered an internal error."))


def _bad_gateway() -> HttpResponse:
    return HttpResponse(502, [("content-type", _JSON)], b"Internal Server Error")


def _timed_out() -> HttpResponse:
    return HttpResponse(504, [("content-type", _JSON)], b"Gateway Timeout")
