"""Java functions really run on AWS's Java runtime client, in both sandboxes."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from compiled import built
from functions_under_test import QUICK_WAITER, fresh_name, invoke
from live import ROLE

if TYPE_CHECKING:
    from live import LiveServer
    from mypy_boto3_lambda import LambdaClient

CLIENT = Path(__file__).parents[2] / "runtimes" / "java" / "client"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("javac"),
    pytest.mark.skipif(
        not CLIENT.is_dir(), reason="AWS's Java runtime client is not here (make java-client)"
    ),
]

APP = """
package app;
import com.amazonaws.services.lambda.runtime.Context;
import java.io.*;
import java.util.*;

public class App {
    private static int calls = 0;

    public Object handle(Map<String, Object> event, Context context) throws Exception {
        calls++;
        String what = String.valueOf(event.get("do"));
        if (what.equals("fail"))
            throw new IllegalStateException("not like that", new IOException("deep"));
        if (what.equals("exit")) System.exit(3);
        if (what.equals("sleep")) Thread.sleep(60000);
        if (what.equals("log")) {
            System.out.println("printed");
            context.getLogger().log("logged");
            context.getLogger().log("again");
        }
        if (what.equals("layer")) return Class.forName("beside.Beside").getField("TEXT").get(null);
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("event", event);
        told.put("calls", calls);
        told.put("id", context.getAwsRequestId());
        told.put("name", context.getFunctionName());
        told.put("version", context.getFunctionVersion());
        told.put("arn", context.getInvokedFunctionArn());
        told.put("memory", context.getMemoryLimitInMB());
        told.put("left", context.getRemainingTimeInMillis());
        told.put("group", context.getLogGroupName());
        told.put("colour", System.getenv("COLOUR"));
        told.put("folder", System.getProperty("user.dir"));
        told.put("java", System.getProperty("java.specification.version"));
        told.put("heap", Runtime.getRuntime().maxMemory() >> 20);
        return told;
    }

    public void stream(InputStream in, OutputStream out, Context context) throws IOException {
        int one;
        while ((one = in.read()) >= 0) out.write(Character.toUpperCase(one));
    }
}
"""
BESIDE = 'package beside; public class Beside { public static final String TEXT = "from %s"; }'


def compiled(name: str, source: str) -> bytes:
    """One class file for Java 8 and later; `name` is package/Class."""
    jar = str(CLIENT / "aws-lambda-java-core.jar")
    command = ["javac", "-nowarn", "-Xlint:-options", "--release", "8", "-cp", jar, "-d", "out"]
    return built("javac", {f"{name}.java": source}, [*command, f"{name}.java"], f"out/{name}.class")


def package(files: dict[str, bytes]) -> bytes:
    """A ZIP, or a JAR, of those files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return buffer.getvalue()


def create(aws: LambdaClient, files: dict[str, bytes] | None = None, **members: Any) -> str:
    name = fresh_name()
    files = files if files is not None else {"app/App.class": compiled("app/App", APP)}
    request: Any = {
        "FunctionName": name,
        "Runtime": "java17",
        "Handler": "app.App::handle",
        "Role": ROLE,
        "Timeout": 30,
        "MemorySize": 512,
        "Environment": {"Variables": {"COLOUR": "blue"}},
        "Code": {"ZipFile": package(files)},
        **members,
    }
    aws.create_function(**request)
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    return name


@pytest.fixture(scope="module")
def app(server: LiveServer) -> str:
    """One function for all tests of what invocations do."""
    return create(server.client())


def test_a_function_gets_its_event_context_and_environment(aws: LambdaClient, app: str) -> None:
    answer = invoke(aws, app, {"text": "grüße"})
    assert answer.error is None, answer.payload
    told = answer.payload
    assert 0 < told.pop("left") <= 30_000
    assert told.pop("calls") > 0
    # 85 per cent of the memory, as on AWS; Java counts a little less than it was given.
    assert 400 < told.pop("heap") <= 435
    assert told == {
        "event": {"text": "grüße"},
        "id": answer.request_id,
        "name": app,
        "version": "$LATEST",
        "arn": f"arn:aws:lambda:us-east-1:000000000000:function:{app}",
        "memory": 512,
        "group": f"/aws/lambda/{app}",
        "colour": "blue",
        "folder": "/var/task",
        "java": "17",
    }


def test_each_message_of_the_logger_is_a_line(aws: LambdaClient, app: str) -> None:
    lines = invoke(aws, app, {"do": "log"}, LogType="Tail").log.splitlines()
    assert [line for line in lines if line in {"printed", "logged", "again"}] == [
        "printed",
        "logged",
        "again",
    ]


def test_an_error_has_awss_shape(aws: LambdaClient, app: str) -> None:
    answer = invoke(aws, app, {"do": "fail"}, LogType="Tail")
    assert answer.error == "Unhandled"
    told = answer.payload
    assert told["errorMessage"] == "not like that"
    assert told["errorType"] == "java.lang.IllegalStateException"
    assert re.fullmatch(r"app\.App\.handle\(App\.java:\d+\)", told["stackTrace"][0])
    assert "not like that: java.lang.IllegalStateException" in answer.log
    assert "Caused by: java.io.IOException: deep" in answer.log
    assert invoke(aws, app, {}).payload["calls"] > 1


def test_a_layer_and_the_packages_lib_folder_are_on_the_class_path(
    aws: LambdaClient,
) -> None:
    jar = package({"beside/Beside.class": compiled("beside/Beside", BESIDE % "a layer")})
    made = aws.publish_layer_version(
        LayerName=fresh_name("layer"), Content={"ZipFile": package({"java/lib/beside.jar": jar})}
    )
    code = package({"app/App.class": compiled("app/App", APP)})
    name = create(aws, {"lib/app.jar": code}, Layers=[made["LayerVersionArn"]])
    assert invoke(aws, name, {"do": "layer"}).payload == "from a layer"


@pytest.mark.languages
@pytest.mark.parametrize("runtime", ["java8.al2", "java11", "java21", "java25"])
def test_older_code_runs_on_every_java(aws: LambdaClient, runtime: str) -> None:
    name = create(aws, Runtime=runtime, Handler="app.App::stream", MemorySize=128)
    assert invoke(aws, name, {"a": "b"}).payload == {"A": "B"}


@pytest.mark.languages
@pytest.mark.parametrize(
    ("handler", "kind", "message"),
    [
        ("app.Nope::handle", "java.lang.ClassNotFoundException", "Class not found: app.Nope"),
        (
            "app.App::nope",
            None,
            "No public method named nope with appropriate method signature found on class app.App",
        ),
    ],
)
def test_a_wrong_handler_is_named(
    aws: LambdaClient, handler: str, kind: str | None, message: str
) -> None:
    answer = invoke(aws, create(aws, Handler=handler), {})
    assert answer.payload.get("errorType") == kind
    assert answer.payload["errorMessage"] == message


@pytest.mark.languages
def test_code_for_a_newer_java_is_told_so(aws: LambdaClient) -> None:
    newer = bytearray(compiled("app/App", APP))
    newer[6:8] = (99).to_bytes(2, "big")
    answer = invoke(aws, create(aws, {"app/App.class": bytes(newer)}), {})
    assert answer.payload["errorType"] == "java.lang.UnsupportedClassVersionError"
    assert "class file version 99.0" in answer.payload["errorMessage"]


@pytest.mark.languages
def test_an_exit_and_a_timeout_end_one_call_each(aws: LambdaClient) -> None:
    name = create(aws, Timeout=5)
    assert (
        "Runtime exited with error: exit status 3"
        in (invoke(aws, name, {"do": "exit"}).payload["errorMessage"])
    )
    assert (
        "Task timed out after 5.00 seconds"
        in (invoke(aws, name, {"do": "sleep"}).payload["errorMessage"])
    )
    assert invoke(aws, name, {}).error is None
