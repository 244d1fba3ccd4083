"""All commands but `serve` and `prepare`: imported when one of them is asked for."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import typer.main

from lambda_home.commands import (
    build,
    deploy,
    dev,
    functions,
    invoke,
    keys,
    logs,
    routes,
    secrets,
    stats,
    upkeep,
)
from lambda_home.commands.failures import WrongUse

_MODULES = (build, deploy, dev, invoke, logs, functions, stats, upkeep)
_missing = typer.Typer(add_completion=False)
_GROUPS = {"routes": routes.app, "secrets": secrets.app, "keys": keys.app}


@_missing.command("services", hidden=True, context_settings={"ignore_unknown_options": True})
def services_command(words: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Say that this is not there: who looks for it in other projects' command lines is told."""
    del words
    raise WrongUse(
        "There are no services here yet: run the container yourself, and give a function its"
        " address in a variable (lambda-home deploy --env NAME=URL)."
    )


def commands() -> dict[str, Any]:
    """The commands by their names, made anew."""
    app = typer.Typer(add_completion=False)
    for module in _MODULES:
        module.register(app)
    app.add_typer(_missing)
    for name, group in _GROUPS.items():
        app.add_typer(group, name=name)
    made: Any = typer.main.get_command(app)
    return dict(made.commands)
