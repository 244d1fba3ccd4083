"""Ruby functions really run, in both sandboxes."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from functions_under_test import QUICK_WAITER, fresh_name, invoke
from live import ROLE, LiveServer, zip_of
from polling import states_until

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = [pytest.mark.slow, pytest.mark.needs("ruby")]

APP = """
LOADED = true
def handler(event:, context:)
  case event['do']
  when 'log' then puts 'written'; Logger.new($stdout).warn('logged'); nil
  when 'raise' then raise ArgumentError, 'not like that'
  when 'sleep' then sleep 60
  when 'exit' then exit 4
  else
    { event: event, name: context.function_name, id: context.aws_request_id,
      left: context.get_remaining_time_in_millis, env: ENV['COLOUR'],
      runtime: ENV['AWS_EXECUTION_ENV'], root: Dir.pwd, gems: ENV['GEM_PATH'], pid: Process.pid }
  end
end
"""


def create(aws: LambdaClient, files: dict[str, str], **members: Any) -> str:
    name = fresh_name()
    request: Any = {
        "FunctionName": name,
        "Runtime": "ruby3.4",
        "Handler": "app.handler",
        "Role": ROLE,
        "Timeout": 20,
        "Environment": {"Variables": {"COLOUR": "blue"}},
        "Code": {"ZipFile": zip_of(files)},
        **members,
    }
    aws.create_function(**request)
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    return name


@pytest.fixture(scope="module")
def app(server: LiveServer) -> str:
    """One function for all tests of what invocations do."""
    return create(server.client(), {"app.rb": APP}, Timeout=3)


def test_a_function_gets_its_event_context_and_environment(aws: LambdaClient, app: str) -> None:
    answer = invoke(aws, app, {"text": "grüße"})
    assert answer.error is None, answer.payload
    told = answer.payload
    assert 0 < told.pop("left") <= 3000
    assert told.pop("pid") > 0
    assert told == {
        "event": {"text": "grüße"},
        "name": app,
        "id": answer.request_id,
        "env": "blue",
        "runtime": "AWS_Lambda_ruby3.4",
        "root": "/var/task",
        "gems": "/var/task/vendor/bundle/ruby/3.4.0:/opt/ruby/gems/3.4.0:"
        "/var/runtime:/var/runtime/ruby/3.4.0",
    }


def test_the_tail_of_the_log_is_exactly_what_this_invocation_wrote(
    aws: LambdaClient, app: str
) -> None:
    lines = invoke(aws, app, {"do": "log"}, LogType="Tail").log.splitlines()
    own = [line for line in lines if not line.startswith(("START ", "END ", "REPORT ", "XRAY "))]
    assert next(line for line in own if "lambda_home" not in line) == "written"
    assert re.fullmatch(r"W, \[.*\]  WARN [0-9a-f-]{36} -- : logged", own[-1])
    assert lines[-1].startswith("REPORT ") or lines[-2].startswith("REPORT ")


def test_an_error_has_awss_shape(aws: LambdaClient, app: str) -> None:
    answer = invoke(aws, app, {"do": "raise"})
    assert answer.error == "Unhandled"
    assert answer.payload["errorType"] == "Function<ArgumentError>"
    assert answer.payload["errorMessage"] == "not like that"
    assert re.fullmatch(
        r"/var/task/app\.rb:6:in [`'](Object#)?handler'", answer.payload["stackTrace"][0]
    )


def test_after_an_error_that_ends_the_process_the_next_call_works(
    aws: LambdaClient, app: str
) -> None:
    before = invoke(aws, app, {}).payload["pid"]
    assert invoke(aws, app, {"do": "exit"}).payload["errorType"] == "Function<SystemExit>"
    after = invoke(aws, app, {})
    assert after.error is None
    assert before


def test_a_timeout_ends_the_call(aws: LambdaClient) -> None:
    name = create(aws, {"app.rb": APP}, Timeout=1)
    answer = invoke(aws, name, {"do": "sleep"})
    assert answer.error == "Unhandled"
    assert "Task timed out after 1.00 seconds" in answer.payload["errorMessage"]


def test_a_file_that_is_missing_is_told_at_once(aws: LambdaClient) -> None:
    name = create(aws, {"app.rb": "require 'not_there'"})
    answer = invoke(aws, name, {}, LogType="Tail")
    assert answer.payload["errorType"] == "Init<LoadError>"
    assert answer.payload["errorMessage"] == "cannot load such file -- not_there"
    assert "Init error when loading handler app.handler" in answer.log


def with_layer(aws: LambdaClient) -> str:
    """A function that needs a gem and a file of its layer, and a gem of its own."""
    layer = {"ruby/lib/beside.rb": "BESIDE = 'file'", **gem("ruby/gems/3.4.0", "colour")}
    made = aws.publish_layer_version(
        LayerName=fresh_name("layer"), Content={"ZipFile": zip_of(layer)}
    )
    source = (
        "require 'beside'\nrequire 'colour'\nrequire 'shape'\n"
        "def handler(event:, context:) = [BESIDE, COLOUR, SHAPE]"
    )
    files = {"app.rb": source, **gem("vendor/bundle/ruby/3.4.0", "shape")}
    return create(aws, files, Layers=[made["LayerVersionArn"]])


def gem(folder: str, name: str) -> dict[str, str]:
    """The files of an installed gem."""
    specification = (
        f"Gem::Specification.new {{ |s| s.name = '{name}'; s.version = '1.0';"
        " s.summary = s.author = 'x' }"
    )
    return {
        f"{folder}/gems/{name}-1.0/lib/{name}.rb": f"{name.upper()} = 'gem'",
        f"{folder}/specifications/{name}-1.0.gemspec": specification,
    }


def test_a_layer_brings_gems_and_files(aws: LambdaClient) -> None:
    assert invoke(aws, with_layer(aws), {}).payload == ["file", "gem", "gem"]


@pytest.mark.languages
@pytest.mark.process
def test_without_bubblewrap_they_are_found_where_they_lie() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # where the server is root, functions are somebody else
        broken = Path(folder) / "bwrap"
        broken.write_text("#!/bin/sh\nexit 1\n")
        broken.chmod(0o755)
        found = {"PATH": f"{folder}:{os.environ['PATH']}"}
        flags = ("--sandbox", "process", "--data-dir", f"{folder}/data")
        with LiveServer(*flags, environment=found) as live:
            name = with_layer(live.client())
            assert invoke(live.client(), name, {}).payload == ["file", "gem", "gem"]


def test_a_runtime_runs_on_its_version_or_says_on_which(
    server: LiveServer, aws: LambdaClient
) -> None:
    name = create(
        aws, {"app.rb": "def handler(event:, context:) = RUBY_VERSION"}, Runtime="ruby3.2"
    )
    version = invoke(aws, name, {}).payload
    log = server.data_dir / "logs/000000000000/us-east-1/aws/lambda" / f"{name}.log"
    if not version.startswith("3.2."):
        said = f"on Ruby {version}"
        states_until(
            lambda: "said" if log.exists() and said in log.read_text() else "not", "said", "not"
        )
