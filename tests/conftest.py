"""What this machine can run, told once: tests that it cannot run are skipped with the reason.

`needs` tells what that is, and how such a skip becomes a failure (continuous integration).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import needs
import pytest
from hypothesis import HealthCheck, settings
from live import LiveServer
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# The same examples at every run, and no verdict that hangs on how fast the machine is.
settings.register_profile(
    "tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    """Fail at once where something is missing that must be there."""
    missing = {} if _is_worker(config) else needs.required()
    if missing:
        told = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        raise pytest.UsageError(f"These are required here, and missing: {told}")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name no test by bytes that nobody can read: those of an archive hold the time.

    Processes that collect tests at different moments would find different ones.
    """
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()):
        return argname
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here."""
    for item in items:
        for reason in filter(None, map(needs.why_not, needs.of(item))):
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
    if not _is_worker(session.config) and not needs.why_not("docker"):
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
    """A server on each kind of sandbox, shared by all tests: use names of your own.

    Runtimes that AWS gives up one day still run here: no test fails because a year is over.
    """
    old = {"LAMBDA_HOME_FUNCTIONS__ALLOW_DEPRECATED_RUNTIMES": "true"}
    with LiveServer("--sandbox", request.param, "--ephemeral", environment=old) as live:
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
