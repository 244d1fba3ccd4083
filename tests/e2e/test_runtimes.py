"""Every promised runtime runs: on its version, or with a warning that says on which."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from functions_under_test import NODE, create, invoke
from live import zip_of
from observing import log_of, until_logged

from lambda_home.sandboxes.interpreters import Search, installed

if TYPE_CHECKING:
    from live import LiveServer
    from mypy_boto3_lambda import LambdaClient

RUNTIMES = [
    *(f"python3.{minor}" for minor in range(8, 15)),
    *(f"nodejs{major}.x" for major in (18, 20, 22, 24)),
]
# Every Python of this machine, those of pyenv too, that has a runtime.
THESE = {f"python{found.series_text}" for found in installed("python", Search.of(os.environ))}
PYTHON_SOURCE = """
import sys
def handler(event, context):
    return "python%d.%d" % sys.version_info[:2]
"""
NODE_SOURCE = "exports.handler = async () => `nodejs${process.versions.node.split('.')[0]}.x`;"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_runtime_runs_on_its_version_or_says_on_which(
    server: LiveServer, aws: LambdaClient, runtime: str
) -> None:
    source = PYTHON_SOURCE if runtime.startswith("python") else NODE_SOURCE
    name = create(aws, source, Runtime=runtime, Timeout=20)
    answer = invoke(aws, name, {}, LogType="Tail")
    assert answer.error is None, answer.payload
    assert re.fullmatch(r"python3\.\d+|nodejs\d+\.x", answer.payload)
    if server.facts["sandbox"].startswith("process") and runtime in THESE:
        assert answer.payload == runtime
    invoke(aws, name, {}, LogType="Tail")
    if answer.payload != runtime:
        until_logged(server, name, "[WARNING] lambda_home:")
        lines = log_of(server, name).splitlines()
        warned = [line for line in lines if "[WARNING] lambda_home:" in line]
        assert runtime in warned[0]


def test_python_functions_can_import_boto3_as_on_aws(aws: LambdaClient) -> None:
    source = """
import boto3
def handler(event, context):
    client = boto3.client("lambda")
    return [boto3.__file__, client.meta.region_name]
"""
    name = create(aws, source, Timeout=30, MemorySize=512)
    where, region = invoke(aws, name, {}).payload
    assert where.startswith("/var/runtime/")
    assert region == "us-east-1"


def test_a_package_brings_its_own_modules_of_any_name(aws: LambdaClient) -> None:

    files = {
        "app/main.py": "import bootstrap, client\nfrom app import client as c\n"
        "def handler(event, context):\n    return [bootstrap.MINE, client.MINE, c.MINE]\n",
        "app/__init__.py": "",
        "app/client.py": "MINE = 3\n",
        "bootstrap.py": "MINE = 1\n",
        "client.py": "MINE = 2\n",
    }
    name = create(aws, "")
    aws.update_function_code(FunctionName=name, ZipFile=zip_of(files))
    aws.update_function_configuration(FunctionName=name, Handler="app/main.handler")
    assert invoke(aws, name, {}).payload == [1, 2, 3]


def test_an_esm_function_with_top_level_await_runs(aws: LambdaClient) -> None:

    source = "const n = await Promise.resolve(7);\nexport const handler = async () => n;\n"
    name = create(aws, "exports.handler = async () => 0", Runtime=NODE)
    aws.update_function_code(FunctionName=name, ZipFile=zip_of({"index.mjs": source}))
    assert invoke(aws, name, {}).payload == 7
