"""What this machine can run, told once: tests that it cannot run are skipped with the reason.

REQUIRE_SANDBOXES=docker,process,browser turns such a skip into a failure (continuous integration).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from live import LiveServer
from xdist.scheduler import LoadScopeScheduling

from lambda_home.packager.base_image import BaseImages
from lambda_home.sandboxes.docker_daemon import probe

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


@cache
def why_not(kind: str) -> str | None:
    """Why tests with this marker cannot run here; None if they can."""
    if kind == "docker":
        found, reason = probe(
            "", lambda client: BaseImages(client, {}, allow_pull=False).find_any()
        )
        return None if found else f"Docker tests need a daemon and base images: {reason}"
    if kind == "browser":
        found = shutil.which("chromium") is not None
        return None if found else "browser tests need Chromium (Debian: apt-get install chromium)"
    if shutil.which("bwrap") is None:
        return "process tests need bubblewrap (Debian: apt-get install bubblewrap)"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, or fail where it must run."""
    required = set(os.environ.get("REQUIRE_SANDBOXES", "").split(",")) - {""}
    for item in items:
        for kind in ("docker", "process", "browser"):
            if item.get_closest_marker(kind) is None:
                continue
            reason = why_not(kind)
            if reason and kind in required:
                pytest.exit(f"{kind} tests are required here, but: {reason}", returncode=1)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def _docker(*words: str) -> list[str]:
    """Lines that the docker command prints; none where it fails."""
    done = subprocess.run(["docker", *words], check=False, capture_output=True, text=True)
    return done.stdout.split() if done.returncode == 0 else []


_FUNCTION_IMAGES = ("images", "--format", "{{.Repository}}:{{.Tag}}", "lambda-home/function")
_NETWORK = ("network", "ls", "--quiet", "--filter", "name=^lambda-home$")


_TOGETHER = "tests/e2e/sandboxes/"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Distribute files; those of the sandboxes look at all that runs, so one process has them."""

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return _TOGETHER if file.startswith(_TOGETHER) else file

    return ByFile(config, log)


_BEFORE = pytest.StashKey[tuple[set[str], list[str]]]()


def _is_worker(config: pytest.Config) -> bool:
    """Whether another process has distributed the tests, and cleans up after all of them."""
    return hasattr(config, "workerinput")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Servers keep their images and the network for their next start; tests have no next start."""
    if not _is_worker(session.config) and not why_not("docker"):
        session.config.stash[_BEFORE] = (set(_docker(*_FUNCTION_IMAGES)), _docker(*_NETWORK))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave Docker as it was."""
    before = session.config.stash.get(_BEFORE, None)
    if before is None:
        return
    images, network = before
    if made := set(_docker(*_FUNCTION_IMAGES)) - images:
        _docker("rmi", "--force", *made)
    if not network:
        _docker("network", "rm", "lambda-home")


SANDBOXES = [
    pytest.param("process", marks=pytest.mark.process),
    pytest.param("docker", marks=pytest.mark.docker),
]


@pytest.fixture(scope="session", params=SANDBOXES)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """A server on each kind of sandbox, shared by all tests: use names of your own."""
    with LiveServer("--sandbox", request.param, "--ephemeral") as live:
        yield live


@pytest.fixture(scope="session")
def process_server() -> Iterator[LiveServer]:
    """A server for tests of what does not depend on the sandbox."""
    with LiveServer("--sandbox", "process", "--ephemeral") as live:
        yield live


@pytest.fixture
def aws(server: LiveServer) -> LambdaClient:
    """boto3 at `server`."""
    return server.client()


@pytest.fixture
def api(process_server: LiveServer) -> LambdaClient:
    """boto3 at `process_server`."""
    return process_server.client()
