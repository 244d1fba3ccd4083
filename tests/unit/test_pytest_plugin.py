"""The pytest plugin: what its fixtures promise, in runs of pytest within this one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from observing import until

from lambda_home.testing.server import LocalServer, LocalServerError, ServerOptions

pytest_plugins = ["pytester"]

README = Path(__file__).parents[2] / "README.md"
_IS_INSTALLED = any(point.name == "lambda_home" for point in entry_points(group="pytest11"))
_LOADED = () if _IS_INSTALLED else ("-p", "lambda_home.pytest_plugin")
_QUIET = (*_LOADED, "-p", "no:cacheprovider", "--lambda-home-sandbox", "process")

USES = """
    import json
    import os
    from collections import OrderedDict

    import boto3
    import pytest
    from botocore.exceptions import ClientError

    from lambda_home.testing.functions import FunctionFailed

    LIMIT = 3
    ordered = OrderedDict()

    def handler(event, context):
        return json.loads(json.dumps({"limit": LIMIT, "got": event}))

    def failing(event, context):
        raise KeyError(event)

    def leaning(event, context):
        return ordered

    def remembering(event, context):
        seen = globals().setdefault("seen", [])
        if event != "tell":
            seen.append(event["requestContext"]["approximateInvokeCount"])
        return seen

    def test_a_function_of_the_test_file(lambda_home_function):
        made = lambda_home_function(handler, FunctionName="mine", Environment={"STAGE": "1"})
        assert made.invoke([1]) == {"limit": 3, "got": [1]}
        assert made.arn.endswith(":function:mine")
        made.update("def handler(event, context):\\n    return 'new'")
        assert made.invoke() == "new"

    def test_the_function_before_is_gone(lambda_client):
        assert lambda_client.list_functions()["Functions"] == []

    def test_one_that_is_asked_for_meanwhile(request):
        request.getfixturevalue("lambda_home_function")(handler)

    def test_the_one_that_was_asked_for_is_gone(lambda_client):
        assert lambda_client.list_functions()["Functions"] == []

    def test_what_it_leans_on(lambda_home_function):
        with pytest.raises(ValueError, match="leaning uses ordered of its module"):
            lambda_home_function(leaning)

    def printing(event, context):
        print("told", event)

    def test_what_it_prints(lambda_home_function):
        made = lambda_home_function(printing)
        made.invoke("x")
        lines = made.logs()
        assert "told x" in [line.strip() for line in lines]
        assert lines[-1].startswith("REPORT RequestId")

    def test_an_error_of_the_function(lambda_home_function):
        with pytest.raises(FunctionFailed, match="KeyError: 'x'") as failed:
            lambda_home_function(failing).invoke("x")
        assert failed.value.document["errorType"] == "KeyError"

    def test_a_folder(lambda_home_function, tmp_path):
        (tmp_path / "app.py").write_text("from other import go as handler")
        (tmp_path / "other.py").write_text("def go(event, context):\\n    return 'gone'")
        assert lambda_home_function(tmp_path).invoke() == "gone"
        (tmp_path / "app.py").rename(tmp_path / "start.py")
        with pytest.raises(ValueError, match='Handler="app.handler"'):
            lambda_home_function(tmp_path)
        assert lambda_home_function(tmp_path, Handler="start.handler").invoke() == "gone"

    def test_code_that_makes_its_own_clients(aws_environment, lambda_home_function):
        lambda_home_function(handler, FunctionName="found")
        assert boto3.client("lambda").get_function(FunctionName="found")
        assert os.environ["AWS_ENDPOINT_URL"] == aws_environment["AWS_ENDPOINT_URL"]
        assert "AWS_PROFILE" not in os.environ

    def test_other_accounts_and_regions(lambda_home_client, lambda_home_function):
        lambda_home_function(handler)
        there = lambda_home_client("lambda", account="111111111111", region="eu-west-1")
        assert there.list_functions()["Functions"] == []
        with pytest.raises(ClientError):
            there.get_function(FunctionName="none")

    def test_retries_take_no_time(lambda_home_function, lambda_home_clock, lambda_client):
        told = lambda_home_function(remembering)
        made = lambda_home_function(failing)
        lambda_client.put_function_event_invoke_config(
            FunctionName=made.name, DestinationConfig={"OnFailure": {"Destination": told.arn}}
        )
        before = lambda_home_clock.now()
        made.send("x")
        lambda_home_clock.advance(20)
        assert told.invoke("tell") == []
        lambda_home_clock.advance(160)
        assert told.invoke("tell") == [3]
        assert 180 <= lambda_home_clock.now() - before < 240
"""


def run(pytester: pytest.Pytester, *flags: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*_QUIET, *flags)


def test_the_example_of_the_readme_passes(pytester: pytest.Pytester) -> None:
    found = re.search(
        r"## Tests of your own\n.*?```python\n(.*?)```", README.read_text(), re.DOTALL
    )
    assert found is not None
    written = [line for line in found[1].splitlines() if line]
    assert len(written) <= 10
    pytester.makepyfile(test_example=found[1])
    run(pytester).assert_outcomes(passed=2)


@pytest.mark.process
def test_fixtures_deploy_call_advance_and_leave_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    pytester.makepyfile(test_uses=USES)
    run(pytester).assert_outcomes(passed=11)


@pytest.mark.process
def test_each_worker_of_xdist_has_its_own_server(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pathlib
        import pytest

        @pytest.mark.parametrize("number", range(2))
        def test_somewhere(lambda_home, number, request):
            assert lambda_home.data_dir.is_dir()
            with (request.config.rootpath / "urls").open("a") as urls:
                print(lambda_home.url, file=urls)
        """
    )
    run(pytester, "-n", "2", "--dist", "each").assert_outcomes(passed=4)
    urls = (pytester.path / "urls").read_text().split()
    assert len(urls) == 4
    assert len(set(urls)) == 2


@pytest.mark.parametrize(
    ("ini", "told"),
    [
        ("lambda_home_sandbox = cloud", "*lambda_home_sandbox = cloud: expected auto, docker,*"),
        ("lambda_home_settings = port", "*'port' is not of the form section.key = value.*"),
        ("lambda_home_settings = async.retries = 1", "*Unknown setting async.retries*"),
    ],
)
def test_bad_settings_are_told_in_one_line(pytester: pytest.Pytester, ini: str, told: str) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.makepyfile("def test_it(lambda_home):\n    pass\n")
    done = pytester.runpytest_inprocess(*_LOADED, "-p", "no:cacheprovider")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines([told])


def test_settings_reach_the_server_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_HOME_NOT__KNOWN", "1")
    options = ServerOptions("process", settings={"async.retry_base_s": "7"})
    assert options.variables()["LAMBDA_HOME_ASYNC__RETRY_BASE_S"] == "7"
    with LocalServer(options) as server:
        held = server.data_dir
        assert held.is_dir()
        with pytest.raises(LocalServerError, match=r"answered 400: .*advance_s"):
            server.admin("POST", "/api/admin/clock", {"advance_s": -1})
    assert not held.exists()


def test_the_plugin_costs_a_start_of_pytest_nothing() -> None:
    """It is imported by every run of pytest: by those that never use it, too."""
    script = (
        "import sys, pytest; before = set(sys.modules); import lambda_home.pytest_plugin;"
        " print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=os.environ
    )
    assert done.stdout.split() == ["lambda_home", "lambda_home.pytest_plugin"]


def test_a_server_that_has_ended_is_told_with_its_last_words() -> None:
    server = LocalServer(ServerOptions())
    server.facts["user API"] = "http://127.0.0.1:1"
    server._output.append("the last word\n")  # noqa: SLF001  as its reader does
    with pytest.raises(LocalServerError, match=r"does not answer POST(?s:.*)the last word"):
        server.reset()


def test_a_killed_run_leaves_no_server() -> None:
    script = (
        "import os; from lambda_home.testing.server import LocalServer, ServerOptions;"
        " server = LocalServer(ServerOptions('process')).__enter__();"
        " print(server.data_dir, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    until(lambda: not Path(done.stdout.strip()).exists(), "the server has cleared up and ended")
