"""Builds on a server: sends sources, shows how the build goes on, fetches the package.

On a terminal a bar shows the steps and the log runs above it; elsewhere each line of the log is one
line on stderr, and nothing else is printed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lambda_home.builds.git_sources import fetch_commands, local_source
from lambda_home.builds.planning import plan_of
from lambda_home.builds.trees import PlanError, Tree
from lambda_home.commands import output
from lambda_home.commands.client import Client, Request, quoted
from lambda_home.commands.failures import Failure, Refused, WrongUse
from lambda_home.commands.packaging import Package, package_of

PATH: Final = "/api/builds"
_NOT_FOUND = 404
_STEP = re.compile(r"==> (\d+)/(\d+) (.*)")
_GIT_PATIENCE_S = 600

Show = Callable[[str, str], None]
"""Shows a line of a log: when, and what."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a build is asked for, besides its sources; empty for what nobody said."""

    runtime: str = ""
    command: str = ""
    output_directory: str = ""
    directory: str = ""
    cache_key: str = ""
    function: str = ""
    deploy: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)

    def query(self) -> dict[str, str]:
        """The same as the query of a request."""
        texts = ("runtime", "command", "output_directory", "directory", "cache_key", "function")
        members = {name: value for name in texts if (value := getattr(self, name))}
        if self.deploy:
            members["deploy"] = "true"
        return members | {f"variables.{name}": value for name, value in self.variables.items()}


def needs(sources: Package, wishes: Wishes) -> bool:
    """Whether sources have to be built. Raises WrongUse for those that cannot be."""
    try:
        plan = plan_of(
            Tree(sources.names, sources.text),
            wishes.runtime,
            wishes.command,
            wishes.output_directory,
        )
    except PlanError as error:
        raise WrongUse(str(error)) from error
    return bool(plan.steps or wishes.output_directory)


def sources_of_git(url: str, ref: str) -> Package:
    """The files of a repository, fetched by git as the user of this program. Raises Failure."""
    if shutil.which("git") is None:
        raise Failure("git is not installed here: clone the repository, and give the folder.")
    try:
        source = local_source(url, ref)
    except PlanError as error:
        raise WrongUse(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="lambda-home-git-") as folder:
        with output.working("Fetching the repository"):
            for words in fetch_commands(source, folder):
                _git(words)
        return package_of(Path(folder), as_sources=True)


def _git(words: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(  # noqa: S603  git, with a URL that was checked
            words, check=False, capture_output=True, text=True, timeout=_GIT_PATIENCE_S
        )
    except subprocess.TimeoutExpired as error:
        raise Failure(f"git did not end in {_GIT_PATIENCE_S} s.") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise Failure(f"git failed: {said}")


class Building:
    """One build on a server. `quiet` shows nothing of its log."""

    def __init__(self, client: Client, *, quiet: bool = False) -> None:
        self._client = client
        self._quiet = quiet

    def begin(self, sources: Package, wishes: Wishes) -> dict[str, Any]:
        """Send sources; answers the build as it is now. Raises Failure."""
        size = len(sources.content) / 1024
        headers = {"Content-Type": "application/zip"}
        request = Request("POST", PATH, wishes.query(), sources.content, headers)
        try:
            with output.working(f"Sending {len(sources.names)} files ({size:.1f} kB)"):
                made: dict[str, Any] = self._client.send(request).json()
        except Refused as error:
            if error.code == "UnknownOperationException":
                raise Failure(
                    "This server makes no builds: build here, and give --no-build."
                ) from error
            raise
        return made

    def follow(self, build_id: str) -> dict[str, Any]:
        """Show the log until the build has ended; answers it then. Raises Failure."""
        with _showing(quiet=self._quiet) as show:
            position = "0"
            while True:
                for kind, reached, document in self._events(build_id, position):
                    position = reached  # where to go on if the connection breaks off
                    if kind == "end":
                        return document
                    show(str(document["timestamp"]), str(document["content"]))

    def package(self, build: Mapping[str, Any]) -> bytes:
        """The package of a build that has ended. Raises Failure if it has none."""
        if build["status"] != "ready":
            raise Failure(f"The build {build['status']}: {build['reason']}")
        path = f"{PATH}/{quoted(str(build['id']))}/artefact"
        with output.working("Fetching the package"):
            return self._client.send(Request("GET", path)).body

    def _events(self, build_id: str, after: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Server-sent events: kind, position and document of each."""
        path = f"{PATH}/{quoted(build_id)}/logs"
        headers = {"Accept": "text/event-stream"}
        kind = position = ""
        try:
            with self._client.lines(
                Request("GET", path, {"after": after}, headers=headers)
            ) as all_:
                for line in all_:
                    name, _, value = line.partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "id":
                        position = value
                    elif name == "data":
                        yield kind, position, json.loads(value)
        except Refused as error:
            if error.status == _NOT_FOUND:
                raise Failure(f"The build {build_id} is not there any more.") from error
            raise


@contextmanager
def _showing(*, quiet: bool) -> Iterator[Show]:
    if quiet:
        yield lambda _, __: None
        return
    if not sys.stderr.isatty():
        yield lambda stamp, text: output.note(f"{stamp} {text}".rstrip())
        return
    from rich.console import Console  # noqa: PLC0415  only on a terminal
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Waiting for a worker", total=None)

        def show(stamp: str, text: str) -> None:
            if step := _STEP.match(text):
                done, total = int(step[1]) - 1, int(step[2])
                progress.update(task, description=step[3][:60], completed=done, total=total + 1)
            console.print(
                Text(f"{stamp[11:19]} {text}", style="bold" if step else ""), soft_wrap=True
            )

        yield show
