"""`lambda-home deploy examples/<language>` works for each of them, as examples/README.md says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conformance.packages import JAVA_CLIENT, language_layer
from functions_under_test import invoke

if TYPE_CHECKING:
    from live import LiveServer
    from mypy_boto3_lambda import LambdaClient

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SECONDS = 600
"""For one deployment: compilers fetch what they need."""

COMPILED = pytest.mark.languages
ANSWERS = [
    pytest.param("python", {"name": "you"}, {"message": "hello, you"}, id="python"),
    pytest.param("nodejs", {"name": "you"}, {"statusCode": 200}, id="nodejs"),
    pytest.param(
        "ruby",
        {"text": "to be or not to be", "most": 2},
        {"words": 6, "different": 4, "most": {"be": 2, "to": 2}},
        id="ruby",
    ),
    pytest.param("shell", [1, 2, 3.5], {"numbers": 3, "sum": 6.5}, id="shell"),
    pytest.param(
        "php",
        {"title": "What's <new>?"},
        {"slug": "what-s-new", "title": "What&#039;s &lt;new&gt;?"},
        id="php",
        marks=COMPILED,
    ),
    pytest.param(
        "go",
        {"text": "hello"},
        {"md5": "5d41402abc4b2a76b9719d911017c592", "bytes": 5},
        id="go",
        marks=COMPILED,
    ),
    pytest.param(
        "rust", {"limit": 1000}, {"count": 168, "largest": 997}, id="rust", marks=COMPILED
    ),
    pytest.param(
        "java",
        [1, 2, 4.5],
        {"count": 3, "mean": 2.5, "least": 1.0, "most": 4.5},
        id="java",
        marks=COMPILED,
    ),
]
TOOLS = {"ruby": "ruby", "go": "go", "rust": "cargo", "java": "mvn"}


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize(("language", "event", "expected"), ANSWERS)
def test_an_example_is_deployed_and_answers(
    server: LiveServer, aws: LambdaClient, language: str, event: Any, expected: dict[str, Any]
) -> None:
    tool = TOOLS.get(language)
    if tool is not None and shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    if language == "java" and not JAVA_CLIENT.is_dir():
        pytest.skip("AWS's Java runtime client is not here (make java-client)")
    if language == "php":
        aws.publish_layer_version(LayerName="php", Content={"ZipFile": language_layer("php")})
    made = deploy(server, language)
    assert made["Action"] in {"created", "updated", "unchanged"}
    answer = invoke(aws, language, event, LogType="Tail")
    assert answer.error is None, answer.raw + answer.log.encode()
    assert answer.payload.items() >= expected.items()
    aws.delete_function(FunctionName=language)


def deploy(server: LiveServer, language: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "lambda_home", "deploy", str(EXAMPLES / language), "--json"]
    done = subprocess.run(
        [*command, "--endpoint-url", server.url],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-1000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_every_example_is_in_the_readme_and_is_tried() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == {str(given.values[0]) for given in ANSWERS}
    readme = (EXAMPLES / "README.md").read_text()
    assert [folder for folder in sorted(folders) if f"[{folder}]({folder})" not in readme] == []
