"""The path proxy with functions that run: what goes in and out, byte for byte."""

from __future__ import annotations

import http.client
import io
import json
import socket
import subprocess
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from functions_under_test import PYTHON, QUICK_WAITER, create
from live import ROLE, LiveServer
from raw_http import connect, dial, request

pytestmark = pytest.mark.process

ROUTES = "/api/admin/api-gateway/routes"
MB = 1024 * 1024
FRAMEWORK = (
    "annotated_doc",
    "annotated_types",
    "anyio",
    "fastapi",
    "idna",
    "mangum",
    "opentelemetry",
    "opentelemetry_api-*.dist-info",
    "pydantic",
    "pydantic_core",
    "starlette",
    "typing_inspection",
    "typing_extensions.py",
)
MANY = """
import base64, time

def do_echo(event):
    return {"statusCode": 200, "headers": {"content-type": "application/json"},
            "body": __import__("json").dumps(event)}

def do_reverse(event):
    body = event["body"]
    data = base64.b64decode(body) if event["isBase64Encoded"] else body.encode()
    return {"statusCode": 201, "headers": {"content-type": "image/x-odd"},
            "isBase64Encoded": True, "body": base64.b64encode(data[::-1]).decode()}

def do_length(event):
    body = event["body"] or ""
    return {"statusCode": 200, "body": str(len(body))}

def do_many(event):
    return {"statusCode": 200, "headers": {"x-number": 7, "x-flag": True},
            "multiValueHeaders": {"set-cookie": ["a=1; Path=/", "b=2"]}, "body": "ok"}

def do_cookies(event):
    return {"statusCode": 200, "cookies": ["a=1; Path=/", "b=2"], "body": "ok"}

def do_split(event):
    return {"statusCode": 200, "headers": {"x-bad": "a\\r\\nset-cookie: stolen=1"}, "body": "x"}

def do_frame(event):
    return {"statusCode": 200, "body": "abc",
            "headers": {"content-length": "1", "transfer-encoding": "chunked",
                        "connection": "close"}}

def do_text(event): return "plain"
def do_list(event): return [1, 2]
def do_body(event): return {"body": "just this"}
def do_status(event): return {"statusCode": "weird"}
def do_raise(event): raise KeyError("secret detail")
def do_sleep(event): time.sleep(30)
def do_large(event): return {"statusCode": 200, "body": "x" * 5_900_000}
def do_oversize(event): return {"statusCode": 200, "body": "x" * 7_000_000}

def handler(event, context):
    path = event["path"] if "path" in event else event["rawPath"]
    return globals()["do_" + (path.rsplit("/", 1)[-1] or "echo")](event)
"""
STREAM = """
import time
from awslambda import HttpResponseStream, streamify_response

@streamify_response
def handler(event, stream, context):
    what = event["rawPath"].rsplit("/", 1)[-1]
    if what == "plain":
        stream.set_content_type("text/event-stream")
    elif what != "early":
        stream = HttpResponseStream.from_(stream, {
            "statusCode": 206, "headers": {"x-mine": "1", "content-type": "text/plain"},
            "cookies": ["a=b", "c=d"]})
    if what == "early":
        raise KeyError("early")
    if what == "flood":
        began = time.monotonic()
        for _ in range(320):
            stream.write(b"y" * 65536)
        print("wrote for", time.monotonic() - began)
        return
    for piece in range(3):
        stream.write(f"piece {piece};")
        time.sleep(0.2)
        if what == "fails" and piece == 1:
            raise KeyError("midway")
"""
APP = """
from fastapi import FastAPI, Request, Response
from mangum import Mangum
from pydantic import BaseModel

app = FastAPI()

class Pet(BaseModel):
    name: str
    age: int = 1

@app.get("/shop/pets/{name}")
def pet(name: str, tag: list[str] | None = None, request: Request = None):
    return {"name": name, "tags": request.query_params.getlist("tag"),
            "cookie": request.cookies.get("seen"), "url": str(request.url)}

@app.post("/shop/pets", status_code=201)
def add(pet: Pet):
    return pet

@app.post("/shop/picture")
async def picture(request: Request):
    data = await request.body()
    response = Response(data[::-1], media_type="image/png")
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response

handler = Mangum(app, lifespan="off")
"""


def packed(source: str, packages: tuple[str, ...]) -> bytes:
    """A ZIP of a handler and of packages as they are installed for these tests."""
    installed = Path(sysconfig.get_path("purelib"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
        package.writestr("lambda_function.py", source)
        for top in [top for name in packages for top in installed.glob(name)]:
            for file in [top] if top.is_file() else sorted(top.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    package.write(file, file.relative_to(installed))
    return buffer.getvalue()


def route(server: LiveServer, path: str, function_name: str, **members: object) -> None:
    document = {"path": path, "function_name": function_name, **members}
    status, _, body = request(server, "POST", ROUTES, json.dumps(document).encode())
    assert status == 201, body


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer("--ephemeral", "--sandbox", "process") as started:
        client = started.client()
        create(client, MANY, "many")
        create(client, STREAM, "streams", Timeout=30)
        client.create_function(
            FunctionName="shop",
            Runtime=PYTHON,
            Handler="lambda_function.handler",
            Role=ROLE,
            Code={"ZipFile": packed(APP, FRAMEWORK)},
            Timeout=30,
            MemorySize=512,
        )
        client.get_waiter("function_active_v2").wait(FunctionName="shop", WaiterConfig=QUICK_WAITER)
        route(started, "/v1", "many", stage_variables={"color": "red"})
        route(started, "/v1/pets/{id}/echo", "many", method="GET")
        route(started, "/v2", "many", payload_format="2.0", stage_variables={"color": "red"})
        route(started, "/v2/{proxy+}", "many", method="PATCH", payload_format="2.0")
        route(started, "/stripped/{part}", "many", strip_prefix=True)
        route(started, "/patient", "many", timeout_ms=300)
        route(started, "/small", "many", max_body_bytes=100)
        route(started, "/stream", "streams", payload_format="2.0", stream=True)
        route(started, "/buffered", "streams", payload_format="2.0")
        cors = {"allow_origins": ["https://shop.example"], "allow_methods": ["PUT"], "max_age": 60}
        route(started, "/cors", "many", cors=cors)
        route(started, "/", "many", host="api.example.org", payload_format="2.0")
        route(started, "/shop", "shop")
        route(started, "/shop", "shop", payload_format="2.0", host="two.localhost")
        yield started


def curl(server: LiveServer, path: str, *flags: str) -> bytes:
    command = ["curl", "-sS", "--max-time", "60", *flags, server.url + path]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_curl_sees_an_event_of_format_1_0(server: LiveServer) -> None:
    answer = curl(
        server, "/v1/echo?a=1&a=2&b=%20x&c", "-H", "X-Two: 1", "-H", "X-Two: 2", "-d", "k=v"
    )
    event = json.loads(answer)
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/v1", "/v1/echo", "POST")
    assert event["queryStringParameters"] == {"a": "2", "b": " x", "c": ""}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [" x"], "c": [""]}
    assert (event["headers"]["x-two"], event["multiValueHeaders"]["x-two"]) == ("2", ["1", "2"])
    assert (event["body"], event["isBase64Encoded"]) == ("k=v", False)
    assert (event["pathParameters"], event["stageVariables"]) == (None, {"color": "red"})
    assert event["requestContext"]["path"] == "/v1/echo"
    assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"


def test_curl_sees_an_event_of_format_2_0(server: LiveServer) -> None:
    flags = ("-X", "PATCH", "-b", "a=1; b=2", "-H", "X-Two: 1", "-H", "X-Two: 2")
    json_body = ("-H", "Content-Type: application/json", "-d", '{"k":"é"}')
    event = json.loads(curl(server, "/v2/a%20b/echo?a=1&a=2", *flags, *json_body))
    assert (event["version"], event["routeKey"]) == ("2.0", "PATCH /v2/{proxy+}")
    assert (event["rawPath"], event["rawQueryString"]) == ("/v2/a b/echo", "a=1&a=2")
    assert event["pathParameters"] == {"proxy": "a b/echo"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["queryStringParameters"] == {"a": "1,2"}
    assert event["headers"]["x-two"] == "1,2"
    assert "cookie" not in event["headers"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"k":"é"}', False)
    context = event["requestContext"]["http"]
    assert (context["method"], context["sourceIp"]) == ("PATCH", "127.0.0.1")


def test_parameters_and_stripped_prefixes(server: LiveServer) -> None:
    event = json.loads(curl(server, "/v1/pets/c%2Fat/echo"))
    assert (event["resource"], event["pathParameters"]) == ("/v1/pets/{id}/echo", {"id": "c/at"})
    event = json.loads(curl(server, "/stripped/x/y/echo"))
    assert (event["path"], event["requestContext"]["path"]) == ("/y/echo", "/stripped/x/y/echo")


@pytest.mark.parametrize("path", ["/v1", "/v2"])
def test_binary_bodies_pass_unchanged_both_ways(server: LiveServer, path: str) -> None:
    data = bytes(range(256)) * 40
    for kind in ("application/octet-stream", "text/plain", "application/json"):
        status, headers, body = request(server, "POST", path + "/reverse", data, Content_Type=kind)
        assert (status, headers["content-type"], body) == (201, "image/x-odd", data[::-1])


def test_several_values_of_a_header_and_cookies_reach_the_client(server: LiveServer) -> None:
    for path in ("/v1/many", "/v2/cookies"):
        status, headers, _ = request(server, "GET", path)
        assert (status, headers.get_all("set-cookie")) == (200, ["a=1; Path=/", "b=2"])
    _, headers, _ = request(server, "GET", "/v1/many")
    assert (headers["x-number"], headers["x-flag"]) == ("7", "true")


@pytest.mark.parametrize(
    ("path", "status", "kind", "body"),
    [
        ("/v1/text", 200, "text/plain; charset=utf-8", b"plain"),
        ("/v1/body", 200, "application/json", b"just this"),
        ("/v1/list", 200, "application/json", b"[1, 2]"),
        ("/v2/text", 200, "application/json", b"plain"),
        ("/v2/list", 200, "application/json", b"[1, 2]"),
        ("/v2/body", 200, "application/json", b'{"body": "just this"}'),
        ("/many/text", 200, "text/plain; charset=utf-8", b"plain"),
        ("/many:$LATEST/text", 200, "text/plain; charset=utf-8", b"plain"),
        ("/v1/status", 502, "application/json", {"message": "Internal server error"}),
        ("/v1/raise", 502, "application/json", {"message": "Internal server error"}),
        ("/v2/raise", 502, "application/json", {"message": "Internal Server Error"}),
        ("/v1/split", 502, "application/json", {"message": "Internal server error"}),
        ("/v1/oversize", 502, "application/json", {"message": "Internal server error"}),
        ("/patient/sleep", 504, "application/json", {"message": "Endpoint request timed out"}),
        ("/nobody/text", 404, "application/json", {"message": "Not Found"}),
        ("/many:nobody", 404, "application/json", {"message": "Not Found"}),
        ("/v1x/text", 404, "application/json", {"message": "Not Found"}),
        ("/", 404, "application/json", {"message": "Not Found"}),
    ],
)
def test_results_and_errors_are_answered_as_api_gateway_does(
    server: LiveServer, path: str, status: int, kind: str, body: bytes | dict[str, str]
) -> None:
    got, headers, data = request(server, "GET", path)
    assert (got, headers["content-type"]) == (status, kind)
    expected = json.dumps(body).encode() if isinstance(body, dict) else body
    assert data.replace(b" ", b"") == expected.replace(b" ", b"")
    assert headers["x-amzn-requestid"]
    assert headers["set-cookie"] is None


def test_what_a_function_says_of_framing_is_left_out(server: LiveServer) -> None:
    connection = connect(server)
    for _ in range(2):  # the connection goes on
        connection.request("GET", "/v1/frame")
        answer = connection.getresponse()
        assert (answer.read(), answer.headers["content-length"]) == (b"abc", "3")
    connection.request("HEAD", "/v1/frame")
    answer = connection.getresponse()
    assert (answer.read(), answer.headers["content-length"]) == (b"", "3")
    connection.close()


def test_bodies_up_to_the_limit_pass_and_longer_ones_get_413(server: LiveServer) -> None:
    fits = b"x" * (6 * MB - 4096)
    assert request(server, "POST", "/v1/length", fits)[2] == str(len(fits)).encode()
    status, _, body = request(server, "POST", "/v1/length", b"x" * (6 * MB + 200))
    assert (status, json.loads(body)) == (413, {"message": "Request Too Long"})
    status, _, body = request(server, "POST", "/v2/length", b"x" * (6 * MB + 200))
    assert (status, json.loads(body)) == (413, {"message": "Request Entity Too Large"})
    # Within the limit, but not as an event.
    status, _, body = request(server, "POST", "/v1/length", b"\xff" * (5 * MB))
    assert (status, json.loads(body)) == (413, {"message": "Request Too Long"})
    assert request(server, "POST", "/small/length", b"x" * 100)[2] == b"100"
    assert request(server, "POST", "/small/length", b"x" * 101)[0] == 413
    assert len(request(server, "GET", "/v1/large")[2]) == 5_900_000


def test_a_length_alone_is_enough_for_a_413(server: LiveServer) -> None:
    with dial(server) as made:
        made.sendall(
            b"POST /v1/length HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n"
        )
        answer = made.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_chunked_bodies_are_limited_too(server: LiveServer) -> None:
    connection = connect(server)
    connection.request("POST", "/small/length", iter([b"x" * 60, b"x" * 60]), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_route_answers_preflights_and_adds_its_headers(server: LiveServer) -> None:
    def ask(method: str, origin: str, **headers: str) -> tuple[int, http.client.HTTPMessage]:
        status, got, _ = request(server, method, "/cors/text", b"", Origin=origin, **headers)
        return status, got

    wanted = {"Access_Control_Request_Method": "PUT"}
    status, headers = ask("OPTIONS", "https://shop.example", **wanted)
    assert (status, headers["access-control-allow-origin"]) == (204, "https://shop.example")
    assert headers["access-control-allow-methods"] == "PUT"
    assert headers["access-control-max-age"] == "60"
    status, headers = ask("OPTIONS", "https://evil.example", **wanted)
    assert (status, headers["access-control-allow-origin"]) == (204, None)
    status, headers = ask("GET", "https://shop.example")
    assert (status, headers["access-control-allow-origin"]) == (200, "https://shop.example")
    assert ask("GET", "https://evil.example")[1]["access-control-allow-origin"] is None


def test_a_streamed_response_arrives_while_it_is_written(server: LiveServer) -> None:
    connection = connect(server)
    connection.request("GET", "/stream/pieces")
    answer = connection.getresponse()
    began = time.monotonic()
    assert answer.status == 206
    assert (answer.headers["x-mine"], answer.headers["content-type"]) == ("1", "text/plain")
    assert answer.headers.get_all("set-cookie") == ["a=b", "c=d"]
    assert answer.read(8) == b"piece 0;"
    first = time.monotonic() - began
    assert answer.read() == b"piece 1;piece 2;"
    assert time.monotonic() - began - first > 0.1
    connection.request("GET", "/stream/plain")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.read() == b"piece 0;piece 1;piece 2;"
    connection.close()


def test_a_stream_that_fails_is_not_taken_for_a_whole_answer(server: LiveServer) -> None:
    connection = connect(server)
    connection.request("GET", "/stream/fails")
    answer = connection.getresponse()
    assert answer.status == 206
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    connection.close()
    status, _, body = request(server, "GET", "/stream/early")
    assert (status, json.loads(body)) == (502, {"message": "Internal Server Error"})
    status, headers, body = request(server, "GET", "/buffered/pieces")
    assert (status, headers["x-mine"], body) == (206, "1", b"piece 0;piece 1;piece 2;")


def test_a_slow_reader_holds_the_function_back_and_may_go(server: LiveServer) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /stream/flood HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert slow.recv(100).startswith(b"HTTP/1.1 206 ")
    status, _, body = request(server, "GET", "/stream/flood")
    assert (status, len(body)) == (206, 320 * 65536)


@pytest.mark.parametrize("host", ["one.localhost", "two.localhost"], ids=["1.0", "2.0"])
def test_a_fastapi_app_runs_behind_mangum(server: LiveServer, host: str) -> None:
    status, _, body = request(
        server, "GET", "/shop/pets/r%C3%A9x?tag=a&tag=b", Host=host, Cookie="seen=1"
    )
    told: dict[str, Any] = json.loads(body)
    assert status == 200
    assert (told["name"], told["tags"], told["cookie"]) == ("réx", ["a", "b"], "1")
    assert told["url"].startswith(f"http://{host}")
    pet = json.dumps({"name": "é"}).encode()
    status, headers, body = request(
        server, "POST", "/shop/pets", pet, Host=host, Content_Type="application/json"
    )
    assert (status, json.loads(body)) == (201, {"name": "é", "age": 1})
    assert headers["content-type"] == "application/json"
    assert request(server, "POST", "/shop/pets", b"{}", Host=host)[0] == 422
    data = bytes(range(256))
    status, headers, body = request(
        server, "POST", "/shop/picture", data, Host=host, Content_Type="image/png"
    )
    assert (status, body, headers["content-type"]) == (200, data[::-1], "image/png")
    assert [cookie.split(";")[0] for cookie in headers.get_all("set-cookie") or []] == [
        "one=1",
        "two=2",
    ]
    assert request(server, "GET", "/shop/none", Host=host)[0] == 404


def test_a_route_with_a_host_of_its_own_makes_that_name_ours(server: LiveServer) -> None:
    status, _, body = request(server, "GET", "/echo", Host="api.example.org")
    assert (status, json.loads(body)["requestContext"]["domainName"]) == (200, "api.example.org")
    assert request(server, "GET", "/echo", Host="www.example.org")[0] == 403
    assert request(server, "GET", "/2015-03-31/functions", Host="api.example.org")[0] == 403


def test_the_fastapi_app_runs_behind_a_function_url_too(server: LiveServer) -> None:
    client = server.client()
    url = client.create_function_url_config(FunctionName="shop", AuthType="NONE")["FunctionUrl"]
    statements: dict[str, dict[str, Any]] = {
        "url": {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        "invoke": {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
    }
    for sid, given in statements.items():
        client.add_permission(FunctionName="shop", StatementId=sid, Principal="*", **given)
    host = urlsplit(url).netloc
    status, _, body = request(server, "GET", "/shop/pets/r%C3%A9x?tag=a&tag=b", Host=host)
    told = json.loads(body)
    assert status == 200, body
    assert told["url"].startswith(f"http://{host.partition(':')[0]}")
    pet = b'{"name": "Rex", "age": 3}'
    made = request(server, "POST", "/shop/pets", pet, Host=host, Content_Type="application/json")
    assert (
        made[0]
        == request(
            server, "POST", "/shop/pets", pet, Host="two.localhost", Content_Type="application/json"
        )[0]
    )
    by_path = curl(server, f"/lambda-url/{host.partition('.')[0]}/shop/pets/r%C3%A9x?tag=a&tag=b")
    assert json.loads(by_path)["name"] == told["name"]
