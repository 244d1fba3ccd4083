"""Flags and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lambda_home.config import Settings

EndpointUrl = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url",
        help="The server; else LAMBDA_HOME_ENDPOINT_URL, AWS_ENDPOINT_URL, http://127.0.0.1:9000.",
        show_default=False,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--region", help="The region; else AWS_REGION, AWS_DEFAULT_REGION.", show_default=False
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, and nothing else, to stdout.")
]
FunctionName = Annotated[
    str, typer.Argument(metavar="NAME", help="The function's name or ARN.", show_default=False)
]
Qualifier = Annotated[
    str | None,
    typer.Option("--qualifier", help="A version or alias of it.", show_default=False),
]
NewName = Annotated[str | None, typer.Option(help="The function's name; else the folder's.")]
Runtime = Annotated[str | None, typer.Option(help="As python3.12, nodejs22.x.")]
Handler = Annotated[str | None, typer.Option(help="As app.handler.")]
Memory = Annotated[int | None, typer.Option(help="MB.")]
Timeout = Annotated[int | None, typer.Option(help="Seconds.")]
Variables = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME=VALUE", help="A variable; may be repeated."),
]
Config = Annotated[Path | None, typer.Option(help="A TOML file of settings.")]
DataDir = Annotated[Path | None, typer.Option(help="Code, database and logs.")]


def settings_of(config: Path | None, data_dir: Path | None) -> Settings:
    """The settings of commands that need no server. Raises ConfigError."""
    from lambda_home.config import load  # noqa: PLC0415  half a second for nobody else

    return load(config, {"data": {"dir": str(data_dir)}} if data_dir else {})
