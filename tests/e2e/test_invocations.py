"""What an invocation does, on both sandboxes: results, errors, limits, logs."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import NODE, Answer, create, fresh_name, invoke
from observing import until_logged

if TYPE_CHECKING:
    from live import LiveServer
    from mypy_boto3_lambda import LambdaClient

# One function whose event says how to behave.
ACTOR = """
import ctypes, os, signal, sys, time
calls = 0
def handler(event, context):
    global calls
    calls += 1
    do = event.get("do")
    if event.get("say"):
        print(event["say"], flush=True)
    if do == "sleep":
        time.sleep(event["seconds"])
    elif do == "raise":
        raise ValueError("bad luck")
    elif do == "exit":
        os._exit(event["code"])
    elif do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif do == "segfault":
        ctypes.string_at(0)
    elif do == "big":
        return "x" * event["size"]
    elif do == "eat":
        held = [bytearray(8 << 20) for _ in range(64)]
        for block in held:
            block[::4096] = b"x" * len(block[::4096])
    elif do == "context":
        return {
            "name": context.function_name, "version": context.function_version,
            "arn": context.invoked_function_arn, "memory": context.memory_limit_in_mb,
            "id": context.aws_request_id, "group": context.log_group_name,
            "stream": context.log_stream_name, "left": context.get_remaining_time_in_millis(),
            "client": context.client_context and context.client_context.custom,
        }
    return {"calls": calls, "pid": os.getpid()}
"""


@pytest.fixture(scope="session")
def actor(server: LiveServer) -> str:
    return create(server.client(), ACTOR, Timeout=30)


def error_of(caught: pytest.ExceptionInfo[ClientError]) -> tuple[int, str, str]:
    response: Any = caught.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return status, response["Error"]["Code"], response["Error"]["Message"]


def test_a_warm_environment_is_used_again(aws: LambdaClient) -> None:
    name = create(aws, ACTOR)
    answers = [invoke(aws, name, {}).payload for _ in range(3)]
    assert [a["calls"] for a in answers] == [1, 2, 3]


def test_the_context_is_complete(aws: LambdaClient, actor: str) -> None:
    context = base64.b64encode(json.dumps({"custom": {"k": "ü"}}).encode()).decode()
    answer = invoke(aws, actor, {"do": "context"}, ClientContext=context)
    seen = answer.payload
    assert seen["name"] == actor
    assert seen["arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{actor}"
    assert (seen["version"], str(seen["memory"])) == ("$LATEST", "128")
    assert seen["id"] == answer.request_id
    assert seen["group"] == f"/aws/lambda/{actor}"
    assert "[$LATEST]" in seen["stream"]
    assert 20_000 < seen["left"] <= 30_000
    assert seen["client"] == {"k": "ü"}


def test_a_handler_error_is_a_result_and_the_environment_lives_on(
    aws: LambdaClient, actor: str
) -> None:
    before = invoke(aws, actor, {}).payload
    failed = invoke(aws, actor, {"do": "raise"})
    assert (failed.status, failed.error) == (200, "Unhandled")
    assert failed.payload["errorType"] == "ValueError"
    assert failed.payload["errorMessage"] == "bad luck"
    assert failed.payload["requestId"] == failed.request_id
    assert '/var/task/lambda_function.py", line' in failed.payload["stackTrace"][-1]
    assert invoke(aws, actor, {}).payload["pid"] == before["pid"]


def test_a_timeout_kills_and_says_so_in_time(aws: LambdaClient) -> None:
    name = create(aws, ACTOR, Timeout=1)
    invoke(aws, name, {})
    start = time.monotonic()
    late = invoke(aws, name, {"do": "sleep", "seconds": 20})
    took = time.monotonic() - start
    assert late.error == "Unhandled"
    assert late.payload == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {late.request_id} Error: Task timed out after 1.00 seconds",
    }
    assert 1.0 <= took < 15
    assert invoke(aws, name, {}).payload["calls"] == 1, "the next call has a clean environment"


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ({"do": "exit", "code": 0}, "Runtime exited without providing a reason"),
        ({"do": "exit", "code": 3}, "Runtime exited with error: exit status 3"),
        ({"do": "kill"}, "Runtime exited with error: signal: killed"),
        ({"do": "segfault"}, "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_a_runtime_that_dies_fails_its_own_invocation_only(
    aws: LambdaClient, act: dict[str, Any], reason: str
) -> None:
    name = create(aws, ACTOR, Timeout=20)
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(invoke, aws, name, {"do": "sleep", "seconds": 1})
        dead = pool.submit(invoke, aws, name, act).result()
        assert dead.payload == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {dead.request_id} Error: {reason}",
        }
        assert (dead.status, dead.error) == (200, "Unhandled")
        assert other.result().error is None
    assert invoke(aws, name, {}).error is None


def test_memory_over_the_limit_ends_the_environment_not_the_server(aws: LambdaClient) -> None:
    name = create(aws, ACTOR, Timeout=30, MemorySize=128)
    dead = invoke(aws, name, {"do": "eat"})
    assert dead.error == "Unhandled"
    assert dead.payload["errorType"] in {"Runtime.ExitError", "MemoryError"}
    assert invoke(aws, name, {}).payload["calls"] == 1


@pytest.mark.parametrize(
    ("members", "source", "error_type", "message"),
    [
        ({}, "import nothing_like_it\n", "Runtime.ImportModuleError", "Unable to import module"),
        ({}, "def handler(:\n", "Runtime.UserCodeSyntaxError", "Syntax error in module"),
        ({"Handler": "lambda_function.nope"}, "x = 1\n", "Runtime.HandlerNotFound", "Handler"),
        ({}, "raise KeyError('at import')\n", "KeyError", "'at import'"),
    ],
)
def test_init_errors_are_told_at_once(
    aws: LambdaClient, members: dict[str, Any], source: str, error_type: str, message: str
) -> None:
    name = create(aws, source, Timeout=30, **members)
    start = time.monotonic()
    failed = invoke(aws, name, {}, LogType="Tail")
    assert time.monotonic() - start < 25, "it was tried until the timeout"
    assert failed.error == "Unhandled"
    assert failed.payload["errorType"] == error_type
    assert message in failed.payload["errorMessage"]
    assert f"END RequestId: {failed.request_id}" in failed.log


def test_node_init_errors_are_told_too(aws: LambdaClient) -> None:
    name = create(aws, "require('nothing-like-it')", Runtime=NODE, Timeout=30)
    failed = invoke(aws, name, {})
    assert failed.payload["errorType"] == "Runtime.ImportModuleError"
    assert "Cannot find module 'nothing-like-it'" in failed.payload["errorMessage"]


def test_the_log_tail_is_that_of_exactly_this_request(aws: LambdaClient, actor: str) -> None:
    def one(number: int) -> None:
        said = f"line of call {number}"
        answer = invoke(aws, actor, {"say": said}, LogType="Tail")
        lines = answer.log.splitlines()
        assert lines[0] == f"START RequestId: {answer.request_id} Version: $LATEST"
        assert lines[1] == said
        assert lines[2] == f"END RequestId: {answer.request_id}"
        assert lines[3].startswith(f"REPORT RequestId: {answer.request_id}\tDuration: ")
        assert "Memory Size: 128 MB\tMax Memory Used: " in lines[3]
        assert len(lines) == 4

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(24)))


def test_the_report_has_init_duration_on_a_cold_start_only(aws: LambdaClient) -> None:
    name = create(aws, ACTOR)
    assert "Init Duration: " in invoke(aws, name, {}, LogType="Tail").log
    assert "Init Duration: " not in invoke(aws, name, {}, LogType="Tail").log


def test_the_log_tail_is_the_last_four_kilobytes(aws: LambdaClient, actor: str) -> None:
    answer = invoke(aws, actor, {"say": "y" * 10_000}, LogType="Tail")
    assert len(answer.log.encode()) == 4096
    assert answer.log.splitlines()[-1].startswith("REPORT RequestId: ")


def test_no_log_is_sent_unless_asked_for(aws: LambdaClient, actor: str) -> None:
    assert invoke(aws, actor, {"say": "quiet"}).log == ""


def test_a_response_over_six_megabytes_is_refused_and_the_environment_reused(
    aws: LambdaClient,
) -> None:
    name = create(aws, ACTOR, Timeout=20, MemorySize=512)
    limit = 6 * 1024 * 1024 + 100
    whole = invoke(aws, name, {"do": "big", "size": limit - 2})
    assert len(whole.raw) == limit
    over = invoke(aws, name, {"do": "big", "size": limit - 1})
    assert over.error == "Unhandled"
    assert over.payload == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size"
        " (6291556 bytes).",
    }
    assert invoke(aws, name, {}).payload["calls"] == 3


def test_reserved_concurrency_is_a_limit_and_answers_at_once(aws: LambdaClient) -> None:
    name = create(aws, ACTOR, Timeout=20)
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)

    def call(_: int) -> Answer | ClientError:
        try:
            return invoke(aws, name, {"do": "sleep", "seconds": 2.5})
        except ClientError as error:
            return error

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(call, range(6)))
    refused: list[Any] = [a for a in answers if isinstance(a, ClientError)]
    assert len(refused) == 4
    for error in refused:
        assert error.response["Error"]["Code"] == "TooManyRequestsException"
        assert error.response["Error"]["Message"] == "Rate Exceeded."
        assert error.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert error.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(aws.exceptions.TooManyRequestsException):
        invoke(aws, name, {})
    aws.delete_function_concurrency(FunctionName=name)
    assert invoke(aws, name, {}).error is None


def test_parallel_first_calls_all_succeed(aws: LambdaClient) -> None:
    name = create(aws, ACTOR, Timeout=30)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: invoke(aws, name, {"n": n}), range(20)))
    assert [a.error for a in answers] == [None] * 20
    assert len({a.payload["pid"] for a in answers}) <= 20


def test_dry_run_checks_and_runs_nothing(aws: LambdaClient) -> None:
    name = create(aws, ACTOR)
    dry = invoke(aws, name, {}, InvocationType="DryRun")
    assert (dry.status, dry.raw) == (204, b"")
    assert invoke(aws, name, {}).payload["calls"] == 1


def test_an_event_is_accepted_at_once_and_runs(server: LiveServer, aws: LambdaClient) -> None:
    name = create(aws, ACTOR)
    accepted = invoke(aws, name, {"say": "in the background"}, InvocationType="Event")
    assert (accepted.status, accepted.raw, accepted.version) == (202, b"", None)
    until_logged(server, name, "in the background")


def test_an_update_during_an_invocation_lets_it_finish_on_the_old_code(
    server: LiveServer, aws: LambdaClient
) -> None:
    name = create(aws, ACTOR, Timeout=20)
    invoke(aws, name, {})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(invoke, aws, name, {"do": "sleep", "seconds": 1.5, "say": "begun"})
        until_logged(server, name, "begun")
        aws.update_function_configuration(FunctionName=name, MemorySize=256)
        assert invoke(aws, name, {"do": "context"}).payload["memory"] in {256, "256"}
        assert running.result().error is None


def test_a_deletion_during_an_invocation_lets_it_finish(
    server: LiveServer, aws: LambdaClient
) -> None:
    name = create(aws, ACTOR, Timeout=20)
    invoke(aws, name, {})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(invoke, aws, name, {"do": "sleep", "seconds": 1, "say": "begun"})
        until_logged(server, name, "begun")
        aws.delete_function(FunctionName=name)
        with pytest.raises(aws.exceptions.ResourceNotFoundException):
            invoke(aws, name, {})
        assert running.result().error is None


def test_a_missing_function_is_a_404_in_aws_words(aws: LambdaClient) -> None:
    name = fresh_name("absent")
    with pytest.raises(ClientError) as caught:
        invoke(aws, name, {})
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}:$LATEST"
    assert error_of(caught) == (404, "ResourceNotFoundException", f"Function not found: {arn}")


def test_names_work_in_every_form_that_aws_takes(aws: LambdaClient, actor: str) -> None:
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{actor}"
    for form in (actor, f"{actor}:$LATEST", f"function:{actor}", f"000000000000:function:{actor}",
                 arn, f"{arn}:$LATEST"):  # fmt: skip
        assert invoke(aws, form, {}).error is None, form
