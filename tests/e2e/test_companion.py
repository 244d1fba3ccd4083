"""One endpoint: other AWS services beside Lambda, for callers and for functions anywhere."""

from __future__ import annotations

import base64
import gzip
import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from conftest import SANDBOXES
from functions_under_test import NODE, PYTHON, create, fresh_name, invoke
from live import ROLE, LiveServer, zip_of
from observing import until

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

ACCOUNT = "111122223333"
REGION = "eu-west-1"
HERE: Any = {"LocationConstraint": REGION}
QUICK = Config(retries={"total_max_attempts": 1}, signature_version="s3v4")
# A start of its own, because an interpreter reads such variables only while it starts.
NO_SPARE = {"Variables": {"PYTHONNODEBUGRANGES": "1"}}

USES_AWS = """
import json, os
import boto3
from botocore.exceptions import ClientError

def handler(event, context):
    bucket, queue, table, other = (event[name] for name in ("bucket", "queue", "table", "other"))
    s3, sqs, functions = (boto3.client(name) for name in ("s3", "sqs", "lambda"))
    s3.put_object(Bucket=bucket, Key="from/inside", Body=b"inside")
    got = {"s3": s3.get_object(Bucket=bucket, Key="from/outside")["Body"].read().decode()}
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="inside")
    got["sqs"] = sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"]
    items = boto3.resource("dynamodb").Table(table)
    items.put_item(Item={"id": "1", "value": 5})
    got["dynamodb"] = int(items.get_item(Key={"id": "1"})["Item"]["value"])
    got["lambda"] = json.loads(functions.invoke(FunctionName=other, Payload=b"1")["Payload"].read())
    got["account"] = boto3.client("sts").get_caller_identity()["Account"]
    try:
        functions.delete_function(FunctionName=other)
    except ClientError as error:
        got["refused"] = error.response["Error"]["Code"]
    return got
"""
USES_AWS_IN_NODE = """
const { request } = require("node:http");
exports.handler = (event) => new Promise((resolve, reject) => {
  const path = `/2015-03-31/functions/${event.other}/invocations`;
  const call = request(process.env.AWS_ENDPOINT_URL + path, { method: "POST" }, (reply) => {
    let body = "";
    reply.on("data", (piece) => { body += piece; });
    reply.on("end", () => resolve([reply.statusCode, body]));
  });
  call.on("error", reject);
  call.end("1");
});
"""
OTHER = "def handler(event, context): return ['other', event]"
ENDPOINT = "import os\ndef handler(event, context): return os.environ.get('AWS_ENDPOINT_URL')"
KEEPS = """
import json, os
import boto3
def handler(event, context):
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=os.environ["QUEUE"])["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event))
"""


@dataclass
class Home:
    """A server with moto beside it."""

    server: LiveServer

    def service(self, name: str, config: Config = QUICK) -> Any:
        return boto3.client(
            name,
            endpoint_url=self.server.url,
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="secret",
            config=config,
        )

    @cached_property
    def functions(self) -> LambdaClient:
        return self.server.client(ACCOUNT, REGION)

    @cached_property
    def s3(self) -> Any:
        return self.service("s3")

    @cached_property
    def sqs(self) -> Any:
        return self.service("sqs")

    def bucket(self) -> str:
        name = fresh_name("bucket").lower()
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration=HERE)
        return name

    def queue(self) -> str:
        name = fresh_name("queue")
        self.sqs.create_queue(QueueName=name)
        return name

    def table(self) -> str:
        name = fresh_name("table")
        self.service("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return name

    def next_in(self, queue: str) -> Any:
        """The next message's body, from JSON; waits for it."""
        url = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]

        def received() -> Any:
            return self.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages")

        found = until(received, "nothing came")
        self.sqs.delete_message(QueueUrl=url, ReceiptHandle=found[0]["ReceiptHandle"])
        return json.loads(found[0]["Body"])


@pytest.fixture(scope="module")
def homes() -> Iterator[Callable[[str], Home]]:
    with ExitStack() as stack:
        running: dict[str, Home] = {}

        def home(kind: str) -> Home:
            if kind not in running:
                flags = ("--sandbox", kind, "--ephemeral", "--companion", "moto")
                running[kind] = Home(stack.enter_context(LiveServer(*flags)))
            return running[kind]

        yield home


@pytest.fixture(params=SANDBOXES)
def anywhere(homes: Callable[[str], Home], request: pytest.FixtureRequest) -> Home:
    return homes(request.param)


@pytest.fixture(params=SANDBOXES[:1])
def home(homes: Callable[[str], Home], request: pytest.FixtureRequest) -> Home:
    return homes(request.param)


@pytest.mark.parametrize("members", [{}, {"Environment": NO_SPARE}], ids=["spare", "no spare"])
def test_a_functions_own_boto3_reaches_other_services_and_functions(
    anywhere: Home, members: dict[str, Any]
) -> None:
    used = create(anywhere.functions, USES_AWS, Timeout=30, MemorySize=512, **members)
    other = create(anywhere.functions, OTHER)
    bucket, queue, table = anywhere.bucket(), anywhere.queue(), anywhere.table()
    anywhere.s3.put_object(Bucket=bucket, Key="from/outside", Body=b"outside")
    event = {"bucket": bucket, "queue": queue, "table": table, "other": other}
    answer = invoke(anywhere.functions, used, event)
    assert answer.payload == {
        "s3": "outside",
        "sqs": "inside",
        "dynamodb": 5,
        "lambda": ["other", 1],
        "account": ACCOUNT,
        "refused": "AccessDeniedException",
    }
    assert anywhere.s3.get_object(Bucket=bucket, Key="from/inside")["Body"].read() == b"inside"


def test_a_function_in_node_finds_the_endpoint(anywhere: Home) -> None:
    used = create(anywhere.functions, USES_AWS_IN_NODE, Runtime=NODE)
    other = create(anywhere.functions, OTHER)
    assert invoke(anywhere.functions, used, {"other": other}).payload == [200, '["other", 1]']


def test_a_functions_own_endpoint_wins(home: Home) -> None:
    mine = {"Variables": {"AWS_ENDPOINT_URL": "http://mine.example"}}
    used = create(home.functions, ENDPOINT, Environment=mine)
    assert invoke(home.functions, used).payload == "http://mine.example"


def test_without_a_companion_it_is_said_how_to_get_one(process_server: LiveServer) -> None:
    alone = Home(process_server)
    with pytest.raises(alone.s3.exceptions.ClientError, match="--companion moto"):
        alone.s3.list_buckets()
    with pytest.raises(alone.sqs.exceptions.ClientError, match="--companion moto"):
        alone.sqs.list_queues()


ODD_KEYS = ["a b+c&d=e?f#g.txt", "ü/漢字", "//x", "a/../b", "a%20b", "a%2Fb", "~tilde", "trailing/"]


def test_keys_of_s3_are_what_they_are(home: Home) -> None:
    bucket = home.bucket()
    for key in ODD_KEYS:
        home.s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in ODD_KEYS:
        assert home.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    listed = home.s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert sorted(item["Key"] for item in listed) == sorted(ODD_KEYS)


def test_twenty_megabytes_go_both_ways(home: Home) -> None:
    bucket, data = home.bucket(), bytes(range(256)) * (20 * 4096)
    home.s3.put_object(Bucket=bucket, Key="large", Body=data)
    assert home.s3.get_object(Bucket=bucket, Key="large")["Body"].read() == data
    part = home.s3.get_object(Bucket=bucket, Key="large", Range="bytes=256-511")["Body"].read()
    assert part == bytes(range(256))
    assert home.s3.head_object(Bucket=bucket, Key="large")["ContentLength"] == len(data)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_url_is_good_for_curl(home: Home, version: str) -> None:
    bucket = home.bucket()
    s3 = home.service("s3", Config(signature_version=version))
    where = {"Bucket": bucket, "Key": "a b/ü.txt"}
    put = s3.generate_presigned_url("put_object", Params=where)
    get = s3.generate_presigned_url("get_object", Params=where)
    curl = ["curl", "--silent", "--show-error", "--fail-with-body"]
    subprocess.run([*curl, "--upload-file", "-", put], input=b"hello", check=True)
    assert subprocess.run([*curl, get], capture_output=True, check=True).stdout == b"hello"
    # It is the signer's account that has the bucket.
    assert home.s3.head_object(**where)["ContentLength"] == 5


@pytest.mark.parametrize("host", ["{}.s3.localhost", "{}.localhost"])
def test_a_bucket_can_stand_in_the_host_name(home: Home, host: str) -> None:
    bucket = home.bucket()
    home.s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    url = home.s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    port = home.server.url.rsplit(":", 1)[1]
    there = f"{host.format(bucket)}:{port}"
    request = urllib.request.Request(url.replace(f"/{bucket}/", "/"), headers={"Host": there})
    with urllib.request.urlopen(request) as answer:
        assert answer.read() == b"hello"


def test_accounts_and_regions_have_their_own(home: Home) -> None:
    assert home.service("sts").get_caller_identity()["Account"] == ACCOUNT
    queue = home.queue()
    other = boto3.client(
        "sqs",
        endpoint_url=home.server.url,
        region_name=REGION,
        aws_access_key_id="444455556666",
        aws_secret_access_key="secret",
    )
    assert queue not in str(other.list_queues())
    assert queue in str(home.sqs.list_queues())


def test_code_is_fetched_from_a_bucket_there(home: Home) -> None:
    bucket = home.bucket()
    home.s3.put_object(Bucket=bucket, Key="code.zip", Body=zip_of({"lambda_function.py": OTHER}))
    name = fresh_name()
    home.functions.create_function(
        FunctionName=name,
        Runtime=PYTHON,
        Handler="lambda_function.handler",
        Role=ROLE,
        Code={"S3Bucket": bucket, "S3Key": "code.zip"},
    )
    assert invoke(home.functions, name, 2).payload == ["other", 2]


@pytest.fixture(scope="module")
def keeping(homes: Callable[[str], Home]) -> tuple[str, str]:
    """The ARN of a function that puts its events into a queue, and the queue."""
    here = homes("process")
    queue = here.queue()
    name = create(here.functions, KEEPS, Timeout=30, Environment={"Variables": {"QUEUE": queue}})
    return here.functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"], queue


def test_an_object_of_s3_starts_a_function(home: Home, keeping: tuple[str, str]) -> None:
    arn, queue = keeping
    bucket = home.bucket()
    to_function: Any = {"Id": "mine", "LambdaFunctionArn": arn, "Events": ["s3:Object*"]}
    to_function["Events"] = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"]
    home.s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [to_function]}
    )
    home.s3.put_object(Bucket=bucket, Key="a b/ü.txt", Body=b"xyz")
    (record,) = home.next_in(queue)["Records"]
    assert (record["eventName"], record["awsRegion"]) == ("ObjectCreated:Put", REGION)
    assert record["s3"]["bucket"]["name"] == bucket
    assert record["s3"]["object"]["key"] == "a+b/%C3%BC.txt"
    home.s3.delete_object(Bucket=bucket, Key="a b/ü.txt")
    (record,) = home.next_in(queue)["Records"]
    assert record["eventName"] == "ObjectRemoved:Delete"
    assert record["s3"]["object"].keys() == {"key", "sequencer"}


def test_a_message_of_sns_starts_a_function(home: Home, keeping: tuple[str, str]) -> None:
    arn, queue = keeping
    sns = home.service("sns")
    topic = sns.create_topic(Name=fresh_name("topic"))["TopicArn"]
    subscribed = sns.subscribe(
        TopicArn=topic, Protocol="lambda", Endpoint=arn, ReturnSubscriptionArn=True
    )
    kind = {"DataType": "String", "StringValue": "x"}
    sent = sns.publish(TopicArn=topic, Message="hello", MessageAttributes={"kind": kind})
    (record,) = home.next_in(queue)["Records"]
    assert record["EventSubscriptionArn"] == subscribed["SubscriptionArn"]
    message = record["Sns"]
    assert (message["Message"], message["Subject"]) == ("hello", None)
    assert (message["MessageId"], message["TopicArn"]) == (sent["MessageId"], topic)
    assert message["MessageAttributes"] == {"kind": {"Type": "String", "Value": "x"}}


def test_an_event_of_event_bridge_starts_a_function(home: Home, keeping: tuple[str, str]) -> None:
    arn, queue = keeping
    events = home.service("events")
    source, rule = fresh_name("app"), fresh_name("rule")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [source]}))
    transformer = {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '{"only": <n>}'}
    entry = {"Source": source, "DetailType": "Counted", "Detail": '{"n": 5}'}
    events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": arn}])
    sent = events.put_events(Entries=[entry])["Entries"][0]
    event = home.next_in(queue)
    assert event.pop("time").endswith("Z")
    assert event == {
        "version": "0",
        "id": sent["EventId"],
        "detail-type": "Counted",
        "source": source,
        "account": ACCOUNT,
        "region": REGION,
        "resources": [],
        "detail": {"n": 5},
    }
    target = {"Id": "1", "Arn": arn, "InputTransformer": transformer}
    events.put_targets(Rule=rule, Targets=[target])
    events.put_events(Entries=[entry])
    assert home.next_in(queue) == {"only": 5}
    events.disable_rule(Name=rule)
    events.put_events(Entries=[entry])
    events.enable_rule(Name=rule)
    events.put_events(Entries=[{**entry, "Detail": '{"n": 6}'}])
    assert home.next_in(queue) == {"only": 6}


def test_lines_of_a_log_start_a_function(home: Home, keeping: tuple[str, str]) -> None:
    arn, queue = keeping
    logs = home.service("logs")
    group = {"logGroupName": fresh_name("group")}
    stream = {**group, "logStreamName": "stream"}
    logs.create_log_group(**group)
    logs.create_log_stream(**stream)
    subscription = {**group, "filterName": "errors", "filterPattern": "ERROR"}
    with pytest.raises(logs.exceptions.InvalidParameterException, match="Could not execute"):
        logs.put_subscription_filter(**subscription, destinationArn=f"{arn}-gone")
    logs.put_subscription_filter(**subscription, destinationArn=arn)
    now = int(time.time() * 1000)  # noqa: TID251  a log's lines must be of today
    lines = [{"timestamp": now, "message": text} for text in ("all well", "ERROR 1")]
    logs.put_log_events(**stream, logEvents=lines)
    packed = home.next_in(queue)["awslogs"]["data"]
    data = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert (data["owner"], data["logGroup"]) == (ACCOUNT, group["logGroupName"])
    assert [line["message"] for line in data["logEvents"]] == ["ERROR 1"]


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


SIGNED = (
    b"authorization: AWS4-HMAC-SHA256 Credential=%b/20261121/%b/%b/aws4_request, Signature=0\r\n"
    b"connection: close\r\n\r\n"
)


def test_names_that_no_environment_has_are_refused_on_the_runtime_port(home: Home) -> None:
    for host in (b"127.0.0.1", b"0" * 32 + b".lambda-home.internal", b"companion"):
        head = b"GET /bucket HTTP/1.1\r\nhost: %b\r\n" % host
        signed = SIGNED % (ACCOUNT.encode(), REGION.encode(), b"s3")
        assert raw(home.server.runtime_port, head + signed).startswith(b"HTTP/1.1 403 ")
        head = b"GET /2015-03-31/functions HTTP/1.1\r\nhost: %b\r\n" % host
        signed = SIGNED % (ACCOUNT.encode(), REGION.encode(), b"lambda")
        assert raw(home.server.runtime_port, head + signed).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("line", [b"GET http://%b/x", b"GET //%b/x", b"GET /%b:80/../x"])
def test_a_request_line_leads_nowhere_else(home: Home, line: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0)
        there = b"127.0.0.1:%d" % trap.getsockname()[1]
        head = (line % there) + b" HTTP/1.1\r\nhost: localhost\r\n"
        signed = SIGNED % (ACCOUNT.encode(), REGION.encode(), b"s3")
        raw(int(home.server.url.rsplit(":", 1)[1]), head + signed)
        with pytest.raises(BlockingIOError):
            trap.accept()


def port_of_moto(server: LiveServer) -> int:
    lines = server.output
    said = until(lambda: [x for x in lines if "moto's server answers" in x], "moto is silent")
    return int(json.loads(said[0])["url"].rsplit(":", 1)[1])


def test_another_server_can_be_the_companion(home: Home) -> None:
    bucket = home.bucket()
    url = f"http://127.0.0.1:{port_of_moto(home.server)}"
    with LiveServer("--sandbox", "process", "--ephemeral", "--companion", url) as server:
        other = Home(server)
        other.s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    assert home.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"hello"


@pytest.mark.process
def test_moto_ends_with_a_server_that_is_killed_and_the_endpoint_can_be_switched_off(
    tmp_path: Path,
) -> None:
    server = LiveServer(
        *("--sandbox", "process", "--data-dir", str(tmp_path), "--companion", "moto"),
        environment={"LAMBDA_HOME_FUNCTIONS__ENDPOINT_URL": "false"},
    )
    with server:
        here = Home(server)
        used = create(here.functions, ENDPOINT)
        assert invoke(here.functions, used).payload is None
        port = port_of_moto(server)
        server.stop(signal.SIGKILL)
    until(lambda: not is_open(port), "moto goes on")


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
