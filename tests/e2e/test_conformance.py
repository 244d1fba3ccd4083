"""One table of cases for every runtime client: what functions of any language see is the same.

The functions are in tests/conformance/; docs/runtimes.md shows the results.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from conformance.clients import CLIENTS, Client, Failure
from conformance.packages import LAYER, go, java, language_layer, nodejs, python, ruby
from conformance.results import Results
from functions_under_test import QUICK_WAITER, Answer, fresh_name, invoke
from live import ROLE, LiveServer
from observing import until

from lambda_home.runtimes import catalogue

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.slow

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
TEXT = 'grüße 🎈 \u2028 \u0000 "quoted" \\ \' <>'
VALUES: list[Any] = [None, True, 0, -1.5, 2**31, "", TEXT, [], {"a": [1, {"b": None}], "ü": "ü"}]
BIG = "ü" * 300_000
ATTEMPTS = 3


def _marks(client: Client) -> Any:
    marks = [pytest.mark.languages] if client.slow else []
    return pytest.param(client, id=client.name, marks=marks)


@dataclass(frozen=True)
class Subject:
    """A client in one kind of sandbox, with a function that all cases share."""

    client: Client
    aws: LambdaClient
    server: LiveServer
    sandbox: str
    layers: tuple[str, ...]
    function: str = ""

    def create(self, *, layers: bool = True, **members: Any) -> str:
        name = fresh_name("conformance")
        variables = {**self.client.environment, "MINE": "é", **members.pop("variables", {})}
        given: dict[str, Any] = {
            "FunctionName": name,
            "Runtime": self.client.runtime,
            "Handler": self.client.handler,
            "Role": ROLE,
            "Code": {"ZipFile": self.client.package()},
            "Timeout": 20,
            "MemorySize": self.client.memory_mb,
            "Environment": {"Variables": variables},
            "Layers": list(self.layers) if layers else [],
            **members,
        }
        self.aws.create_function(**given)
        waiter = self.aws.get_waiter("function_active_v2")
        waiter.wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
        return name

    def ask(self, do: str, value: Any = None, **members: Any) -> Answer:
        return invoke(self.aws, self.function, {"do": do, "value": value}, **members)

    def told(self, do: str, value: Any = None, **members: Any) -> Any:
        answer = self.ask(do, value, **members)
        assert answer.error is None, answer.raw
        return answer.payload


@pytest.fixture(scope="module")
def results() -> Iterator[Results]:
    found = Results.wanted()
    yield found
    found.write()


@pytest.fixture(scope="module", params=[_marks(client) for client in CLIENTS])
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.param
    found.package()  # skips here where it cannot be made
    return found


@pytest.fixture(scope="module")
def subject(server: LiveServer, client: Client) -> Subject:
    aws = server.client()
    content = [LAYER]
    if client.program:
        content.append(_language_layer(client.program))
    arns = [
        aws.publish_layer_version(LayerName=fresh_name("layer"), Content={"ZipFile": one})
        for one in content
    ]
    layers = tuple(one["LayerVersionArn"] for one in arns)
    sandbox = server.facts["sandbox"].split(":")[0]
    bare = Subject(client, aws, server, sandbox, layers)
    return Subject(client, aws, server, sandbox, layers, bare.create())


@cache
def _language_layer(language: str) -> bytes:
    return language_layer(language)


# ----------------------------------------------------------------------------------- the cases


def values_come_back(subject: Subject) -> None:
    for value in (VALUES, *VALUES):
        expected = value if subject.client.keeps_nulls else _without_nulls(value)
        assert subject.told("echo", value) == expected


def _without_nulls(value: Any) -> Any:
    """The value without members of objects that are null."""
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def a_big_event_comes_back(subject: Subject) -> None:
    assert subject.told("echo", BIG) == BIG


def the_context_is_that_of_the_call(subject: Subject) -> None:
    client = {"custom": {"colour": "blü"}, "env": {"locale": "de"}}
    given = base64.b64encode(json.dumps(client).encode()).decode()
    answer = subject.ask("context", ClientContext=given)
    assert answer.error is None, answer.raw
    told = answer.payload
    assert 0 < told.pop("left") <= 20_000
    assert told.pop("identity", None) is None
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", told.pop("stream"))
    assert told == {
        "id": answer.request_id,
        "arn": ARN + subject.function,
        "name": subject.function,
        "version": "$LATEST",
        "memory": subject.client.memory_mb,
        "group": f"/aws/lambda/{subject.function}",
        "custom": {"colour": "blü"},
    }
    assert not subject.told("context").get("custom")


def what_it_writes_is_in_the_log_of_the_call(subject: Subject) -> None:
    answer = subject.ask("log", LogType="Tail")
    assert (answer.error, answer.payload) == (None, None)
    lines = answer.log.splitlines()
    assert [line for line in lines if line.startswith("START RequestId: " + answer.request_id)]
    assert [line for line in lines if line.startswith("REPORT RequestId: " + answer.request_id)]
    for said in ("out ü", "err ü"):
        assert len([line for line in lines if line.endswith(said)]) == 1, lines
    assert "out ü" not in subject.ask("echo", LogType="Tail").log


def the_environment_is_that_of_aws(subject: Subject) -> None:
    found = subject.told("environment")
    client = subject.client
    expected = {
        "_HANDLER": client.handler,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": subject.function,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(client.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{subject.function}",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "MINE": "é",
        "TZ": ":UTC",
    }
    assert found.items() >= expected.items()
    kept = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    kept |= {"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_STREAM_NAME", "PATH", "LD_LIBRARY_PATH"}
    assert all(found.get(name) for name in kept), kept - found.keys()
    said = f"AWS_Lambda_{client.runtime}" if client.names_itself else None
    assert found.get("AWS_EXECUTION_ENV") == said
    assert [name for name in found if name.lstrip("_").startswith("LAMBDA_HOME")] == []


def an_error_has_its_type_message_and_stack(subject: Subject) -> None:
    calls = subject.told("calls")
    answer = subject.ask("fail", LogType="Tail")
    _check(answer, subject.client.error)
    assert "as asked: ü" in answer.log or not subject.client.logs_errors
    assert subject.told("calls") == calls + 2  # the environment goes on


def an_error_of_the_initialisation_is_told(subject: Subject) -> None:
    name = subject.create(variables={"BROKEN": "yes"})
    answer = invoke(subject.aws, name, {"do": "calls"}, LogType="Tail")
    _check(answer, subject.client.init_error)
    assert "broken: ü" in answer.log


def an_exit_ends_one_call(subject: Subject) -> None:
    answer = subject.ask("exit")
    assert (answer.error, answer.payload) == (
        "Unhandled",
        {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {answer.request_id} Error: Runtime exited with error:"
            " exit status 3",
        },
    )
    assert subject.told("calls") == 1


def _check(answer: Answer, expected: Failure) -> None:
    assert answer.error == "Unhandled"
    told = answer.payload
    assert re.fullmatch(expected.kind, told["errorType"]), told
    assert re.fullmatch(expected.message, told["errorMessage"]), told
    if expected.stack:
        assert isinstance(told[expected.stack], list)
        assert "app" in "".join(told[expected.stack])


def layers_are_at_opt(subject: Subject) -> None:
    assert subject.told("read", "/opt/conformance.txt") == "a file of a layer: ü"
    if subject.client.library:
        assert subject.told("library") == "a module of a layer"


def pieces_arrive_as_they_are_written(subject: Subject) -> None:
    name = subject.create(Handler=subject.client.pieces)
    event = json.dumps(subject.client.pieces_event).encode()
    answer = subject.aws.invoke_with_response_stream(FunctionName=name, Payload=event)
    pieces, at = [], []
    with closing(answer["EventStream"]) as stream:
        for received in stream:
            if "PayloadChunk" in received:
                pieces.append(received["PayloadChunk"]["Payload"])
                at.append(time.monotonic())
            else:
                assert "ErrorCode" not in received["InvokeComplete"], received
    # Rust's client puts a prelude with a status in front, as function URLs read it.
    assert b"".join(pieces).rpartition(bytes(8))[2] == b"one;two;"
    assert at[-1] - at[0] > 0.2


def a_timeout_ends_the_call_and_the_next_is_clean(subject: Subject) -> None:
    name = subject.create(Timeout=1)
    assert invoke(subject.aws, name, {"do": "calls"}).payload == 1
    answer = invoke(subject.aws, name, {"do": "sleep"})
    assert (answer.error, answer.payload) == (
        "Unhandled",
        {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {answer.request_id} Error: Task timed out after 1.00"
            " seconds",
        },
    )
    assert invoke(subject.aws, name, {"do": "calls"}).payload == 1


def a_first_call_takes_a_process_that_was_there_before(subject: Subject) -> None:
    def stock() -> bool:
        found = httpx.get(f"{subject.server.url}/api/admin/spares").json()
        return bool(found["ready"] and not found["missing"] and not found["starting"])

    subject.create(layers=False)  # from now on spares of its kind and size are wanted
    ages = []
    for _ in range(ATTEMPTS):
        until(stock, "no spares")
        began = time.monotonic()
        name = subject.create(layers=False)
        started = _read(subject, name, "/proc/self/stat").rpartition(")")[2].split()[19]
        waited = time.monotonic() - began
        up = float(_read(subject, name, "/proc/uptime").split()[0])
        ages.append(up - int(started) / 100 - waited)
        if ages[-1] > 0:
            return
    pytest.fail(f"processes are younger than their functions: {ages}")


def _read(subject: Subject, name: str, path: str) -> str:
    answer = invoke(subject.aws, name, {"do": "read", "value": path})
    assert answer.error is None, answer.raw
    return str(answer.payload)


Case = Callable[[Subject], None]
ALWAYS: Callable[[Client], bool] = lambda _client: True  # noqa: E731
CASES: tuple[tuple[str, Case, Callable[[Client], bool]], ...] = (
    ("event", values_come_back, ALWAYS),
    ("event", a_big_event_comes_back, ALWAYS),
    ("event", the_context_is_that_of_the_call, ALWAYS),
    ("event", what_it_writes_is_in_the_log_of_the_call, ALWAYS),
    ("environment", the_environment_is_that_of_aws, ALWAYS),
    ("error", an_error_has_its_type_message_and_stack, ALWAYS),
    ("error", an_error_of_the_initialisation_is_told, ALWAYS),
    ("error", an_exit_ends_one_call, ALWAYS),
    ("layers", layers_are_at_opt, ALWAYS),
    ("streaming", pieces_arrive_as_they_are_written, lambda client: bool(client.pieces)),
    ("timeout", a_timeout_ends_the_call_and_the_next_is_clean, ALWAYS),
    ("spare", a_first_call_takes_a_process_that_was_there_before, lambda client: client.spare),
)


@pytest.mark.parametrize(
    ("column", "case", "applies"), [pytest.param(*case, id=case[1].__name__) for case in CASES]
)
def test_conformance(
    subject: Subject,
    results: Results,
    column: str,
    case: Case,
    applies: Callable[[Client], bool],
) -> None:
    if not applies(subject.client):
        results.none(subject.client.name, subject.sandbox, column)
        return
    with results.of(subject.client.name, subject.sandbox, column):
        case(subject)


# ------------------------------------------------------------------------- every runtime there is

PACKAGES = {
    "python": (python, "app.handler"),
    "nodejs": (nodejs, "app.handler"),
    "ruby": (ruby, "app.handler"),
    "java": (java, "app.App::handle"),
    "provided": (go, "bootstrap"),
}


@pytest.mark.languages
@pytest.mark.parametrize("runtime", sorted(catalogue()))
def test_every_runtime_with_a_bootstrap_answers(
    server: LiveServer, aws: LambdaClient, results: Results, runtime: str
) -> None:
    family = catalogue()[runtime].family.name
    if family not in PACKAGES:
        pytest.skip(f"there is no bootstrap for {family}")
    package, handler = PACKAGES[family]
    name = fresh_name("runtime")
    request: Any = {
        "FunctionName": name,
        "Runtime": runtime,
        "Handler": handler,
        "Role": ROLE,
        "Code": {"ZipFile": package()},
        "Timeout": 20,
        "MemorySize": 512,
    }
    aws.create_function(**request)
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    sandbox = server.facts["sandbox"].split(":")[0]
    told = results.runtimes.setdefault(runtime, {})
    told[sandbox] = "no"
    if sandbox == "process" and runtime == "python2.7":  # no Python 3 stands in for it there
        with pytest.raises(aws.exceptions.InvalidRuntimeException, match="Docker sandbox"):
            invoke(aws, name, {"value": TEXT})
        return
    assert invoke(aws, name, {"value": TEXT}).payload == TEXT
    told[sandbox] = "yes"
