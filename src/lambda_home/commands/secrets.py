"""`lambda-home secrets`: values that functions get by `SECRET_REF:NAME`, and nobody else sees."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lambda_home.commands import output
from lambda_home.commands.client import connected, quoted
from lambda_home.commands.failures import WrongUse
from lambda_home.commands.options import AsJson, EndpointUrl, Region

_PATH = "/api/admin/secrets"
app = typer.Typer(help="Secrets of functions, encrypted at rest.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The secret's name.")]


@app.command("list")
def list_command(
    as_json: AsJson = False, endpoint_url: EndpointUrl = None, region: Region = None
) -> None:
    """Show the names of all secrets."""
    with connected(endpoint_url, region) as client:
        found = client.json("GET", _PATH)
    if as_json:
        output.show_json(found)
        return
    rows = [(one["name"], one["created_at"], one["updated_at"]) for one in found["secrets"]]
    output.show_table(("NAME", "CREATED", "UPDATED"), rows, "There are no secrets.")


@app.command("set")
def set_command(
    name: Name,
    value: Annotated[
        str | None,
        typer.Option(help="The value; others on this machine can read it while this runs."),
    ] = None,
    as_json: AsJson = False,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
) -> None:
    """Set a secret: the value comes from a prompt, or from stdin without its last newline."""
    body = {"name": name, "value": _asked_for(name) if value is None else value}
    with connected(endpoint_url, region) as client:
        made = client.json("POST", _PATH, body)
    if as_json:
        output.show_json(made)
    else:
        output.note(f"{name} is set: functions get it as SECRET_REF:{name}.")


@app.command("delete")
def delete_command(
    name: Name, as_json: AsJson = False, endpoint_url: EndpointUrl = None, region: Region = None
) -> None:
    """Delete a secret."""
    if not name:
        raise WrongUse("Give the name of a secret: see lambda-home secrets list.")
    path = "/".join(quoted(part) if part else "" for part in name.split("/"))
    with connected(endpoint_url, region) as client:
        client.json("DELETE", f"{_PATH}/{path}")
    if as_json:
        output.show_json({"deleted": name})
    else:
        output.note(f"{name} is deleted.")


def _asked_for(name: str) -> str:
    """A value from a prompt that does not show it, or from stdin. Raises WrongUse."""
    if sys.stdin.isatty():
        return str(
            typer.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True, err=True)
        )
    try:
        value = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise WrongUse("The value on stdin is not UTF-8: a secret is text.") from None
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise WrongUse("There is no value on stdin: pipe it in, or run this on a terminal.")
    return value
