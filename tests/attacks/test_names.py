"""Contract row 40 and features row 56: names, paths and settings that would be something else.

Nothing is executed, nothing outside is read, written or deleted, nothing answers with a 5xx.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from folders import below
from functions_under_test import create, fresh_name, invoke
from live import LiveServer
from observing import until
from polling import refusal
from raw_http import FUNCTIONS, connect

from lambda_home.user_api.code_links import PATH as CODE_PATH

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

ECHO = "def handler(event, context):\n    print('said so', flush=True)\n    return event\n"
TOUCH = "/tmp/lambda-home-executed"

NAMES = [
    "..", ".", "../..", "%2e%2e", "%2e%2e%2f%2e%2e", "..%2f..%2flhome.db", "..%5c..", "%2e%2e;",
    "a%00b", "a%0d%0aX-Evil:%201", "$(touch%20" + TOUCH + ")", "`touch%20" + TOUCH + "`",
    ";touch%20" + TOUCH, "|id", "-rf", "--help", "*", "~root", "%252e%252e", "%c0%ae%c0%ae",
    "%ff%fe", "a" * 3000, "arn:aws:lambda:us-east-1:000000000000:function:..",
    "arn:aws:lambda:us-east-1:999999999999:function:x", "arn:aws:s3:::bucket/../key",
    "arn:aws:lambda:::function:$(id)", "000000000000:function:../x", "x:$LATEST/../y",
    "{{7*7}}", "%24%7Bjndi:ldap://x%7D", "' OR 1=1 --".replace(" ", "%20"), "x%27;DROP%20TABLE",
]  # fmt: skip
PLACES = [
    f"{FUNCTIONS}/{{}}",
    f"{FUNCTIONS}/{{}}/invocations",
    f"{FUNCTIONS}/{{}}/aliases/{{}}",
    f"{FUNCTIONS}/{{}}/code",
    "/2018-10-31/layers/{}/versions/1",
    "/2015-03-31/event-source-mappings/{}",
    "/2017-03-31/tags/{}",
    "/2020-04-22/code-signing-configs/{}",
    CODE_PATH + "{}",
    "/api/admin/functions/{}",
    "/api/admin/functions/{}/rate-limit",
    "/del/{}",
    "/{}",
]


@pytest.fixture(scope="module")
def client(target: LiveServer) -> LambdaClient:
    """boto3 that sends what it is told to."""
    return target.client(parameter_validation=False)


def state(client: LambdaClient, target: LiveServer) -> object:
    functions = client.list_functions()["Functions"]
    top = target.data_dir.parent
    mine = ("data/lhome.db", "data/logs", "data/tasks", "data/outputs", "data/audit")
    files = {str(path.relative_to(top)) for path in below(top)}
    return (
        [(found["FunctionName"], found["RevisionId"]) for found in functions],
        {name for name in files if not name.startswith(mine)},
    )


@pytest.mark.parametrize("method", ["DELETE", "GET"])
def test_a_name_is_only_a_name(client: LambdaClient, target: LiveServer, method: str) -> None:
    name = create(client, ECHO)
    before = state(client, target)
    connection = connect(target)
    for place in PLACES:
        for hostile in NAMES:
            path = place.replace("{}", hostile)
            connection.request(method, path, b"{}" if method != "GET" else b"")
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
            told = f"{method} {path} -> {status} {body[:200]!r}"
            if not (status == 501 and method != "DELETE"):
                assert 200 <= status < 500, told
            if status < 300:  # AWS, too, says of a layer version that is not there that it is gone
                assert method == "GET" or "/layers/" in path, told
            assert b"SQLite" not in body, told
            assert b"root:" not in body, told
    connection.close()
    assert state(client, target) == before
    assert not Path(TOUCH).exists()
    assert invoke(client, name, [1]).payload == [1]


@pytest.mark.parametrize(
    "name", ["..", "../x", "a/b", "a b", "$(id)", "`id`", "a;b", "a\nb", "é", "a\0b", "", "a" * 141]
)
def test_nothing_can_be_made_under_a_name_that_is_no_name(client: LambdaClient, name: str) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = [
        (create, {"client": client, "source": ECHO, "name": name}) if name else (None, {}),
        (client.publish_layer_version, {"LayerName": name, "Content": {"ZipFile": b"PK"}}),
        (client.create_alias, {"FunctionName": "x", "Name": name, "FunctionVersion": "1"}),
        (client.get_function, {"FunctionName": "x", "Qualifier": name}),
    ]
    for call, members in calls:
        if call is None:
            continue
        status, code, _ = refusal(call, **members)
        assert 400 <= status < 500, members
        assert code, members


@pytest.mark.parametrize(
    "handler",
    [
        f"$(touch${{IFS}}{TOUCH}).handler",
        f"`touch${{IFS}}{TOUCH}`.handler",
        "../../../../etc/passwd.handler",
        "/proc/self/environ.handler",
        "os.system",
        "lambda_function.handler.__globals__",
    ],
)
def test_a_handler_is_looked_up_and_never_executed(client: LambdaClient, handler: str) -> None:
    name = create(client, ECHO, Handler=handler)
    event = f"touch {TOUCH}"
    answer = invoke(client, name, event)
    if handler != "os.system":  # that is a function, which AWS calls with two arguments as well
        assert answer.error == "Unhandled"
        assert answer.payload["errorType"].startswith(("Runtime.", "TypeError"))
    assert not Path(TOUCH).exists()


def outside_the_logs(target: LiveServer) -> set[Path]:
    """Everything in the data directory and around it, but for logs and pipes of starts."""
    ours = {"logs", "outputs"}
    return {path for path in below(target.data_dir.parent) if not ours & set(path.parts)}


@pytest.mark.parametrize(
    "group", ["../../../../tmp/evil", "/../..//x", "a/../../../../b", "/etc/x"]
)
def test_a_log_group_lies_where_logs_lie(
    client: LambdaClient, target: LiveServer, group: str
) -> None:
    name = fresh_name("logs")
    before = outside_the_logs(target)
    create(client, ECHO, name, LoggingConfig={"LogGroup": f"{group}-{name}"})
    assert invoke(client, name, 1).payload == 1
    logs = target.data_dir / "logs"

    def written() -> list[Path]:
        return [path for path in logs.rglob("*") if path.name.endswith(f"{name}.log")]

    (file,) = until(written, "the log is among the logs")
    until(lambda: "said so" in file.read_text(), "and holds what was said")
    assert file.resolve().is_relative_to(logs.resolve())
    assert not Path(f"/etc/x-{name}.log").exists()
    assert not list(Path("/tmp").glob(f"evil-{name}*"))
    now = outside_the_logs(target)
    fresh = {
        path
        for path in now - before
        if path.relative_to(target.data_dir).parts[0]
        not in ("code", "unpacked", "tasks", "outputs")
        and not path.name.startswith("logs.db")
    }
    assert fresh == set()


@pytest.mark.parametrize(
    "code",
    [
        {"S3Bucket": "169.254.169.254", "S3Key": "latest/meta-data"},
        {"S3Bucket": "bucket", "S3Key": "../../etc/passwd"},
        {"ImageUri": "http://169.254.169.254/latest"},
        {"ImageUri": "--privileged"},
        {"ImageUri": "file:///etc/passwd"},
    ],
)
def test_code_is_fetched_from_nowhere_but_where_settings_say(
    client: LambdaClient, code: dict[str, str]
) -> None:
    """No setting says anything here: nothing is asked of anyone (SSRF)."""
    package = {"PackageType": "Image"} if "ImageUri" in code else {}
    status, error, _ = refusal(create, client=client, source="", Code=code, **package)
    assert 400 <= status < 500
    assert error
