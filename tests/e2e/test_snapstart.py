"""SnapStart: one init before the version is Active, restored environments, hooks, errors."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from live import ROLE, LiveServer, zip_of
from polling import states_until

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

SOURCE = """
import os, time, uuid
from snapshot_restore_py import register_after_restore, register_before_snapshot
SEEN, INIT = [], uuid.uuid4().hex
@register_before_snapshot
def first():
    SEEN.append("before 1")
register_before_snapshot(SEEN.append, "before 2")
@register_after_restore
def again():
    SEEN.append("after 1")
register_after_restore(SEEN.append, "after 2")
print("initialised")
def handler(event, context):
    if event.get("sleep"):
        time.sleep(event["sleep"])
    return {
        "seen": SEEN, "init": INIT, "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "log": [name for name in os.environ if name.startswith("AWS_LAMBDA_LOG_STREAM")],
    }
"""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("process", marks=pytest.mark.process),
        pytest.param("docker", marks=pytest.mark.docker),
    ],
)
def client(request: pytest.FixtureRequest) -> Iterator[LambdaClient]:
    with LiveServer("--sandbox", request.param, "--ephemeral") as server:
        yield server.client()


def publish(client: LambdaClient, name: str, source: str, **members: Any) -> dict[str, Any]:
    """A function with SnapStart and its first version, which is Pending at first."""
    client.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="index.handler",
        Role=ROLE,
        Code={"ZipFile": zip_of({"index.py": source})},
        SnapStart={"ApplyOn": "PublishedVersions"},
        **{"Timeout": 30, **members},
    )
    made: Any = client.publish_version(FunctionName=name)
    assert (made["State"], made["SnapStart"]["OptimizationStatus"]) == ("Pending", "Off")
    found: dict[str, Any] = {}

    def look() -> str:
        found.update(client.get_function_configuration(FunctionName=name, Qualifier="1"))
        return "settled" if found["State"] != "Pending" else "pending"

    states_until(look, "settled", "pending")
    return found


def call(client: LambdaClient, name: str, event: object = None) -> tuple[Any, str]:
    answer = client.invoke(
        FunctionName=name, Qualifier="1", Payload=json.dumps(event or {}), LogType="Tail"
    )
    return json.loads(answer["Payload"].read()), base64.b64decode(answer["LogResult"]).decode()


def log_of(client: LambdaClient, name: str) -> str:
    """All lines of a function's log."""
    logs = boto3.client(
        "logs",
        endpoint_url=client.meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key="x",
    )
    found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")
    return "\n".join(event["message"].rstrip("\n") for event in found["events"])


def test_a_version_is_initialised_before_it_is_active_and_restored_by_its_first_call(
    client: LambdaClient,
) -> None:
    version = publish(client, "snap", SOURCE)
    assert version["State"] == "Active"
    assert version["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    latest: Any = client.get_function_configuration(FunctionName="snap")
    assert latest["SnapStart"]["OptimizationStatus"] == "Off"
    before = log_of(client, "snap")
    assert "initialised" in before
    assert re.search(r"^INIT_REPORT Init Duration: [\d.]+ ms$", before, re.MULTILINE)
    assert "RESTORE_START" not in before

    answer, log = call(client, "snap")
    assert answer["seen"] == ["before 2", "before 1", "after 1", "after 2"]
    assert (answer["type"], answer["log"]) == ("snap-start", [])
    report = next(line for line in log.split("\n") if line.startswith("REPORT"))
    assert re.search(r"\tRestore Duration: [\d.]+ ms\tBilled Restore Duration: \d+ ms\t", report)
    assert "Init Duration" not in report
    whole = log_of(client, "snap")
    lines = [line.split()[0] for line in whole.split("\n") if line]
    order = ["INIT_REPORT", "RESTORE_START", "RESTORE_REPORT", "START", "END", "REPORT"]
    assert [line for line in lines if line in order] == order

    again, log = call(client, "snap")
    assert (again["init"], again["seen"]) == (answer["init"], answer["seen"])
    assert "Restore Duration" not in log


def test_a_version_that_cannot_be_initialised_is_failed_with_the_reason(
    client: LambdaClient,
) -> None:
    version = publish(client, "broken", "raise ValueError('no such thing')")
    assert (version["State"], version["StateReasonCode"]) == ("Failed", "FunctionError")
    assert "ValueError: no such thing" in version["StateReason"]
    assert version["SnapStart"]["OptimizationStatus"] == "Off"
    hook = "import snapshot_restore_py as s\ns.register_before_snapshot(lambda: 1 / 0)\n"
    version = publish(client, "hooked", hook + "def handler(e, c): pass")
    assert version["State"] == "Failed"
    assert "Runtime.BeforeSnapshotError: division by zero" in version["StateReason"]
    with pytest.raises(client.exceptions.ResourceConflictException, match="Failed"):
        client.invoke(FunctionName="hooked", Qualifier="1")


def test_a_hook_that_fails_after_the_restore_fails_the_call(client: LambdaClient) -> None:
    hook = "import snapshot_restore_py as s\ns.register_after_restore(lambda: 1 / 0)\n"
    assert publish(client, "after", hook + "def handler(e, c): pass")["State"] == "Active"
    with pytest.raises(client.exceptions.SnapStartException, match="afterRestore"):
        client.invoke(FunctionName="after", Qualifier="1")
    log = log_of(client, "after")
    assert "division by zero" in log
    assert "Error Type: Runtime.AfterRestoreError" in log


def test_a_restore_that_takes_too_long_is_a_timeout(client: LambdaClient) -> None:
    hook = (
        "import snapshot_restore_py as s, time\ns.register_after_restore(time.sleep, 30)\n"
        "def handler(e, c): pass"
    )
    assert publish(client, "slow", hook, Timeout=1)["State"] == "Active"
    with pytest.raises(client.exceptions.SnapStartTimeoutException, match="restore the snapshot"):
        client.invoke(FunctionName="slow", Qualifier="1")
