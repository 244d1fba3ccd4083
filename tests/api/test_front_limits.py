"""The front of a live server: heads, hosts, origins, slow clients, too many of them, and HTTPS."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from live import ROLE, LiveServer, zip_of
from observing import until
from pem_files import pem_files
from raw_http import FUNCTIONS, dial, request

HANDLER = zip_of({"main.py": "def handler(event, context):\n    return event\n"})
MOST = 120
START = f"GET {FUNCTIONS} HTTP/1.1\r\nHost: localhost\r\n".encode()


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer(
        "--ephemeral",
        "--sandbox",
        "process",
        environment={
            "LAMBDA_HOME_SERVER__HEADER_TIMEOUT_S": "1.5",
            "LAMBDA_HOME_SERVER__BODY_TIMEOUT_S": "1.5",
            "LAMBDA_HOME_SERVER__MAX_CONNECTIONS": str(MOST),
            "LAMBDA_HOME_SERVER__ALLOWED_HOSTS": '["lambda.example.org", ".home.arpa"]',
            "LAMBDA_HOME_SERVER__ALLOWED_ORIGINS": '["https://console.example.org"]',
        },
    ) as running:
        yield running


def said(server: LiveServer, data: bytes) -> tuple[int, str]:
    """Status and message of the answer to bytes, after which the connection ends."""
    with dial(server) as client:
        client.sendall(data)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        message = json.loads(answer.read())["message"]
        assert client.recv(1) == b""
        return answer.status, message


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (START + b"X: " + b"x" * 66_000 + b"\r\n\r\n", 431),
        (START + b"X: y\r\n" * 201 + b"\r\n", 431),
        (b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET http://evil.com/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (START + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (START + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 403),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (START + b"X: hal", 408),
        (START.replace(b"GET", b"POST") + b"Content-Length: 9\r\n\r\nhalf", 408),
    ],
    ids=range(9),
)
def test_what_cannot_be_served_is_told_in_one_line_and_ended(
    server: LiveServer, data: bytes, status: int
) -> None:
    given, message = said(server, data)
    assert given == status
    assert message
    assert "\n" not in message


@pytest.mark.parametrize("path", ["/healthz", FUNCTIONS, "/api/admin/spares", "/any/function"])
def test_a_name_that_is_not_ours_is_refused_everywhere(server: LiveServer, path: str) -> None:
    for host in ("evil.com", "127.0.0.1.nip.io", "localhost.evil.com:9000"):
        status, _, body = request(server, "GET", path, Host=host)
        assert status == 403, body
        assert b"server.allowed_hosts" in body
    for host in ("lambda.example.org", "pi.home.arpa:80", "localhost", "x.localhost", "[::1]"):
        assert request(server, "GET", path, Host=host)[0] != 403


@pytest.mark.parametrize("path", [f"{FUNCTIONS}/f/invocations", FUNCTIONS])
def test_a_page_of_another_origin_is_refused(server: LiveServer, path: str) -> None:
    for origin in ("http://evil.com", "null", server.url.replace("127.0.0.1", "localhost")):
        status, headers, body = request(server, "POST", path, b"{}", Origin=origin)
        assert status == 403, body
        assert b"server.allowed_origins" in body
        assert headers["Access-Control-Allow-Origin"] is None
    site = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}
    assert request(server, "POST", path, b"{}", **site)[0] == 403
    for origin in (server.url, "https://console.example.org"):
        assert request(server, "POST", path, b"{}", Origin=origin)[0] != 403


def test_a_hundred_slow_clients_hold_nobody_up_and_are_ended(server: LiveServer) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(dial(server)) for _ in range(100)]
        for number, client in enumerate(slow):
            if number % 3:
                with contextlib.suppress(ConnectionError):  # a busy machine is late with the last
                    client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n"[: 10 * (number % 3)])
        for _ in range(5):
            assert request(server, "GET", "/healthz")[0] == 200
        for client in slow:
            first = b""
            with contextlib.suppress(ConnectionError):
                first = client.recv(4096)
            assert first == b"" or first.startswith(b"HTTP/1.1 408 "), first


def test_a_connection_too_many_is_told_so_and_room_comes_back(server: LiveServer) -> None:
    refused = 0
    for _ in range(5):  # a busy machine may let the first go before the last has come
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(dial(server)) for _ in range(MOST + 5)]
            answers = [client.recv(4096) for client in held]
        refused = sum(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
        if refused >= 5:
            break
    assert refused >= 5
    until(lambda: request(server, "GET", "/healthz")[0] == 200, "there is no room again")


@pytest.mark.parametrize(
    ("path", "size", "name"),
    [
        (f"{FUNCTIONS}/f/invocations", 1 << 31, "RequestTooLargeException"),
        (f"{FUNCTIONS}/f/invocations", 7 << 20, "RequestTooLargeException"),
        (FUNCTIONS, 1 << 31, "RequestEntityTooLargeException"),
        (FUNCTIONS, 71 << 20, "RequestEntityTooLargeException"),
        ("/api/admin/functions/f/rate-limit", 2 << 20, "RequestEntityTooLargeException"),
    ],
)
def test_a_length_over_the_limit_is_refused_before_a_byte_of_it_comes(
    server: LiveServer, path: str, size: int, name: str
) -> None:
    method = "PUT" if "admin" in path else "POST"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
    with dial(server) as client:
        client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == 413
        assert answer.headers["x-amzn-ErrorType"] == name


# ------------------------------------------------------------------------------------------- HTTPS


def test_two_settings_make_it_https(tmp_path: Path) -> None:
    certificate, key = pem_files(tmp_path)
    environment = {
        "LAMBDA_HOME_SERVER__TLS_CERTIFICATE": str(certificate),
        "LAMBDA_HOME_SERVER__TLS_KEY": str(key),
        "LAMBDA_HOME_SERVER__HEADER_TIMEOUT_S": "1.5",
        "OPR_EXECUTOR_SECRET": "hush",  # a setting of another project's is told, and not shown
    }
    with LiveServer("--ephemeral", "--sandbox", "process", environment=environment) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert any("OPR_EXECUTOR_SECRET is not used" in line for line in server.output)
        assert not any("hush" in line for line in server.output)
        client = boto3.client(
            "lambda",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="000000000000",
            aws_secret_access_key="secret",
            verify=str(certificate),
        )
        client.create_function(
            FunctionName="f",
            Runtime="python3.12",
            Role=ROLE,
            Handler="main.handler",
            Code={"ZipFile": HANDLER},
        )
        url = client.create_function_url_config(FunctionName="f", AuthType="NONE")["FunctionUrl"]
        assert urlsplit(url).scheme == "https"
        location = client.get_function(FunctionName="f")["Code"]["Location"]
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(location, context=context) as answer:
            assert answer.read() == HANDLER
        client.close()
        address = (urlsplit(server.url).hostname or "", urlsplit(server.url).port or 0)
        with dial(server) as silent:  # it never shakes hands
            assert silent.recv(1) == b""
        with dial(server) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                assert not plain.recv(4096).startswith(b"HTTP/1.1 200")
        with (
            dial(server) as plain,
            context.wrap_socket(plain, server_hostname=address[0]) as slow,
        ):
            slow.sendall(b"GET /healthz HT")
            assert slow.recv(4096).startswith(b"HTTP/1.1 408 ")
