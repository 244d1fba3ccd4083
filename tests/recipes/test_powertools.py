"""docs/recipes/powertools.md: Powertools for Python inside a function, from this environment."""

from __future__ import annotations

import base64
import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from lambda_home.testing.functions import DeployedFunction, deploy
from lambda_home.testing.server import LocalServer

pytestmark = pytest.mark.process

PAGE = Path(__file__).parents[2] / "docs" / "recipes" / "powertools.md"

LIBRARIES = (
    "aws_lambda_powertools",
    "jmespath",
    "typing_extensions",
    "aws_xray_sdk",
    "wrapt",
)


def files_of(*modules: str) -> dict[str, bytes]:
    """Packages as they are installed here, for a deployment package."""
    found: dict[str, bytes] = {}
    for module in modules:
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        path = Path(spec.origin)
        is_package = path.name == "__init__.py"
        root = path.parent.parent if is_package else path.parent
        files = sorted(path.parent.rglob("*")) if is_package else [path]
        sources = [file for file in files if file.suffix in {".py", ".json"}]
        found |= {source.relative_to(root).as_posix(): source.read_bytes() for source in sources}
    return found


@pytest.fixture(scope="module", params=["true", "false"], ids=["untraced", "traced"])
def orders(home: LocalServer, request: pytest.FixtureRequest) -> DeployedFunction:
    libraries = files_of(*LIBRARIES)
    found = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return deploy(
        home,
        {"lambda_function.py": found[1], **libraries},
        FunctionName=f"orders-{request.param}",
        Handler="lambda_function.handler",
        Timeout=30,
        MemorySize=256,
        Environment={
            "POWERTOOLS_SERVICE_NAME": "shop",
            "POWERTOOLS_METRICS_NAMESPACE": "Shop",
            "POWERTOOLS_TRACE_DISABLED": request.param,
        },
    )


def test_logger_metrics_tracer_and_batch_work_unchanged(orders: DeployedFunction) -> None:
    messages = [{"messageId": str(number), "body": str(number)} for number in range(3)]
    messages[1]["body"] = "not a number"
    answer = orders.client.invoke(
        FunctionName=orders.name, LogType="Tail", Payload=json.dumps({"Records": messages})
    )
    failures = json.loads(answer["Payload"].read())
    assert failures == {"batchItemFailures": [{"itemIdentifier": "1"}]}

    lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    (entry,) = [one for one in told if one.get("message") == "orders came"]
    assert entry["count"] == 3
    assert entry["service"] == "shop"
    assert entry["cold_start"] is True
    assert entry["function_name"] == orders.name
    assert entry["function_arn"] == orders.arn
    assert entry["function_request_id"] == answer["ResponseMetadata"]["RequestId"]

    figures = [one for one in told if "_aws" in one]
    assert [one["ColdStart"] for one in figures if "ColdStart" in one] == [[1.0]]
    assert [one["Orders"] for one in figures if "Orders" in one] == [[1.0, 1.0, 1.0]]
    assert {one["_aws"]["CloudWatchMetrics"][0]["Namespace"] for one in figures} == {"Shop"}
