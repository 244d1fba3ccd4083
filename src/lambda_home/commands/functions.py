"""`lambda-home list`, `get` and `delete`."""

from __future__ import annotations

from typing import Any

import typer

from lambda_home.commands import output
from lambda_home.commands.client import Client, connected, quoted
from lambda_home.commands.options import AsJson, EndpointUrl, FunctionName, Qualifier, Region

_FUNCTIONS = "/2015-03-31/functions"
_SECONDS = len("2026-01-01T00:00:00")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list")(list_command)
    app.command("get")(get_command)
    app.command("delete")(delete_command)


def list_command(
    as_json: AsJson = False, endpoint_url: EndpointUrl = None, region: Region = None
) -> None:
    """Show all functions."""
    with connected(endpoint_url, region) as client:
        functions = all_functions(client)
    if as_json:
        output.show_json({"Functions": functions})
        return
    columns = ("NAME", "RUNTIME", "HANDLER", "MEMORY", "TIMEOUT", "STATE", "MODIFIED")
    rows = [
        (
            found.get("FunctionName"),
            found.get("Runtime"),
            found.get("Handler"),
            f"{found.get('MemorySize')} MB",
            f"{found.get('Timeout')} s",
            found.get("State") or "Active",
            str(found.get("LastModified", ""))[:_SECONDS],
        )
        for found in functions
    ]
    output.show_table(columns, rows, "There are no functions: lambda-home deploy ./folder.")


def get_command(
    name: FunctionName,
    qualifier: Qualifier = None,
    as_json: AsJson = False,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
) -> None:
    """Show a function's configuration."""
    query = {"Qualifier": qualifier} if qualifier else {}
    with connected(endpoint_url, region) as client:
        found = client.json("GET", f"{_FUNCTIONS}/{quoted(name)}", **query)
    if as_json:
        output.show_json(found)
        return
    configuration = found["Configuration"]
    variables = configuration.get("Environment", {}).get("Variables", {})
    output.show_members(
        [
            ("name", configuration.get("FunctionName")),
            ("arn", configuration.get("FunctionArn")),
            ("version", configuration.get("Version")),
            ("state", configuration.get("State")),
            ("reason", configuration.get("StateReason")),
            ("last update", configuration.get("LastUpdateStatus")),
            ("update reason", configuration.get("LastUpdateStatusReason")),
            ("runtime", configuration.get("Runtime")),
            ("handler", configuration.get("Handler")),
            ("memory", f"{configuration.get('MemorySize')} MB"),
            ("timeout", f"{configuration.get('Timeout')} s"),
            ("role", configuration.get("Role")),
            ("description", configuration.get("Description")),
            ("variables", ", ".join(sorted(variables))),
            ("layers", ", ".join(layer["Arn"] for layer in configuration.get("Layers", []))),
            ("code", f"{configuration.get('CodeSize')} bytes, {configuration.get('CodeSha256')}"),
            ("modified", configuration.get("LastModified")),
            ("tags", found.get("Tags")),
        ]
    )


def delete_command(
    name: FunctionName,
    qualifier: Qualifier = None,
    as_json: AsJson = False,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
) -> None:
    """Delete a function, or one version of it."""
    query = {"Qualifier": qualifier} if qualifier else {}
    with connected(endpoint_url, region) as client:
        client.json("DELETE", f"{_FUNCTIONS}/{quoted(name)}", **query)
    if as_json:
        output.show_json({"Deleted": name, **query})
    else:
        output.note(f"{name} is deleted.")


def all_functions(client: Client) -> list[dict[str, Any]]:
    """The configurations of all functions, page by page."""
    found: list[dict[str, Any]] = []
    query: dict[str, str] = {}
    while True:
        page = client.json("GET", f"{_FUNCTIONS}/", **query)
        found.extend(page["Functions"])
        if not page.get("NextMarker"):
            return found
        query = {"Marker": page["NextMarker"]}
