"""What a page of another site can do to a server on this machine: nothing, unless it is let in.

Row 36 of the contract, with a real browser and by hand.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import Pages, site
from functions_under_test import create, fresh_name
from live import ROLE, LiveServer, zip_of
from raw_http import FUNCTIONS, invocations, request

pytestmark = [pytest.mark.process]

COUNT = """
import json, os
def handler(event, context):
    return {"statusCode": 200, "headers": {"x-told": "1"}, "body": "told " + str(event.get("body"))}
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    with site(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer("--sandbox", "process", "--ephemeral") as live:
        yield live


@pytest.fixture(scope="module")
def name(server: LiveServer) -> str:
    return create(server.client(), COUNT)


def new_function(name: str) -> str:
    code = base64.b64encode(zip_of({"lambda_function.py": "handler = None"})).decode()
    return json.dumps(
        {
            "FunctionName": name,
            "Runtime": "python3.11",
            "Handler": "lambda_function.handler",
            "Role": ROLE,
            "Code": {"ZipFile": code},
        }
    )


@pytest.mark.browser
def test_a_page_of_another_site_can_neither_read_nor_write(
    pages: Pages, server: LiveServer, name: str
) -> None:
    planted = fresh_name("planted")
    plain = {"method": "POST", "headers": {"Content-Type": "text/plain"}}
    functions = server.url + FUNCTIONS
    found = pages.fetch(
        {
            "list": (functions, {}),
            "list unread": (functions, {"mode": "no-cors"}),
            "create": (functions, {**plain, "body": new_function(planted)}),
            "create unread": (
                functions,
                {**plain, "mode": "no-cors", "body": new_function(planted)},
            ),
            "invoke": (server.url + invocations(name), {**plain, "body": "{}"}),
            "delete": (f"{functions}/{name}", {"method": "DELETE"}),
            "secret": (
                server.url + "/api/admin/secrets",
                {**plain, "mode": "no-cors", "body": '{"name": "planted", "value": "x"}'},
            ),
            "implicit": (f"{server.url}/{name}/x", {**plain, "body": "x"}),
        }
    )
    assert {
        key: value for key, value in found.items() if value not in ("TypeError", "opaque")
    } == {}
    names = [one["FunctionName"] for one in server.client().list_functions()["Functions"]]
    assert name in names
    assert planted not in names
    assert b"planted" not in request(server, "GET", "/api/admin/secrets")[2]


@pytest.mark.browser
def test_routes_and_function_urls_follow_their_own_cors(
    pages: Pages, server: LiveServer, name: str
) -> None:
    client = server.client()
    route = {
        "path": "/open",
        "function_name": name,
        "cors": {"allow_origins": [pages.origin], "allow_methods": ["*"]},
    }
    shut = {"path": "/shut", "function_name": name, "cors": {"allow_origins": ["http://a.example"]}}
    for document in (route, shut):
        status, _, body = request(
            server, "POST", "/api/admin/api-gateway/routes", json.dumps(document).encode()
        )
        assert status == 201, body
    url = client.create_function_url_config(
        FunctionName=name,
        AuthType="NONE",
        Cors={"AllowOrigins": [pages.origin], "AllowMethods": ["PUT"]},
    )["FunctionUrl"]
    grant(client, name)
    found = pages.fetch(
        {
            "route": (server.url + "/open/a", {"method": "PUT", "body": "me"}),
            "shut": (server.url + "/shut/a", {"method": "PUT", "body": "me"}),
            "url": (url, {"method": "PUT", "body": "me"}),
            "url, another method": (url, {"method": "DELETE"}),
        }
    )
    assert found == {
        "route": [200, "told me"],
        "shut": "TypeError",
        "url": [200, "told me"],
        "url, another method": "TypeError",
    }


def grant(client: Any, name: str) -> None:
    client.add_permission(
        FunctionName=name,
        StatementId="url",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    client.add_permission(
        FunctionName=name,
        StatementId="invoke",
        Action="lambda:InvokeFunction",
        Principal="*",
        InvokedViaFunctionUrl=True,
    )


@pytest.mark.browser
def test_a_site_that_the_settings_name_is_let_in(pages: Pages) -> None:
    origins = json.dumps([pages.origin])
    settings = {"LAMBDA_HOME_SERVER__ALLOWED_ORIGINS": origins}
    with LiveServer("--sandbox", "process", "--ephemeral", environment=settings) as live:
        found = pages.fetch({"list": (live.url + FUNCTIONS, {})})
        status, headers, _ = request(live, "GET", FUNCTIONS, Origin=pages.origin)
    assert found == {"list": [200, '{"Functions":[]}']}
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == pages.origin


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:9000"},
        {"Host": "localhost.evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Key": "AAAA"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", FUNCTIONS),
        ("POST", invocations("nobody")),
        ("POST", "/2021-11-15/functions/nobody/response-streaming-invocations"),
        ("GET", "/api/admin/spares"),
        ("POST", "/api/admin/secrets"),
        ("POST", "/nobody"),
    ],
)
def test_requests_of_other_sites_get_403_and_no_cors_headers(
    server: LiveServer, method: str, path: str, headers: dict[str, str]
) -> None:
    status, answered, body = request(server, method, path, b"{}", **headers)
    assert status == 403, body
    assert "Access-Control-Allow-Origin" not in answered
    assert b"\n" not in body.strip()


def test_no_answer_of_the_apis_lets_every_site_in(server: LiveServer, name: str) -> None:
    for method, path in (
        ("GET", FUNCTIONS),
        ("OPTIONS", FUNCTIONS),
        ("POST", invocations(name)),
        ("GET", "/api/admin/spares"),
        ("GET", "/healthz"),
        ("GET", "/nowhere"),
    ):
        answered = request(server, method, path)[1]
        assert answered.get("Access-Control-Allow-Origin") is None
        assert answered.get("Access-Control-Allow-Credentials") is None
