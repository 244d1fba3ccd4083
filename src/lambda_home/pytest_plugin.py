"""The pytest plugin: a server of one's own for a run of tests, and what tests do with it.

pytest imports this module at every start, also where no test wants a server: nothing but pytest is
imported here before a fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lambda_home.testing.functions import DeployedFunction
    from lambda_home.testing.packages import Code
    from lambda_home.testing.server import Clock, LocalServer, ServerOptions

_SERVER: pytest.StashKey[LocalServer] = pytest.StashKey()
_SANDBOXES = ("auto", "docker", "process")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line, each also a setting of pytest's configuration."""
    group = parser.getgroup("lambda_home", "AWS Lambda on your own machine")
    group.addoption(
        "--lambda-home-sandbox", choices=_SANDBOXES, help="where functions run (default: auto)"
    )
    group.addoption(
        "--lambda-home-companion",
        metavar="moto|URL",
        help="other AWS services at the server's endpoint (default: none)",
    )
    parser.addini("lambda_home_sandbox", "where functions run: auto, docker or process", default="")
    parser.addini("lambda_home_companion", "other AWS services: moto, or a URL", default="")
    parser.addini(
        "lambda_home_settings", "settings of the server: async.retry_base_s = 1", type="linelist"
    )
    parser.addini(
        "lambda_home_reset",
        "empty the server after each test that used it (default: true)",
        type="bool",
        default=True,
    )


@pytest.fixture(scope="session")
def lambda_home(pytestconfig: pytest.Config) -> Iterator[LocalServer]:
    """A server in a process of its own, on free ports, with a temporary data directory.

    With pytest-xdist, each worker has its own.
    """
    from lambda_home.testing.server import LocalServer  # noqa: PLC0415  see the module's text

    with LocalServer(_options(pytestconfig)) as server:
        pytestconfig.stash[_SERVER] = server
        yield server
        del pytestconfig.stash[_SERVER]


@pytest.fixture
def lambda_home_client(lambda_home: LocalServer) -> Callable[..., Any]:
    """boto3 clients: `lambda_home_client("logs")`; `account`, `region` and boto3's own options."""
    return lambda_home.client


@pytest.fixture
def lambda_client(lambda_home: LocalServer) -> Any:
    """boto3's client of Lambda."""
    return lambda_home.client("lambda")


@pytest.fixture
def lambda_home_function(lambda_home: LocalServer) -> Callable[..., DeployedFunction]:
    """Create a function and wait for it: `lambda_home_function(code, MemorySize=256)`.

    `code` is a function of Python, source text, a file, a folder, a ZIP, or files by their names;
    everything else is a member of CreateFunction.
    """
    from lambda_home.testing.functions import deploy  # noqa: PLC0415  see the module's text

    def create(code: Code, **config: Any) -> DeployedFunction:
        return deploy(lambda_home, code, **config)

    return create


@pytest.fixture
def lambda_home_clock(lambda_home: LocalServer) -> Clock:
    """The server's clock: `.advance(seconds)`, `.now()`."""
    from lambda_home.testing.server import Clock  # noqa: PLC0415  see the module's text

    return Clock(lambda_home)


@pytest.fixture
def aws_environment(lambda_home: LocalServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """AWS's environment variables lead here during the test: for code that makes its own clients.

    Variables that lead elsewhere (profiles, endpoints of single services) are taken away.
    """
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    variables = lambda_home.environment()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Empty the server after each test that used it, once its other fixtures are gone.

    What a test asks for while it runs, by `request.getfixturevalue`, is not among its names.
    """
    try:
        yield
    finally:
        server = item.config.stash.get(_SERVER, None)
        if server is not None and item.config.getini("lambda_home_reset"):
            is_named = "lambda_home" in getattr(item, "fixturenames", ())
            if is_named or server.is_used:
                server.reset()


def _options(config: pytest.Config) -> ServerOptions:
    from lambda_home.testing.server import ServerOptions  # noqa: PLC0415  see the module's text

    sandbox = config.getoption("lambda_home_sandbox") or config.getini("lambda_home_sandbox")
    if sandbox and sandbox not in _SANDBOXES:
        raise pytest.UsageError(
            f"lambda_home_sandbox = {sandbox}: expected {', '.join(_SANDBOXES)}."
        )
    settings: dict[str, str] = {}
    for line in config.getini("lambda_home_settings"):
        key, separator, value = line.partition("=")
        if not separator or "." not in key:
            raise pytest.UsageError(
                f"lambda_home_settings: {line!r} is not of the form section.key = value."
            )
        settings[key.strip()] = value.strip()
    return ServerOptions(
        sandbox or "auto",
        config.getoption("lambda_home_companion") or config.getini("lambda_home_companion"),
        settings,
    )
