"""bench/: statistics, targets, what other programs print, and how a run reads."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import report
from bench.asynchronous import LogTail
from bench.figures import Effort, Figure, Outcome, Row, growth_in_an_hour, percentile, ratio, times
from bench.glambdar import parse_ab
from bench.run import SECTIONS, effort_from
from bench.servers import Function, runtime_of
from bench.targets import TARGETS, Target, judge
from bench.yardsticks import parse_load

ROOT = Path(__file__).resolve().parents[2]
HARDWARE = {
    "cpu": "A <fast> CPU",
    "cores": 2,
    "memory_mb": 4096,
    "kernel": "6.1",
    "docker": "20.10",
    "python": "3.11",
    "node": "v20",
}


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (50, 2.0), (75, 3.0), (76, 4.0), (99, 4.0), (100, 4.0)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == expected


def test_no_samples_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


def test_durations_in_seconds_become_milliseconds() -> None:
    p50, p99 = times([0.001, 0.002, 0.009])
    assert (p50.value, p99.value, p50.unit) == (2.0, 9.0, "ms")


def test_growth_goes_on_for_an_hour_and_leaves_the_beginning_out() -> None:
    steady = [(float(at), 100.0) for at in range(60)]
    assert growth_in_an_hour(steady) == pytest.approx(0)
    jump_at_first = [(float(at), 50.0 if at < 10 else 100.0) for at in range(60)]
    assert growth_in_an_hour(jump_at_first) == pytest.approx(0)
    growing = [(float(at), 100 + at / 360) for at in range(60)]  # 10 MB an hour
    assert growth_in_an_hour(growing) == pytest.approx(10, rel=0.01)
    with pytest.raises(ValueError, match="too few"):
        growth_in_an_hour([(0.0, 1.0)])


def test_a_short_run_takes_fewer_samples_but_some() -> None:
    assert [Effort(seconds).count(30) for seconds in (1, 2.5, 5, 60)] == [6, 15, 30, 30]
    assert Effort(1).count(5) == 3
    assert (Effort(5).full, Effort(4).full) == (True, False)
    assert effort_from({}).full
    assert effort_from({"BENCH_SECONDS": "2"}).seconds == 2
    assert effort_from({}, 2.0).seconds == 2


def test_a_row_comes_back_from_json_as_it_was() -> None:
    row = Row("a.b", "label", 3, 1, (ratio("of floor", 3, 2), Figure("p50", 1.5, "ms")))
    assert Row.from_json(json.loads(json.dumps(row.as_json()))) == row
    assert row.figure("of floor") == Figure("of floor", 1.5, "x", "lower", compared=True)
    errors = row.figure("errors")
    assert errors is not None
    assert errors.value == 1
    assert row.figure("nothing") is None


@pytest.mark.parametrize(
    ("target", "value", "share"),
    [
        (Target("r", "f", 10), 5, 0.5),
        (Target("r", "f", 10), 12, 1.2),
        (Target("r", "f", 6000, "higher"), 12000, 0.5),
        (Target("r", "f", 6000, "higher"), 3000, 2),
        (Target("r", "f", 6000, "higher"), 0, math.inf),
        (Target("r", "errors", 0), 0, 0),
        (Target("r", "errors", 0), 1, math.inf),
    ],
)
def test_a_target_says_how_much_of_it_is_used(target: Target, value: float, share: float) -> None:
    assert target.share(value) == share
    assert target.met(value) is (share <= 1)


def test_targets_of_rows_that_were_not_measured_are_not_judged() -> None:
    rows = [Row("burst.docker", "50 at once", 50, 2, (Figure("total", 1.5, "s"),))]
    assert [(one.figure.name, one.met) for one in judge(rows)] == [
        ("total", True),
        ("errors", False),
    ]


def test_the_result_line_of_wrk_is_read() -> None:
    load = parse_load("Running 1s test\nRESULT 5000 2000000 1500.0 6000.5 9000.0 3\n")
    assert (load.n, load.per_second, load.p50_ms, load.errors) == (5000, 2500.0, 1.5, 3)
    with pytest.raises(RuntimeError, match="no result"):
        parse_load("unable to connect")


AB = """
Complete requests:      1000
Failed requests:        2
   (Connect: 0, Receive: 0, Length: 2, Exceptions: 0)
{non_2xx}Requests per second:    2951.44 [#/sec] (mean)
Time per request:       3.388 [ms] (mean)
  50%      3
  66%      4
  99%     12
 100%     14 (longest request)
"""


def test_the_report_of_ab_is_read() -> None:
    run = parse_ab(AB.format(non_2xx=""))
    assert (run.n, run.errors, run.per_second, run.p50_ms, run.p99_ms) == (1000, 2, 2951.44, 3, 12)
    assert parse_ab(AB.format(non_2xx="Non-2xx responses:      5\n")).errors == 7
    with pytest.raises(RuntimeError, match="ab printed no"):
        parse_ab("apr_socket_recv: Connection refused")


def test_a_log_that_grows_is_read_once_and_cut_lines_are_put_together(tmp_path: Path) -> None:
    ids = [f"{number:08d}-0000-0000-0000-000000000000" for number in range(3)]
    path = tmp_path / "ping.log"
    tail = LogTail(path)
    assert not tail.has_all({ids[0]})
    line = "now [stream] REPORT RequestId: {}\tDuration: 1.00 ms\n"
    path.write_text(line.format(ids[0]) + line.format(ids[1])[:40])
    assert tail.has_all({ids[0]})
    assert not tail.has_all(set(ids[:2]))
    with path.open("a") as file:
        file.write(line.format(ids[1])[40:] + line.format(ids[1]))
    assert tail.has_all(set(ids[:2]))
    assert tail.reported == {ids[0]: 1, ids[1]: 2}


def test_no_two_functions_share_their_code() -> None:
    requests = [
        json.loads(Function(name, runtime).request())
        for name in ("one", "two")
        for runtime in ("python3.11", "nodejs22.x")
    ]
    assert len({request["Code"]["ZipFile"] for request in requests}) == 4
    assert [request["Handler"] for request in requests[:2]] == [
        "lambda_function.handler",
        "index.handler",
    ]


@pytest.mark.parametrize("family", ["python", "nodejs"])
def test_a_runtime_of_this_machine_is_one_that_aws_names(family: str) -> None:
    assert re.fullmatch(r"python3\.\d+|nodejs\d+\.x", runtime_of("process", family))


ROWS = [
    Row("floor.1", "floor", 10, 0, (Figure("p50", 0.1724, "ms"), Figure("rate", 5800, "/s"))),
    Row("create.docker", "create & answer", 20, 0, (Figure("p50", 301.4, "ms"),)),
    Row("start.docker.second", "second start", 5, 0, (Figure("p50", 5000.0, "ms"),)),
    Row("memory.idle", "idle", 1, 0, (Figure("resident", 81.25, "MB"),)),
]


def test_the_table_has_every_row_and_the_targets_a_verdict() -> None:
    outcome = Outcome(ROWS, ["streaming: not here"], ["cold: broke"])
    text = report.text(outcome, HARDWARE)
    assert all(row.label in text for row in ROWS)
    assert "0.17 ms" in text
    assert "5800/s" in text
    assert re.search(r"create & answer +p50 +301 ms +<= 150 ms +MISSED", text)
    assert re.search(r"idle +resident +81\.2 MB +<= 90 MB +met", text)
    assert "not measured: streaming: not here" in text
    assert "FAILED: cold: broke" in text
    assert report.table([]) == "nothing was measured"


def test_the_plot_is_valid_has_a_bar_for_each_target_and_cuts_long_ones_off() -> None:
    picture = ET.fromstring(report.svg(ROWS, HARDWARE, "2026-01-01"))
    space = "{http://www.w3.org/2000/svg}"
    bars = list(picture.iter(f"{space}rect"))[1:]
    texts = [element.text or "" for element in picture.iter(f"{space}text")]
    assert len(bars) == 3
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths[0] == widths[2]  # both are longer than the picture is wide
    assert widths[1] < widths[0]
    assert len({bar.attrib["fill"] for bar in bars}) == 2
    assert any("A <fast> CPU" in text for text in texts)
    assert sum("bar cut off" in text for text in texts) == 2


def test_the_page_is_a_markdown_table() -> None:
    page = report.markdown(Outcome(ROWS), HARDWARE, "2026-01-01")
    assert "| create & answer | 20 | 301 ms |  |  | 0 |  |" in page
    assert "| idle | resident | 81.2 MB | <= 90 MB | met |" in page


# --------------------------------------------------------------------------------- SPECIFICATION.md

SPECIFICATION = (ROOT / "SPECIFICATION.md").read_text()


def test_the_specification_promises_every_target() -> None:
    lines = [line for line in SPECIFICATION.splitlines() if line.startswith("| ")]
    numbers = "\n".join(line for line in lines if "make bench ARGS=" in line)
    for target in TARGETS:
        sign = ">=" if target.better == "higher" else "<="
        limit = f"{target.limit:g}"
        promised = [f"{sign} {limit} ", f"{sign} {limit}0 ", f"{limit} errors", f"{limit} lost"]
        assert any(promise in numbers for promise in promised), target


def test_the_specification_names_only_sections_and_tests_that_exist() -> None:
    sections = set(re.findall(r"make bench ARGS=(\w+)", SPECIFICATION))
    assert sections == set(SECTIONS)
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", SPECIFICATION)
    assert named
    for path, test in named:
        source = (ROOT / path).read_text()
        assert not test or f"def {test}(" in source, f"{path} has no {test}"
