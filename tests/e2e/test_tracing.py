"""Traces of what really ran, as a collector gets them by OTLP over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from functions_under_test import create
from live import LiveServer
from observing import WITHOUT_SPARES, until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from raw_http import invocations, request

pytestmark = pytest.mark.process

TELL = """
import os
def handler(event, context):
    if event.get("fail"):
        raise ValueError("asked for")
    return os.environ.get("_X_AMZN_TRACE_ID", "")
"""
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROOT = f"Root=1-{TRACE[:8]}-{TRACE[8:]}"
ERROR = 2
SERVER, INTERNAL = 2, 1


class Collector:
    """An OTLP collector: keeps the spans it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.paths: set[str] = set()
        self.services: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.take(self.path, body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing."""

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def take(self, path: str, body: bytes) -> None:
        self.paths.add(path)
        asked = ExportTraceServiceRequest()
        asked.ParseFromString(body)
        for resource in asked.resource_spans:
            found = {a.key: a.value.string_value for a in resource.resource.attributes}
            self.services.add(found["service.name"])
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def of(self, name: str, count: int) -> list[Any]:
        """The spans of a function, once there are so many."""

        def found() -> list[Any] | None:
            spans = [span for span in list(self.spans) if attributes(span)["faas.name"] == name]
            return spans if len(spans) >= count else None

        spans: list[Any] = until(found, "the spans never came")
        assert len(spans) == count
        return spans

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def named(spans: list[Any], name: str) -> Any:
    (span,) = [span for span in spans if span.name == name]
    return span


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(collector: Collector) -> Iterator[LiveServer]:
    environment = {
        **WITHOUT_SPARES,
        "LAMBDA_HOME_PREWARM__ON_CREATE": "false",
        "LAMBDA_HOME_TRACING__OTLP_ENDPOINT": collector.url,
    }
    with LiveServer("--ephemeral", "--sandbox", "process", environment=environment) as running:
        yield running


def call(server: LiveServer, name: str, event: dict[str, Any] | None = None, **headers: str) -> str:
    """Invoke; the trace header that the function saw."""
    body = json.dumps(event or {}).encode()
    status, _, said = request(server, "POST", invocations(name), body, **headers)
    assert status == 200
    answer: str = json.loads(said)
    return answer


def test_a_cold_start_is_four_spans_in_one_trace_and_a_warm_call_two(
    server: LiveServer, collector: Collector
) -> None:
    name = create(server.client(), TELL)
    seen = call(server, name)
    spans = collector.of(name, 4)
    invoke, environment = named(spans, "invoke"), named(spans, "environment")
    init, runtime = named(spans, "init"), named(spans, "runtime")
    assert len({span.trace_id for span in spans}) == 1
    assert len({span.span_id for span in spans}) == 4
    assert invoke.parent_span_id == b""
    assert environment.parent_span_id == runtime.parent_span_id == invoke.span_id
    assert init.parent_span_id == environment.span_id
    assert (invoke.kind, runtime.kind) == (SERVER, INTERNAL)
    trace = invoke.trace_id.hex()
    assert seen.startswith(
        f"Root=1-{trace[:8]}-{trace[8:]};Parent={runtime.span_id.hex()};Sampled=1"
    )
    starts = [span.start_time_unix_nano for span in (invoke, environment, init, runtime)]
    assert starts == sorted(starts)
    assert environment.end_time_unix_nano == init.end_time_unix_nano <= starts[3]
    assert runtime.end_time_unix_nano == invoke.end_time_unix_nano
    about = attributes(invoke)
    assert about["faas.coldstart"] is True
    assert about["faas.version"] == "$LATEST"
    assert about["cloud.account.id"] == "000000000000"
    assert about["aws.lambda.invoked_arn"].endswith(f":function:{name}")
    assert "error.type" not in about

    call(server, name)
    warm = collector.of(name, 6)[4:]
    assert {span.name for span in warm} == {"invoke", "runtime"}
    assert attributes(named(warm, "invoke"))["faas.coldstart"] is False
    assert (collector.paths, collector.services) == ({"/v1/traces"}, {"lambda_home"})


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Amzn_Trace_Id": f"{ROOT};Parent={SPAN};Sampled=1"},
        {"traceparent": f"00-{TRACE}-{SPAN}-01"},
        {"X_Amzn_Trace_Id": f"{ROOT};Parent={SPAN}", "traceparent": f"00-{'a' * 32}-{SPAN}-01"},
    ],
)
def test_a_callers_trace_goes_on_in_the_function(
    server: LiveServer, collector: Collector, headers: dict[str, str]
) -> None:
    name = create(server.client(), TELL)
    seen = call(server, name, None, **headers)
    spans = collector.of(name, 4)
    invoke = named(spans, "invoke")
    assert invoke.trace_id.hex() == TRACE
    assert invoke.parent_span_id.hex() == SPAN
    assert seen.startswith(f"{ROOT};Parent={named(spans, 'runtime').span_id.hex()};Sampled=1")


def test_a_trace_that_its_caller_does_not_keep_is_handed_on_and_not_sent(
    server: LiveServer, collector: Collector
) -> None:
    name = create(server.client(), TELL)
    given = f"{ROOT};Parent={SPAN};Sampled=0"
    assert call(server, name, X_Amzn_Trace_Id=given).startswith(given)
    assert call(server, name, traceparent=f"00-{TRACE}-{SPAN}-00").startswith(given)
    call(server, name)  # comes after the others would have
    assert {span.name for span in collector.of(name, 2)} == {"invoke", "runtime"}


def test_a_failure_is_an_error_with_its_type(server: LiveServer, collector: Collector) -> None:
    name = create(server.client(), TELL)
    call(server, name)
    request(server, "POST", invocations(name), b'{"fail": true}')
    failed = collector.of(name, 6)[4:]
    assert [span.status.code for span in failed] == [ERROR, ERROR]
    assert {attributes(span)["error.type"] for span in failed} == {"ValueError"}


def test_a_failed_init_has_no_run(server: LiveServer, collector: Collector) -> None:
    name = create(server.client(), "raise RuntimeError('no init')\n")
    request(server, "POST", invocations(name), b"{}")
    spans = collector.of(name, 2)
    assert {span.name for span in spans} == {"invoke", "environment"}
    assert all(span.status.code == ERROR for span in spans)


def test_without_tracing_a_callers_header_is_handed_on_as_it_came(tmp_path: Any) -> None:
    del tmp_path
    with LiveServer("--ephemeral", "--sandbox", "process") as plain:
        name = create(plain.client(), TELL)
        given = f"{ROOT};Parent={SPAN};Sampled=1"
        assert call(plain, name, X_Amzn_Trace_Id=given).startswith(f"{given};Lineage=")
        assert call(plain, name, traceparent=f"00-{TRACE}-{SPAN}-01").startswith(given)
        assert call(plain, name).partition("Sampled=")[2].startswith("0")


def test_a_path_continues_a_traceparent_too(server: LiveServer, collector: Collector) -> None:
    name = create(server.client(), TELL)
    status, _, _ = request(server, "GET", f"/{name}", traceparent=f"00-{TRACE}-{SPAN}-01")
    assert status == 200
    invoke = named(collector.of(name, 4), "invoke")
    assert (invoke.trace_id.hex(), invoke.parent_span_id.hex()) == (TRACE, SPAN)


def test_a_collector_that_is_away_holds_up_neither_calls_nor_the_end() -> None:
    environment = {"LAMBDA_HOME_TRACING__OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with LiveServer("--ephemeral", "--sandbox", "process", environment=environment) as running:
        name = create(running.client(), TELL)
        assert call(running, name)
        began = time.monotonic()
    assert time.monotonic() - began < 30
