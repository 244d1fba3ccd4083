"""Function URLs: how they are addressed, who may come, what is answered; and their index."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from fakes import HERE
from unit.runtime_api.wire import Wire

from lambda_home.access.callers import Caller, Callers, root_arn
from lambda_home.access.gate import Believing, Gate
from lambda_home.access.hosts import HostRules
from lambda_home.access.policy_evaluation import Decision
from lambda_home.access.roles import Role
from lambda_home.arns import FunctionRef, Scope
from lambda_home.direct_http import Head
from lambda_home.errors import (
    ApiError,
    InvalidSignatureException,
    RequestTooLargeException,
    ResourceConflictException,
    ResourceNotFoundException,
    ServiceException,
    ThrottleReason,
    TooManyRequestsException,
)
from lambda_home.gateway import url_rules as rules
from lambda_home.gateway.errors import IntegrationTimeoutError, MalformedResponseError
from lambda_home.gateway.exchange import Exchange
from lambda_home.gateway.function_urls import FunctionUrls
from lambda_home.gateway.url_index import UrlIndex
from lambda_home.gateway.url_rules import Address, FunctionUrl
from lambda_home.invocations import SYNC_PAYLOAD_LIMIT, InvocationRequest, InvocationResult
from lambda_home.invoker.invoker import Invoker, Told
from lambda_home.registry.changes import ConfigKind
from lambda_home.registry.configs import FunctionConfigs
from lambda_home.registry.policies import Policies, Stored

NOW = 1_795_255_200.0  # 2026-11-21
ID = "abcdefghijklmnopqrstuvwxyz012345"
HOST = f"{ID}.lambda-url.{HERE.region}.localhost"
REF = FunctionRef(HERE, "f")
STRANGER = "222222222222"
CORS = {"AllowOrigins": ["*"], "AllowMethods": ["*"], "AllowCredentials": True}


def permission(action: str, principal: object = "*", **condition: Any) -> dict[str, Any]:
    found = {"Effect": "Allow", "Principal": principal, "Action": f"lambda:{action}"}
    return {**found, "Resource": REF.arn, **({"Condition": condition} if condition else {})}


OPEN = {
    "Version": "2012-10-17",
    "Statement": [
        permission("InvokeFunctionUrl", StringEquals={"lambda:FunctionUrlAuthType": "NONE"}),
        permission("InvokeFunction", Bool={"lambda:InvokedViaFunctionUrl": "true"}),
    ],
}


def head(
    path: str = "/", host: str = HOST, method: str = "GET", query: str = "", **headers: str
) -> Head:
    fields = [(b"host", host.encode())]
    fields += [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return Head(
        method.encode(), path.encode(), query.encode(), dict(fields), 9000, fields, "127.0.0.1"
    )


def url(
    policy: Mapping[str, Any] | None = None, ref: FunctionRef = REF, **document: Any
) -> FunctionUrl:
    return rules.function_url(ID, ref, {"UrlId": ID, "AuthType": "NONE", **document}, policy)


def caller(account: str, role: Role = Role.ADMIN) -> Caller:
    return Caller(Scope(account, HERE.region), root_arn(account), role, "AKIA1", "AIDA1")


@pytest.mark.parametrize(
    ("host", "path", "address"),
    [
        (HOST, "/", Address(ID, "us-east-1", b"/")),
        (f"{HOST}:9000", "/a%20b", Address(ID, "us-east-1", b"/a%20b")),
        (f"{ID}.lambda-url.eu-west-1.on.aws", "/x", Address(ID, "eu-west-1", b"/x")),
        (HOST.upper(), "/A", Address(ID, "us-east-1", b"/A")),
        (HOST, f"/lambda-url/{ID}/x", Address(ID, "us-east-1", f"/lambda-url/{ID}/x".encode())),
        ("localhost:9000", f"/lambda-url/{ID}", Address(ID, None, b"/")),
        ("localhost:9000", f"/lambda-url/{ID}/", Address(ID, None, b"/")),
        ("localhost:9000", f"/lambda-url/{ID}//x/y/", Address(ID, None, b"//x/y/")),
        ("localhost:9000", "/lambda-url/", None),
        ("localhost:9000", "/lambda-url/No-Id/x", None),
        ("localhost:9000", "/x", None),
        (f"x.{HOST}", "/x", None),
        (f"{ID}.lambda-url.localhost", "/x", None),
        ("", "/x", None),
    ],
)
def test_a_url_is_named_by_the_host_or_else_by_the_path(
    host: str, path: str, address: Address | None
) -> None:
    assert rules.address_of(head(path, host)) == address


POLICIES = [
    ("NONE", None, OPEN, (Decision.ALLOW, Decision.ALLOW)),
    ("AWS_IAM", None, OPEN, (Decision.NONE, Decision.ALLOW)),
    ("NONE", None, None, (Decision.NONE, Decision.NONE)),
    ("NONE", None, {"Statement": OPEN["Statement"][0]}, (Decision.ALLOW, Decision.NONE)),
    ("NONE", None, {"Statement": permission("*")}, (Decision.ALLOW, Decision.ALLOW)),
    (
        "AWS_IAM",
        STRANGER,
        {"Statement": permission("Invoke*", {"AWS": root_arn(STRANGER)})},
        (Decision.ALLOW, Decision.ALLOW),
    ),
    (
        "NONE",
        None,
        {"Statement": permission("*", IpAddress={"aws:SourceIp": "127.0.0.0/8"})},
        (Decision.ALLOW, Decision.ALLOW),
    ),
    (
        "NONE",
        None,
        {"Statement": permission("*", DateLessThan={"aws:CurrentTime": "2026-01-01T00:00:00Z"})},
        (Decision.NONE, Decision.NONE),
    ),
    (
        "NONE",
        None,
        {"Statement": permission("*", Bool={"aws:SecureTransport": "true"})},
        (Decision.NONE, Decision.NONE),
    ),
]


@pytest.mark.parametrize(("auth_type", "account", "policy", "decisions"), POLICIES)
def test_the_policy_is_asked_for_both_actions(
    auth_type: str, account: str | None, policy: Any, decisions: tuple[Decision, Decision]
) -> None:
    asked = url(policy, AuthType=auth_type)
    who = None if account is None else caller(account)
    found = tuple(rules.says(asked, head(), who, action, NOW) for action in rules.ACTIONS)
    assert found == decisions


@pytest.mark.parametrize(
    ("auth_type", "policy", "is_open"),
    [
        ("NONE", OPEN, True),
        ("NONE", {"Statement": permission("*")}, True),
        ("NONE", None, False),
        ("NONE", {"Statement": OPEN["Statement"][0]}, False),
        ("AWS_IAM", {"Statement": permission("*")}, False),
        ("NONE", {"Statement": permission("*", Null={"aws:UserAgent": "true"})}, False),
        ("NONE", {"Statement": permission("*", Null={"AWS:USERAGENT": "true"})}, False),
        (
            "NONE",
            {"Statement": {**permission("*"), "Resource": [REF.arn, "${aws:UserAgent}"]}},
            False,
        ),
    ],
)
def test_a_policy_that_looks_at_no_request_is_asked_once(
    auth_type: str, policy: Any, *, is_open: bool
) -> None:
    assert url(policy, AuthType=auth_type).is_open is is_open


def test_the_policy_of_an_alias_names_the_alias() -> None:
    aliased = FunctionRef(HERE, "f", "live")
    assert rules.says(url(OPEN, aliased), head(), None, "InvokeFunction", NOW) == Decision.NONE
    statement = {**permission("*"), "Resource": aliased.qualified_arn}
    alias_url = url({"Statement": statement}, aliased)
    assert rules.says(alias_url, head(), None, "InvokeFunction", NOW) == Decision.ALLOW


def authorization(region: str, service: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential=AK/20261121/{region}/{service}/aws4_request, Signature=x"


@pytest.mark.parametrize(
    ("region", "service", "message"),
    [
        ("us-east-1", "s3", "Credential should be scoped to correct service: 'lambda'."),
        ("eu-west-1", "lambda", "Credential should be scoped to a valid region."),
        ("us-east-1", "lambda", None),
    ],
)
def test_a_signature_must_be_made_for_lambda_in_the_urls_region(
    region: str, service: str, message: str | None
) -> None:
    query = f"X-Amz-Credential=AK%2F20261121%2F{region}%2F{service}%2Faws4_request"
    query += "&X-Amz-Signature=x"
    for signed in (
        head(authorization=authorization(region, service)),
        head(query=query),
    ):
        assert rules.is_signed(signed)
        if message is None:
            rules.check_scope(signed, "us-east-1")
            continue
        with pytest.raises(InvalidSignatureException) as refused:
            rules.check_scope(signed, "us-east-1")
        assert refused.value.message == message


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer AK:secret"}, {"cookie": "lambda_home_session=x"}]
)
def test_nothing_but_a_signature_is_one(headers: dict[str, str]) -> None:
    assert not rules.is_signed(head(**headers))


def result(payload: bytes, error_type: str | None = None) -> InvocationResult:
    return InvocationResult("id", payload, "1", error_type and "Unhandled", error_type=error_type)


JSON = "application/json"
OUTCOMES: list[tuple[Any, int, bytes | None, str]] = [
    (result(b'{"hello": "world"}'), 200, b'{"hello": "world"}', JSON),
    (result(b'{"statusCode":200,"body":"body123"}'), 200, b"body123", JSON),
    (result(b'"hello"'), 200, b"hello", JSON),
    (result(b"3"), 200, b"3", JSON),
    (result(b"true"), 200, b"true", JSON),
    (result(b'["hello",3,true]'), 200, b'["hello",3,true]', JSON),
    (result(b'{"statusCode":"418","body":"i am"}'), 418, b"i am", JSON),
    (result(b'{"errorMessage":"no"}', "KeyError"), 502, b"Internal Server Error", JSON),
    (result(b"{}", "Sandbox.Timedout"), 504, b"Gateway Timeout", JSON),
    (IntegrationTimeoutError(), 504, b"Gateway Timeout", JSON),
    (MalformedResponseError("x"), 502, b"Internal Server Error", JSON),
    (ResourceConflictException("Pending"), 502, b"Internal Server Error", JSON),
    (TooManyRequestsException(ThrottleReason.CONCURRENT), 429, None, JSON),
    (RequestTooLargeException("long"), 413, b'{"Type":"User","message":"long"}', JSON),
    (ServiceException("oh"), 500, b'{"Type":"Service","Message":"oh"}', JSON),
]


@pytest.mark.parametrize(("outcome", "status", "body", "content_type"), OUTCOMES)
def test_an_outcome_is_answered_as_function_urls_do(
    outcome: Any, status: int, body: bytes | None, content_type: str
) -> None:
    response = rules.response_of(outcome, streams=False)
    assert (response.status, dict(response.fields)["content-type"]) == (status, content_type)
    if body is not None:
        assert response.body == body


def test_what_is_gone_is_forbidden_and_a_bug_is_not_explained() -> None:
    gone = rules.response_of(ResourceNotFoundException("Function not found: f"), streams=False)
    assert gone.status == 403
    assert json.loads(gone.body)["Message"].startswith("Forbidden. For troubleshooting")
    bug = rules.response_of(ZeroDivisionError("secret"), streams=False)
    assert (bug.status, b"secret" in bug.body) == (500, False)


def test_a_url_that_streams_hands_results_on_but_not_failures() -> None:
    raw = b'{"statusCode": 418, "body": "x"}'
    handed = rules.response_of(result(raw), streams=True)
    assert (handed.status, handed.body) == (200, raw)
    assert rules.response_of(result(b"{}", "KeyError"), streams=True).status == 502


@pytest.mark.parametrize(
    ("cors", "method", "headers", "answered"),
    [
        (CORS, "OPTIONS", {"origin": "https://a", "access_control_request_method": "PUT"}, True),
        (None, "OPTIONS", {"origin": "https://a", "access_control_request_method": "PUT"}, False),
        (CORS, "OPTIONS", {"origin": "https://a"}, False),
        (CORS, "OPTIONS", {"access_control_request_method": "PUT"}, False),
        (CORS, "GET", {"origin": "https://a", "access_control_request_method": "PUT"}, False),
    ],
)
def test_only_a_preflight_of_a_url_with_cors_is_answered_for_the_function(
    cors: Any, method: str, headers: dict[str, str], *, answered: bool
) -> None:
    found = rules.preflight_answer(url(Cors=cors), head(method=method, **headers))
    assert (found is not None) is answered
    if found is not None:
        assert (found.status, found.body) == (200, b"")
        fields = dict(found.fields)
        assert fields["access-control-allow-origin"] == "https://a"
        assert fields["access-control-allow-credentials"] == "true"


# ---------------------------------------------------------------------------------- the index


class Configs(FunctionConfigs):
    """One document of one URL; counts how often it is read, and `meanwhile` happens then."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document: dict[str, Any] | None = document
        self.reads = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def everywhere(self, kind: ConfigKind) -> dict[tuple[Scope, str, str], Mapping[str, Any]]:
        assert kind is ConfigKind.URL
        self.reads += 1
        found: dict[tuple[Scope, str, str], Mapping[str, Any]] = {}
        if self.document is not None:
            found[(HERE, "f", "$LATEST")] = self.document
        self.meanwhile()
        return found


class OnePolicy(Policies):
    """The same policy for everything; None for what is gone."""

    def __init__(self, policy: Mapping[str, Any] | None) -> None:
        self.policy = policy

    def get(self, ref: FunctionRef) -> Stored:
        if self.policy is None:
            raise ResourceNotFoundException(f"Function not found: {ref.arn}")
        return Stored(self.policy, "revision")


def test_a_url_is_read_once_and_again_after_a_change() -> None:
    async def main() -> None:
        configs, policies = Configs({"UrlId": ID, "AuthType": "NONE"}), OnePolicy(OPEN)
        index = UrlIndex(configs, policies)
        assert (index.at_hand(ID), index.is_unknown("other")) == (None, False)
        found = await index.look_up(ID)
        assert found is not None
        assert (found.ref, found.policy) == (REF, OPEN)
        assert index.at_hand(ID) is await index.look_up(ID) is found
        assert index.is_unknown("other")
        assert await index.look_up("other") is None
        assert configs.reads == 1
        configs.document = None
        index.forget()
        assert index.at_hand(ID) is None
        assert await index.look_up(ID) is None
        assert (configs.reads, index.is_unknown(ID)) == (2, True)

    asyncio.run(main())


def test_what_changes_while_it_is_read_is_not_kept() -> None:
    async def main() -> None:
        configs = Configs({"UrlId": ID, "AuthType": "NONE"})
        index = UrlIndex(configs, OnePolicy(OPEN))
        configs.meanwhile = index.forget
        assert await index.look_up(ID) is not None
        assert index.at_hand(ID) is None

    asyncio.run(main())


def test_a_url_without_its_alias_has_no_policy() -> None:
    async def main() -> None:
        index = UrlIndex(Configs({"UrlId": ID, "AuthType": "NONE"}), OnePolicy(None))
        found = await index.look_up(ID)
        assert found is not None
        assert found.policy is None

    asyncio.run(main())


# --------------------------------------------------------------------------------- on the wire


class Scripted(Invoker):
    """Answers with the event that it gets."""

    def __init__(self) -> None:
        self.asked: list[FunctionRef] = []

    def begin(self, ref: FunctionRef, request: InvocationRequest, told: Told) -> bool:
        self.asked.append(ref)
        told(result(request.payload))
        return True

    async def invoke(self, ref: FunctionRef, request: InvocationRequest) -> InvocationResult:
        self.asked.append(ref)
        return result(request.payload)


class InRole(Callers):
    """Everybody has the same role."""

    def __init__(self, role: Role) -> None:
        super().__init__(HERE)
        self._role = role

    def caller_of(self, authorization: bytes | None) -> Caller:
        found = super().caller_of(authorization)
        return Caller(found.scope, found.arn, self._role, found.key_id)


def play(
    scene: Callable[[Wire, Scripted], Awaitable[None]],
    policy: Any = OPEN,
    role: Role = Role.ADMIN,
    **document: Any,
) -> None:
    async def main() -> None:
        invoker = Scripted()
        index = UrlIndex(Configs({"UrlId": ID, "AuthType": "NONE", **document}), OnePolicy(policy))
        gate = Gate(HostRules(), Believing(InRole(role)))
        urls = FunctionUrls(index, Exchange(invoker), gate, lambda: NOW)
        await scene(Wire(urls, 9000), invoker)

    asyncio.run(main())


def request(path: str = "/", body: bytes = b"", *lines: str, host: str = HOST) -> bytes:
    start = [f"POST {path} HTTP/1.1", f"Host: {host}", *lines, f"Content-Length: {len(body)}"]
    return "\r\n".join([*start, "", ""]).encode() + body


def signed_by(account: str) -> str:
    return f"Authorization: {authorization('us-east-1', 'lambda').replace('AK', account)}"


def test_a_known_url_is_invoked_in_the_call_that_brings_the_last_byte() -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        wire.send(request("/first"))
        first = await wire.answer()
        assert json.loads(first.body)["rawPath"] == "/first"
        wire.send(request("/second", b"x"))
        assert len(invoker.asked) == 2
        assert json.loads((await wire.answer()).body)["rawPath"] == "/second"

    play(scene)


def test_a_long_signed_body_is_proven_without_holding_others_up() -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        for _ in range(2):
            wire.send(request("/", b"x" * 100_000, signed_by(HERE.account)))
            assert (await wire.answer()).status == 200
        assert invoker.asked == [REF, REF]

    play(scene, AuthType="AWS_IAM")


@pytest.mark.parametrize(
    ("role", "account", "policy", "status"),
    [
        (Role.ADMIN, HERE.account, {}, 200),
        (Role.INVOKER, HERE.account, {}, 200),
        (Role.VIEWER, HERE.account, {}, 403),
        (Role.VIEWER, HERE.account, {"Statement": permission("*")}, 200),
        (Role.VIEWER, HERE.account, {"Statement": permission("*", {"AWS": HERE.account})}, 200),
        (Role.INVOKER, STRANGER, {}, 403),
        (Role.INVOKER, STRANGER, {"Statement": permission("*", {"AWS": STRANGER})}, 200),
        (Role.VIEWER, STRANGER, {"Statement": permission("*", {"AWS": STRANGER})}, 403),
        (Role.INVOKER, STRANGER, {"Statement": permission("InvokeFunctionUrl")}, 403),
        (Role.ADMIN, HERE.account, {"Statement": {**permission("*"), "Effect": "Deny"}}, 403),
    ],
)
def test_a_signed_caller_needs_the_policy_or_a_role_and_a_stranger_both(
    role: Role, account: str, policy: Any, status: int
) -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        wire.send(request("/", b"", signed_by(account)))
        answer = await wire.answer()
        assert answer.status == status
        assert len(invoker.asked) == (status == 200)

    play(scene, policy, role, AuthType="AWS_IAM")


@pytest.mark.parametrize("line", ["X-Nothing: 1", "Authorization: Bearer AK:secret"])
def test_who_has_not_signed_is_forbidden_before_anything_is_read(line: str) -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        wire.send(request("/", b"", line))
        answer = await wire.answer()
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
        assert json.loads(answer.body)["Message"].startswith("Forbidden.")
        assert not invoker.asked

    play(scene, AuthType="AWS_IAM")


def test_a_body_that_no_event_can_hold_is_refused_and_not_kept() -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        wire.send(request("/", b"x" * (SYNC_PAYLOAD_LIMIT + 1)))
        answer = await wire.answer()
        assert answer.status == 413
        assert answer.headers["x-amzn-errortype"] == "RequestEntityTooLargeException"
        assert not invoker.asked

    play(scene)


def test_an_unknown_url_is_refused_on_both_ways_whatever_its_body() -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        for body in (b"", b"x" * 1000):  # looked up first, known to be none later
            wire.send(request("/", body, host=HOST.replace(ID, "b" * 32)))
            answer = await wire.answer()
            assert (answer.status, answer.body) == (403, b'{"Message":null}')
        assert not invoker.asked

    play(scene)


def test_answers_of_the_url_itself_tell_browsers_what_cors_allows() -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        del invoker
        wire.send(request("/", b"", "Origin: https://a.example"))
        answer = await wire.answer()
        assert answer.status == 403
        assert answer.headers["access-control-allow-origin"] == "https://a.example"

    play(scene, None, Cors=CORS)


def test_api_errors_have_their_codes_in_a_header() -> None:
    error: ApiError = TooManyRequestsException(ThrottleReason.RESERVED_CONCURRENT, retry_after_s=3)
    fields = dict(rules.error_response(error).fields)
    assert (fields["x-amzn-errortype"], fields["retry-after"]) == ("TooManyRequestsException", "3")
