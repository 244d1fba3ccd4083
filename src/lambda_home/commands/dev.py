"""`lambda-home dev`: runs a folder as a function, follows its changes, shows what it logs.

Without --endpoint-url a server of its own runs in this process and goes with it; a server that is
named keeps nothing of it either.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lambda_home.commands import detection, output, project
from lambda_home.commands.client import connected
from lambda_home.commands.dev_loop import Loop, Wish
from lambda_home.commands.endpoint import ENDPOINT_VARIABLE
from lambda_home.commands.failures import Unreachable, WrongUse
from lambda_home.commands.options import (
    EndpointUrl,
    Handler,
    Memory,
    NewName,
    Region,
    Runtime,
    Timeout,
    Variables,
)
from lambda_home.commands.packaging import package_of

if TYPE_CHECKING:
    from lambda_home.server import Running

_PORT = 9000
_JOIN_S = 10.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dev")(dev_command)


def dev_command(  # noqa: PLR0913, PLR0917  one parameter is one flag
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The function's folder.")] = Path(),
    name: NewName = None,
    runtime: Runtime = None,
    handler: Handler = None,
    memory: Memory = None,
    timeout: Timeout = None,
    env: Variables = None,
    invoke: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Call it with this event now and after each change."),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Put it under a debugger, and print a launch.json.")
    ] = False,
    debug_port: Annotated[
        int, typer.Option(help="The debugger's port; 0 picks one.", min=0, max=65535)
    ] = 0,
    port: Annotated[
        int | None,
        typer.Option(help="The server's port; else 9000, or another if that is taken."),
    ] = None,
    sandbox: Annotated[
        str | None, typer.Option(help="Where functions run: auto, docker or process.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option(
            "--endpoint-url",
            help="Use this server, or that of LAMBDA_HOME_ENDPOINT_URL, instead of starting one.",
            show_default=False,
        ),
    ] = None,
    region: Region = None,
) -> None:
    """Run a folder as a function: what changes there is in force with the next call.

    Shows what the function logs, until Ctrl-C; then nothing is left of it.
    """
    gc.enable()  # the start of this program switches it off
    folder = _folder(path)
    flags = project.Project(
        name=name,
        runtime=runtime,
        handler=handler,
        memory=memory,
        timeout=timeout,
        environment=project.variables_of(env or []),
    )
    told = project.read_project(folder).with_flags(flags)
    wish = Wish(
        name=told.name or project.name_of(folder),
        folder=folder,
        settings=_settings(told, _entry(folder, told)),
        event=_event(invoke),
        debug_port=debug_port if debug or debug_port else None,
    )
    endpoint = endpoint_url or os.environ.get(ENDPOINT_VARIABLE)
    if endpoint:
        _use(endpoint, region, wish)
    else:
        _OwnServer(wish, region).run(_settings_of_server(config, folder, port, sandbox))


def _use(endpoint: EndpointUrl, region: Region, wish: Wish) -> None:
    """On a server that runs already: take away in the end what was made."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with connected(endpoint, region) as client:
            loop = Loop(client, lambda: connected(endpoint, region), wish)
            try:
                loop.begin()
                loop.follow()
            except KeyboardInterrupt:
                output.note("")
            finally:
                loop.end()
    finally:
        signal.signal(signal.SIGTERM, before)


class _OwnServer:
    """A server in this process's main thread, and the loop beside it in another."""

    def __init__(self, wish: Wish, region: str | None) -> None:
        self._wish = wish
        self._region = region
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def run(self, settings: Any) -> None:
        """Until Ctrl-C. Raises LambdaHomeError."""
        import uvloop  # noqa: PLC0415  only a server needs these

        from lambda_home import server_log  # noqa: PLC0415
        from lambda_home.server import serve  # noqa: PLC0415

        server_log.configure(settings.logging)
        try:
            uvloop.run(serve(settings, ephemeral=True, ready=self._ready))
        finally:
            if self._thread is not None:
                self._thread.join(_JOIN_S)
        if self._failure is not None:
            raise self._failure

    def _ready(self, running: Running) -> None:
        output.note(f"The server is at {running.user_api} ({running.sandbox} sandbox).")
        self._thread = threading.Thread(target=self._drive, args=(running.user_api,), daemon=True)
        self._thread.start()

    def _drive(self, endpoint: str) -> None:
        try:
            with connected(endpoint, self._region) as client:
                loop = Loop(client, lambda: connected(endpoint, self._region), self._wish)
                try:
                    loop.begin()
                    loop.follow()
                finally:
                    loop.end(leave=True)  # all of it goes with the server
        except Unreachable:
            pass  # the server is stopping
        except BaseException as error:
            self._failure = error
        finally:
            os.kill(os.getpid(), signal.SIGINT)  # the server hears it, and stops


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise WrongUse(f"{path} is not a folder: give that of the function.")
    return path.resolve()


def _event(file: Path | None) -> Path | None:
    if file is not None and not file.is_file():
        raise WrongUse(f"--invoke: there is no file {file}.")
    return file


def _entry(folder: Path, told: project.Project) -> detection.Entry:
    """What the function is started with, held against its files."""
    package = package_of(folder)
    files = detection.Files(package.names, package.executables, package.text)
    this_python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    entry = detection.entry_of(files, told.runtime, told.handler, this_python)
    if not told.layers:
        detection.check_handler(files, entry)
        if (advice := detection.advice_of(files)) is not None:
            output.note(f"If the function needs them: {advice}")
    return entry


def _settings(told: project.Project, entry: detection.Entry) -> dict[str, Any]:
    """Members of CreateFunction."""
    environment = None if told.environment is None else {"Variables": told.environment}
    members = {
        "Runtime": entry.runtime,
        "Handler": entry.handler,
        "Role": told.role or "arn:aws:iam::000000000000:role/lambda-home",
        "Description": told.description,
        "MemorySize": told.memory,
        "Timeout": told.timeout,
        "Environment": environment,
        "Layers": told.layers,
    }
    return {name: value for name, value in members.items() if value is not None}


def _settings_of_server(
    config: Path | None, folder: Path, port: int | None, sandbox: str | None
) -> Any:
    """A server for this machine and this folder alone. Raises ConfigurationError."""
    from lambda_home.config import load  # noqa: PLC0415  only a server needs it

    flags: dict[str, dict[str, Any]] = {
        "server": {
            "bind": "127.0.0.1",
            "port_user_api": _free_port() if port is None else port,
            "port_runtime_api": 0,
            "shutdown_grace_s": 1,
        },
        "functions": {"hot_reload_folders": (str(folder),), "hot_reload_bucket": "hot-reload"},
        "access": {"auth": "none"},
        "logging": {"level": "warning"},
    }
    if sandbox is not None:
        flags["sandbox"] = {"kind": sandbox}
    return load(config, flags)


def _free_port() -> int:
    """The usual port; 0, for any, if somebody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _PORT))
        except OSError:
            return 0
    return _PORT
