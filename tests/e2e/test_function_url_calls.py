"""Function URLs as browsers, curl and signed clients call them, on a live server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import raw_http
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from functions_under_test import NODE, create, fresh_name
from signing import Key, client, locked_server, send, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPMessage

    from live import LiveServer
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

OWNER, STRANGER = "000000000000", "222222222222"
FORBIDDEN = {
    "Message": "Forbidden. For troubleshooting Function URL authorization issues, see:"
    " https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
}
ECHO = """
import base64, json
def handler(event, context):
    asked = event.get("queryStringParameters", {}).get("do")
    if asked == "raise":
        raise KeyError("mine")
    if asked == "hang":
        import time; time.sleep(30)
    if asked == "plain":
        return "hello"
    if asked == "nonsense":
        return {"statusCode": "many"}
    if asked == "long":
        return {"statusCode": 200, "body": "x" * 300_000}
    if asked == "binary":
        body = base64.b64encode(bytes(range(256))).decode()
        return {"statusCode": 200, "body": body, "isBase64Encoded": True,
                "headers": {"content-type": "image/png"}}
    return {"statusCode": 201, "body": json.dumps(event), "cookies": ["a=1", "b=2"],
            "headers": {"x-mine": "yes", "Access-Control-Allow-Origin": "https://mine.example",
                        "content-type": "application/json"}}
"""
STREAMS = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const metadata = { statusCode: 202, headers: { "x-mine": "1", "content-type": "text/plain" } };
  stream = awslambda.HttpResponseStream.from(stream, metadata);
  for (let i = 0; i < 3; i++) {
    stream.write(`piece ${i};`);
    await new Promise((done) => setTimeout(done, 20));
  }
  stream.end();
});
"""


class Url:
    """A function URL of a live server."""

    def __init__(
        self, server: LiveServer, name: str, api: LambdaClient | None = None, **members: Any
    ) -> None:
        self.server, self.name = server, name
        self.api = api or server.client()
        self.qualifier = {k: v for k, v in members.items() if k == "Qualifier"}
        made: Any = self.api.create_function_url_config(
            FunctionName=name, **{"AuthType": "NONE", **members}
        )
        self.host = urlsplit(made["FunctionUrl"]).netloc
        self.id = self.host.partition(".")[0]

    def allow(self, principal: str = "*", *, auth_type: str = "NONE", via: bool = True) -> Url:
        """Let a principal call it: give both permissions, or the first alone."""
        self.api.add_permission(
            FunctionName=self.name,
            StatementId=fresh_name(),
            Action="lambda:InvokeFunctionUrl",
            Principal=principal,
            FunctionUrlAuthType=auth_type,  # type: ignore[arg-type]
            **self.qualifier,
        )
        return self.allow_invoke(principal) if via else self

    def allow_invoke(self, principal: str = "*") -> Url:
        """Give the second permission."""
        self.api.add_permission(
            FunctionName=self.name,
            StatementId=fresh_name(),
            Action="lambda:InvokeFunction",
            Principal=principal,
            InvokedViaFunctionUrl=True,
            **self.qualifier,
        )
        return self

    def call(
        self, path: str = "/", method: str = "GET", body: bytes = b"", **headers: str
    ) -> tuple[int, HTTPMessage, bytes]:
        """One request, to its host."""
        return raw_http.request(self.server, method, path, body, **{"Host": self.host, **headers})

    def signed(
        self, who: str | Key, path: str = "/", body: bytes = b"", service: str = "lambda"
    ) -> tuple[int, HTTPMessage, bytes]:
        """One request that an account, or a key, signs."""
        key = Key(who, "secret") if isinstance(who, str) else who
        request = AWSRequest("POST", f"http://{self.host}{path}", data=body)
        SigV4Auth(Credentials(key.id, key.secret), service, "us-east-1").add_auth(request)
        headers = {name.replace("-", "_"): value for name, value in request.headers.items()}
        return self.call(path, "POST", body, **headers)


@pytest.fixture(scope="module")
def name(process_server: LiveServer) -> str:
    return create(process_server.client(), ECHO, Timeout=2)


@pytest.fixture(scope="module")
def public(process_server: LiveServer, name: str) -> Url:
    return Url(process_server, name).allow()


def aliased(server: LiveServer, name: str) -> str:
    """A new alias of a function."""
    api = server.client()
    version = api.publish_version(FunctionName=name)["Version"]
    alias = fresh_name()
    api.create_alias(FunctionName=name, Name=alias, FunctionVersion=version)
    return alias


def event_of(answer: tuple[int, Any, bytes]) -> Any:
    assert answer[0] == 201, answer[2]
    return json.loads(answer[2])


def test_a_request_becomes_an_event_and_a_result_a_response(public: Url) -> None:
    status, headers, body = public.call(
        "/a%20b/c?x=1&x=2&y", "POST", b"text", Content_Type="text/plain", Cookie="k=v; l=w"
    )
    assert (status, headers["x-mine"]) == (201, "yes")
    assert headers.get_all("set-cookie") == ["a=1", "b=2"]
    event = json.loads(body)
    assert (event["version"], event["routeKey"]) == ("2.0", "$default")
    assert (event["rawPath"], event["rawQueryString"]) == ("/a%20b/c", "x=1&x=2&y")
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert (event["body"], event["isBase64Encoded"]) == ("text", False)
    assert event["cookies"] == ["k=v", "l=w"]
    context = event["requestContext"]
    assert context["apiId"] == context["domainPrefix"] == public.id
    assert context["domainName"] == public.host.partition(":")[0]
    assert (context["stage"], context["routeKey"]) == ("$default", "$default")
    assert (context["accountId"], context["authentication"]) == ("anonymous", None)
    assert "authorizer" not in context
    assert context["http"]["method"] == "POST"
    assert context["http"]["sourceIp"] == "127.0.0.1"
    assert context["requestId"] == headers["x-amzn-requestid"]


def test_a_path_names_a_url_too_and_is_taken_off(public: Url) -> None:
    for path, seen in (("/x/y", "/x/y"), ("/", "/"), ("", "/")):
        answer = raw_http.request(public.server, "GET", f"/lambda-url/{public.id}{path}?q=1")
        event = event_of(answer)
        assert (event["rawPath"], event["rawQueryString"]) == (seen, "q=1")
        assert event["requestContext"]["http"]["path"] == seen
        assert event["requestContext"]["domainPrefix"] == public.id


@pytest.mark.parametrize(
    ("do", "status", "body", "content_type"),
    [
        ("raise", 502, b"Internal Server Error", "application/json"),
        ("nonsense", 502, b"Internal Server Error", "application/json"),
        ("hang", 504, b"Gateway Timeout", "application/json"),
        ("plain", 200, b"hello", "application/json"),
        ("long", 200, b"x" * 300_000, "application/json"),
        ("binary", 200, bytes(range(256)), "image/png"),
    ],
)
def test_results_and_failures_have_the_form_of_function_urls(
    public: Url, do: str, status: int, body: bytes, content_type: str
) -> None:
    answer = public.call(f"/?do={do}")
    assert (answer[0], answer[2], answer[1]["content-type"]) == (status, body, content_type)


def test_a_binary_body_arrives_whole_and_a_too_long_one_is_refused(public: Url) -> None:
    event = event_of(public.call("/", "PUT", b"\xff\x00", Content_Type="image/png"))
    assert (event["body"], event["isBase64Encoded"]) == ("/wA=", True)
    for size in (5 * 1024 * 1024, 7 * 1024 * 1024):  # as base64 the first is too long as well
        status, headers, _ = public.call("/", "POST", b"x" * size, Content_Type="image/png")
        assert status == 413
        assert headers["x-amzn-errortype"].startswith("Request")


@pytest.mark.parametrize(
    "host",
    [
        "0123456789abcdefghijklmnopqrstuv.lambda-url.us-east-1.localhost",
        "{id}.lambda-url.eu-west-1.localhost",
    ],
)
def test_an_unknown_url_is_forbidden_without_a_word(public: Url, host: str) -> None:
    status, headers, body = public.call(Host=host.format(id=public.id))
    assert (status, body) == (403, b'{"Message":null}')
    assert headers["x-amzn-ErrorType"] == "AccessDeniedException"
    assert headers["content-type"] == "application/json"


def test_anybody_is_let_in_by_two_permissions_only(process_server: LiveServer) -> None:
    url = Url(process_server, create(process_server.client(), ECHO))
    status, headers, body = url.call()
    assert (status, json.loads(body)) == (403, FORBIDDEN)
    assert headers["x-amzn-ErrorType"] == "AccessDeniedException"
    assert url.allow(via=False).call()[0] == 403
    assert url.allow_invoke().call()[0] == 201
    url.api.update_function_url_config(FunctionName=url.name, AuthType="AWS_IAM")
    assert url.call()[0] == 403


def test_the_second_permission_is_for_urls_alone(process_server: LiveServer, name: str) -> None:
    arn = process_server.client().get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    stranger = process_server.client(STRANGER)
    with pytest.raises(stranger.exceptions.ClientError, match="not authorized to perform"):
        stranger.invoke(FunctionName=arn)


def test_a_signed_caller_is_let_in_by_its_account_or_by_the_policy(
    process_server: LiveServer, name: str
) -> None:
    url = Url(process_server, name, AuthType="AWS_IAM", Qualifier=aliased(process_server, name))
    status, _, body = url.call()
    assert (status, json.loads(body)) == (403, FORBIDDEN)
    context = event_of(url.signed(OWNER, "/p?a=b", b"{}"))["requestContext"]
    assert context["accountId"] == OWNER
    assert context["authorizer"]["iam"] == {
        "accessKey": OWNER,
        "accountId": OWNER,
        "callerId": OWNER,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": f"arn:aws:iam::{OWNER}:root",
        "userId": OWNER,
    }
    assert json.loads(url.signed(STRANGER)[2]) == FORBIDDEN
    url.allow(STRANGER, auth_type="NONE")
    assert url.signed(STRANGER)[0] == 403  # that was for another kind of URL
    url.allow(STRANGER, auth_type="AWS_IAM", via=False)
    context = event_of(url.signed(STRANGER))["requestContext"]
    assert context["authorizer"]["iam"]["accountId"] == STRANGER
    status, headers, _ = url.signed(OWNER, service="execute-api")
    assert (status, headers["x-amzn-errortype"]) == (403, "InvalidSignatureException")


def test_a_denial_in_the_policy_holds_for_the_owner_too(process_server: LiveServer) -> None:
    api = process_server.client()
    url = Url(process_server, create(api, ECHO), AuthType="AWS_IAM")
    assert url.signed(OWNER)[0] == 201
    arn = api.get_function(FunctionName=url.name)["Configuration"]["FunctionArn"]
    denial = {"Effect": "Deny", "Principal": "*", "Action": "lambda:*", "Resource": arn}
    api.put_resource_policy(ResourceArn=arn, Policy=json.dumps({"Statement": denial}))
    assert json.loads(url.signed(OWNER)[2]) == FORBIDDEN


def test_a_url_outlives_its_alias_and_lets_nobody_in(process_server: LiveServer, name: str) -> None:
    alias = aliased(process_server, name)
    url = Url(process_server, name, Qualifier=alias).allow()
    assert url.call()[0] == 201
    url.api.delete_alias(FunctionName=name, Name=alias)
    status, _, body = url.call()
    assert (status, json.loads(body)) == (403, FORBIDDEN)


def test_a_deleted_url_is_gone_at_once(process_server: LiveServer) -> None:
    url = Url(process_server, create(process_server.client(), ECHO)).allow()
    assert url.call()[0] == 201
    url.api.delete_function_url_config(FunctionName=url.name)
    assert url.call()[2] == b'{"Message":null}'


def test_a_throttled_function_answers_429(process_server: LiveServer) -> None:
    url = Url(process_server, create(process_server.client(), ECHO)).allow()
    url.api.put_function_concurrency(FunctionName=url.name, ReservedConcurrentExecutions=0)
    status, headers, body = url.call()
    assert (status, headers["x-amzn-errortype"]) == (429, "TooManyRequestsException")
    assert json.loads(body)["message"] == "Rate Exceeded."


def test_cors_is_answered_by_the_url_and_not_by_the_function(
    process_server: LiveServer, name: str
) -> None:
    cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["PUT"], "MaxAge": 60}
    url = Url(process_server, name, Qualifier=aliased(process_server, name), Cors=cors).allow()
    asks = {"Origin": "https://a.example", "Access_Control_Request_Method": "PUT"}
    status, headers, body = url.call("/", "OPTIONS", b"", **asks)
    assert (status, body) == (200, b"")
    assert headers["access-control-allow-origin"] == "https://a.example"
    assert headers["access-control-allow-methods"] == "PUT"
    assert headers["access-control-max-age"] == "60"
    _, headers, _ = url.call(Origin="https://a.example")
    assert headers.get_all("access-control-allow-origin") == ["https://a.example"]
    _, headers, _ = url.call(Origin="https://b.example")
    assert headers["access-control-allow-origin"] is None


def test_without_cors_settings_a_preflight_goes_to_the_function(public: Url) -> None:
    asks = {"Origin": "https://a.example", "Access_Control_Request_Method": "PUT"}
    answer = public.call("/", "OPTIONS", b"", **asks)
    assert event_of(answer)["requestContext"]["http"]["method"] == "OPTIONS"
    assert answer[1]["access-control-allow-origin"] == "https://mine.example"


def test_a_url_that_streams_hands_a_result_on_as_it_is(
    process_server: LiveServer, name: str
) -> None:
    alias = aliased(process_server, name)
    url = Url(process_server, name, Qualifier=alias, InvokeMode="RESPONSE_STREAM").allow()
    status, _, body = url.call()
    assert status == 200
    assert json.loads(body)["statusCode"] == 201


@pytest.mark.parametrize("mode", ["RESPONSE_STREAM", "BUFFERED"])
def test_a_streamed_response_has_status_and_headers_of_its_prelude(
    process_server: LiveServer, mode: str
) -> None:
    name = create(process_server.client(), STREAMS, Runtime=NODE)
    url = Url(process_server, name, InvokeMode=mode).allow()
    status, headers, body = url.call()
    assert (status, headers["x-mine"], body) == (202, "1", b"piece 0;piece 1;piece 2;")
    assert (headers["transfer-encoding"] == "chunked") is (mode == "RESPONSE_STREAM")


# ------------------------------------------------------------------------ signatures verified


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Url, Key, Key]]:
    """A URL for signed callers on a server that verifies, its admin's key and a viewer's."""
    with locked_server(tmp_path_factory.mktemp("locked")) as (server, admin):
        body = json.dumps({"user_name": "eve", "role": "viewer"}).encode()
        made = raw_http.request(server, "POST", "/api/admin/keys", body, **admin.bearer)[2]
        found = json.loads(made)
        viewer = Key(found["access_key_id"], found["secret_access_key"])
        api = client(server, admin)
        yield Url(server, create(api, ECHO), api, AuthType="AWS_IAM"), admin, viewer


def test_a_right_signature_comes_in_by_host_and_by_path(locked: tuple[Url, Key, Key]) -> None:
    url, admin, _ = locked
    iam = event_of(url.signed(admin, "/a%20b?x=1%2F2", b"{}"))["requestContext"]["authorizer"][
        "iam"
    ]
    assert iam["accessKey"] == admin.id
    assert iam["userArn"] == f"arn:aws:iam::{OWNER}:user/root"
    assert iam["userId"].startswith("AIDA")
    answer = send(url.server, signed(url.server, admin, "POST", f"/lambda-url/{url.id}/p", b"{}"))
    assert event_of((answer.status, answer.headers, answer.body))["rawPath"] == "/p"
    long = url.signed(admin, "/", b"x" * 100_000)
    assert event_of(long)["requestContext"]["authorizer"]["iam"]["accessKey"] == admin.id


def test_a_wrong_signature_does_not(locked: tuple[Url, Key, Key]) -> None:
    url, admin, _ = locked
    status, headers, body = url.signed(Key(admin.id, "guessed"))
    assert (status, headers["x-amzn-ErrorType"]) == (403, "InvalidSignatureException")
    assert json.loads(body)["message"].startswith("The request signature we calculated")
    spoilt = signed(url.server, admin, "POST", f"/lambda-url/{url.id}/", b"{}")
    assert send(url.server, spoilt, body=b"[]").status == 403
    assert send(url.server, spoilt, path=f"/lambda-url/{url.id}/other").status == 403
    status, headers, _ = url.signed(Key("AKIANOBODY0000000000", "secret"))
    assert (status, headers["x-amzn-ErrorType"]) == (403, "UnrecognizedClientException")


@pytest.mark.parametrize("path", ["/", "/?X-Amz-Signature=x", "/?X-Amz-Signature=x&X-Amz-Date=y"])
def test_a_token_is_no_signature(locked: tuple[Url, Key, Key], path: str) -> None:
    url, admin, _ = locked
    for headers in ({}, admin.bearer):
        assert url.call(path, "GET", b"", **headers)[0] == 403


def test_a_role_without_the_action_needs_the_policy(locked: tuple[Url, Key, Key]) -> None:
    url, _, viewer = locked
    assert json.loads(url.signed(viewer)[2]) == FORBIDDEN
    url.allow(f"arn:aws:iam::{OWNER}:root", auth_type="AWS_IAM")
    assert json.loads(url.signed(viewer)[2]) == FORBIDDEN  # that leaves it to the account
    url.allow(f"arn:aws:iam::{OWNER}:user/eve", auth_type="AWS_IAM")
    assert event_of(url.signed(viewer))["requestContext"]["accountId"] == OWNER


def test_a_public_url_needs_no_key_even_there(locked: tuple[Url, Key, Key]) -> None:
    url, admin, _ = locked
    api = client(url.server, admin)
    public = Url(url.server, create(api, ECHO), api)
    assert json.loads(public.call()[2]) == FORBIDDEN
    context = event_of(public.allow().call(Authorization="Bearer mine"))["requestContext"]
    assert context["accountId"] == "anonymous"
