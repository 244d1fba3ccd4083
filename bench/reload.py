"""Section `reload`: from a saved file to the first answer of the new code (hot reload).

The time is from the end of the write until an Invoke answers with what was written. Invokes follow
each other without a pause, so the last one may have to begin after the reload was in force.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from bench.figures import Effort, Outcome, Row, times
from bench.servers import Caller, delete, runtime_of, sandboxes, serving, settle, wait_until_active

_SAMPLES = 20
_PATIENCE_S = 30.0
_QUIET_S = 0.2  # editors save, people look
_SIZES = {"few": 0, "many": 1000}
_FOLDERS = 50
_ROLE = "arn:aws:iam::000000000000:role/bench"


def reload(effort: Effort, outcome: Outcome) -> None:
    """A function of one file, and of a thousand."""
    for sandbox in sandboxes():
        for size, files in _SIZES.items():
            with tempfile.TemporaryDirectory() as folder:
                _measure(effort, outcome, sandbox, (size, files, Path(folder).resolve()))


def _measure(effort: Effort, outcome: Outcome, sandbox: str, what: tuple[str, int, Path]) -> None:
    size, files, folder = what
    runtime = runtime_of(sandbox, "python")
    _write(folder, 0)
    for number in range(files):
        place = folder / f"package_{number % _FOLDERS}"
        place.mkdir(exist_ok=True)
        (place / f"module_{number}.py").write_text(f"value = {number}\n" * 50)
    allowed = {"LAMBDA_HOME_FUNCTIONS__HOT_RELOAD_FOLDERS": json.dumps([str(folder)])}
    seconds: list[float] = []
    errors = 0
    with serving(sandbox, allowed) as (_, caller):
        _create(caller, runtime, folder)
        for value in range(1, effort.count(_SAMPLES) + 1):
            caller.invoke("reloaded")
            settle(caller)
            time.sleep(_QUIET_S)
            _write(folder, value)
            began = time.perf_counter()
            seen = _until_seen(caller, value, began + _PATIENCE_S)
            errors += not seen
            seconds.append(time.perf_counter() - began)
        delete(caller, "reloaded")
    said = f"hot reload, {sandbox}, {runtime}, {files + 1} files"
    outcome.add(Row(f"dev.reload.{sandbox}.{size}", said, len(seconds), errors, times(seconds)))


def _write(folder: Path, value: int) -> None:
    fresh = folder / ".app.py.swp"
    fresh.write_text(f"def handler(event, context):\n    return {value}\n")
    fresh.replace(folder / "app.py")


def _create(caller: Caller, runtime: str, folder: Path) -> None:
    document = {
        "FunctionName": "reloaded",
        "Runtime": runtime,
        "Handler": "app.handler",
        "Role": _ROLE,
        "Code": {"S3Bucket": "hot-reload", "S3Key": str(folder)},
    }
    caller.request("POST", "/2015-03-31/functions", json.dumps(document).encode())
    wait_until_active(caller, "reloaded")


def _until_seen(caller: Caller, value: int, deadline: float) -> bool:
    while time.perf_counter() < deadline:
        if caller.invoke("reloaded").body == str(value).encode():
            return True
    return False
