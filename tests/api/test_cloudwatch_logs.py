"""The CloudWatch Logs API of a live server, by boto3 and the AWS CLI."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from functions_under_test import create, fresh_name, invoke
from live import LiveServer
from observing import until
from polling import refusal
from signing import locked_server

HERE = "arn:aws:logs:us-east-1:000000000000:log-group:"
ECHO = "def handler(event, context):\n    print('got', event)\n    return event\n"
DAY_MS = 86_400_000


def client(
    server: LiveServer,
    account: str = "000000000000",
    region: str = "us-east-1",
    secret: str = "secret",
) -> Any:
    return boto3.client(
        "logs",
        endpoint_url=server.url,
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, inject_host_prefix=False),
    )


@pytest.fixture(scope="module")
def logs(process_server: LiveServer) -> Any:
    return client(process_server)


@pytest.fixture
def group(logs: Any) -> Iterator[str]:
    name = fresh_name("/group")
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    yield name
    logs.delete_log_group(logGroupName=name)


def now_ms() -> int:
    return int(time.time() * 1000)  # noqa: TID251  events must be of today


def put(logs: Any, group: str, *messages: str, stream: str = "s", at: int = 0) -> Any:
    first = at or now_ms()
    events = [{"timestamp": first + n, "message": text} for n, text in enumerate(messages)]
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def texts(answer: Any) -> list[str]:
    return [event["message"] for event in answer["events"]]


def test_a_group_goes_through_its_life(logs: Any) -> None:
    name = fresh_name("life")
    logs.create_log_group(logGroupName=name, tags={"a": "1"})
    again = refusal(logs.create_log_group, logGroupName=name)
    assert again == (
        400,
        "ResourceAlreadyExistsException",
        "The specified log group already exists",
    )
    [found] = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert found.pop("creationTime") <= now_ms()
    assert found == {
        "logGroupName": name,
        "metricFilterCount": 0,
        "arn": f"{HERE}{name}:*",
        "logGroupArn": f"{HERE}{name}",
        "logGroupClass": "STANDARD",
        "storedBytes": 0,
        "deletionProtectionEnabled": False,
    }
    logs.put_retention_policy(logGroupName=name, retentionInDays=7)
    [found] = logs.describe_log_groups(logGroupIdentifiers=[name])["logGroups"]
    assert found["retentionInDays"] == 7
    logs.delete_retention_policy(logGroupName=name)
    [found] = logs.describe_log_groups(logGroupNamePattern=name[2:])["logGroups"]
    assert "retentionInDays" not in found
    assert "storedBytes" not in found
    logs.delete_log_group(logGroupName=name)
    gone = (400, "ResourceNotFoundException", "The specified log group does not exist.")
    assert refusal(logs.delete_log_group, logGroupName=name) == gone
    assert refusal(logs.describe_log_streams, logGroupName=name) == gone
    assert refusal(logs.put_retention_policy, logGroupName=name, retentionInDays=1) == gone


def test_groups_come_in_pages_by_name(process_server: LiveServer) -> None:
    logs = client(process_server, account="222222222222")
    names = sorted(fresh_name(f"page/{n % 3}") for n in range(5))
    for name in names:
        logs.create_log_group(logGroupName=name)
    pages = list(
        logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 2})
    )
    assert [len(page["logGroups"]) for page in pages] == [2, 2, 1]
    assert [each["logGroupName"] for page in pages for each in page["logGroups"]] == names
    assert (
        client(process_server, "222222222222", "eu-west-1").describe_log_groups()["logGroups"] == []
    )
    listed = logs.list_log_groups(logGroupNamePattern="^page/1|nothing")["logGroups"]
    assert [each["logGroupName"] for each in listed] == [n for n in names if n[5] == "1"]
    assert refusal(logs.describe_log_groups, nextToken="x")[2] == (
        "The specified nextToken is invalid."
    )


def test_a_group_that_is_protected_stays(logs: Any) -> None:
    name = fresh_name("protected")
    logs.create_log_group(logGroupName=name, deletionProtectionEnabled=True)
    assert refusal(logs.delete_log_group, logGroupName=name)[1] == "ValidationException"
    logs.put_log_group_deletion_protection(
        logGroupIdentifier=f"{HERE}{name}", deletionProtectionEnabled=False
    )
    logs.delete_log_group(logGroupName=name)


def test_tags_in_both_forms(logs: Any, group: str) -> None:
    arn = f"{HERE}{group}"
    logs.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
    logs.tag_log_group(logGroupName=group, tags={"b": "3", "c": "4"})
    logs.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "3", "c": "4"}
    logs.untag_log_group(logGroupName=group, tags=["c", "unknown"])
    assert logs.list_tags_log_group(logGroupName=group)["tags"] == {"b": "3"}
    many = {f"k{n}": "" for n in range(50)}
    assert refusal(logs.tag_resource, resourceArn=arn, tags=many)[1] == "TooManyTagsException"
    listed = logs.list_log_groups(logGroupTags=[{"key": "b", "values": ["3*"]}])["logGroups"]
    assert group in [each["logGroupName"] for each in listed]
    not_so = logs.list_log_groups(logGroupTags=[{"key": "b", "values": ["!3"]}])["logGroups"]
    assert group not in [each["logGroupName"] for each in not_so]


def test_streams_by_name_and_by_time(logs: Any, group: str) -> None:
    taken = refusal(logs.create_log_stream, logGroupName=group, logStreamName="s")
    assert taken[1:] == (
        "ResourceAlreadyExistsException",
        "The specified log stream already exists",
    )
    for name in ("a", "z/1", "z/2"):
        logs.create_log_stream(logGroupName=group, logStreamName=name)
    put(logs, group, "old", stream="z/2", at=now_ms() - 5_000)
    put(logs, group, "new", stream="a")
    pages = logs.get_paginator("describe_log_streams").paginate(
        logGroupIdentifier=f"{HERE}{group}", PaginationConfig={"PageSize": 3}
    )
    found = [each for page in pages for each in page["logStreams"]]
    assert [each["logStreamName"] for each in found] == ["a", "s", "z/1", "z/2"]
    assert found[0]["arn"] == f"{HERE}{group}:log-stream:a"
    assert {"firstEventTimestamp", "lastEventTimestamp", "lastIngestionTime"} < set(found[0])
    assert "lastEventTimestamp" not in found[1]
    newest = logs.describe_log_streams(
        logGroupName=group, orderBy="LastEventTime", descending=True, limit=2
    )["logStreams"]
    assert [each["logStreamName"] for each in newest] == ["a", "z/2"]
    prefixed = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="z/")
    assert len(prefixed["logStreams"]) == 2
    both = refusal(logs.describe_log_streams, logGroupName=group, logGroupIdentifier=group)
    assert both[1] == "ValidationException"
    logs.delete_log_stream(logGroupName=group, logStreamName="a")
    assert refusal(logs.get_log_events, logGroupName=group, logStreamName="a") == (
        400,
        "ResourceNotFoundException",
        "The specified log stream does not exist.",
    )


def test_events_of_a_stream_forwards_and_backwards(logs: Any, group: str) -> None:
    at = now_ms()
    put(logs, group, *"abcdefg", at=at)

    def get(**members: Any) -> Any:
        return logs.get_log_events(logGroupName=group, logStreamName="s", **members)

    assert texts(get()) == list("abcdefg")
    assert texts(get(limit=3)) == list("efg")
    first = get(limit=3, startFromHead=True)
    assert texts(first) == list("abc")
    second = get(limit=3, nextToken=first["nextForwardToken"])
    assert texts(second) == list("def")
    assert texts(get(nextToken=second["nextBackwardToken"])) == list("abc")
    third = get(limit=3, nextToken=second["nextForwardToken"])
    assert texts(third) == ["g"]
    end = get(nextToken=third["nextForwardToken"])
    assert (texts(end), end["nextForwardToken"]) == ([], third["nextForwardToken"])
    assert texts(get(nextToken=end["nextBackwardToken"], limit=1)) == ["g"]
    start = get(nextToken=first["nextBackwardToken"])
    assert (texts(start), start["nextBackwardToken"]) == ([], first["nextBackwardToken"])
    assert texts(get(nextToken=start["nextForwardToken"], limit=1)) == ["a"]
    put(logs, group, "later", at=at + 50)
    assert texts(get(nextToken=end["nextForwardToken"])) == ["later"]
    # The end is outside of GetLogEvents' range, and within that of FilterLogEvents.
    assert texts(get(startTime=at + 1, endTime=at + 3)) == list("bc")
    found = logs.filter_log_events(logGroupName=group, startTime=at + 1, endTime=at + 3)
    assert texts(found) == list("bcd")


def test_events_of_a_group_by_pattern_in_pages(logs: Any, group: str) -> None:
    at = now_ms()
    logs.create_log_stream(logGroupName=group, logStreamName="t")
    put(logs, group, "ERROR 1", "well", "ERROR 3", at=at)
    put(logs, group, "well", "ERROR 2", at=at + 1, stream="t")
    put(logs, group, '{"level": "ERROR", "ms": 7}', at=at + 10, stream="t")

    def found(**members: Any) -> list[str]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupIdentifier=f"{HERE}{group}", interleaved=True, **members
        )
        return [text for page in pages for text in texts(page)]

    plain = found(filterPattern="ERROR -level", PaginationConfig={"PageSize": 1})
    assert plain == ["ERROR 1", "ERROR 3", "ERROR 2"]
    assert found(filterPattern="{ $.ms > 6 }") == ['{"level": "ERROR", "ms": 7}']
    assert found(logStreamNamePrefix="s") == ["ERROR 1", "well", "ERROR 3"]
    assert found(logStreamNames=["t"], filterPattern="well") == ["well"]
    newest = logs.filter_log_events(logGroupName=group, startFromHead=False, limit=2)
    assert texts(newest) == ['{"level": "ERROR", "ms": 7}', "ERROR 2"]
    [event] = logs.filter_log_events(logGroupName=group, limit=1)["events"]
    assert set(event) == {"logStreamName", "timestamp", "message", "ingestionTime", "eventId"}
    assert refusal(logs.filter_log_events, logGroupName=group, filterPattern="{ $.a =")[1] == (
        "InvalidParameterException"
    )
    assert refusal(logs.filter_log_events, logGroupName=group, nextToken="x")[2] == (
        "The specified nextToken is invalid."
    )
    unknown = refusal(logs.filter_log_events, logGroupName=group, logStreamNames=["nope"])
    assert unknown[2] == "The specified log stream does not exist."


def test_a_page_has_at_most_a_megabyte(logs: Any, group: str) -> None:
    for text in "ab":
        put(logs, group, text * 700_000)
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    assert [[text[:1] for text in texts(page)] for page in pages] == [["a"], ["b"]]
    newest = logs.get_log_events(logGroupName=group, logStreamName="s")
    assert [text[:1] for text in texts(newest)] == ["b"]
    older = logs.get_log_events(
        logGroupName=group, logStreamName="s", nextToken=newest["nextBackwardToken"]
    )
    assert [text[:1] for text in texts(older)] == ["a"]


def test_what_put_log_events_says_of_events_that_it_did_not_keep(logs: Any, group: str) -> None:
    old = put(logs, group, "old", at=now_ms() - 15 * DAY_MS)
    assert old["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    new = put(logs, group, "new", at=now_ms() + DAY_MS)
    assert new["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 0}
    assert "rejectedLogEventsInfo" not in put(logs, group, "🙀 日本語")
    assert texts(logs.get_log_events(logGroupName=group, logStreamName="s")) == ["🙀 日本語"]
    nowhere = [{"timestamp": now_ms(), "message": "x"}]
    assert refusal(
        logs.put_log_events, logGroupName=group, logStreamName="nope", logEvents=nowhere
    )[2] == ("The specified log stream does not exist.")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "SerializationException"),
        (b'{"logGroupName": 7}', "SerializationException"),
        (b'{"logGroupName": "a b"}', "InvalidParameterException"),
        (b"{}", "InvalidParameterException"),
        (b" " * (8 * 1024 * 1024 + 1), "RequestEntityTooLargeException"),
    ],
)
def test_bad_input_gets_one_line(process_server: LiveServer, body: bytes, code: str) -> None:
    headers = {"x-amz-target": "Logs_20140328.CreateLogGroup"}
    answer = httpx.post(process_server.url, content=body, headers=headers, timeout=60)
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.json()["__type"] == answer.headers["x-amzn-errortype"] == code
    assert len(answer.json()["message"].splitlines()) == 1


def test_an_operation_that_is_not_ours_needs_a_companion(logs: Any) -> None:
    status, _, message = refusal(logs.describe_queries)
    assert (status, "--companion" in message) == (501, True)


@pytest.fixture(scope="module")
def echo(process_server: LiveServer) -> str:
    return create(process_server.client(), ECHO, fresh_name("Logs"))


@pytest.mark.process
def test_logs_of_a_function_as_the_cli_tails_them(
    process_server: LiveServer, logs: Any, echo: str
) -> None:
    """`aws logs tail --follow` (CLI v2) asks by time, and leaves out ids that it has seen."""
    seen: list[str] = []
    newest: dict[str, int] = {}
    request: dict[str, Any] = {"logGroupName": f"/aws/lambda/{echo}", "interleaved": True}

    def look() -> None:
        answer = logs.filter_log_events(**request)
        assert "nextToken" not in answer
        for event in answer["events"]:
            if event["eventId"] not in newest:
                seen.append(event["message"].rstrip())
                newest[event["eventId"]] = event["timestamp"]
        request["startTime"] = max(newest.values())

    for word in ("one", "two"):
        ran = invoke(process_server.client(), echo, word)

        def is_whole(request_id: str = ran.request_id) -> bool:
            look()
            return any(line.startswith(f"REPORT RequestId: {request_id}") for line in seen)

        until(is_whole, "the last line of the invocation did not come")
        assert f"END RequestId: {ran.request_id}" in seen
    assert [line for line in seen if line.startswith("got")] == ["got one", "got two"]
    assert len([line for line in seen if line.startswith("REPORT")]) == 2


@pytest.mark.process
def test_a_subscribed_function_gets_lines_that_match(logs: Any, group: str, echo: str) -> None:
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{echo}"
    given = {"logGroupName": group, "filterName": "f", "filterPattern": "ERROR"}
    put_filter = logs.put_subscription_filter
    for bad, code, said in (
        (f"{arn}-gone", "InvalidParameterException", "Could not execute the lambda function."),
        (arn.replace("0" * 12, "9" * 12), "AccessDeniedException", "Cross-account lambda"),
        ("arn:aws:kinesis:us-east-1:000000000000:stream/s", "InvalidParameterException", "roleArn"),
        ("nothing", "InvalidParameterException", "ARN"),
    ):
        refused = refusal(put_filter, **given, destinationArn=bad)
        assert refused[:2] == (400, code)
        assert said in refused[2]
    put_filter(**given, destinationArn=arn)
    [found] = logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
    assert (found["filterPattern"], found["distribution"]) == ("ERROR", "ByLogStream")
    put(logs, group, "well", "ERROR 1")

    def packed() -> list[str]:
        page = logs.filter_log_events(logGroupName=f"/aws/lambda/{echo}", filterPattern="awslogs")
        return texts(page)

    [line] = until(packed, "the function was not called")
    data = line.partition("'data': '")[2].partition("'")[0]
    unpacked = json.loads(gzip.decompress(base64.b64decode(data)))
    assert [event["message"] for event in unpacked["logEvents"]] == ["ERROR 1"]
    assert (unpacked["logGroup"], unpacked["subscriptionFilters"]) == (group, ["f"])
    logs.delete_subscription_filter(logGroupName=group, filterName="f")
    assert logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"] == []
    assert refusal(logs.delete_subscription_filter, logGroupName=group, filterName="f")[2] == (
        "The specified subscription filter does not exist."
    )


WRITES = """
import http.client, json, os, time
def call(operation, **body):
    host = os.environ["AWS_LAMBDA_RUNTIME_API"]
    connection = http.client.HTTPConnection(host)
    headers = {"X-Amz-Target": "Logs_20140328." + operation}
    connection.request("POST", "/", json.dumps(body), headers)
    answer = connection.getresponse()
    found = json.loads(answer.read() or b"{}")
    connection.close()
    return found.get("__type", answer.status)
def handler(event, context):
    group = {"logGroupName": event}
    stream = {**group, "logStreamName": "own"}
    lines = [{"timestamp": int(time.time() * 1000), "message": "from inside"}]
    return [
        call("CreateLogGroup", **group),
        call("CreateLogStream", **stream),
        call("PutLogEvents", **stream, logEvents=lines),
        call("GetLogEvents", **stream),
        call("DeleteLogGroup", **group),
    ]
"""


@pytest.mark.process
def test_a_function_writes_logs_of_its_own_and_reads_none(
    process_server: LiveServer, logs: Any
) -> None:
    group = fresh_name("own")
    functions = process_server.client()
    denied = "AccessDeniedException"
    written = invoke(functions, create(functions, WRITES), group).payload
    assert written == [200, 200, 200, denied, denied]
    assert texts(logs.filter_log_events(logGroupName=group)) == ["from inside"]


def test_a_live_tail_shows_lines_as_they_are_written(logs: Any, group: str) -> None:
    put(logs, group, "before")
    session = logs.start_live_tail(
        logGroupIdentifiers=[f"{HERE}{group}"], logEventFilterPattern="now"
    )
    stream = session["responseStream"]
    try:
        events = iter(stream)
        start = next(events)["sessionStart"]
        assert start["logGroupIdentifiers"] == [f"{HERE}{group}"]
        put(logs, group, "now 1", "other", "now 2")
        results: list[Any] = []
        while not results:
            results = next(events)["sessionUpdate"]["sessionResults"]
        assert [each["message"] for each in results] == ["now 1", "now 2"]
        assert results[0]["logStreamName"] == "s"
    finally:
        stream.close()


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"logGroupIdentifiers": [f"{HERE}nope"]}, "ResourceNotFoundException"),
        ({"logGroupIdentifiers": ["nope"]}, "InvalidParameterException"),
        (
            {"logGroupIdentifiers": [f"{HERE}a", f"{HERE}b"], "logStreamNames": ["s"]},
            "InvalidParameterException",
        ),
        (
            {
                "logGroupIdentifiers": [f"{HERE}a"],
                "logStreamNames": ["s"],
                "logStreamNamePrefixes": ["s"],
            },
            "InvalidParameterException",
        ),
    ],
)
def test_a_live_tail_of_nothing_is_refused(logs: Any, members: Any, code: str) -> None:
    assert refusal(logs.start_live_tail, **members)[:2] == (400, code)


def test_the_aws_cli_reads_a_stream(process_server: LiveServer, logs: Any, group: str) -> None:
    put(logs, group, "hello", "from the CLI")
    words = ("get-log-events", "--log-group-name", group, "--log-stream-name", "s")
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": process_server.url,
    }
    command = [str(Path(sys.executable).with_name("aws")), "logs", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert texts(json.loads(done.stdout)) == ["hello", "from the CLI"]


@pytest.mark.process
def test_signatures_and_roles_are_asked_for_as_everywhere(tmp_path: Path) -> None:
    with locked_server(tmp_path) as (server, root):
        made = httpx.post(
            f"{server.url}/api/admin/keys",
            json={"user_name": "looks", "role": "viewer"},
            headers=root.bearer,
            timeout=60,
        ).json()
        owner = client(server, root.id, secret=root.secret)
        viewer = client(server, made["access_key_id"], secret=made["secret_access_key"])
        owner.create_log_group(logGroupName="g")
        owner.create_log_stream(logGroupName="g", logStreamName="s")
        put(owner, "g", "seen")
        assert texts(viewer.filter_log_events(logGroupName="g")) == ["seen"]
        status, code, message = refusal(viewer.delete_log_group, logGroupName="g")
        assert (status, code) == (400, "AccessDeniedException")
        assert "is not authorized to perform: logs:DeleteLogGroup on resource: *" in message
        stranger = client(server, root.id, secret="wrong")
        refused = refusal(stranger.describe_log_groups)
        assert refused[:2] == (400, "InvalidSignatureException")
        stream = viewer.start_live_tail(logGroupIdentifiers=[f"{HERE}g"])["responseStream"]
        assert "sessionStart" in next(iter(stream))
        stream.close()
