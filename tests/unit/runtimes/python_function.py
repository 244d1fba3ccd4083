"""Python functions run in our bootstrap, or in AWS's own runtime client, against the same API."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from unit.runtimes.fake_runtime_api import ARN, Answer, Bootstrap, FakeRuntimeApi
from unit.runtimes.running_function import RunningFunction, usual_variables, write_task

from lambda_home.sandboxes.interpreters import Search, installed

RUNTIME_DIR = Path(__file__).parents[3] / "runtimes" / "python"
OURS = ("-S", "-s", str(RUNTIME_DIR / "bootstrap.py"))

__all__ = ["ARN", "OURS", "RUNTIME_DIR", "Answer", "PythonFunction", "running", "series"]


class PythonFunction(RunningFunction):
    """A function in Python."""


@contextmanager
def running(
    folder: Path,
    code: str | Mapping[str, str],
    handler: str = "app.handler",
    command: tuple[str, ...] = (sys.executable, *OURS),
    environ: Mapping[str, str] | None = None,
) -> Iterator[PythonFunction]:
    """Starts `command` for a function of `code` (app.py, or several files) in `folder`/task."""
    task = write_task(folder, {"app.py": code} if isinstance(code, str) else code)
    with FakeRuntimeApi() as api:
        variables = {
            **usual_variables(api, handler, task),
            "LAMBDA_RUNTIME_DIR": str(RUNTIME_DIR),
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            **(environ or {}),
        }
        with Bootstrap(command, variables, folder) as process:
            yield PythonFunction(api, process)


def series() -> dict[str, str]:
    """One installed interpreter of each supported version, by version."""
    found = installed("python", Search.of(os.environ))
    return {i.series_text: str(i.path) for i in found}
