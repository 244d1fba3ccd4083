"""`lambda-home routes`: the routes of the path proxy."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lambda_home.commands import output
from lambda_home.commands.client import connected, quoted
from lambda_home.commands.options import AsJson, EndpointUrl

_PATH = "/api/admin/api-gateway/routes"
app = typer.Typer(help="Paths at which functions answer plain HTTP.", no_args_is_help=True)


@app.command("list")
def list_command(as_json: AsJson = False, endpoint_url: EndpointUrl = None) -> None:
    """Show all routes."""
    with connected(endpoint_url) as client:
        routes = client.json("GET", _PATH)
    if as_json:
        output.show_json({"routes": routes})
        return
    rows = [
        (
            route["route_id"],
            route.get("method") or "any",
            f"{route.get('host') or ''}{route['path']}",
            route["function_name"],
            route.get("payload_format"),
        )
        for route in routes
    ]
    output.show_table(("ID", "METHOD", "PATH", "FUNCTION", "FORMAT"), rows, "There are no routes.")


@app.command("create")
def create_command(  # noqa: PLR0913, PLR0917  one parameter is one flag
    path: Annotated[str, typer.Argument(help="As /pets, /pets/{id}, /files/{proxy+}.")],
    function_name: Annotated[str, typer.Argument(help="The function that answers there.")],
    method: Annotated[str | None, typer.Option(help="As GET; else all.")] = None,
    host: Annotated[str | None, typer.Option(help="Only for this host name.")] = None,
    payload_format: Annotated[
        str | None, typer.Option(help="The event's format: 1.0 or 2.0.")
    ] = None,
    strip_prefix: Annotated[
        bool, typer.Option("--strip-prefix", help="Leave the route's path out of the event's.")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Answer while the function writes.")
    ] = False,
    as_json: AsJson = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Let a function answer at a path."""
    body: dict[str, Any] = {
        "path": path,
        "function_name": function_name,
        "method": method,
        "host": host,
        "payload_format": payload_format,
        "strip_prefix": strip_prefix or None,
        "stream": stream or None,
    }
    with connected(endpoint_url) as client:
        given = {name: value for name, value in body.items() if value is not None}
        route = client.json("POST", _PATH, given)
        if as_json:
            output.show_json(route)
        else:
            typer.echo(route["route_id"])
            output.note(f"{function_name} answers at {client.access.endpoint}{path}.")


@app.command("delete")
def delete_command(
    route_id: Annotated[str, typer.Argument(help="See lambda-home routes list.")],
    as_json: AsJson = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Delete a route."""
    with connected(endpoint_url) as client:
        client.json("DELETE", f"{_PATH}/{quoted(route_id)}")
    if as_json:
        output.show_json({"deleted": route_id})
    else:
        output.note(f"Route {route_id} is deleted.")
