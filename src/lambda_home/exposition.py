"""The server's figures as Prometheus and OpenMetrics write them.

Imported with the first scrape: what it needs is a part of a server's start that most never need.
The first six families are those that Lambda@Home names.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from lambda_home import __version__
from lambda_home.metrics import Metrics, Readings, Version

_LABELS: Final = ("account", "region", "function", "version")
_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")


def exposition(metrics: Metrics, readings: Readings, accept: str) -> tuple[bytes, str]:
    """Everything, and its content type: OpenMetrics where `accept` asks for it.

    Takes a millisecond for each function that has run; usable from any thread.
    """
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry()
    registry.register(_Scrape(metrics, readings))
    ProcessCollector(registry=registry)
    return bytes(encode(registry)), content_type


class _Scrape(Collector):
    """One look at everything."""

    def __init__(self, metrics: Metrics, readings: Readings) -> None:
        self._metrics = metrics
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from _counted(self._metrics)
        yield from _read(self._readings)


def _counted(metrics: Metrics) -> Iterator[Metric]:
    invocations = _counter("lambda_invocations", "Invocations of function code.")
    errors = _counter("lambda_errors", "Invocations that ended in a function error.")
    throttles = _counter("lambda_throttles", "Refused invocations by reason.", "reason")
    cold = _counter("lambda_cold_starts", "Invocations that waited for an environment's start.")
    durations = HistogramMetricFamily(
        "lambda_duration_ms", "How long function code ran (ms).", labels=_LABELS
    )
    unstarted = _counter(
        "lambda_home_invocations_not_started", "Invocations that no environment could start for."
    )
    inits = HistogramMetricFamily(
        "lambda_init_duration_ms", "How long init phases took (ms).", labels=_LABELS
    )
    for version, meter in metrics.meters():
        labels = _values(version)
        ran, started = meter.durations.buckets(), meter.inits.buckets()
        invocations.add_metric(labels, ran[-1][1])  # so that both are always the same
        errors.add_metric(labels, meter.errors)
        cold.add_metric(labels, meter.cold_starts)
        unstarted.add_metric(labels, meter.unstarted)
        for reason, count in list(meter.throttles.items()):
            throttles.add_metric((*labels, str(reason)), count)
        durations.add_metric(labels, buckets=ran, sum_value=meter.durations.total_ms)
        inits.add_metric(labels, buckets=started, sum_value=meter.inits.total_ms)
    yield from (invocations, errors, throttles, cold, durations, inits, unstarted)
    answers = CounterMetricFamily(
        "lambda_home_http_requests", "Requests at the user API's port.", labels=["status"]
    )
    for digit, name in enumerate(_CLASSES, start=1):
        answers.add_metric([name], metrics.statuses[digit])
    yield answers


def _read(readings: Readings) -> Iterator[Metric]:
    queued = _gauge("lambda_home_queue_depth", "Invocations that wait for an environment.")
    for version, waiting in readings.queued.items():
        queued.add_metric(_values(version), waiting)
    environments = _gauge("lambda_home_environments", "Execution environments by state.", "state")
    for version, states in readings.environments.items():
        for state, number in states.items():
            environments.add_metric((*_values(version), state), number)
    spares = GaugeMetricFamily(
        "lambda_home_spares", "Environments that wait for a function.", labels=["state"]
    )
    for state, number in readings.spares.items():
        spares.add_metric([state], number)
    yield from (queued, environments, spares)
    for name, text, value in (
        ("lambda_home_in_flight", "Invocations that wait or run.", readings.in_flight),
        ("lambda_home_async_backlog", "Events that are not done.", readings.async_backlog),
        (
            "lambda_home_async_oldest_event_age_seconds",
            "Age of the oldest event that is not done.",
            readings.async_oldest_s,
        ),
    ):
        yield GaugeMetricFamily(name, text, value=value)
    yield CounterMetricFamily(
        "lambda_home_log_events_dropped",
        "Lines of functions that the log store could not keep.",
        value=readings.dropped_log_events,
    )
    about = {"version": __version__, "sandbox": readings.sandbox}
    yield InfoMetricFamily("lambda_home", "What runs.", value=about)


def _values(version: Version) -> tuple[str, str, str, str]:
    scope, name, number = version
    return scope.account, scope.region, name, number


def _counter(name: str, text: str, *more: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=(*_LABELS, *more))


def _gauge(name: str, text: str, *more: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=(*_LABELS, *more))
