"""The main job on both sandboxes, through unmodified boto3, the AWS CLI and curl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from functions_under_test import NODE, PYTHON, QUICK_WAITER, create, fresh_name, invoke
from live import ROLE, LiveServer, zip_of

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

ECHO = """
import os
def handler(event, context):
    greeting = os.environ.get("GREETING")
    return {"event": event, "version": context.function_version, "greeting": greeting}
"""
NODE_ECHO = """
exports.handler = async (event, context) => ({
    event, version: context.functionVersion, greeting: process.env.GREETING });
"""


@pytest.mark.parametrize(("runtime", "source"), [(PYTHON, ECHO), (NODE, NODE_ECHO)])
def test_a_function_lives_from_create_to_delete_with_boto3(
    aws: LambdaClient, runtime: str, source: str
) -> None:
    name = create(aws, source, Runtime=runtime, Environment={"Variables": {"GREETING": "hello"}})
    first = invoke(aws, name, {"n": 1})
    assert first.payload == {"event": {"n": 1}, "version": "$LATEST", "greeting": "hello"}
    assert (first.status, first.error, first.version) == (200, None, "$LATEST")

    aws.update_function_configuration(
        FunctionName=name, Environment={"Variables": {"GREETING": "hi"}}
    )
    aws.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    assert invoke(aws, name).payload["greeting"] == "hi"

    published = aws.publish_version(FunctionName=name)
    assert published["Version"] == "1"
    changed = source.replace("event", "evt") if runtime == NODE else source.replace("'", '"')
    changed = changed.replace('"greeting":', '"salute":').replace("greeting:", "salute:")
    file = "index.js" if runtime == NODE else "lambda_function.py"
    aws.update_function_code(FunctionName=name, ZipFile=zip_of({file: changed}))
    assert invoke(aws, name).payload["salute"] == "hi"
    assert invoke(aws, name, Qualifier="1").payload["greeting"] == "hi"
    assert invoke(aws, f"{name}:1").version == "1"

    versions = aws.list_versions_by_function(FunctionName=name)["Versions"]
    assert [v["Version"] for v in versions] == ["$LATEST", "1"]
    pages = aws.get_paginator("list_functions").paginate()
    assert name in [f["FunctionName"] for page in pages for f in page["Functions"]]
    aws.delete_function(FunctionName=name)
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        invoke(aws, name)
    # A deleted name can be used again at once.
    create(aws, source, name, Runtime=runtime)
    assert invoke(aws, name, 7).payload["event"] == 7


def _aws_cli(server: LiveServer, *words: str) -> Any:
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_PAGER": "",
    }
    command = [str(Path(sys.executable).with_name("aws")), "lambda", *words]
    done = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_the_aws_cli_does_the_main_job(server: LiveServer, tmp_path: Path) -> None:
    name = fresh_name("cli")
    (tmp_path / "f.zip").write_bytes(zip_of({"lambda_function.py": ECHO}))
    package, out = f"fileb://{tmp_path / 'f.zip'}", str(tmp_path / "out.json")
    made = _aws_cli(
        server,
        *("create-function", "--function-name", name, "--runtime", PYTHON, "--role", ROLE),
        *("--handler", "lambda_function.handler", "--zip-file", package),
    )
    assert made["State"] == "Pending"
    _aws_cli(server, "wait", "function-active-v2", "--function-name", name)
    payload = ("--payload", '{"k": "ü"}')
    answer = _aws_cli(server, "invoke", "--function-name", name, *payload, out)
    assert answer == {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
    assert json.loads(Path(out).read_text())["event"] == {"k": "ü"}
    _aws_cli(server, "update-function-code", "--function-name", name, "--zip-file", package)
    _aws_cli(server, "wait", "function-updated-v2", "--function-name", name)
    assert _aws_cli(server, "publish-version", "--function-name", name)["Version"] == "1"
    listed = _aws_cli(server, "list-functions")["Functions"]
    assert name in [f["FunctionName"] for f in listed]
    _aws_cli(server, "delete-function", "--function-name", name)


def _curl(*words: str) -> tuple[int, str]:
    command = ["curl", "-sS", "-w", "\n%{http_code}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_curl_does_the_main_job_in_lambda_at_homes_form(server: LiveServer, tmp_path: Path) -> None:
    import base64  # noqa: PLC0415  used here alone

    name = fresh_name("Curl")
    code = base64.b64encode(zip_of({"index.js": NODE_ECHO})).decode()
    body = {"function_name": name, "runtime": NODE, "handler": "index.handler"}
    (tmp_path / "body.json").write_text(json.dumps({**body, "code": {"zip_file": code}}))
    functions = f"{server.url}/2015-03-31/functions"
    status, made = _curl("-X", "POST", functions, "-d", f"@{tmp_path / 'body.json'}")
    assert status == 201
    assert json.loads(made)["MemorySize"] == 512  # Lambda@Home's default for its own form
    status, answer = _curl("-X", "POST", f"{functions}/{name}/invocations", "-d", '{"ping":1}')
    assert (status, json.loads(answer)["event"]) == (200, {"ping": 1})
    assert _curl("-X", "DELETE", f"{functions}/{name}")[0] == 204
    status, answer = _curl(f"{functions}/{name}")
    assert status == 404
    assert json.loads(answer)["Type"] == "User"


def test_health_tells_the_truth(server: LiveServer) -> None:
    for path in ("/healthz", "/api/healthz"):
        status, body = _curl(server.url + path)
        found = json.loads(body)
        assert (status, found["status"]) == (200, "ok")
        assert {found[part] for part in ("registry", "sandbox", "runtime_api")} == {"ok"}
        assert found["sandbox_kind"] == server.facts["sandbox"].split(":")[0]
