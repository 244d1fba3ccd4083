"""Making functions in tests."""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any, Literal

from live import ROLE, zip_of

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

PYTHON: Literal["python3.11"] = "python3.11"
NODE: Literal["nodejs18.x"] = "nodejs18.x"
QUICK_WAITER: Any = {"Delay": 0, "MaxAttempts": 20_000}


def fresh_name(prefix: str = "fn") -> str:
    """A name that no other test uses; upper case, because that must work everywhere."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}-Aa"


def create(client: LambdaClient, source: str, name: str = "", **members: Any) -> str:
    """Create a Python (or, with a nodejs Runtime, Node.js) function and wait until it is active."""
    name = name or fresh_name()
    node = members.get("Runtime", PYTHON).startswith("nodejs")
    files = {"index.js" if node else "lambda_function.py": source}
    request: dict[str, Any] = {
        "FunctionName": name,
        "Runtime": PYTHON,
        "Handler": "index.handler" if node else "lambda_function.handler",
        "Role": ROLE,
        "Code": {"ZipFile": zip_of(files)},
        **members,
    }
    client.create_function(**request)
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    return name


class Answer:
    """An invoke's answer, read."""

    def __init__(self, response: Any) -> None:
        self.status: int = response["StatusCode"]
        self.error: str | None = response.get("FunctionError")
        self.version: str | None = response.get("ExecutedVersion")
        self.raw: bytes = response["Payload"].read()
        self.log = base64.b64decode(response.get("LogResult", "")).decode()
        self.request_id: str = response["ResponseMetadata"]["RequestId"]

    @property
    def payload(self) -> Any:
        """The payload as JSON."""
        return json.loads(self.raw)


def invoke(client: LambdaClient, name: str, event: Any = None, **members: Any) -> Answer:
    """Invoke with a JSON event."""
    if event is not None:
        members["Payload"] = json.dumps(event)
    return Answer(client.invoke(FunctionName=name, **members))
