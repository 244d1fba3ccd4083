"""All commands but `serve` and `prepare`: imported when one of them is asked for."""

from __future__ import annotations

from typing import Any

import typer
import typer.main

from lambda_home.commands import (
    deploy,
    functions,
    invoke,
    keys,
    logs,
    routes,
    secrets,
    stats,
    upkeep,
)

_MODULES = (deploy, invoke, logs, functions, stats, upkeep)
_GROUPS = {"routes": routes.app, "secrets": secrets.app, "keys": keys.app}


def commands() -> dict[str, Any]:
    """The commands by their names, made anew."""
    app = typer.Typer(add_completion=False)
    for module in _MODULES:
        module.register(app)
    for name, group in _GROUPS.items():
        app.add_typer(group, name=name)
    made: Any = typer.main.get_command(app)
    return dict(made.commands)
