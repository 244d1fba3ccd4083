"""AWS's own runtime client, unmodified, in place of our bootstrap."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from functions_under_test import PYTHON, QUICK_WAITER, fresh_name, invoke
from live import ROLE, zip_of

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# Our bootstrap imports this module; it makes way for AWS's client, which then polls by itself.
MAKE_WAY = """
import os, sys
os.execv(sys.executable, [sys.executable, "-m", "awslambdaric", "real.handler"])
"""
REAL = """
def handler(event, context):
    print("said", event)
    if event == "fail":
        raise ValueError("asked for")
    return {"event": event, "id": context.aws_request_id, "client": __import__("sys").argv[0]}
"""


def _package() -> dict[str, str | bytes]:
    """awslambdaric and what it needs, as a user would vendor them."""
    spec = importlib.util.find_spec("awslambdaric")
    if spec is None or spec.origin is None:
        pytest.fail("awslambdaric is not installed")
    site = Path(spec.origin).parent.parent
    files: dict[str, str | bytes] = {"lambda_function.py": MAKE_WAY, "real.py": REAL}
    wanted = (
        "awslambdaric/**/*.py",
        "runtime_client*.so",
        "snapshot_restore_py*.py",
        "simplejson/**/*.py",
    )
    for path in (path for pattern in wanted for path in site.glob(pattern)):
        files[str(path.relative_to(site))] = path.read_bytes()
    return files


def test_an_unmodified_awslambdaric_serves_invocations(aws: LambdaClient) -> None:
    name = fresh_name("ric")
    aws.create_function(
        FunctionName=name,
        Runtime=PYTHON,
        Handler="lambda_function.handler",
        Role=ROLE,
        Timeout=20,
        MemorySize=256,
        Environment={"Variables": {"PYTHONPATH": "/var/task"}},
        Code={"ZipFile": zip_of(_package())},
    )
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    first = invoke(aws, name, {"n": 1}, LogType="Tail")
    assert first.error is None, first.payload
    assert first.payload["event"] == {"n": 1}
    assert first.payload["id"] == first.request_id
    assert "awslambdaric" in first.payload["client"]
    assert "said {'n': 1}" in first.log
    failed = invoke(aws, name, "fail")
    assert (failed.error, failed.payload["errorType"]) == ("Unhandled", "ValueError")
    again = [invoke(aws, name, n).payload["event"] for n in range(20)]
    assert again == list(range(20))
