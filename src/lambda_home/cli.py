"""The command line: `lambda-home serve` and what surrounds it."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from lambda_home import __version__
from lambda_home.commands.failures import OneLineGroup
from lambda_home.errors import LambdaHomeError

if TYPE_CHECKING:
    from lambda_home.server import Running

_SWITCH_INTERVAL_S = 0.0005

_log = structlog.get_logger(__name__)


class Commands(OneLineGroup):
    """The commands; but for those of this module, only a start that asks for them makes them."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; None if there is none."""
        return super().get_command(ctx, cmd_name) or self._all().get(cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all."""
        self._all()
        return super().list_commands(ctx)

    def _all(self) -> dict[str, Any]:
        from lambda_home.commands.registration import commands  # noqa: PLC0415  serve needs none

        known: dict[str, Any] = {**commands(), **self.commands}
        self.commands.update(known)
        return known


app = typer.Typer(
    cls=Commands,
    help="AWS Lambda on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class SandboxKind(StrEnum):
    """`--sandbox`."""

    AUTO = "auto"
    DOCKER = "docker"
    PROCESS = "process"


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command("serve")
def serve_command(  # noqa: PLR0913, PLR0917  one parameter is one flag
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Code, database and logs.")] = None,
    host: Annotated[str | None, typer.Option(help="Address of the user API.")] = None,
    port_user_api: Annotated[
        int | None, typer.Option(help="Port of the user API; 0 picks one.")
    ] = None,
    port_runtime_api: Annotated[
        int | None, typer.Option(help="Port of the runtime API; 0 picks one.")
    ] = None,
    sandbox: Annotated[SandboxKind | None, typer.Option(help="Where functions run.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let others in without authentication.")
    ] = False,
    companion: Annotated[
        str | None,
        typer.Option(help="Other AWS services at this endpoint: moto, or the URL of a server."),
    ] = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Keep nothing: a temporary data directory.")
    ] = False,
) -> None:
    """Run the server."""
    import uvloop  # noqa: PLC0415  only this command needs what a server is made of

    from lambda_home import seed_settings, server_log  # noqa: PLC0415
    from lambda_home.config import load  # noqa: PLC0415
    from lambda_home.server import serve  # noqa: PLC0415

    given: dict[str, dict[str, Any]] = {
        "server": {
            "bind": host,
            "port_user_api": port_user_api,
            "port_runtime_api": port_runtime_api,
            "insecure": insecure or None,
        },
        "data": {"dir": str(data_dir) if data_dir else None},
        "sandbox": {"kind": sandbox.value if sandbox else None},
        "aws": {"companion": companion},
    }
    flags = {
        section: chosen
        for section, keys in given.items()
        if (chosen := {key: value for key, value in keys.items() if value is not None})
    }
    try:
        seed = seed_settings.read(config, os.environ)
        settings = load(seed.file, flags, seed.values)
        server_log.configure(settings.logging)
        for warning in seed.warnings:
            _log.warning(warning)
        # A thread that writes logs or reads the registry holds the event loop up by one such
        # interval each time; Python's own 5 ms are ten invocations.
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        tell = functools.partial(announce, needs_key=settings.access.auth != "none")
        uvloop.run(serve(settings, ephemeral=ephemeral, ready=tell))
    except LambdaHomeError as error:
        typer.echo(f"lambda-home: {error}", err=True)
        raise typer.Exit(1) from error


@app.command("prepare")
def prepare_command() -> None:
    """Install what functions find beside their own code: boto3, and Node.js if there is none."""
    from lambda_home.preparation import prepare  # noqa: PLC0415  only this command needs it

    try:
        prepare(typer.echo)
    except LambdaHomeError as error:
        typer.echo(f"lambda-home: {error}", err=True)
        raise typer.Exit(1) from error


def announce(running: Running, *, needs_key: bool = False) -> None:
    """Print what runs where, and a block to copy into a shell."""
    typer.echo(f"{typer.style(f'lambda_home {__version__}', bold=True)} is ready")
    typer.echo(f"  user API     {running.user_api}")
    typer.echo(f"  runtime API  {running.runtime_api}")
    typer.echo(f"  sandbox      {running.sandbox}: {running.sandbox_reason}")
    typer.echo(f"  data         {running.data_dir.resolve()}\n")
    typer.echo(f"export AWS_ENDPOINT_URL={running.user_api}")
    if needs_key:
        place = shlex.quote(str(running.data_dir.resolve()))
        typer.echo("# and what this prints, which makes a key:")
        typer.echo(f"# lambda-home keys create NAME --role ROLE --data-dir {place}")
    else:
        typer.echo("export AWS_ACCESS_KEY_ID=000000000000 AWS_SECRET_ACCESS_KEY=lambda-home")
    typer.echo("export AWS_DEFAULT_REGION=us-east-1")
    typer.echo("aws lambda list-functions")
    typer.echo(f"curl {running.user_api}/api/healthz")
    sys.stdout.flush()


def main() -> None:
    """Entry point of the `lambda-home` command."""
    app()
