from __future__ import annotations

import json
import re
import timeit
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lambda_home.arns import Scope
from lambda_home.errors import ThrottleReason
from lambda_home.exposition import exposition
from lambda_home.functions import Code, FunctionVersion
from lambda_home.metrics import BOUNDS_MS, Day, Distribution, Meter, Metrics, Readings

HERE = Scope("000000000000", "us-east-1")
ROOT = Path(__file__).resolve().parents[2]
NOTHING = Readings({}, {}, {})


def version(name: str = "fn", number: str = "$LATEST") -> FunctionVersion:
    code = Code("0" * 64, "", 1)
    return FunctionVersion(HERE, name, number, "python3.11", "a.b", "role", code, "", "")


def samples(
    metrics: Metrics, readings: Readings = NOTHING
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text, _ = exposition(metrics, readings, "")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, readings: Readings = NOTHING, **labels: str) -> float:
    found = [
        number
        for (called, having), number in samples(metrics, readings).items()
        if called == name and labels.items() <= dict(having).items()
    ]
    assert len(found) == 1, found
    return found[0]


def test_every_figure_of_an_invocation_moves_and_both_histograms_count_it() -> None:
    metrics = Metrics()
    meter = metrics.meter(version())
    meter.inits.add(120.0)
    meter.ended(12.0, 0.0, failed=False, cold=True)
    meter.ended(3.0, 0.0, failed=True, cold=False)
    meter.throttled(ThrottleReason.RATE)
    meter.unstarted += 1
    labels = {
        "account": HERE.account,
        "region": HERE.region,
        "function": "fn",
        "version": "$LATEST",
    }
    for name, expected in {
        "lambda_invocations_total": 2,
        "lambda_errors_total": 1,
        "lambda_cold_starts_total": 1,
        "lambda_home_invocations_not_started_total": 1,
        "lambda_duration_ms_count": 2,
        "lambda_duration_ms_sum": 15,
        "lambda_init_duration_ms_count": 1,
        "lambda_init_duration_ms_sum": 120,
    }.items():
        assert value(metrics, name, NOTHING, **labels) == expected, name
    reason = "FunctionInvocationRateLimitExceeded"
    assert value(metrics, "lambda_throttles_total", NOTHING, **labels, reason=reason) == 1
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert value(metrics, "lambda_throttles_total", NOTHING, **labels, reason=reason) == 0


@pytest.mark.parametrize(
    ("duration_ms", "bound"),
    [(0.0, "1.0"), (1.0, "1.0"), (1.01, "2.5"), (900_000.0, "900000.0"), (900_001.0, "+Inf")],
)
def test_a_value_is_counted_from_the_first_bound_that_holds_it(
    duration_ms: float, bound: str
) -> None:
    found = Distribution()
    found.add(duration_ms)
    buckets = found.buckets()
    assert next(name for name, count in buckets if count) == bound
    assert buckets[-1] == ("+Inf", 1.0)
    assert len(buckets) == len(BOUNDS_MS) + 1


def test_series_of_a_deleted_function_go_and_its_running_environments_bring_none_back() -> None:
    metrics = Metrics()
    held = metrics.meter(version("gone"))
    metrics.meter(version("stays"))
    metrics.forget(HERE, "gone")
    held.ended(1.0, 0.0, failed=False, cold=False)
    text, _ = exposition(metrics, NOTHING, "")
    assert b'"gone"' not in text
    assert b'"stays"' in text
    assert sum(metrics.meter(version("gone")).durations.counts) == 0


def test_series_of_a_deleted_version_go_and_the_others_stay() -> None:
    metrics = Metrics()
    for number in ("1", "2"):
        metrics.meter(version(number=number))
    metrics.drop([(HERE, "fn", "1"), (HERE, "never", "1")])
    assert metrics.versions() == [(HERE, "fn", "2")]
    metrics.drop([(HERE, "fn", "2")])
    assert metrics.versions() == []


def test_names_that_mean_something_to_prometheus_are_escaped() -> None:
    metrics = Metrics()
    metrics.meter(version('a"b\\c\nd')).ended(1.0, 0.0, failed=False, cold=False)
    assert value(metrics, "lambda_invocations_total", function='a"b\\c\nd') == 1


def test_openmetrics_is_given_to_those_who_accept_it() -> None:
    metrics = Metrics()
    text, content_type = exposition(metrics, NOTHING, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    _, content_type = exposition(metrics, NOTHING, "*/*")
    assert content_type.startswith("text/plain")


def test_what_is_looked_up_is_told_as_it_is() -> None:
    key = (HERE, "fn", "$LATEST")
    readings = Readings(
        {key: 3},
        {key: {"idle": 2, "busy": 1}},
        {"ready": 4},
        in_flight=5,
        async_backlog=6,
        async_oldest_s=7.5,
        dropped_log_events=8,
        sandbox="process",
    )
    metrics = Metrics()
    metrics.statuses[4] = 9
    assert value(metrics, "lambda_home_queue_depth", readings, function="fn") == 3
    assert value(metrics, "lambda_home_environments", readings, state="idle") == 2
    assert value(metrics, "lambda_home_spares", readings, state="ready") == 4
    assert value(metrics, "lambda_home_in_flight", readings) == 5
    assert value(metrics, "lambda_home_async_backlog", readings) == 6
    assert value(metrics, "lambda_home_async_oldest_event_age_seconds", readings) == 7.5
    assert value(metrics, "lambda_home_log_events_dropped_total", readings) == 8
    assert value(metrics, "lambda_home_http_requests_total", readings, status="4xx") == 9
    assert value(metrics, "lambda_home_info", readings, sandbox="process") == 1


def test_the_dashboard_asks_for_nothing_that_is_not_there() -> None:
    key = (HERE, "fn", "$LATEST")
    metrics = Metrics()
    metrics.meter(version())
    readings = Readings({key: 0}, {key: {"idle": 1}}, {"ready": 1})
    found = samples(metrics, readings)
    names = {name for name, _ in found}
    labels = {label for _, has in found for label, _ in has}
    dashboard = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(asked) > 15
    wanted = {name for text in asked for name in re.findall(r"(?:lambda|process)_[a-z_]+", text)}
    assert wanted <= names
    assert {name for name in names if name.startswith("lambda_")} - wanted <= {
        f"{name}_{part}"
        for name in ("lambda_duration_ms", "lambda_init_duration_ms")
        for part in ("count", "sum")
    } | {"lambda_home_info"}
    grouped = {name for text in asked for name in re.findall(r"by \((\w+)\)", text)}
    assert grouped <= labels


def test_a_day_forgets_what_is_older_and_tells_the_least_and_the_most() -> None:
    day = Day()
    day.add(900.0, 0.0, failed=True)
    day.add(5.0, 3600.0, failed=False)
    day.add(15.0, 7200.0, failed=True)
    whole = day.sum(7200.0)
    assert (whole.count, whole.failed, whole.least_ms, whole.most_ms) == (3, 2, 5.0, 900.0)
    whole = day.sum(86_400.0)  # the first is a day old
    assert (whole.count, whole.failed, whole.total_ms, whole.most_ms) == (2, 1, 20.0, 15.0)
    day.add(1.0, 86_400.0, failed=False)  # takes the place of the first
    assert day.sum(86_400.0).count == 3
    assert day.sum(1e9).count == 0


def test_an_invocation_is_counted_in_less_than_three_microseconds() -> None:
    meter = Meter()
    count = 20_000

    def once() -> None:
        meter.ended(3.2, 100.0, failed=False, cold=False)

    best = min(timeit.repeat(once, number=count, repeat=5)) / count
    assert best < 3e-6
