"""Python functions run in our bootstrap, or in AWS's own runtime client, against the same API."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from unit.runtimes.fake_runtime_api import ARN, Answer, Bootstrap, FakeRuntimeApi

from lambda_home.sandboxes.interpreters import Search, installed

RUNTIME_DIR = Path(__file__).parents[3] / "runtimes" / "python"
OURS = ("-S", "-s", str(RUNTIME_DIR / "bootstrap.py"))

__all__ = ["ARN", "OURS", "RUNTIME_DIR", "Answer", "PythonFunction", "running", "series"]


@dataclass(frozen=True)
class PythonFunction:
    """A running function and the API it talks to."""

    api: FakeRuntimeApi
    process: Bootstrap

    def invoke(self, event: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Runs one invocation to its answer; fails when the process ends instead."""
        return self.api.invoke(event, headers)

    def result(self, event: object = None, headers: Mapping[str, str] | None = None) -> object:
        """What the handler returned."""
        answer = self.invoke(event, headers)
        assert answer.kind == "response", answer
        return answer.json()

    def output(self, event: object = None) -> str:
        """What one invocation wrote."""
        before = [a.request_id for a in self.api.answers if a.fenced]
        answer = self.invoke(event)
        assert answer.fenced, "it wrote nothing"
        return self.process.output_of(answer.request_id, before[-1] if before else None)

    def init_error(self) -> Answer:
        """The answer that tells why it could not be loaded."""
        return self.api.answer_to("")


@contextmanager
def running(
    folder: Path,
    code: str | Mapping[str, str],
    handler: str = "app.handler",
    command: tuple[str, ...] = (sys.executable, *OURS),
    environ: Mapping[str, str] | None = None,
) -> Iterator[PythonFunction]:
    """Starts `command` for a function of `code` (app.py, or several files) in `folder`/task."""
    task = folder / "task"
    for name, text in ({"app.py": code} if isinstance(code, str) else code).items():
        file = task / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    with FakeRuntimeApi() as api:
        variables = {
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": str(task),
            "LAMBDA_RUNTIME_DIR": str(RUNTIME_DIR),
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": "tested",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/tested",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/21/[$LATEST]0123",
            "PATH": os.environ["PATH"],
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            **(environ or {}),
        }
        with Bootstrap(command, variables, folder) as process:
            yield PythonFunction(api, process)


def series() -> dict[str, str]:
    """One installed interpreter of each supported version, by version."""
    found = installed("python", Search.of(os.environ))
    return {i.series_text: str(i.path) for i in found}
