"""A function that runs in a bootstrap against a small runtime API, in whatever language."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from unit.runtimes.fake_runtime_api import Answer, Bootstrap, FakeRuntimeApi


@dataclass(frozen=True)
class RunningFunction:
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


def write_task(folder: Path, files: Mapping[str, str]) -> Path:
    """The task root below `folder`, with these files."""
    task = folder / "task"
    for name, text in files.items():
        file = task / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    return task


def usual_variables(api: FakeRuntimeApi, handler: str, task: Path) -> dict[str, str]:
    """What every environment has, whatever its language."""
    return {
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": str(task),
        "AWS_LAMBDA_FUNCTION_NAME": "tested",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/tested",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/21/[$LATEST]0123",
        "PATH": os.environ["PATH"],
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }
