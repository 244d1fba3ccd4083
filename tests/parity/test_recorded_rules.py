"""What functions see and answer, as recorded on AWS.

The code of the recorded cases is not kept; handlers here do what the answers show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from functions_under_test import PYTHON
from live import zip_of
from parity.running import NODE, SAY, Recording, bare, log_of, make, run, settle, undated

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process


def test_a_handler_error_has_its_id_and_its_stack(api: LambdaClient) -> None:
    source = 'def handler(event, context):\n    raise Exception("Handler fails")\n'
    name = make(api, "lambda_handler_error.py", source)["FunctionName"]
    recording = Recording(
        "lambda/TestLambdaErrors/test_lambda_handler_error", {"<uuid>": "<uuid:1>"}
    )
    recording.holds("invocation_error", run(api, name, {}))


def test_an_import_error_has_no_id_and_the_import_in_its_stack(api: LambdaClient) -> None:
    name = make(api, "lambda_runtime_error.py", 'raise Exception("Runtime startup fails")\n')
    recording = Recording("lambda/TestLambdaErrors/test_lambda_runtime_error")
    ours = run(api, name["FunctionName"], {})
    error = json.loads(ours["Payload"])
    theirs = recording.answers["invocation_error"]["Payload"]
    # Frames inside of Python's own importing differ in their numbers, and in number, by version.
    assert error["stackTrace"][-1] == theirs["stackTrace"].pop()
    assert re.search(r'File "\S+/importlib/__init__\.py", line \d+, in ', error["stackTrace"][0])
    assert all("<frozen importlib" in frame for frame in error["stackTrace"][1:-1])
    theirs["stackTrace"] = error["stackTrace"]
    recording.holds("invocation_error", ours)


def test_a_runtime_that_exits_gives_no_reason(api: LambdaClient) -> None:
    source = "import sys\ndef handler(event, context):\n    sys.exit(0)\n"
    name = make(api, "lambda_runtime_exit.py", source)["FunctionName"]
    case = "lambda/TestLambdaErrors/test_lambda_runtime_exit"
    Recording(case, {"<uuid>": "<uuid:1>"}).holds("invocation_error", run(api, name, {}))


def test_a_timeout_says_after_how_long(api: LambdaClient) -> None:
    source = "import time\ndef handler(event, context):\n    time.sleep(9)\n"
    name = make(api, "slow.py", source, Timeout=1)["FunctionName"]
    case = "lambda/TestLambdaErrors/test_lambda_runtime_exit_segfault"
    recording = Recording(case, {"<uuid>": "<uuid:1>", "30.00": "1.00"})
    recording.holds("invocation_error", run(api, name, {}))


def test_a_node_error_is_told_with_its_trace(api: LambdaClient) -> None:
    source = 'exports.handler = async () => { throw new Error("Error: some_error_msg"); };'
    created = make(api, "index.js", source, MemorySize=1024)
    case = "common/TestLambdaRuntimesCommon/test_uncaught_exception_invoke[nodejs20.x]"
    recording = Recording(case)
    recording.holds("create_function_result", created)
    ours = run(api, created["FunctionName"], {"error_msg": "some_error_msg"})
    error = json.loads(ours["Payload"])
    assert error["trace"][0] == "Error: Error: some_error_msg"
    assert "/var/task/index.js" in error["trace"][1]
    ours["Payload"] = json.dumps({**error, "trace": "\n".join(error["trace"])})
    recording.holds("error_result", ours)


def test_a_response_that_is_too_large_is_refused_each_time(api: LambdaClient) -> None:
    source = "def handler(event, context):\n    return 'x' * 6_300_000\n"
    name = make(api, "index.py", source)["FunctionName"]
    recording = Recording("lambda/TestLambdaBaseFeatures/test_lambda_too_large_response")
    recording.holds("invoke_result", run(api, name, {}))
    recording.holds("invoke_result_2", run(api, name, {}))


def test_a_node_function_keeps_its_variables_and_may_return_nothing(api: LambdaClient) -> None:
    source = """
    let counter = 0;
    exports.handler = async (event) => event.count ? { counter: counter++ } : undefined;
    """
    name = make(api, "index.js", source)["FunctionName"]
    kept = Recording("lambda/TestLambdaBehavior/test_lambda_cache_local[nodejs]")
    kept.holds("first_invoke_result", run(api, name, {"count": 1}))
    kept.holds("second_invoke_result", run(api, name, {"count": 1}))
    case = "lambda/TestLambdaFeatures/test_invocation_type_no_return_payload[nodejs-{}]"
    for kind in ("Event", "RequestResponse"):
        answer = run(api, name, {}, InvocationType=kind)
        Recording(case.format(kind)).holds("invoke-result", answer)


def test_a_function_that_does_not_exist_is_not_found(api: LambdaClient) -> None:
    recording = Recording("lambda/TestLambdaFeatures/test_invoke_exceptions")
    recording.holds("invoke_function_doesnotexist", run(api, "doesnotexist", {}))


# ----------------------------------------------------------------------- context, environment, log


def test_a_version_has_its_context_and_its_log(api: LambdaClient) -> None:
    name = make(api, "handler.py", SAY, Publish=True)["FunctionName"]
    recording = Recording("lambda/TestLambdaFeatures/test_invocation_with_qualifier")
    event = {"foo": "bar with 'quotes\""}
    ours = run(api, name, event, Qualifier="1", LogType="Tail")
    recording.holds("invocation-response", ours)
    *lines, report = log_of(ours)
    assert report.startswith("REPORT RequestId: ")
    recording.holds("log_result", {"log_result": [undated(line) for line in lines]})


def test_the_request_id_of_the_answer_is_that_of_the_log(api: LambdaClient) -> None:
    source = SAY.replace("Lambda log message - logging module", "RequestId log message").replace(
        '    print("Lambda log message - print function")\n', ""
    )
    name = make(api, "handler.py", source)["FunctionName"]
    answer = api.invoke(FunctionName=name, Payload=b"{}", LogType="Tail")
    answer["Payload"].close()
    recording = Recording(
        "lambda/TestRequestIdHandling/test_request_id_invoke",
        {"<request-id>": answer["ResponseMetadata"]["RequestId"]},
    )
    lines = [undated(line) for line in log_of(answer)]
    for unit, hidden in (("ms", "<duration>"), ("MB", "<memory>")):
        lines[-1] = re.sub(rf"(Duration|Used): [\d.]+ {unit}", rf"\1: {hidden} {unit}", lines[-1])
    recording.holds("log_entries", {"logs": [line.rstrip("\t") for line in lines]})


def test_lines_of_a_print_are_lines_of_the_log(api: LambdaClient) -> None:
    source = 'def handler(event, context):\n    print("multi\\nline\\nstring\\nanother\\rline")\n'
    name = make(api, "handler.py", source)["FunctionName"]
    ours = log_of(run(api, name, {}, LogType="Tail"))
    events = Recording("runtimes/TestCloudwatchLogs/test_multi_line_prints").answers["log-events"]
    messages = [event["message"].removesuffix("\n") for event in events]
    assert ours[1:-2] == messages[2:-2]
    assert [line.split()[0] for line in ours] == [line.split()[0] for line in messages[1:]]


PYTHON_LOOK = """
import os
def handler(event, context):
    names = ("aws_request_id", "function_name", "function_version", "invoked_function_arn",
             "log_group_name", "log_stream_name", "memory_limit_in_mb")
    found = {name: getattr(context, name) for name in names}
    found["remaining_time_in_millis"] = str(context.get_remaining_time_in_millis())
    return {"ctx": found, "environment": dict(os.environ), "packages": []}
"""
NODE_LOOK = """
exports.handler = async (event, context) => ({
    ctx: {
        aws_request_id: context.awsRequestId,
        function_name: context.functionName,
        function_version: context.functionVersion,
        invoked_function_arn: context.invokedFunctionArn,
        log_group_name: context.logGroupName,
        log_stream_name: context.logStreamName,
        remaining_time_in_millis: String(context.getRemainingTimeInMillis()),
    },
    environment: process.env,
    packages: [],
});
"""
# What differs here: functions find the other services by AWS_ENDPOINT_URL; Python sets LC_CTYPE
# where the locale of LANG is not installed.
DIFFERENT = ("AWS_ENDPOINT_URL", "LC_CTYPE")


@pytest.mark.parametrize(
    ("recorded", "file", "source"),
    [("python3.11", "handler.py", PYTHON_LOOK), ("nodejs22.x", "index.js", NODE_LOOK)],
)
def test_a_function_sees_the_context_and_the_environment_of_aws(
    api: LambdaClient, recorded: str, file: str, source: str
) -> None:
    variables = {"Variables": {"TEST_KEY": "TEST_VAL"}}
    created = make(api, file, source, MemorySize=1024, Environment=variables)
    recording = Recording(
        f"common/TestLambdaRuntimesCommon/test_introspection_invoke[{recorded}]",
        {"nodejs22.x": NODE, "/node22/": "/node20/", "169.254.100.1:9001": "<runtime-api>"},
    )
    recording.holds("create_function_result", created)
    for key, target in (
        ("invocation_result_payload", created["FunctionName"]),
        ("invocation_result_payload_qualified", f"{created['FunctionArn']}:$LATEST"),
    ):
        seen = json.loads(run(api, target, {})["Payload"])
        assert 0 < int(seen["ctx"].pop("remaining_time_in_millis")) <= 3000
        del recording.answers[key]["ctx"]["remaining_time_in_millis"]
        for name in DIFFERENT:
            seen["environment"].pop(name, None)
            recording.answers[key]["environment"].pop(name, None)
        recording.holds(key, seen)


def test_versions_keep_their_code(api: LambdaClient) -> None:
    template = """
def handler(event, context):
    return {"version_id": "%s", "invoked_arn": context.invoked_function_arn,
            "version_from_ctx": context.function_version}
"""
    recording = Recording(
        "lambda/TestLambdaVersions/test_lambda_versions_with_code_changes",
        {"python3.12": PYTHON, "index.handler": "handler.handler"},
    )
    for answer in recording.answers.values():
        answer.pop("CodeSha256", None)  # all hidden alike
    created = make(api, "handler.py", template % "version1", Description="No version :(")
    name = created["FunctionName"]

    def holds(key: str, answer: Mapping[str, Any]) -> None:
        whole = bare(answer)
        assert whole.pop("CodeSha256")
        recording.holds(key, whole)

    def publish(key: str, text: str) -> None:
        holds(key, api.publish_version(FunctionName=name, Description=text))
        settle(api, name)

    def update(key: str, version: str, *, publish: bool = False) -> None:
        code = zip_of({"handler.py": template % version})
        made = api.update_function_code(FunctionName=name, ZipFile=code, Publish=publish)
        holds(key, made)
        settle(api, name)

    holds("create_response", created)
    publish("first_publish_response", "First version description :)")
    update("update_lambda_response", "version2")
    recording.holds("invocation_result_latest", run(api, name))
    recording.holds("invocation_result_v1", run(api, name, Qualifier="1"))
    publish("second_publish_response", "Second version description :)")
    recording.holds("invocation_result_v2", run(api, name, Qualifier="2"))
    update("update_lambda_response_with_publish", "version3", publish=True)
    recording.holds("invocation_result_v3", run(api, name, Qualifier="3"))
    recording.holds("invocation_result_latest_end", run(api, name))
    recording.holds("invocation_result_v2_end", run(api, name, Qualifier="2"))
    recording.holds("invocation_result_v1_end", run(api, name, Qualifier="1"))
