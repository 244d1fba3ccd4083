from __future__ import annotations

import subprocess
import sys

import pytest

from lambda_home.errors import ConfigurationError
from lambda_home.tracing import Tracing

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROOT = f"Root=1-{TRACE[:8]}-{TRACE[8:]}"
MADE_UP = f"Root=1-{'a' * 8}-{'b' * 24};Parent={'c' * 16};Sampled=0;Lineage=a87bd80c:1"


def test_without_opentelemetry_the_setting_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"install lambda-home\[otel\]"):
        Tracing("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("callers", "header", "trace", "parent"),
    [
        (f"{ROOT};Parent={SPAN};Sampled=1", f"{ROOT};Parent={SPAN};Sampled=1", TRACE, SPAN),
        (ROOT, f"{ROOT};Lineage=a87bd80c:1", TRACE, ""),
        ("", MADE_UP, "a" * 8 + "b" * 24, ""),  # whose parent nobody is
    ],
)
def test_a_trace_is_the_callers_or_a_new_one(
    callers: str, header: str, trace: str, parent: str
) -> None:
    context, given = Tracing.begin(callers, header)
    assert context is not None
    assert (context.trace_id, context.parent_id) == (trace, parent)
    assert f"Parent={context.runtime_id};Sampled=1" in given
    assert len({context.span_id, context.runtime_id, parent}) == 3
    assert ("Lineage=" in header) is ("Lineage=" in given)


@pytest.mark.parametrize(
    ("callers", "header"),
    [(f"{ROOT};Sampled=0", f"{ROOT};Sampled=0;Lineage=x"), ("Root=odd", "Root=odd;Lineage=x")],
)
def test_what_is_not_kept_or_not_understood_is_handed_on_as_it_is(
    callers: str, header: str
) -> None:
    assert Tracing.begin(callers, header) == (None, header)


def test_a_server_without_the_setting_imports_neither_the_sdk_nor_what_a_scrape_needs() -> None:
    program = (
        "import sys, lambda_home.server\n"
        "print(sorted({'opentelemetry.sdk', 'opentelemetry.exporter', 'prometheus_client'}"
        " & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
