"""`lambda-home stats`: how a server is doing, or the environments of one function."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lambda_home.commands import output
from lambda_home.commands.client import connected, quoted
from lambda_home.commands.options import AsJson, EndpointUrl, Qualifier, Region


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stats")(stats_command)


def stats_command(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A function; else the whole server.")
    ] = None,
    qualifier: Qualifier = None,
    as_json: AsJson = False,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
) -> None:
    """Show figures of the server, or the environments of a function."""
    with connected(endpoint_url, region) as client:
        if name is None:
            found = client.json("GET", "/api/admin/lambda-service-stats")
        else:
            query = {"Qualifier": qualifier} if qualifier else {}
            found = client.json("GET", f"/api/admin/warm-pool/{quoted(name)}", **query)
    if as_json:
        output.show_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    """Figures as pairs, and the environments below them as a table."""
    entries = found.pop("entries", None)
    output.show_members([(key.replace("_", " "), _rounded(value)) for key, value in found.items()])
    if entries:
        typer.echo()
        rows = [
            (entry["container_id"], entry["state"], f"{entry['idle_for_ms']} ms")
            for entry in entries
        ]
        output.show_table(("ENVIRONMENT", "STATE", "IDLE FOR"), rows, "")


def _rounded(value: object) -> object:
    return f"{value:.2f}" if isinstance(value, float) else value
