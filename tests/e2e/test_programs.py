"""Programs that know nothing of Lambda: Jambda's two types, as binaries and as JARs."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import raw_http
from compiled import built
from functions_under_test import QUICK_WAITER, fresh_name, invoke
from live import ROLE

if TYPE_CHECKING:
    from live import LiveServer
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.slow

# An HTTP server and a program of one run, in one binary.
GO = """
package main

import (
    "fmt"
    "io"
    "net/http"
    "os"
)

func main() {
    if os.Getenv("LAMBDA_HOME_PROGRAM") == "SINGLE" {
        event, _ := io.ReadAll(os.Stdin)
        if string(event) == `"fail"` {
            fmt.Fprintln(os.Stderr, "not like that")
            os.Exit(4)
        }
        fmt.Printf("{\\"got\\":%s,\\"mine\\":%q}", event, os.Getenv("MINE"))
        return
    }
    starts := 1
    http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
        body, _ := io.ReadAll(r.Body)
        if r.URL.Path == "/exit" {
            os.Exit(5)
        }
        fmt.Println("asked for", r.URL.Path)
        w.Header().Add("Set-Cookie", "a=1")
        w.Header().Add("Set-Cookie", "b=2")
        w.Header().Set("X-Asked", r.Header.Get("X-Asks"))
        w.WriteHeader(201)
        fmt.Fprintf(w, "%s %s %s %d", r.Method, r.URL.RequestURI(), body, starts)
        starts++
    })
    if os.Getenv("MINE") == "never" {
        fmt.Println("cannot")
        os.Exit(7)
    }
    http.ListenAndServe(":"+os.Getenv("PORT"), nil)
}
"""
JAVA = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Main {
    public static void main(String[] args) throws Exception {
        if ("SINGLE".equals(System.getenv("LAMBDA_HOME_PROGRAM"))) {
            System.out.print("single");
            return;
        }
        int port = Integer.parseInt(System.getenv("PORT"));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.createContext("/", exchange -> {
            byte[] said = ("Java: " + exchange.getRequestURI()).getBytes("UTF-8");
            exchange.sendResponseHeaders(200, said.length);
            exchange.getResponseBody().write(said);
            exchange.close();
        });
        server.start();
    }
}
"""
JAVA_MAIN = "Manifest-Version: 1.0\nMain-Class: Main\n"
PORTS = iter(range(18300, 18400))
"""Processes share the machine's network."""


def go_program() -> bytes:
    files = {"go.mod": "module program\n\ngo 1.21\n", "main.go": GO}
    return built("go", files, ["go", "build", "-ldflags", "-s -w", "-o", "program"], "program")


def java_program() -> bytes:
    command = ["javac", "-nowarn", "-Xlint:-options", "--release", "11", "-d", "out", "Main.java"]
    # A lambda expression needs no class file of its own.
    main = built("javac", {"Main.java": JAVA}, command, "out/Main.class")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", JAVA_MAIN)
        jar.writestr("Main.class", main)
    return buffer.getvalue()


def create(aws: LambdaClient, name: str, content: bytes, kind: str, **members: Any) -> str:
    """A function of one file, of type `kind`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        entry = zipfile.ZipInfo(name)
        entry.create_system, entry.external_attr = 3, 0o100755 << 16
        zipped.writestr(entry, content)
    own = {"LAMBDA_HOME_PROGRAM": kind, "PORT": str(next(PORTS)), "MINE": "yes"}
    function = fresh_name()
    request: Any = {
        "FunctionName": function,
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Role": ROLE,
        "Timeout": 20,
        "MemorySize": 512,
        "Code": {"ZipFile": buffer.getvalue()},
        **members,
        "Environment": {"Variables": {**own, **members.get("Environment", {})}},
    }
    aws.create_function(**request)
    aws.get_waiter("function_active_v2").wait(FunctionName=function, WaiterConfig=QUICK_WAITER)
    return function


@pytest.fixture(scope="module")
def rest(server: LiveServer) -> str:
    return create(server.client(), "bootstrap", go_program(), "REST")


def test_a_server_gets_events_as_requests(aws: LambdaClient, rest: str) -> None:
    event = {
        "version": "2.0",
        "rawPath": "/a b/ü",
        "rawQueryString": "x=1",
        "headers": {"x-asks": 'say "hi"', "host": "shop.example"},
        "requestContext": {"http": {"method": "PUT"}},
        "body": "eWVz",
        "isBase64Encoded": True,
    }
    answer = invoke(aws, rest, event, LogType="Tail")
    told = answer.payload
    assert answer.error is None
    assert told["statusCode"] == 201
    assert told["cookies"] == ["a=1", "b=2"]
    assert told["headers"]["x-asked"] == 'say "hi"'
    assert "asked for /a b/ü" in answer.log
    again = invoke(aws, rest, event).payload
    assert again["body"] != told["body"]


def test_a_url_leads_to_the_server(server: LiveServer, aws: LambdaClient, rest: str) -> None:
    made = aws.create_function_url_config(FunctionName=rest, AuthType="NONE")
    aws.add_permission(
        FunctionName=rest,
        StatementId="all",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    aws.add_permission(
        FunctionName=rest,
        StatementId="calls",
        Action="lambda:InvokeFunction",
        Principal="*",
    )
    host = urlsplit(made["FunctionUrl"]).netloc
    status, headers, body = raw_http.request(server, "PATCH", "/things?n=1", b"data", Host=host)
    assert status == 201
    assert body.startswith(b"PATCH /things?n=1 data ")
    assert headers.get_all("set-cookie") == ["a=1", "b=2"]


def test_any_other_event_is_posted(aws: LambdaClient, rest: str) -> None:
    told = invoke(aws, rest, {"n": 1}).payload
    assert told["statusCode"] == 201


def test_a_server_that_ends_ends_one_call(aws: LambdaClient, rest: str) -> None:
    event = {"httpMethod": "GET", "path": "/exit", "headers": None}
    assert invoke(aws, rest, event).error == "Unhandled"
    told = invoke(aws, rest, {**event, "path": "/"}).payload
    assert told["multiValueHeaders"]["set-cookie"] == ["a=1", "b=2"]


def test_a_server_that_does_not_listen_says_so_at_once(aws: LambdaClient) -> None:
    name = create(aws, "bootstrap", go_program(), "REST", Environment={"MINE": "never"})
    answer = invoke(aws, name, {}, LogType="Tail")
    assert "ended with exit status 7" in answer.payload["errorMessage"]


def test_what_a_program_of_one_run_writes_is_the_result(aws: LambdaClient) -> None:
    name = create(aws, "bootstrap", go_program(), "SINGLE")
    assert invoke(aws, name, {"n": "ü"}).payload == {"got": {"n": "ü"}, "mine": "yes"}
    failed = invoke(aws, name, "fail", LogType="Tail")
    assert failed.payload["errorMessage"] == "exit status 4: not like that"
    assert "not like that" in failed.log
    assert invoke(aws, name, 2).payload == {"got": 2, "mine": "yes"}


@pytest.mark.needs("javac")
@pytest.mark.parametrize("kind", ["REST", "SINGLE"])
def test_a_jar_runs_as_either_type(aws: LambdaClient, kind: str) -> None:
    name = create(aws, "bootstrap.jar", java_program(), kind, Runtime="java17")
    event = {"httpMethod": "GET", "path": "/x", "queryStringParameters": {"q": "a b"}}
    answer = invoke(aws, name, event)
    assert answer.error is None, answer.payload
    assert answer.payload["statusCode"] == 200
    said = base64.b64decode(answer.payload["body"]).decode()
    assert said == {"REST": "Java: /x?q=a%20b", "SINGLE": "single"}[kind]
