"""The command line: `lambda-home serve` and what surrounds it."""

from __future__ import annotations

import logging
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import uvloop

from lambda_home import __version__, keys_command, seed_settings
from lambda_home.config import Settings, load
from lambda_home.errors import LambdaHomeError
from lambda_home.server import Running, serve

_SWITCH_INTERVAL_S = 0.0005

_log = structlog.get_logger(__name__)

app = typer.Typer(
    help="AWS Lambda on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys_command.app, name="keys")


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
        _configure_logging(settings)
        for warning in seed.warnings:
            _log.warning(warning)
        # A thread that writes logs or reads the registry holds the event loop up by one such
        # interval each time; Python's own 5 ms are ten invocations.
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        uvloop.run(serve(settings, ephemeral=ephemeral, ready=announce))
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


def announce(running: Running) -> None:
    """Print what runs where, and a block to copy into a shell."""
    typer.echo(f"{typer.style(f'lambda_home {__version__}', bold=True)} is ready")
    typer.echo(f"  user API     {running.user_api}")
    typer.echo(f"  runtime API  {running.runtime_api}")
    typer.echo(f"  sandbox      {running.sandbox}: {running.sandbox_reason}")
    typer.echo(f"  data         {running.data_dir.resolve()}\n")
    typer.echo(f"export AWS_ENDPOINT_URL={running.user_api}")
    typer.echo("export AWS_ACCESS_KEY_ID=000000000000 AWS_SECRET_ACCESS_KEY=lambda-home")
    typer.echo("export AWS_DEFAULT_REGION=us-east-1")
    typer.echo("aws lambda list-functions")
    typer.echo(f"curl {running.user_api}/api/healthz")
    sys.stdout.flush()


def _configure_logging(settings: Settings) -> None:
    level = logging.getLevelName(settings.logging.level.upper())
    pretty = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", key="ts"),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def main() -> None:
    """Entry point of the `lambda-home` command."""
    app()
