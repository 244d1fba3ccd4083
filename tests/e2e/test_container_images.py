"""Functions that are container images, on a real server: AWS's own runtime client and others."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live import ROLE, LiveServer
from polling import states_until

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = [pytest.mark.slow, pytest.mark.docker]

BASE = "lambda-home/base-python:bookworm"
HANDLER = """
import os, sys
def handler(event, context):
    print("seen", event)
    if event.get("fail"):
        raise ValueError("no")
    return {
        "event": event, "cwd": os.getcwd(), "uid": os.getuid(), "argv": sys.argv[1:],
        "environment": dict(os.environ), "volume": os.path.exists("/data/file"),
        "request": context.aws_request_id,
        "writable": [p for p in ("/", "/app", "/data", "/tmp") if os.access(p, os.W_OK)],
    }
def other(event, context):
    return "another handler"
"""
RAW = """#!/usr/bin/python3
import os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as work:
        url = api + work.headers["Lambda-Runtime-Aws-Request-Id"] + "/response"
    urllib.request.urlopen(url, b'"done"').close()
"""


def build(tag: str, recipe: str, files: dict[str, str | Path]) -> None:
    """`docker build` of an image, nothing pulled."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in {"Dockerfile": recipe, **files}.items():
            if isinstance(content, Path):
                tar.add(content, name, filter=_without_bytecode)
                continue
            item = tarfile.TarInfo(name)
            item.size, item.mode = len(content.encode()), 0o755
            tar.addfile(item, io.BytesIO(content.encode()))
    command = ["docker", "build", "--quiet", "--tag", tag, "-"]
    done = subprocess.run(
        command,
        input=context.getvalue(),
        check=False,
        capture_output=True,
        timeout=120,
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
    )
    assert done.returncode == 0, done.stderr.decode()


def _without_bytecode(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in item.name else item


def of_aws() -> dict[str, str | Path]:
    """AWS's runtime client as pip has installed it."""
    found: dict[str, str | Path] = {}
    for name in ("awslambdaric", "simplejson", "snapshot_restore_py", "runtime_client"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        path = Path(spec.origin)
        path = path.parent if path.name == "__init__.py" else path
        found[f"app/{path.name}"] = path
    return found


class Images:
    """Images of this module, removed at its end."""

    def __init__(self) -> None:
        self.tags: list[str] = []

    def make(self, name: str, recipe: str, **files: str | Path) -> str:
        tag = f"lambda-home-test/{name}:{os.getpid()}"
        build(tag, recipe, files)
        self.tags.append(tag)
        return tag

    def tag(self, image: str, name: str) -> str:
        tag = f"lambda-home-test/{name}:{os.getpid()}"
        subprocess.run(["docker", "tag", image, tag], check=True, timeout=30)
        self.tags.append(tag)
        return tag

    def remove(self) -> None:
        command = ["docker", "rmi", "--force", *dict.fromkeys(self.tags)]
        subprocess.run(command, check=False, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    made = Images()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def python(images: Images) -> str:
    """An image with AWS's Python runtime client, as AWS's page on images makes it."""
    recipe = f"""
FROM {BASE}
ENV COLOUR=of-image FLAVOUR=of-image AWS_REGION=of-image PYTHONDONTWRITEBYTECODE=1
COPY app /app
RUN mkdir -m 777 /data && echo content > /data/file
VOLUME /data
WORKDIR /app
ENTRYPOINT ["python3", "-m", "awslambdaric"]
CMD ["handlers.handler"]
"""
    return images.make("python", recipe, **{"app/handlers.py": HANDLER, **of_aws()})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    settings = {
        "LAMBDA_HOME_SPARES__PER_SIZE": "0",
        "LAMBDA_HOME_DOCKER__ALLOW_PULL": "false",
        "LAMBDA_HOME_SANDBOX__INIT_TIMEOUT_MS": "2000",
    }
    data = tmp_path_factory.mktemp("data")
    flags = ("--sandbox", "docker", "--data-dir", str(data))
    with LiveServer(*flags, environment=settings) as live:
        yield live
    instance = hashlib.sha256((data / "instance-id").read_bytes().strip()).hexdigest()[:12]
    names = ("--format", "{{.Names}}", "--filter", f"name=lambda-home-look-{instance}-")
    docker("rm", "--force", "--volumes", *docker("ps", "--all", *names))
    tag = f"lambda-home/container-image:{instance}-*"
    found = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={tag}")
    assert found, "images are pinned"
    docker("rmi", *found)


def docker(*words: str) -> list[str]:
    """What a command prints, as words."""
    done = subprocess.run(
        ["docker", *words], check=False, capture_output=True, text=True, timeout=60
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def client(server: LiveServer) -> LambdaClient:
    return server.client()


def create(client: LambdaClient, name: str, image: str, **members: Any) -> dict[str, Any]:
    made: Any = client.create_function(
        FunctionName=name,
        Role=ROLE,
        PackageType="Image",
        Code={"ImageUri": image},
        **{"Timeout": 20, **members},
    )
    assert made["State"] == "Pending"
    return settled(client, name)


def settled(client: LambdaClient, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def look() -> str:
        found.update(client.get_function_configuration(FunctionName=name))
        busy = found["State"] == "Pending" or found.get("LastUpdateStatus") == "InProgress"
        return "busy" if busy else "settled"

    states_until(look, "settled", "asked")
    return found


def call(client: LambdaClient, name: str, event: object = None) -> tuple[str | None, Any, str]:
    """The kind of error, what was answered, and the last lines of the log."""
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event or {}), LogType="Tail")
    log = base64.b64decode(answer["LogResult"]).decode()
    return answer.get("FunctionError"), json.loads(answer["Payload"].read()), log


def test_awss_own_runtime_client_runs_in_an_image(client: LambdaClient, python: str) -> None:
    made = create(client, "plain", python, Environment={"Variables": {"COLOUR": "of-function"}})
    assert made["State"] == "Active"
    code: Any = client.get_function(FunctionName="plain")["Code"]
    assert code["ResolvedImageUri"] == f"{python.partition(':')[0]}@sha256:{made['CodeSha256']}"
    error, answer, log = call(client, "plain", {"n": 1})
    assert error is None, (answer, log)
    assert (answer["event"], answer["cwd"], answer["uid"]) == ({"n": 1}, "/app", 1000)
    assert answer["writable"] == ["/tmp"]
    assert answer["volume"]
    variables = answer["environment"]
    assert (variables["COLOUR"], variables["FLAVOUR"]) == ("of-function", "of-image")
    assert (variables["AWS_REGION"], variables["TZ"]) == ("us-east-1", ":UTC")
    assert "/usr/local/bin" in variables["PATH"]
    assert not {"AWS_EXECUTION_ENV", "LD_LIBRARY_PATH"} & variables.keys()
    assert "seen {'n': 1}" in log
    assert f"REPORT RequestId: {answer['request']}" in log
    error, answer, log = call(client, "plain", {"fail": True})
    assert (error, answer["errorType"], answer["errorMessage"]) == ("Unhandled", "ValueError", "no")


EXTENSION = """#!/usr/bin/python3
import json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2020-01-01/extension/"
body = json.dumps({"events": ["INVOKE"]}).encode()
asked = urllib.request.Request(api + "register", body, {"Lambda-Extension-Name": "watcher"})
with urllib.request.urlopen(asked) as answer:
    me = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
while True:
    with urllib.request.urlopen(urllib.request.Request(api + "event/next", headers=me)) as event:
        print("watched", json.loads(event.read())["eventType"], flush=True)
"""
ENTRY = """#!/bin/sh
export _HANDLER="$1"
exec /var/runtime/bootstrap
"""
BOOTSTRAP = """#!/bin/sh
cd "$LAMBDA_TASK_ROOT" && exec python3 -m awslambdaric "$_HANDLER"
"""


def test_an_image_laid_out_as_awss_with_an_extension_in_it(
    client: LambdaClient, images: Images
) -> None:
    recipe = f"""
FROM {BASE}
COPY app /var/task
COPY bootstrap /var/runtime/bootstrap
COPY entry /lambda-entrypoint.sh
COPY watcher /opt/extensions/watcher
ENV LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime
WORKDIR /var/task
ENTRYPOINT ["/lambda-entrypoint.sh"]
CMD ["handlers.handler"]
"""
    files = {"app/handlers.py": HANDLER, "entry": ENTRY, "bootstrap": BOOTSTRAP, **of_aws()}
    create(client, "as-aws", images.make("as-aws", recipe, watcher=EXTENSION, **files))
    error, answer, log = call(client, "as-aws")
    assert error is None, (answer, log)
    assert (answer["cwd"], answer["environment"]["_HANDLER"]) == ("/var/task", "handlers.handler")
    assert "watched INVOKE" in log


def test_image_config_says_what_runs(client: LambdaClient, python: str) -> None:
    create(client, "configured", python, ImageConfig={"Command": ["handlers.other"]})
    assert call(client, "configured")[:2] == (None, "another handler")
    config: Any = {
        "EntryPoint": ["/usr/bin/env", "PYTHONPATH=/app", "python3", "-m", "awslambdaric"],
        "Command": ["handlers.handler"],
        "WorkingDirectory": "/srv",
    }
    client.update_function_configuration(FunctionName="configured", ImageConfig=config)
    settled(client, "configured")
    answer = call(client, "configured")[1]
    assert (answer["cwd"], answer["argv"]) == ("/srv", ["handlers.handler"])


def test_another_image_of_the_same_name_changes_nothing_until_the_update(
    client: LambdaClient, python: str, images: Images
) -> None:
    name = images.tag(python, "moving")
    first = create(client, "pinned", name)
    recipe = f"FROM {python}\nCMD ['x']\nCMD [\"handlers.other\"]\n"
    images.tag(images.make("second", recipe), "moving")
    client.update_function_configuration(FunctionName="pinned", MemorySize=256)  # a new start
    assert settled(client, "pinned")["CodeSha256"] == first["CodeSha256"]
    assert call(client, "pinned")[1]["cwd"] == "/app"
    client.update_function_code(FunctionName="pinned", ImageUri=name)
    assert settled(client, "pinned")["CodeSha256"] != first["CodeSha256"]
    assert call(client, "pinned")[1] == "another handler"


def test_an_image_that_is_nowhere_fails_with_the_reason(client: LambdaClient, python: str) -> None:
    made = create(client, "nowhere", "registry.example/nothing:1")
    assert (made["State"], made["StateReasonCode"]) == ("Failed", "InvalidImage")
    assert "Source image registry.example/nothing:1 does not exist." in made["StateReason"]
    with pytest.raises(client.exceptions.ResourceConflictException, match="state: Failed"):
        client.invoke(FunctionName="nowhere")
    create(client, "stays", python)
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="does not exist"):
        client.update_function_code(FunctionName="stays", ImageUri="registry.example/nothing:1")
    assert call(client, "stays")[0] is None


def test_any_program_that_speaks_the_runtime_api_will_do_and_no_shell_is_needed(
    client: LambdaClient, images: Images
) -> None:
    recipe = f'FROM {BASE}\nCOPY client /client\nCMD ["/client"]\n'
    create(client, "small", images.make("small", recipe, client=RAW))
    assert call(client, "small")[:2] == (None, "done")
    # The same without /bin/sh: what it prints comes through the daemon.
    recipe = f"""
FROM {BASE}
COPY app /app
RUN rm /bin/sh
WORKDIR /app
ENTRYPOINT ["/usr/bin/python3", "-m", "awslambdaric", "handlers.handler"]
"""
    files = {"app/handlers.py": HANDLER, **of_aws()}
    create(client, "shell-less", images.make("shell-less", recipe, **files))
    error, _, log = call(client, "shell-less", {"n": 2})
    assert error is None
    assert "seen {'n': 2}" in log


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        (
            {"EntryPoint": ["/nothing.sh"], "Command": ["app.handler"]},
            "Runtime.InvalidEntrypoint",
            "fork/exec /nothing.sh: no such file or directory",
        ),
        (
            {"EntryPoint": ["app.handler"]},
            "Runtime.InvalidEntrypoint",
            "Couldn't find valid bootstrap(s): [app.handler]",
        ),
        (
            {"EntryPoint": ["/app/handlers.txt"]},
            "Runtime.InvalidEntrypoint",
            "fork/exec /app/handlers.txt: permission denied",
        ),
        (
            {"EntryPoint": ["/app/text"]},
            "Runtime.InvalidEntrypoint",
            "fork/exec /app/text: exec format error",
        ),
        (
            {"EntryPoint": ["/bin/sh", "-c", "exit 3"], "Command": ["x"]},
            "Runtime.ExitError",
            "Runtime exited with error: exit status 3",
        ),
        (
            {"EntryPoint": ["/bin/true"]},
            "Runtime.ExitError",
            "Runtime exited without providing a reason",
        ),
        (
            {"EntryPoint": ["/bin/true"], "WorkingDirectory": "srv"},
            "Runtime.InvalidWorkingDir",
            "the working directory 'srv' is invalid, it needs to be an absolute path",
        ),
    ],
)
def test_what_cannot_run_is_told_at_once_in_awss_words(
    client: LambdaClient, broken: str, config: Any, kind: str, message: str
) -> None:
    client.update_function_configuration(FunctionName=broken, ImageConfig=config)
    settled(client, broken)
    error, answer, log = call(client, broken)
    assert (error, answer["errorType"]) == ("Unhandled", kind)
    assert answer["errorMessage"].endswith(f"Error: {message}")
    assert f"Error: {message}" in log


@pytest.fixture(scope="module")
def broken(client: LambdaClient, images: Images) -> str:
    """A function whose image has no client."""
    recipe = f'FROM {BASE}\nCOPY app /app\nRUN chmod 600 /app/handlers.txt\nCMD ["/bin/true"]\n'
    files = {"app/handlers.txt": "#!/bin/sh\n", "app/text": "no program"}
    create(client, "broken", images.make("broken", recipe, **files))
    return "broken"


def test_an_image_that_never_asks_for_work_runs_into_a_timeout(
    client: LambdaClient, broken: str
) -> None:
    config: Any = {"EntryPoint": ["/bin/sleep"], "Command": ["60"]}
    client.update_function_configuration(FunctionName=broken, ImageConfig=config, Timeout=1)
    settled(client, broken)
    error, answer, _ = call(client, broken)
    assert error == "Unhandled"
    assert "timed out" in answer["errorMessage"]
