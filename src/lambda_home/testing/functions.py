"""Functions that a test has created: called in a line, their failures as exceptions."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from lambda_home.testing.packages import Code, package
from lambda_home.testing.server import ACCOUNT, LocalServer, LocalServerError

_ROLE = f"arn:aws:iam::{ACCOUNT}:role/lambda-home"
_LOOK_AGAIN_S = 0.01
_READY_S = 60.0
_LOGS_S = 5.0


class FunctionFailed(Exception):
    """A function answered an error: `document` is what the runtime said of it."""

    def __init__(self, name: str, kind: str, document: Any) -> None:
        self.kind = kind
        self.document = document
        what = document if not isinstance(document, dict) else _told(document)
        super().__init__(f"{name}: {kind}: {what}")


@dataclass(frozen=True, slots=True)
class DeployedFunction:
    """A function that is ready to be called."""

    client: Any
    logs_client: Any
    name: str
    arn: str

    def invoke(self, event: Any = None, **members: Any) -> Any:
        """Call it with an event, and read its answer; `members` are those of boto3's invoke.

        Raises FunctionFailed for an error of the function, botocore's ClientError for others.
        """
        request = {"Payload": json.dumps(event), **members}
        answer = self.client.invoke(FunctionName=self.name, **request)
        text = answer["Payload"].read()
        document = json.loads(text) if text else None
        if kind := answer.get("FunctionError"):
            raise FunctionFailed(self.name, kind, document)
        return document

    def send(self, event: Any = None, **members: Any) -> str:
        """Call it asynchronously; the request id."""
        answer = self.client.invoke(
            FunctionName=self.name,
            InvocationType="Event",
            Payload=json.dumps(event),
            **members,
        )
        return str(answer["ResponseMetadata"]["RequestId"])

    def logs(self, until: str = "REPORT RequestId") -> list[str]:
        """The lines of its log, oldest first; waits up to 5 seconds for one with `until`.

        They are written beside the invocation, so that the last ones may come after its answer.
        """
        give_up = time.monotonic() + _LOGS_S
        while True:
            lines = self._lines()
            found = not until or any(until in line for line in lines)
            if found or time.monotonic() > give_up:
                return lines
            time.sleep(_LOOK_AGAIN_S)

    def _lines(self) -> list[str]:
        chosen = self._configuration().get("LoggingConfig", {}).get("LogGroup")
        pages = self.logs_client.get_paginator("filter_log_events").paginate(
            logGroupName=chosen or f"/aws/lambda/{self.name}"
        )
        try:
            return [str(event["message"]) for page in pages for event in page["events"]]
        except self.logs_client.exceptions.ResourceNotFoundException:
            return []  # nothing was written yet

    def update(self, code: Code) -> None:
        """Give it other code; it is in force on return."""
        runtime = str(self._configuration().get("Runtime", ""))
        content = package(code, runtime).content
        self.client.update_function_code(FunctionName=self.name, ZipFile=content)
        self._wait("LastUpdateStatus", "Successful")

    def wait(self) -> None:
        """Wait until it can be called. Raises LocalServerError with the reason if it cannot."""
        self._wait("State", "Active")

    def _configuration(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get_function_configuration(FunctionName=self.name)
        return found

    def _wait(self, member: str, wanted: str) -> None:
        until = time.monotonic() + _READY_S
        while (found := self._configuration()).get(member) != wanted:
            if found.get(member) == "Failed" or time.monotonic() > until:
                reason = found.get(f"{member}Reason", "it takes too long")
                raise LocalServerError(f"{self.name} is {found.get(member)}: {reason}")
            time.sleep(_LOOK_AGAIN_S)


def deploy(server: LocalServer, code: Code, **config: Any) -> DeployedFunction:
    """Create a function, and wait until it can be called.

    `config` are the members of CreateFunction; FunctionName, Runtime, Handler and Role have
    defaults, and Environment may be a plain dict of variables. Raises ValueError, ClientError,
    LocalServerError.
    """
    made = package(code, str(config.get("Runtime") or ""))
    request: dict[str, Any] = {
        "FunctionName": f"function-{uuid.uuid4().hex[:12]}",
        "Runtime": made.runtime,
        "Handler": made.handler,
        "Role": _ROLE,
        "Code": {"ZipFile": made.content},
        **config,
    }
    if not request["Handler"]:
        raise ValueError(
            'Say which function of the package is called: Handler="app.handler" (and Runtime, if'
            " it is not Python)."
        )
    variables = request.get("Environment")
    if variables is not None and "Variables" not in variables:
        request["Environment"] = {"Variables": dict(variables)}
    client = server.client("lambda")
    answer = client.create_function(**request)
    logs, arn = server.client("logs"), str(answer["FunctionArn"])
    function = DeployedFunction(client, logs, request["FunctionName"], arn)
    function.wait()
    return function


def _told(document: dict[str, Any]) -> str:
    kind, message = document.get("errorType"), document.get("errorMessage")
    trace = "".join(str(line) for line in document.get("stackTrace") or [])
    return f"{kind}: {message}\n{trace}".rstrip()
