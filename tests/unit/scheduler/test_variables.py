"""The environment variables of a function."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lambda_home.arns import Scope
from lambda_home.functions import Code, FunctionVersion
from lambda_home.scheduler.variables import (
    RESERVED,
    fits_spare,
    log_group_of,
    variables,
    with_image_variables,
)

VERSION = FunctionVersion(
    scope=Scope("123456789012", "eu-west-1"),
    name="hello",
    version="$LATEST",
    runtime="python3.12",
    handler="index.handler",
    role="arn:aws:iam::123456789012:role/r",
    code=Code("k", "s", 1),
    revision_id="r",
    last_modified="t",
    memory_mb=256,
)

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
AWS_RESERVED = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
]
# Set by the runtime or the sandbox, or only where there is something to say.
SET_ELSEWHERE = {"_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY", "AWS_LAMBDA_RUNTIME_API"}


def given(**users: str) -> dict[str, str]:
    return variables(replace(VERSION, environment=users), stream="s")


def test_the_reserved_variables_are_those_of_aws() -> None:
    assert sorted(RESERVED) == sorted(AWS_RESERVED)


def test_a_function_finds_what_aws_defines() -> None:
    stream = "2026/11/21/[$LATEST]0123"
    assert variables(VERSION, stream=stream) == {
        "_HANDLER": "index.handler",
        "AWS_ACCESS_KEY_ID": "123456789012",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": "hello",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/hello",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_REGION": "eu-west-1",
        "AWS_SECRET_ACCESS_KEY": "lambda-home",
        "AWS_SESSION_TOKEN": "lambda-home",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "SHLVL": "0",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:"
        "/var/task:/var/task/lib:/opt/lib",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "TZ": ":UTC",
    }


@pytest.mark.parametrize("name", sorted(RESERVED - SET_ELSEWHERE))
def test_no_reserved_variable_can_be_overridden(name: str) -> None:
    assert given(**{name: "mine"})[name] == given()[name]


@pytest.mark.parametrize("name", ["PATH", "TZ", "LANG", "LD_LIBRARY_PATH", "NODE_PATH", "MINE"])
def test_the_users_value_of_any_other_variable_wins(name: str) -> None:
    assert given(**{name: "mine"})[name] == "mine"


@pytest.mark.parametrize(("runtime", "major"), [("nodejs22.x", "22"), ("nodejs20.x", "20")])
def test_node_functions_find_modules_of_their_major_version(runtime: str, major: str) -> None:
    found = variables(replace(VERSION, runtime=runtime), stream="s")
    assert found["NODE_PATH"].startswith(f"/opt/nodejs/node{major}/node_modules:")
    assert found["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{runtime}"


@pytest.mark.parametrize(
    ("runtime", "told"),
    [
        ("provided.al2", False),
        ("provided.al2023", False),
        ("java21", True),
        ("ruby3.4", True),
        ("go1.x", True),
        ("rust", True),
    ],
)
def test_only_runtimes_with_a_language_are_named(runtime: str, *, told: bool) -> None:
    found = variables(replace(VERSION, runtime=runtime), stream="s")
    assert found.get("AWS_EXECUTION_ENV") == (f"AWS_Lambda_{runtime}" if told else None)


@pytest.mark.parametrize(
    ("runtime", "fits"),
    [
        ("python3.12", True),
        ("nodejs22.x", True),
        ("ruby3.4", True),
        ("provided.al2023", False),
        ("dotnet8", False),
    ],
)
def test_spares_are_for_runtimes_that_preload(runtime: str, *, fits: bool) -> None:
    assert fits_spare(replace(VERSION, runtime=runtime)) == fits


def test_the_log_group_is_the_functions_own_where_it_names_one() -> None:
    named = replace(VERSION, documents={"LoggingConfig": {"LogGroup": "/mine"}})
    assert log_group_of(named) == "/mine"
    assert variables(named, stream="s")["AWS_LAMBDA_LOG_GROUP_NAME"] == "/mine"
    documents_without_a_group: list[dict[str, object]] = [
        {},
        {"LoggingConfig": {}},
        {"LoggingConfig": None},
    ]
    for documents in documents_without_a_group:
        assert log_group_of(replace(VERSION, documents=documents)) == "/aws/lambda/hello"


def test_runtimes_are_told_to_log_json_only_where_that_is_asked_for() -> None:
    assert "AWS_LAMBDA_LOG_FORMAT" not in given()
    text = replace(VERSION, documents={"LoggingConfig": {"LogFormat": "Text"}})
    assert "AWS_LAMBDA_LOG_FORMAT" not in variables(text, stream="s")
    for config, level in (({}, "INFO"), ({"ApplicationLogLevel": "DEBUG"}, "DEBUG")):
        document = {"LoggingConfig": {"LogFormat": "JSON", **config}}
        found = variables(replace(VERSION, documents=document), stream="s")
        assert found["AWS_LAMBDA_LOG_FORMAT"] == "JSON"
        assert found["AWS_LAMBDA_LOG_LEVEL"] == level


def test_the_way_of_starting_can_be_told() -> None:
    found = variables(VERSION, stream="s", initialization_type="provisioned-concurrency")
    assert found["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"


def test_an_image_has_its_own_variables_below_the_functions_and_lambdas() -> None:
    version = replace(
        VERSION, runtime="", handler="", package_type="Image", environment={"A": "function"}
    )
    own = variables(version, stream="s")
    assert not {"PATH", "LANG", "LD_LIBRARY_PATH", "_HANDLER", "AWS_EXECUTION_ENV"} & own.keys()
    of_image = [("A", "image"), ("B", "image"), ("PATH", "/image"), ("TZ", "image")]
    whole = with_image_variables(own, [*of_image, ("AWS_REGION", "image"), ("_HANDLER", "image")])
    assert (whole["A"], whole["B"], whole["PATH"]) == ("function", "image", "/image")
    assert (whole["AWS_REGION"], whole["TZ"]) == ("eu-west-1", "image")
    assert "_HANDLER" not in whole
    assert with_image_variables(own, [])["TZ"] == ":UTC"
    assert "PATH" not in with_image_variables(own, [])
