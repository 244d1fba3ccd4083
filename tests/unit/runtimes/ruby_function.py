"""Ruby functions run in our bootstrap against a small runtime API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from unit.runtimes.fake_runtime_api import ARN, Answer, Bootstrap, FakeRuntimeApi
from unit.runtimes.running_function import RunningFunction, usual_variables, write_task

RUNTIME_DIR = Path(__file__).parents[3] / "runtimes" / "ruby"

__all__ = ["ARN", "Answer", "RubyFunction", "running"]


class RubyFunction(RunningFunction):
    """A function in Ruby."""


@contextmanager
def running(
    folder: Path,
    code: str | Mapping[str, str],
    handler: str = "app.handler",
    environ: Mapping[str, str] | None = None,
) -> Iterator[RubyFunction]:
    """Starts our bootstrap for a function of `code` (app.rb, or several files)."""
    task = write_task(folder, {"app.rb": code} if isinstance(code, str) else code)
    with FakeRuntimeApi() as api:
        variables = {
            **usual_variables(api, handler, task),
            "LAMBDA_RUNTIME_DIR": str(RUNTIME_DIR),
            "AWS_EXECUTION_ENV": "AWS_Lambda_ruby3.4",
            "RUBYLIB": f"{task}:/opt/ruby/lib",
            "GEM_PATH": "/var/task/vendor/bundle/ruby/3.4.0:/opt/ruby/gems/3.4.0",
            **(environ or {}),
        }
        command = ("/bin/sh", str(RUNTIME_DIR / "bootstrap"))
        with Bootstrap(command, variables, folder) as process:
            yield RubyFunction(api, process)
