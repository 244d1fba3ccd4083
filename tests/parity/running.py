"""Functions whose results are held against recorded ones."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from functions_under_test import PYTHON, QUICK_WAITER, fresh_name
from live import zip_of
from observing import until
from other_services import service
from parity.comparison import Bindings, differences

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

ACCOUNT = "123456789012"  # moto's
ROLE = f"arn:aws:iam::{ACCOUNT}:role/lambda-role"
NODE = "nodejs20.x"
RECORDED = Path(__file__).parent / "recorded" / "answers_of_code.json"
SAY = """
import logging
logging.getLogger().setLevel(logging.INFO)
def handler(event, context):
    print("Lambda log message - print function")
    logging.getLogger().info("Lambda log message - logging module")
    if event.get("raise_error"):
        raise Exception("Test exception (this is intentional)")
    names = ("invoked_function_arn", "function_version", "function_name", "memory_limit_in_mb",
             "aws_request_id", "log_group_name", "log_stream_name", "client_context")
    return {"event": event, "context": {name: getattr(context, name) for name in names}}
"""


class Recording:
    """One recorded case; `also` are texts in which this run differs on purpose."""

    def __init__(self, name: str, also: Mapping[str, str] | None = None) -> None:
        text = json.dumps(json.loads(RECORDED.read_text("utf-8"))[name]["answers"])
        for theirs, ours in (also or {}).items():
            text = text.replace(theirs, ours)
        self.answers: dict[str, Any] = json.loads(text)
        self._values = Bindings()

    def holds(self, key: str, ours: Any) -> None:
        """Fail unless our answer equals the recorded one."""
        found = list(differences(self.answers[key], ours, ACCOUNT, self._values))
        assert not found, "\n".join([key, *found])


class Queue:
    """A queue of moto's."""

    def __init__(self, url: str) -> None:
        self._sqs = service("sqs", url, ACCOUNT)
        name = fresh_name("queue")
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        self.arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"

    def receive(self) -> dict[str, Any]:
        """The next message, when it comes; it is deleted."""

        def look() -> Any:
            return self._sqs.receive_message(
                QueueUrl=self._url,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages")

        message: dict[str, Any] = until(look, "no message came")[0]
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return message

    def close(self) -> None:
        self._sqs.close()


def make(api: LambdaClient, file: str, source: str, **members: Any) -> dict[str, Any]:
    """Create a function of one file, and wait until it can run; gives the creation's answer."""
    node = file.endswith("js")
    request: dict[str, Any] = {
        "FunctionName": fresh_name(),
        "Runtime": NODE if node else PYTHON,
        "Handler": f"{Path(file).stem}.handler",
        "Role": ROLE,
        "Code": {"ZipFile": zip_of({file: source})},
        **members,
    }
    made: dict[str, Any] = dict(api.create_function(**request))
    settle(api, made["FunctionName"])
    return bare(made)


def settle(api: LambdaClient, name: str) -> None:
    for waiter in ("function_active_v2", "function_updated_v2"):
        api.get_waiter(waiter).wait(FunctionName=name, WaiterConfig=QUICK_WAITER)


def bare(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as the recordings keep it."""
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return {**answer, "ResponseMetadata": {"HTTPHeaders": {}, "HTTPStatusCode": status}}


def run(api: LambdaClient, name: str, event: Any = None, **members: Any) -> dict[str, Any]:
    """Invoke; the answer with its payload read, or the error."""
    if event is not None:
        members["Payload"] = json.dumps(event)
    try:
        answer: dict[str, Any] = dict(api.invoke(FunctionName=name, **members))
    except ClientError as error:
        answer = dict(error.response)
    if "Payload" in answer:
        answer["Payload"] = answer["Payload"].read().decode()
    answer.pop("retryAfterSeconds", None)  # ours says when to come back, AWS did not
    return bare(answer)


def log_of(answer: Mapping[str, Any]) -> list[str]:
    """The lines of a log tail."""
    return base64.b64decode(answer["LogResult"]).decode().removesuffix("\n").split("\n")


def undated(line: str) -> str:
    """A line of the logging module, its time hidden as the recordings do."""
    return re.sub(r"\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t", "\tdate\t", line)


def body_of(message: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(message["Body"])
    return body
