"""What becomes of events and of calls that are too many, as recorded on AWS.

The code of the recorded cases is not kept; handlers here do what the answers show.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from functions_under_test import PYTHON, fresh_name
from observing import until
from other_services import service
from parity.running import (
    ACCOUNT,
    SAY,
    Queue,
    Recording,
    bare,
    body_of,
    log_of,
    make,
    run,
    settle,
    undated,
)

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process


def test_a_provisioned_version_runs_while_the_rest_is_blocked(api: LambdaClient) -> None:
    source = "def handler(event, context):\n    return event\n"
    name = make(api, "handler.py", source, Publish=True)["FunctionName"]
    recording = Recording("lambda/TestLambdaConcurrency/test_lambda_concurrency_block")
    reserved = api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    recording.holds("reserved_concurrency_result", bare(reserved))
    event = {"hello": "world"}
    recording.holds("invoke_latest_before_block", run(api, name, event))
    version: dict[str, Any] = {"FunctionName": name, "Qualifier": "1"}
    put = api.put_provisioned_concurrency_config(**version, ProvisionedConcurrentExecutions=1)
    recording.holds("provisioned_concurrency_result", bare(put))
    until(
        lambda: api.get_provisioned_concurrency_config(**version)["Status"] == "READY",
        "the provisioned environment did not become ready",
    )
    recording.holds("invoke_latest_first_exc", run(api, name, event))
    recording.holds("invoke_v1_after_block", run(api, name, event, Qualifier="1"))
    recording.holds("invoke_latest_second_exc", run(api, name, event))


def test_events_for_a_blocked_function_go_to_its_destination(
    api: LambdaClient, queue: Queue
) -> None:
    name = make(api, "handler.py", SAY)["FunctionName"]
    recording = Recording("lambda/TestLambdaConcurrency/test_reserved_concurrency")
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    recording.holds("exc_no_cap_requestresponse", run(api, name, {}))
    config = api.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": queue.arn}},
    )
    recording.holds("put_event_invoke_conf", bare(config))
    recording.holds("invoke_result", run(api, name, {}, InvocationType="Event"))
    message = queue.receive()
    recording.answers["msg"] = recording.answers["msg"]["Body"]
    recording.holds("msg", body_of(message))


def test_failed_events_go_to_the_dead_letter_queue_and_the_destination(
    api: LambdaClient, queue: Queue, services: str
) -> None:
    dead = Queue(services)
    line = SAY[: SAY.index("    if event")].count("\n") + 2
    ours_of_theirs = {"python3.12": PYTHON, "line 55": f"line {line}"}
    letters = Recording("destinations/TestLambdaDLQ/test_dead_letter_queue", ours_of_theirs)
    records = Recording(
        "destinations/TestLambdaDestinationSqs/test_lambda_destination_default_retries",
        ours_of_theirs,
    )
    created = make(
        api,
        "handler.py",
        SAY,
        DeadLetterConfig={"TargetArn": dead.arn},
        Timeout=30,
        Environment={"Variables": {}},
    )
    letters.holds(
        "create_lambda_with_dlq",
        {"CreateEventSourceMappingResponse": None, "CreateFunctionResponse": created},
    )
    name = created["FunctionName"]
    both: Any = {"OnSuccess": {"Destination": queue.arn}, "OnFailure": {"Destination": queue.arn}}
    config = api.put_function_event_invoke_config(FunctionName=name, DestinationConfig=both)
    records.holds("put_function_event_invoke_config", bare(config))
    event = {"raise_error": 1}
    run(api, name, event, InvocationType="Event")
    records.answers["record"] = records.answers["receive_message_result"]["Messages"][0]["Body"]
    records.holds("record", body_of(queue.receive()))
    letter = dead.receive()
    expected = letters.answers["receive_result"]["Messages"][0]
    letters.answers["letter"] = {
        member: expected[member] for member in ("Body", "MD5OfBody", "MessageAttributes")
    }
    letters.holds("letter", {member: letter[member] for member in letters.answers["letter"]})
    ours = run(api, name, event, LogType="Tail")
    letters.holds("invoke_result", ours)
    lines = [undated(line) for line in log_of(ours) if not line.startswith("REPORT")]
    letters.holds("log_result", {"result": lines})
    dead.close()


def test_events_of_the_bus_tell_of_success_and_failure(
    api: LambdaClient, queue: Queue, services: str
) -> None:
    source = (
        "def handler(event, context):\n"
        '    if event["mode"] == "success":\n'
        '        return {"hello": "world", "success": True, "test": "abc", "val": 5}\n'
        '    raise Exception("intentional failure!")\n'
    )
    events = service("events", services, ACCOUNT)
    bus = fresh_name("bus")
    arn = events.create_event_bus(Name=bus)["EventBusArn"]
    pattern = json.dumps({"source": ["lambda"]})
    events.put_rule(Name="all", EventBusName=bus, EventPattern=pattern)
    target = {"Id": "queue", "Arn": queue.arn}
    events.put_targets(Rule="all", EventBusName=bus, Targets=[target])
    events.close()
    name = make(api, "index.py", source)["FunctionName"]
    api.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": arn}, "OnFailure": {"Destination": arn}},
    )
    recording = Recording(
        "destinations/TestLambdaDestinationEventbridge/test_invoke_lambda_eventbridge"
    )
    for mode in ("success", "failure"):
        run(api, name, {"mode": mode}, InvocationType="Event")
        told = body_of(queue.receive())
        told["account"] = ACCOUNT  # moto leaves it out
        recording.holds(f"lambda_destination_event_bus_{mode}", told)


def test_events_that_wait_run_with_the_code_of_then(api: LambdaClient, queue: Queue) -> None:
    recorded = Recording(
        "lambda/TestLambdaVersions/test_async_invoke_queue_upon_function_update"
    ).answers["async_invoke_history_sorted"]
    source = """
import os, time
def handler(event, context):
    variant = os.environ["VARIANT"]
    if "sleep" in event:
        time.sleep(1.5)
    return f"{event}--{variant}"
"""
    name = make(api, "handler.py", source, Environment={"Variables": {"VARIANT": "variant-1"}})[
        "FunctionName"
    ]
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    api.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": queue.arn}}
    )
    running, before, after = (recorded[place].partition("--")[0] for place in (0, 1, 10))
    run(api, name, running, InvocationType="Event")
    until(lambda: run(api, name, "probe").get("Reason"), "the first event did not start")
    run(api, name, before, InvocationType="Event")
    api.update_function_configuration(
        FunctionName=name, Environment={"Variables": {"VARIANT": "variant-2"}}
    )
    settle(api, name)
    told = [body_of(queue.receive())["responsePayload"]]
    run(api, name, after, InvocationType="Event")
    told += [body_of(queue.receive())["responsePayload"] for _ in range(2)]
    assert sorted(told) == [recorded[place] for place in (0, 1, 10)]
