"""Reading a live server's metrics."""

from __future__ import annotations

from live import LiveServer
from prometheus_client.parser import text_string_to_metric_families
from raw_http import request

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]

INVOCATION_FIELDS = [
    "ts",
    "level",
    "message",
    "function",
    "version",
    "req_id",
    "container_id",
    "duration_ms",
    "billed_ms",
    "mem_peak_mb",
]
"""The fields of an invocation's line in the server's log, in their order: Lambda@Home's."""


def scraped(server: LiveServer, path: str = "/metrics", **headers: str) -> Series:
    """All samples, by name and labels."""
    status, _, body = request(server, "GET", path, b"", **headers)
    assert status == 200, body
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def figure(found: Series, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels."""
    wanted = labels.items()
    return sum(v for (called, has), v in found.items() if called == name and wanted <= set(has))
