"""`access.auth = "sigv4"`: row 37 of the contract, roles, tokens, sessions and limits of keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from functions_under_test import PYTHON, create, fresh_name
from live import ROLE, LiveServer, zip_of
from observing import below
from polling import refusal, states_until
from raw_http import FUNCTIONS, invocations, request
from signing import Answer, Key, client, first_key, locked_server, presigned, send, signed

pytestmark = pytest.mark.process

ECHO = "def handler(event, context):\n    return event\n"
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS"
    " Secret Access Key and signing method. Consult the service documentation for details."
)
Locked = tuple[LiveServer, Key]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    with locked_server(tmp_path_factory.mktemp("locked")) as found:
        yield found


@pytest.fixture(scope="module")
def name(locked: Locked) -> str:
    server, key = locked
    return create(client(server, key), ECHO)


def admin(server: LiveServer, key: Key, method: str, path: str, body: Any = None) -> Answer:
    data = b"" if body is None else json.dumps(body).encode()
    return Answer(*request(server, method, path, data, **key.bearer))


def key_of(locked: Locked, role: str, **more: Any) -> Key:
    server, root = locked
    made = admin(
        server, root, "POST", "/api/admin/keys", {"user_name": f"a-{role}", "role": role, **more}
    )
    assert made.status == 201, made.body
    document = json.loads(made.body)
    return Key(document["access_key_id"], document["secret_access_key"])


# ------------------------------------------------------------------------------------ signatures


def test_whoever_signs_rightly_comes_in(locked: Locked, name: str) -> None:
    server, key = locked
    lambda_ = client(server, key)
    assert lambda_.invoke(FunctionName=name, Payload=b'{"a": 1}')["Payload"].read() == b'{"a": 1}'
    events = lambda_.invoke_with_response_stream(FunctionName=name, Payload=b"[2]")["EventStream"]
    chunks = [event["PayloadChunk"]["Payload"] for event in events if "PayloadChunk" in event]
    assert b"".join(chunks) == b"[2]"
    assert name in [one["FunctionName"] for one in lambda_.list_functions()["Functions"]]
    arn = lambda_.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    assert lambda_.get_function(FunctionName=arn)["Configuration"]["FunctionName"] == name
    assert lambda_.list_tags(Resource=arn)["Tags"] == {}


@pytest.mark.parametrize("path", ["list", "invoke", "stream", "create", "admin"])
def test_nobody_comes_in_without_a_signature(locked: Locked, name: str, path: str) -> None:
    server, _ = locked
    method, where = {
        "list": ("GET", FUNCTIONS),
        "invoke": ("POST", invocations(name)),
        "stream": ("POST", f"/2021-11-15/functions/{name}/response-streaming-invocations"),
        "create": ("POST", FUNCTIONS),
        "admin": ("GET", "/api/admin/keys"),
    }[path]
    answer = Answer(*request(server, method, where, b"{}"))
    assert answer.error == (
        403,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )


SPOILT: dict[str, dict[str, Any]] = {
    "altered body": {"body": b'{"a": 2}'},
    "body taken away": {"body": b""},
    "another path": {"path": invocations("other")},
    "another query": {"path": "{path}?Qualifier=1"},
    "another method": {"method": "PUT"},
    "another host": {"headers": {"Host": "localhost"}},
    "unsigned header": {"headers": {"X-Amz-Invocation-Type": "Event"}},
    "a byte of the signature": {"cut": 1},
}


@pytest.mark.parametrize("how", [*SPOILT, "wrong secret"])
def test_what_was_not_signed_so_is_refused(locked: Locked, name: str, how: str) -> None:
    server, key = locked
    path = invocations(name)
    signer = Key(key.id, "x" * 40) if how == "wrong secret" else key
    good = signed(server, signer, "POST", path, b'{"a": 1}')
    changed = dict(SPOILT.get(how, {}))
    if changed.pop("cut", 0):
        changed["headers"] = {"Authorization": good.headers["Authorization"][:-1]}
    if "path" in changed:
        changed["path"] = changed["path"].format(path=path)
    answer = send(server, good, **changed)
    assert answer.status == 403, answer.body
    if how in ("unsigned header", "a byte of the signature"):
        assert answer.error[1] in ("InvalidSignatureException", "IncompleteSignatureException")
    else:
        assert answer.error == (403, "InvalidSignatureException", MISMATCH)


def test_a_key_that_nobody_made_is_unknown(locked: Locked) -> None:
    server, key = locked
    answer = send(server, signed(server, Key("AKIA" + "A" * 16, key.secret), "GET", FUNCTIONS))
    assert answer.error == (
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )


@pytest.mark.parametrize(("minutes", "word"), [(-6, "expired"), (6, "not yet current")])
def test_a_clock_that_is_wrong_by_more_than_five_minutes_is_refused(
    locked: Locked, minutes: int, word: str
) -> None:
    server, key = locked
    shift = timedelta(minutes=minutes)
    status, code, text = send(server, signed(server, key, "GET", FUNCTIONS, shift=shift)).error
    assert (status, code) == (403, "InvalidSignatureException")
    assert word in text
    near = timedelta(minutes=minutes * 4 / 6)
    assert send(server, signed(server, key, "GET", FUNCTIONS, shift=near)).status == 200


def test_a_request_must_name_its_host(locked: Locked) -> None:
    server, key = locked
    good = signed(server, key, "GET", FUNCTIONS)
    without = re.sub("host;", "", good.headers["Authorization"])
    assert send(server, good, headers={"Authorization": without}).status == 403
    assert send(server, good, headers={"Host": None}).status == 400


def test_a_presigned_url_serves_until_it_expires_and_for_nothing_else(locked: Locked) -> None:
    server, key = locked
    url = presigned(server, key, FUNCTIONS)
    assert request(server, "GET", url)[0] == 200
    assert request(server, "GET", url.replace("Expires=60", "Expires=61"))[0] == 403
    assert request(server, "DELETE", url)[0] == 403
    old = presigned(server, key, FUNCTIONS, shift=timedelta(seconds=-61))
    status, code, text = Answer(*request(server, "GET", old)).error
    assert (status, code) == (403, "InvalidSignatureException")
    assert "expired" in text


def test_a_large_body_is_verified_too(locked: Locked, name: str) -> None:
    server, key = locked
    body = json.dumps("x" * 4_000_000).encode()
    good = signed(server, key, "POST", invocations(name), body)
    assert send(server, good).status == 200
    assert send(server, good, body=body.replace(b"xx", b"xy", 1)).status == 403


# ------------------------------------------------------------------------------------------ roles

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "list": ("list_functions", {}),
    "invoke": ("invoke", {}),
    "update": ("update_function_configuration", {"Description": "new"}),
    "delete": ("delete_function_concurrency", {}),
}
ROLES = {
    "admin": {"list", "invoke", "update", "delete", "routes", "make route", "keys", "secrets"},
    "deployer": {"list", "invoke", "update", "delete", "routes", "make route", "secrets"},
    "invoker": {"invoke"},
    "viewer": {"list", "routes", "secrets"},
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_it_is_for_and_nothing_else(
    locked: Locked, name: str, role: str
) -> None:
    server, _ = locked
    key = key_of(locked, role)
    lambda_ = client(server, key)
    may = set()
    for call, (operation, members) in CALLS.items():
        named = {} if call == "list" else {"FunctionName": name}
        try:
            getattr(lambda_, operation)(**named, **members)
            may.add(call)
        except lambda_.exceptions.ClientError as error:
            refused: Any = error.response
            assert refused["Error"]["Code"] == "AccessDeniedException", refused
            assert "is not authorized to perform: lambda:" in refused["Error"]["Message"]
            assert f"user/a-{role}" in refused["Error"]["Message"]
    route = {"path": f"/{fresh_name()}", "function_name": name}
    for call, (method, path, body) in {
        "routes": ("GET", "/api/admin/api-gateway/routes", None),
        "make route": ("POST", "/api/admin/api-gateway/routes", route),
        "keys": ("GET", "/api/admin/keys", None),
        "secrets": ("GET", "/api/admin/secrets", None),
    }.items():
        if admin(server, key, method, path, body).status < 300:
            may.add(call)
    assert may == ROLES[role]


def test_every_path_of_the_admin_api_asks_who_comes(locked: Locked) -> None:
    server, _ = locked
    for path in (
        "/api/admin/spares",
        "/api/admin/anything",
        "/admin/secrets",
        "/api/x",
        "/admin/",
        "/%61pi/admin/keys",
        "/api%2Fadmin/keys",
        "/%61dmin/secrets",
    ):
        for method in ("GET", "POST", "PUT", "DELETE"):
            assert request(server, method, path, b"{}")[0] == 403, (method, path)


def test_the_health_check_asks_nobody(locked: Locked) -> None:
    assert request(locked[0], "GET", "/healthz")[0] == 200


# --------------------------------------------------------------------------- tokens, sessions, keys


def test_a_deleted_or_disabled_key_is_refused_at_once(locked: Locked) -> None:
    server, root = locked
    for method, body in (("DELETE", None), ("PUT", {"enabled": False})):
        key = key_of(locked, "viewer")
        assert admin(server, key, "GET", "/api/admin/secrets").status == 200
        changed = admin(server, root, method, f"/api/admin/keys/{key.id}", body)
        assert changed.status in (200, 204)
        assert admin(server, key, "GET", "/api/admin/secrets").status == 403
        assert send(server, signed(server, key, "GET", FUNCTIONS)).status == 403


def serve(server: LiveServer, key: Key) -> None:
    """Wait until a running server has noticed a key that another process has made."""
    states_until(
        lambda: str(send(server, signed(server, key, "GET", FUNCTIONS)).status), "200", "asked"
    )


def test_a_key_made_by_the_command_line_serves_while_the_server_runs(locked: Locked) -> None:
    server, _ = locked
    key = first_key(server.data_dir, "viewer", "late")
    serve(server, key)


def test_a_session_serves_the_apis_until_it_is_closed(locked: Locked) -> None:
    server, root = locked
    wrong = {"access_key_id": root.id, "secret_access_key": "x" * 40}
    login = "/api/admin/session"
    assert request(server, "POST", login, json.dumps(wrong).encode())[0] == 403
    right = json.dumps({**wrong, "secret_access_key": root.secret}).encode()
    status, headers, _ = request(server, "POST", login, right)
    assert status == 204
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert root.secret not in cookie
    given = cookie.partition(";")[0]
    assert request(server, "GET", FUNCTIONS, Cookie=given)[0] == 200
    assert request(server, "GET", "/api/admin/keys", Cookie=given)[0] == 200
    # A page of another site that the browser sends the cookie with.
    assert request(server, "GET", FUNCTIONS, Cookie=given, Origin="http://evil.example")[0] == 403
    assert request(server, "POST", login, right, Origin="http://evil.example")[0] == 403
    assert request(server, "DELETE", login, Cookie=given)[0] == 204
    assert request(server, "GET", FUNCTIONS, Cookie=given)[0] == 403


def test_a_key_with_a_limit_gets_429_beyond_it(locked: Locked, name: str) -> None:
    server, _ = locked
    key = key_of(locked, "invoker", requests_per_second=10)
    first, second = (
        send(server, signed(server, key, "POST", invocations(name), b"{}")) for _ in range(2)
    )
    assert first.status == 200
    assert second.status == 429
    assert json.loads(second.body)["Reason"] == "CallerRateLimitExceeded"
    assert second.headers["Retry-After"]


def test_functions_by_path_ask_for_a_signature_and_public_routes_do_not(
    locked: Locked, name: str
) -> None:
    server, root = locked
    assert request(server, "GET", f"/{name}")[0] == 403
    assert (
        send(server, signed(server, root, "GET", f"/{name}", service="execute-api")).status == 200
    )
    viewer = key_of(locked, "viewer")
    refused = send(server, signed(server, viewer, "GET", f"/{name}", service="execute-api"))
    assert refused.status == 403
    public = {"path": "/public", "function_name": name, "authorization": "NONE"}
    assert admin(server, root, "POST", "/api/admin/api-gateway/routes", public).status == 201
    assert request(server, "GET", "/public/x")[0] == 200
    private = {"path": "/private", "function_name": name}
    assert admin(server, root, "POST", "/api/admin/api-gateway/routes", private).status == 201
    assert request(server, "GET", "/private/x")[0] == 403


def test_changes_and_refusals_are_in_the_audit_log_and_secrets_are_not(
    locked: Locked, name: str
) -> None:
    server, root = locked
    viewer = key_of(locked, "viewer")
    assert refusal(client(server, viewer).delete_function, FunctionName=name)[0] == 403
    client(server, root).put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
    answer = admin(server, root, "GET", "/api/admin/audit")
    assert answer.status == 200, answer.body
    lines = json.loads(answer.body)["entries"]
    deeds = {
        (line["action"], line["outcome"], line["principal"].partition("/")[2]) for line in lines
    }
    assert ("DeleteFunction", "denied", "a-viewer") in deeds
    assert ("PutFunctionConcurrency", "allowed", "root") in deeds
    assert ("keys:write", "allowed", "root") in deeds
    whole = answer.body + (server.data_dir / "audit.log").read_bytes()
    for key in (root, viewer):
        assert key.secret.encode() not in whole


def test_the_secrets_of_keys_are_nowhere_on_the_disk_in_clear(locked: Locked) -> None:
    server, root = locked
    files = [path for path in below(server.data_dir) if path.is_file()]
    assert files
    for path in files:
        with suppress(FileNotFoundError):  # it was there for a moment only
            assert root.secret.encode() not in path.read_bytes(), path
    assert root.secret not in "".join(server.output)


def test_without_keys_of_its_own_another_account_sees_nothing_of_this_one(
    locked: Locked, name: str
) -> None:
    server, _ = locked
    other = first_key(server.data_dir, "admin", "other", "--account", "222222222222")
    serve(server, other)
    lambda_ = client(server, other)
    assert lambda_.list_functions()["Functions"] == []
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert refusal(lambda_.invoke, FunctionName=arn)[:2] == (403, "AccessDeniedException")
    client(server, locked[1]).add_permission(
        FunctionName=name,
        StatementId="other",
        Action="lambda:InvokeFunction",
        Principal="222222222222",
    )
    assert lambda_.invoke(FunctionName=arn, Payload=b"7")["Payload"].read() == b"7"
    assert refusal(lambda_.delete_function, FunctionName=arn)[:2] == (403, "AccessDeniedException")


def test_an_open_address_needs_authentication(tmp_path: Any) -> None:
    flags = ("--sandbox", "process", "--data-dir", str(tmp_path), "--host", "0.0.0.0")
    with pytest.raises(RuntimeError, match=r"access\.auth"):
        LiveServer(*flags).__enter__()
    with LiveServer(*flags, environment={"LAMBDA_HOME_ACCESS__AUTH": "sigv4"}) as server:
        port = server.url.rpartition(":")[2]
        server.facts["user API"] = f"http://127.0.0.1:{port}"
        assert request(server, "GET", FUNCTIONS)[0] == 403


def test_a_create_is_not_half_done_for_whom_may_not(locked: Locked) -> None:
    server, root = locked
    invoker = key_of(locked, "invoker")
    status, code, _ = refusal(
        client(server, invoker).create_function,
        FunctionName="never",
        Runtime=PYTHON,
        Handler="a.b",
        Role=ROLE,
        Code={"ZipFile": zip_of({"a.py": "b = None"})},
    )
    assert (status, code) == (403, "AccessDeniedException")
    names = [one["FunctionName"] for one in client(server, root).list_functions()["Functions"]]
    assert "never" not in names


ASK = """
import json, os, urllib.error, urllib.request
import boto3

def handler(event, context):
    if event == "credentials":
        return {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    client = boto3.client("lambda")
    found = {}
    for call in ("invoke", "delete_function"):
        try:
            answer = getattr(client, call)(FunctionName=event["name"])
            found[call] = answer["ResponseMetadata"]["HTTPStatusCode"]
        except client.exceptions.ClientError as error:
            found[call] = error.response["Error"]["Code"]
    return found
"""


def test_a_function_has_credentials_of_its_own_that_end_with_its_environment(
    locked: Locked, name: str
) -> None:
    server, root = locked
    lambda_ = client(server, root)
    asking = create(lambda_, ASK, Timeout=30)

    def ask(event: Any) -> Any:
        answer = lambda_.invoke(FunctionName=asking, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    assert ask({"name": name}) == {"invoke": 200, "delete_function": "AccessDeniedException"}
    variables = ask("credentials")
    key = Key(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    theirs = client(server, key, aws_session_token=variables["AWS_SESSION_TOKEN"])
    assert theirs.invoke(FunctionName=name)["StatusCode"] == 200
    assert refusal(client(server, key).invoke, FunctionName=name)[1] == (
        "UnrecognizedClientException"  # without the token
    )
    lambda_.delete_function(FunctionName=asking)
    states_until(lambda: "over" if ended(theirs, name) else "good", "over", "asked")


def ended(theirs: Any, name: str) -> bool:
    try:
        theirs.invoke(FunctionName=name)
    except theirs.exceptions.ClientError as error:
        code: str = error.response["Error"]["Code"]
        return code == "ExpiredTokenException"
    return False
