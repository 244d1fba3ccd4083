"""AWS's Lambda Web Adapter, an extension that is the runtime, built from its published crate."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from extensions_under_test import layer
from functions_under_test import create, invoke
from live import LiveServer

VERSION = "1.0.0-rc1"
ROOT = Path(__file__).resolve().parent.parent.parent
KEPT = ROOT / ".recipe-tools" / "lambda-web-adapter"
BUILD_S = 2400

WRAPPER = '#!/bin/sh\nexec python3 "$LAMBDA_TASK_ROOT/lambda_function.py"\n'
APP = """
import http.server, json

class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"path": self.path, "agent": self.headers["user-agent"]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        size = int(self.headers["content-length"])
        self.send_response(201)
        self.end_headers()
        self.wfile.write(self.rfile.read(size)[::-1])
    def log_message(self, *words):
        pass

print("the app listens", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", 8080), App).serve_forever()
"""


@pytest.fixture(scope="module")
def adapter() -> bytes:
    """The program, built once in a folder that git does not see."""
    if shutil.which("cargo") is None:
        pytest.skip("the adapter is built with cargo (Debian: apt-get install cargo)")
    made = KEPT / "bin" / "lambda-adapter"
    if not made.exists():
        command = ["cargo", "install", "--quiet", "lambda_web_adapter", "--version", VERSION]
        command += ["--root", str(KEPT), "--target-dir", str(KEPT / "target")]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=BUILD_S)
        shutil.rmtree(KEPT / "target", ignore_errors=True)
        assert done.returncode == 0, done.stderr[-2000:]
    return made.read_bytes()


def request(method: str, path: str, body: str = "") -> dict[str, object]:
    """An event as a function URL sends it."""
    about = {"method": method, "path": path, "sourceIp": "1.2.3.4", "userAgent": "t"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "a=b",
        "headers": {"host": "example.test", "user-agent": "a browser"},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "api",
            "domainName": "example.test",
            "domainPrefix": "example",
            "http": {**about, "protocol": "HTTP/1.1"},
            "requestId": "r",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "body": body,
        "isBase64Encoded": False,
    }


@pytest.mark.languages
@pytest.mark.timeout(BUILD_S + 120)
def test_a_web_app_runs_unchanged_behind_the_adapter(adapter: bytes, server: LiveServer) -> None:
    client = server.client()
    arn = layer(
        client, {"extensions/lambda-adapter": (adapter, 0o755), "wrapper": (WRAPPER, 0o755)}
    )
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper", "AWS_LWA_PORT": "8080"}
    name = create(
        client, APP, Layers=[arn], Environment={"Variables": variables}, Timeout=20, MemorySize=256
    )
    for number in range(2):
        answer = invoke(client, name, request("GET", f"/some/{number}")).payload
        assert answer["statusCode"] == 200
        said = json.loads(answer["body"])
        assert said == {"path": f"/some/{number}?a=b", "agent": "a browser"}
    posted = invoke(client, name, request("POST", "/", "abc"), LogType="Tail").payload
    assert (posted["statusCode"], posted["body"]) == (201, "cba")
