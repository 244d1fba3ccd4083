"""PHP, Deno and Bun really run, by layers for provided.al2023, in both sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from functions_under_test import QUICK_WAITER, fresh_name, invoke
from live import ROLE, zip_of

from scripts.runtime_layer import NoProgramError, program_of, write_layer

if TYPE_CHECKING:
    from live import LiveServer
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.slow

PHP = """<?php
$calls = 0;
function handler(array $event, LambdaHome\\Context $context): mixed {
    global $calls;
    $calls++;
    switch ($event['do'] ?? '') {
        case 'log': echo "out\\n"; fwrite(STDERR, "err\\n"); return null;
        case 'fail': throw new DomainException('not like that');
        case 'exit': exit(3);
        case 'sleep': sleep(60);
    }
    return ['event' => $event, 'calls' => $calls, 'id' => $context->awsRequestId,
        'arn' => $context->invokedFunctionArn, 'left' => $context->getRemainingTimeInMillis(),
        'name' => $context->functionName, 'memory' => $context->memoryLimitInMB,
        'colour' => getenv('COLOUR'), 'folder' => getcwd()];
}
"""
TYPESCRIPT = """
import process from "node:process";
let calls = 0;
type Event = { do?: string };
export const handler = async (event: Event, context: any): Promise<unknown> => {
  calls++;
  switch (event.do) {
    case "log": console.log("out"); console.error("err"); return null;
    case "fail": throw new RangeError("not like that");
    case "exit": process.exit(3);
    case "sleep": await new Promise((done) => setTimeout(done, 60000));
  }
  return { event, calls, id: context.awsRequestId, arn: context.invokedFunctionArn,
    left: context.getRemainingTimeInMillis(), name: context.functionName,
    memory: Number(context.memoryLimitInMB), colour: process.env.COLOUR, folder: process.cwd() };
};
"""
FILES = {"php": {"app.php": PHP}, "deno": {"app.ts": TYPESCRIPT}, "bun": {"app.ts": TYPESCRIPT}}
ERRORS = {"php": "DomainException", "deno": "RangeError", "bun": "RangeError"}
BIG = pytest.mark.languages
"""Their programs have 100 MB."""


@pytest.fixture(
    scope="module", params=["php", pytest.param("deno", marks=BIG), pytest.param("bun", marks=BIG)]
)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def layer(language: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The layer as `make` makes it."""
    try:
        program = program_of(language, fetch=False)
    except NoProgramError as why:
        pytest.skip(str(why))
    out = tmp_path_factory.mktemp("layer") / "layer.zip"
    write_layer(language, program, out)
    return out.read_bytes()


@pytest.fixture(scope="module")
def layer_arn(server: LiveServer, layer: bytes) -> str:
    made = server.client().publish_layer_version(
        LayerName=fresh_name("language"), Content={"ZipFile": layer}
    )
    return made["LayerVersionArn"]


def create(aws: LambdaClient, layer: str, files: dict[str, str], **members: Any) -> str:
    name = fresh_name()
    request: Any = {
        "FunctionName": name,
        "Runtime": "provided.al2023",
        "Handler": "app.handler",
        "Role": ROLE,
        "Timeout": 20,
        "MemorySize": 512,
        "Environment": {"Variables": {"COLOUR": "blue"}},
        "Code": {"ZipFile": zip_of(files)},
        "Layers": [layer],
        **members,
    }
    aws.create_function(**request)
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    return name


@pytest.fixture(scope="module")
def app(server: LiveServer, language: str, layer_arn: str) -> str:
    return create(server.client(), layer_arn, FILES[language])


def test_a_function_gets_its_event_context_and_environment(aws: LambdaClient, app: str) -> None:
    answer = invoke(aws, app, {"text": "grüße"})
    assert answer.error is None, answer.payload
    told = answer.payload
    assert 0 < told.pop("left") <= 20_000
    assert told.pop("calls") > 0
    assert told == {
        "event": {"text": "grüße"},
        "id": answer.request_id,
        "arn": f"arn:aws:lambda:us-east-1:000000000000:function:{app}",
        "name": app,
        "memory": 512,
        "colour": "blue",
        "folder": "/var/task",
    }


def test_the_tail_of_the_log_is_what_this_invocation_wrote(aws: LambdaClient, app: str) -> None:
    invoke(aws, app, {})
    lines = invoke(aws, app, {"do": "log"}, LogType="Tail").log.splitlines()
    own = [line for line in lines if not line.startswith(("START ", "END ", "REPORT "))]
    assert own == ["out", "err"]


def test_an_error_tells_message_type_and_trace(aws: LambdaClient, language: str, app: str) -> None:
    answer = invoke(aws, app, {"do": "fail"}, LogType="Tail")
    assert answer.error == "Unhandled"
    told = answer.payload
    assert told["errorMessage"] == "not like that"
    assert told["errorType"] == ERRORS[language]
    trace = told["stackTrace"] if language == "php" else told["trace"]
    assert any("/var/task/app." in line for line in trace)
    assert "not like that" in answer.log
    assert invoke(aws, app, {}).payload["calls"] > 1


def test_an_exit_ends_one_call(aws: LambdaClient, app: str) -> None:
    assert invoke(aws, app, {"do": "exit"}).payload["errorMessage"].endswith("exit status 3")
    assert invoke(aws, app, {}).payload["calls"] == 1


def test_a_timeout_ends_the_call(aws: LambdaClient, language: str, layer_arn: str) -> None:
    name = create(aws, layer_arn, FILES[language], Timeout=2)
    told = invoke(aws, name, {"do": "sleep"}).payload
    assert "Task timed out after 2.00 seconds" in told["errorMessage"]


@pytest.mark.parametrize("handler", ["missing.handler", "app.missing"])
def test_a_wrong_handler_is_named_at_once(
    aws: LambdaClient, language: str, layer_arn: str, handler: str
) -> None:
    name = create(aws, layer_arn, FILES[language], Handler=handler)
    assert "missing" in invoke(aws, name, {}).payload["errorMessage"]
