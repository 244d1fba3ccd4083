"""OS-only runtimes: the program that a package or a layer brings, in each kind of sandbox."""

from __future__ import annotations

import io
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from compiled import go_function, rust_function
from functions_under_test import QUICK_WAITER, Answer, create, fresh_name, invoke
from live import LiveServer

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.slow

# A runtime of its own in nothing but bash, as people write them with curl.
SHELL = r"""#!/bin/bash
api=$AWS_LAMBDA_RUNTIME_API
call() {
    exec 3<>"/dev/tcp/${api%:*}/${api##*:}"
    printf '%s /2018-06-01/runtime/%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n' \
        "$1" "$2" "$api" >&3
    printf 'Content-Length: %d\r\n\r\n%s' "${#3}" "$3" >&3
    answer=$(tr -d '\r' <&3)
    exec 3>&-
}
while :; do
    call GET invocation/next ""
    id=$(sed -n 's/^lambda-runtime-aws-request-id: //Ip' <<<"$answer")
    event=${answer##*$'\n\n'}
    echo "works on $event"
    case $event in
        *exit*) exit 7 ;;
        *sleep*) sleep 60 ;;
        *fail*)
            call POST "invocation/$id/error" '{"errorType":"Asked","errorMessage":"as asked"}' ;;
        *) call POST "invocation/$id/response" "{\"pwd\":\"$(pwd)\",\"me\":\"$0\",
            \"env\":\"$(env | sort | paste -sd '|')\",\"event\":$event}" ;;
    esac
done
"""
RUNS = 0o755


def package(files: Mapping[str, tuple[bytes | str, int]]) -> bytes:
    """A ZIP that keeps the rights of its files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, (content, mode) in files.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, (0o100000 | mode) << 16
            zipped.writestr(entry, content)
    return buffer.getvalue()


def made(
    aws: LambdaClient, content: bytes | str, *, name: str = "bootstrap", **members: Any
) -> str:
    """A function of that program."""
    given = {
        "Runtime": "provided.al2023",
        "Handler": "any.thing",
        "Code": {"ZipFile": package({name: (content, members.pop("mode", RUNS))})},
        "Timeout": 20,
    }
    return create(aws, "", **{**given, **members})


def test_a_program_finds_what_aws_promises(aws: LambdaClient) -> None:
    name = made(aws, SHELL, Environment={"Variables": {"MINE": "yes"}}, MemorySize=256)
    answer = invoke(aws, name, {"n": 1}, LogType="Tail")
    assert answer.error is None, answer.raw
    said = answer.payload
    assert (said["pwd"], said["me"], said["event"]) == (
        "/var/task",
        "/var/task/bootstrap",
        {"n": 1},
    )
    variables = dict(line.split("=", 1) for line in said["env"].split("|") if "=" in line)
    expected = {
        "_HANDLER": "any.thing",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/var/task",
        "MINE": "yes",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "TZ": ":UTC",
    }
    assert variables.items() >= expected.items()
    assert variables["LD_LIBRARY_PATH"].endswith(":/var/task:/var/task/lib:/opt/lib")
    # AWS defines it for runtimes that have a language.
    assert not {"AWS_EXECUTION_ENV", "_LAMBDA_HOME_OPT", "OLDPWD"} & variables.keys()
    assert 'works on {"n": 1}' in answer.log


def test_a_program_serves_many_and_reports_errors(aws: LambdaClient) -> None:
    name = made(aws, SHELL, Runtime="provided.al2")
    assert [invoke(aws, name, n).payload["event"] for n in range(3)] == [0, 1, 2]
    failed = invoke(aws, name, "fail")
    assert failed.error == "Unhandled"
    assert failed.payload == {"errorType": "Asked", "errorMessage": "as asked"}
    ended = invoke(aws, name, "exit")
    assert ended.payload["errorType"] == "Runtime.ExitError"
    assert ended.payload["errorMessage"].endswith("Runtime exited with error: exit status 7")
    assert invoke(aws, name, 3).payload["event"] == 3


def test_a_program_that_takes_too_long_is_ended(aws: LambdaClient) -> None:
    name = made(aws, SHELL, Timeout=1)
    assert invoke(aws, name, 1).error is None
    assert invoke(aws, name, "sleep").payload["errorType"] == "Sandbox.Timedout"


def test_a_layer_brings_the_program_where_the_package_has_none(aws: LambdaClient) -> None:
    layer = aws.publish_layer_version(
        LayerName=fresh_name("runtime"), Content={"ZipFile": package({"bootstrap": (SHELL, RUNS)})}
    )
    name = made(aws, "data", name="data.txt", Layers=[layer["LayerVersionArn"]])
    assert invoke(aws, name, 1).payload["me"] == "/opt/bootstrap"
    aws.update_function_code(FunctionName=name, ZipFile=package({"bootstrap": (SHELL, RUNS)}))
    assert invoke(aws, name, 1).payload["me"] == "/var/task/bootstrap"


def test_lambda_at_homes_rust_also_takes_the_name_that_the_handler_gives(aws: LambdaClient) -> None:
    named = made(aws, SHELL, name="hello", Runtime="rust", Handler="hello")
    assert aws.get_function_configuration(FunctionName=named)["Runtime"] == "rust"  # type: ignore[comparison-overlap]
    assert invoke(aws, named, 1).payload["me"] == "/var/task/hello"
    usual = made(aws, SHELL, Runtime="rust", Handler="hello")
    assert invoke(aws, usual, 1).payload["me"] == "/var/task/bootstrap"


@pytest.mark.parametrize(
    ("content", "members", "error", "advice"),
    [
        pytest.param(
            SHELL,
            {"name": "main"},
            "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
            "give your program that name",
            id="missing",
        ),
        pytest.param(
            SHELL,
            {"mode": 0o644},
            "fork/exec /var/task/bootstrap: permission denied",
            "chmod +x bootstrap",
            id="no exec bit",
        ),
        pytest.param(
            "echo hi\n",
            {},
            "fork/exec /var/task/bootstrap: exec format error",
            "begins with #!",
            id="no shebang",
        ),
        pytest.param(
            b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(44),
            {},
            "fork/exec /var/task/bootstrap: exec format error",
            "build it for this machine",
            id="for another machine",
        ),
    ],
)
def test_what_cannot_be_started_is_told_at_once(
    aws: LambdaClient, content: bytes | str, members: dict[str, Any], error: str, advice: str
) -> None:
    name = made(aws, content, **members)
    for _ in range(2):
        began = time.monotonic()
        answer = invoke(aws, name, {}, LogType="Tail")
        assert time.monotonic() - began < 10
        assert (answer.error, answer.payload) == (
            "Unhandled",
            {
                "errorType": "Runtime.InvalidEntrypoint",
                "errorMessage": f"RequestId: {answer.request_id} Error: {error}",
            },
        )
        assert f"RequestId: {answer.request_id} Error: {error}\nRuntime.InvalidEntrypoint" in (
            answer.log
        )
        assert advice in answer.log


def test_a_repaired_package_runs(aws: LambdaClient) -> None:
    name = made(aws, SHELL, mode=0o644)
    assert invoke(aws, name, 1).payload["errorType"] == "Runtime.InvalidEntrypoint"
    aws.update_function_code(FunctionName=name, ZipFile=package({"bootstrap": (SHELL, RUNS)}))
    assert invoke(aws, name, 1).payload["event"] == 1


def test_a_script_whose_interpreter_is_not_there_says_so(aws: LambdaClient) -> None:
    name = made(aws, "#!/opt/python/bin/python3 -u\n")
    answer = invoke(aws, name, {}, LogType="Tail")
    assert answer.payload["errorType"] == "Runtime.ExitError"
    assert "exit status 127" in answer.payload["errorMessage"]
    assert "/var/task/bootstrap needs /opt/python/bin/python3 -u" in answer.log


def test_a_family_without_a_bootstrap_says_what_to_do(aws: LambdaClient) -> None:
    name = made(aws, SHELL, Runtime="dotnet8", Handler="A::B.C::D")
    with pytest.raises(aws.exceptions.ClientError, match="dotnet8"):
        aws.invoke(FunctionName=name)


@pytest.mark.languages
@pytest.mark.parametrize("build", [go_function, rust_function])
def test_a_compiled_function_is_served_in_full(
    aws: LambdaClient, build: Callable[[], bytes]
) -> None:
    program = build()
    name = made(
        aws, program, Handler="bootstrap", MemorySize=256, Environment={"Variables": {"MINE": "é"}}
    )
    first = invoke(aws, name, {"echo": {"a": [1, "ü", None]}}, LogType="Tail")
    assert first.error is None, first.raw
    said = first.payload
    assert said == {
        "echo": {"a": [1, "ü", None]},
        "calls": 1,
        "request": first.request_id,
        "arn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        "left_ms": said["left_ms"],
        "memory": 256,
        "folder": "/var/task",
        "handler": "bootstrap",
        "mine": "é",
    }
    assert 15_000 < said["left_ms"] <= 20_000
    assert {"said on output", "said on error"} <= set(first.log.splitlines())
    assert invoke(aws, name, {}).payload["calls"] == 2
    failed = invoke(aws, name, {"do": "fail"})
    assert failed.error == "Unhandled"
    assert failed.payload["errorMessage"] == "as asked"
    ended = invoke(aws, name, {"do": "exit"})
    assert ended.payload["errorMessage"].endswith("Runtime exited with error: exit status 3")
    assert invoke(aws, name, {}).payload["calls"] == 1
    timed_out = _with_timeout(aws, name, 1)
    assert timed_out.payload["errorType"] == "Sandbox.Timedout"


def _with_timeout(aws: LambdaClient, name: str, seconds: int) -> Answer:
    aws.update_function_configuration(FunctionName=name, Timeout=seconds)
    aws.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    return invoke(aws, name, {"do": "sleep"})


@pytest.fixture(scope="module")
def plain() -> Iterator[LiveServer]:
    """A server that finds no bubblewrap that works."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # where the server is root, functions are somebody else
        broken = Path(folder) / "bwrap"
        broken.write_text("#!/bin/sh\nexit 1\n")
        broken.chmod(0o755)
        found = {"PATH": f"{folder}:/usr/bin:/bin", "PYENV_ROOT": folder, "NVM_DIR": folder}
        flags = ("--sandbox", "process", "--data-dir", f"{folder}/data")
        with LiveServer(*flags, environment=found) as live:
            yield live


@pytest.mark.process
def test_without_bubblewrap_programs_lie_elsewhere(plain: LiveServer) -> None:
    aws = plain.client()
    own = made(aws, SHELL)
    said = invoke(aws, own, 1).payload
    assert said["me"] == f"{said['pwd']}/bootstrap"
    layer = aws.publish_layer_version(
        LayerName=fresh_name("runtime"), Content={"ZipFile": package({"bootstrap": (SHELL, RUNS)})}
    )
    layered = made(aws, "data", name="data.txt", Layers=[layer["LayerVersionArn"]])
    said = invoke(aws, layered, 1).payload
    assert said["me"].startswith(f"{plain.data_dir}/unpacked/")
    assert not said["me"].startswith(said["pwd"])
    assert "_LAMBDA_HOME_OPT" not in said["env"]
