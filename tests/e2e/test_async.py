"""Asynchronous invokes on a real server: bursts, crashes, and real destinations (moto's)."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError
from functions_under_test import create, fresh_name, invoke
from live import LiveServer, steady_port
from observing import until

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"
CALLERS = 8
CRASHES = 5
TELL = """
import json, socket
told = None
def handler(event, context):
    global told
    if told is None:
        told = socket.create_connection(("127.0.0.1", {port}))
    line = {{"id": context.aws_request_id, "event": event}}
    told.sendall(json.dumps(line).encode() + b"\\n")
    if event.get("fail"):
        raise ValueError("intentional")
    return {{"ok": event}}
"""


class Listener(socketserver.ThreadingTCPServer):
    """Hears what functions tell as soon as they run, whatever happens to the server."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Hearing)

    @property
    def source(self) -> str:
        return TELL.format(port=self.server_address[1])

    @property
    def runs(self) -> Counter[str]:
        return Counter(line["id"] for line in list(self.heard))


class _Hearing(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server: Any = self.server
        try:
            for line in self.rfile:
                if line.endswith(b"\n"):
                    server.heard.append(json.loads(line))
        except ConnectionError:
            pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    port = steady_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet)

    def answers() -> bool:
        with socket.socket() as trying:
            return trying.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(answers, "moto did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def at(moto: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=moto,
        region_name=REGION,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="secret",
    )


@pytest.fixture(scope="module")
def live(moto: str) -> Iterator[LiveServer]:
    environment = {"LAMBDA_HOME_ASYNC__RETRY_BASE_S": "0", "LAMBDA_HOME_AWS__ENDPOINT_URL": moto}
    with LiveServer("--ephemeral", "--sandbox", "process", environment=environment) as server:
        yield server


@pytest.fixture
def api(live: LiveServer) -> LambdaClient:
    return live.client(ACCOUNT)


class Queue:
    """A queue of moto's."""

    def __init__(self, moto: str, name: str) -> None:
        self._sqs = at(moto, "sqs")
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        self.arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"

    def receive(self) -> Any:
        """The next message, when it comes; it is deleted."""

        def look() -> Any:
            found = self._sqs.receive_message(QueueUrl=self._url, MessageAttributeNames=["All"])
            return found.get("Messages")

        (message,) = until(look, "no message came")
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return message

    def record(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.receive()["Body"])
        return document


@pytest.fixture
def queue(moto: str) -> Queue:
    return Queue(moto, fresh_name("queue"))


def send(api: LambdaClient, name: str, event: Any, **members: Any) -> str:
    answer = invoke(api, name, event, InvocationType="Event", **members)
    assert (answer.status, answer.raw) == (202, b"")
    return answer.request_id


def arn_of(name: str) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


# -------------------------------------------------------------------------------------- envelopes


def test_three_failures_end_in_the_destination_and_the_dead_letter_queue(
    api: LambdaClient, moto: str, queue: Queue, listener: Listener
) -> None:
    dead = Queue(moto, fresh_name("dead"))
    name = create(api, listener.source, DeadLetterConfig={"TargetArn": dead.arn})
    api.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": queue.arn}}
    )
    request_id = send(api, name, {"fail": 1})
    record = queue.record()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("timestamp"))
    response = record.pop("responsePayload")
    assert (response["errorMessage"], response["errorType"]) == ("intentional", "ValueError")
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{arn_of(name)}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"fail": 1},
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
    }
    letter = dead.receive()
    assert json.loads(letter["Body"]) == {"fail": 1}
    assert {
        key: (value["DataType"], value["StringValue"])
        for key, value in letter["MessageAttributes"].items()
    } == {
        "RequestID": ("String", request_id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "intentional"),
    }
    assert listener.runs == {request_id: 3}


def test_reserved_concurrency_of_0_refuses_callers_and_gives_events_up(
    api: LambdaClient, queue: Queue, listener: Listener
) -> None:
    name = create(api, listener.source)
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    api.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": queue.arn}}
    )
    with pytest.raises(api.exceptions.TooManyRequestsException):
        invoke(api, name, {})
    request_id = send(api, name, {"n": 1})
    record = queue.record()
    del record["timestamp"]
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{arn_of(name)}:$LATEST",
            "condition": "ZeroReservedConcurrency",
            "approximateInvokeCount": 0,
        },
        "requestPayload": {"n": 1},
    }
    assert listener.heard == []


def test_a_version_has_a_destination_of_its_own_and_gets_successes(
    api: LambdaClient, queue: Queue, listener: Listener
) -> None:
    name = create(api, listener.source, Publish=True)
    api.put_function_event_invoke_config(
        FunctionName=name,
        Qualifier="1",
        DestinationConfig={"OnSuccess": {"Destination": queue.arn}},
    )
    send(api, name, {"latest": 1})
    request_id = send(api, name, {"n": 1}, Qualifier="1")
    record = queue.record()
    assert record["requestContext"] == {
        "requestId": request_id,
        "functionArn": f"{arn_of(name)}:1",
        "condition": "Success",
        "approximateInvokeCount": 1,
    }
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "1"}
    assert record["responsePayload"] == {"ok": {"n": 1}}


def test_a_topic_gets_records_and_dead_letters(
    api: LambdaClient, moto: str, queue: Queue, listener: Listener
) -> None:
    sns = at(moto, "sns")
    topic = sns.create_topic(Name=fresh_name("topic"))["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    name = create(api, listener.source, DeadLetterConfig={"TargetArn": topic})
    api.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": topic}},
    )
    request_id = send(api, name, {"fail": 1})
    first, second = (json.loads(queue.receive()["Body"]) for _ in range(2))
    record, letter = (first, second) if "MessageAttributes" in second else (second, first)
    assert json.loads(record["Message"])["requestContext"]["approximateInvokeCount"] == 1
    assert json.loads(letter["Message"]) == {"fail": 1}
    assert letter["MessageAttributes"]["RequestID"]["Value"] == request_id


def test_an_event_bus_gets_events_of_lambda(
    api: LambdaClient, moto: str, queue: Queue, listener: Listener
) -> None:
    bus = fresh_name("bus")
    events = at(moto, "events")
    bus_arn = events.create_event_bus(Name=bus)["EventBusArn"]
    pattern = json.dumps({"source": ["lambda"]})
    events.put_rule(Name="all", EventBusName=bus, EventPattern=pattern)
    target = {"Id": "queue", "Arn": queue.arn}
    events.put_targets(Rule="all", EventBusName=bus, Targets=[target])
    name = create(api, listener.source)
    api.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": bus_arn}}
    )
    request_id = send(api, name, {"n": 1})
    event = queue.record()
    assert event["detail-type"] == "Lambda Function Invocation Result - Success"
    assert event["source"] == "lambda"
    assert event["resources"] == [bus_arn, f"{arn_of(name)}:$LATEST"]
    assert event["detail"]["requestContext"]["requestId"] == request_id


def test_a_bucket_gets_an_object_for_a_failure(
    api: LambdaClient, moto: str, listener: Listener
) -> None:
    s3 = at(moto, "s3")
    bucket = fresh_name("bucket").lower()
    s3.create_bucket(Bucket=bucket)
    name = create(api, listener.source)
    api.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}},
    )
    request_id = send(api, name, {"fail": 1})
    (entry,) = until(lambda: s3.list_objects_v2(Bucket=bucket).get("Contents"), "no object")
    day = r"\d{4}/\d\d/\d\d/\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d"
    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    assert re.fullmatch(f"aws/lambda/async/{name}/{day}-{uuid}", entry["Key"])
    record = json.loads(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
    assert record["requestContext"]["requestId"] == request_id


def test_another_function_gets_the_record_as_its_event(
    api: LambdaClient, listener: Listener
) -> None:
    name, other = (create(api, listener.source) for _ in range(2))
    api.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": arn_of(other)}}
    )
    request_id = send(api, name, {"n": 1})
    until(lambda: len(listener.heard) == 2, "the destination was not invoked")
    first, second = listener.heard
    assert first == {"id": request_id, "event": {"n": 1}}
    assert second["event"]["requestContext"]["requestId"] == request_id
    assert second["event"]["responsePayload"] == {"ok": {"n": 1}}
    assert second["id"] != request_id


def test_without_an_endpoint_a_destination_is_dropped_and_nothing_else_breaks(
    process_server: LiveServer, listener: Listener
) -> None:
    api = process_server.client()
    name = create(api, listener.source)
    target = "arn:aws:sqs:us-east-1:000000000000:nowhere"
    api.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": target}}
    )
    ids = [send(api, name, {"n": n}) for n in range(3)]
    until(lambda: listener.runs == Counter(ids), "the events did not run")
    until(lambda: any(target in line for line in process_server.output), "no warning")


# --------------------------------------------------------------------------- bursts and crashes


class Caller:
    """Posts events on a connection that it keeps; `acknowledged` are those that got a 202."""

    def __init__(self, server: LiveServer, name: str) -> None:
        place = urlsplit(server.url)
        self._path = f"/2015-03-31/functions/{name}/invocations"
        self._connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
        self.acknowledged: list[str] = []

    def post(self) -> None:
        headers = {"X-Amz-Invocation-Type": "Event"}
        self._connection.request("POST", self._path, b'{"n":1}', headers)
        response = self._connection.getresponse()
        response.read()
        if response.status == 202:
            self.acknowledged.append(str(response.getheader("x-amzn-requestid")))

    def post_until_cut_off(self) -> None:
        try:
            while True:
                self.post()
        except (OSError, http.client.HTTPException):
            self.close()

    def close(self) -> None:
        self._connection.close()


@contextmanager
def callers(server: LiveServer, name: str, number: int) -> Iterator[list[Caller]]:
    made = [Caller(server, name) for _ in range(number)]
    try:
        yield made
    finally:
        for caller in made:
            caller.close()


@pytest.mark.slow
def test_a_burst_of_5000_events_is_completed_and_each_runs_once(listener: Listener) -> None:
    with LiveServer("--ephemeral", "--sandbox", "process") as server:
        name = create(server.client(), listener.source)
        with callers(server, name, CALLERS) as made, ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(lambda caller: [caller.post() for _ in range(5000 // CALLERS)], made))
        ids = [request_id for caller in made for request_id in caller.acknowledged]
        assert len(set(ids)) == 5000
        until(lambda: len(listener.heard) >= 5000, "not all events ran", 90)
        assert listener.runs == Counter(ids)


@pytest.mark.slow
def test_events_acknowledged_by_a_killed_server_are_run_by_the_next(
    listener: Listener, tmp_path: Path
) -> None:
    flags = ("--sandbox", "process", "--data-dir", str(tmp_path / "data"))
    acknowledged: set[str] = set()
    name = fresh_name("crash")
    bounded = time.monotonic() + 30
    for crash in range(CRASHES):
        with LiveServer(*flags) as server:
            if not crash:
                create(server.client(), listener.source, name)
            with callers(server, name, CALLERS) as made, ThreadPoolExecutor(CALLERS) as pool:
                for caller in made:
                    pool.submit(caller.post_until_cut_off)
                least = 1 + crash * 40
                until(lambda: sum(len(c.acknowledged) for c in made) >= least, "no answers")  # noqa: B023
                server.stop(signal.SIGKILL)
            acknowledged.update(i for caller in made for i in caller.acknowledged)
        if time.monotonic() > bounded:
            break
    with LiveServer(*flags):
        missing = acknowledged - set(listener.runs)
        until(lambda: not acknowledged - set(listener.runs), f"lost: of {len(missing)}", 60)
    assert len(acknowledged) > CALLERS


def test_an_event_for_a_function_that_does_not_exist_is_not_accepted(api: LambdaClient) -> None:
    with pytest.raises(ClientError, match="Function not found"):
        send(api, fresh_name(), {})
