"""`make demo`: a Python and a Node.js function from real ZIPs, cold and warm, through boto3.

Starts a server of its own on free ports with a temporary data directory, and leaves nothing behind.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from live import ROLE, LiveServer, zip_of

WARM_CALLS = 100
PYTHON = """
import platform

def handler(event, context):
    print("hello from", context.function_name)
    return {"message": "pong", "python": platform.python_version(), "event": event}
"""
NODE = """
exports.handler = async (event, context) => {
  console.log("hello from", context.functionName);
  return { message: "pong", node: process.version, event };
};
"""
FUNCTIONS: list[dict[str, Any]] = [
    {
        "FunctionName": "demo-python",
        "Runtime": "python3.11",
        "Handler": "lambda_function.handler",
        "Code": {"ZipFile": zip_of({"lambda_function.py": PYTHON})},
    },
    {
        "FunctionName": "demo-nodejs",
        "Runtime": "nodejs20.x",
        "Handler": "index.handler",
        "Code": {"ZipFile": zip_of({"index.js": NODE})},
    },
]


def milliseconds_since(start: float) -> float:
    """Elapsed time since `start` (time.perf_counter)."""
    return (time.perf_counter() - start) * 1000


def main() -> None:
    """Run the demo; arguments go to `lambda-home serve` (for example --sandbox process)."""
    with LiveServer("--ephemeral", *sys.argv[1:]) as server:
        print(f"lambda_home at {server.url}, sandbox {server.facts['sandbox']}")
        client = server.client()
        for members in FUNCTIONS:
            name = members["FunctionName"]
            start = time.perf_counter()
            client.create_function(Role=ROLE, **members)
            client.get_waiter("function_active_v2").wait(
                FunctionName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 2000}
            )
            made = milliseconds_since(start)
            start = time.perf_counter()
            answer = client.invoke(FunctionName=name, Payload=json.dumps({"n": 1}))
            cold = milliseconds_since(start)
            payload = json.loads(answer["Payload"].read())
            if "FunctionError" in answer:
                sys.exit(f"{name} failed: {payload}")
            warm = []
            for number in range(WARM_CALLS):
                start = time.perf_counter()
                client.invoke(FunctionName=name, Payload=json.dumps({"n": number}))[
                    "Payload"
                ].read()
                warm.append(milliseconds_since(start))
            print(f"\n{name}: {payload}")
            print(f"  create until active  {made:7.1f} ms")
            print(f"  cold invoke          {cold:7.1f} ms")
            print(f"  warm invoke, median  {statistics.median(warm):7.2f} ms of {WARM_CALLS}")
            client.delete_function(FunctionName=name)
    print("\ncleaned up")


if __name__ == "__main__":
    main()
