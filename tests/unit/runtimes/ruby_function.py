"""Ruby functions run in our bootstrap against a small runtime API."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from unit.runtimes.fake_runtime_api import ARN, Answer, Bootstrap, FakeRuntimeApi

RUNTIME_DIR = Path(__file__).parents[3] / "runtimes" / "ruby"

__all__ = ["ARN", "Answer", "RubyFunction", "running"]


@dataclass(frozen=True)
class RubyFunction:
    """A running function and the API it talks to."""

    api: FakeRuntimeApi
    process: Bootstrap

    def invoke(self, event: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Runs one invocation to its answer."""
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


@contextmanager
def running(
    folder: Path,
    code: str | Mapping[str, str],
    handler: str = "app.handler",
    environ: Mapping[str, str] | None = None,
) -> Iterator[RubyFunction]:
    """Starts our bootstrap for a function of `code` (app.rb, or several files)."""
    task = folder / "task"
    for name, text in ({"app.rb": code} if isinstance(code, str) else code).items():
        file = task / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    with FakeRuntimeApi() as api:
        variables = {
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": str(task),
            "LAMBDA_RUNTIME_DIR": str(RUNTIME_DIR),
            "AWS_EXECUTION_ENV": "AWS_Lambda_ruby3.4",
            "AWS_LAMBDA_FUNCTION_NAME": "tested",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/tested",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/21/[$LATEST]0123",
            "PATH": os.environ["PATH"],
            "RUBYLIB": f"{task}:/opt/ruby/lib",
            "GEM_PATH": "/var/task/vendor/bundle/ruby/3.4.0:/opt/ruby/gems/3.4.0",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            **(environ or {}),
        }
        command = ("/bin/sh", str(RUNTIME_DIR / "bootstrap"))
        with Bootstrap(command, variables, folder) as process:
            yield RubyFunction(api, process)
