"""`lambda-home build`: a deployment package of sources, made by the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lambda_home.builds.git_sources import is_git_url
from lambda_home.commands import output, project
from lambda_home.commands.building import Building, Wishes, sources_of_git
from lambda_home.commands.client import connected
from lambda_home.commands.failures import Failure, WrongUse
from lambda_home.commands.options import AsJson, EndpointUrl, Region
from lambda_home.commands.packaging import package_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("build")(build_command)


def build_command(  # noqa: PLR0913, PLR0917  one parameter is one flag
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A folder, a .zip, or the URL of a git repository."),
    ] = ".",
    runtime: Annotated[str | None, typer.Option(help="As python3.12, nodejs22.x.")] = None,
    command: Annotated[
        str | None, typer.Option(help="A command for the shell, instead of what the files say.")
    ] = None,
    output_directory: Annotated[
        str | None, typer.Option(help="The folder that the package is made of.")
    ] = None,
    directory: Annotated[str | None, typer.Option(help="The folder of SOURCE to build.")] = None,
    ref: Annotated[str | None, typer.Option(help="A branch, tag or commit of the URL.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME=VALUE", help="For the build; may be repeated."),
    ] = None,
    cache_key: Annotated[
        str | None, typer.Option(help="Builds with the same key share their cache.")
    ] = None,
    function: Annotated[
        str | None, typer.Option(help="The function that it is for: gives the runtime.")
    ] = None,
    deploy: Annotated[
        bool, typer.Option("--deploy", help="Make the package the code of --function.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Save the ZIP there.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")] = True,
    as_json: AsJson = False,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
) -> None:
    """Build a deployment package on the server: install what is missing, compile, make a ZIP."""
    if deploy and not function:
        raise WrongUse("--deploy needs --function NAME.")
    if save is not None and not wait:
        raise WrongUse("--output has to wait for the package: leave --no-wait out.")
    is_remote = is_git_url(source)
    if ref and not is_remote:
        raise WrongUse("--ref is for the URL of a git repository.")
    told = project.Project()
    if not is_remote and Path(source).is_dir():
        told = project.read_project(Path(source))
    wishes = Wishes(
        runtime=runtime or told.runtime or "",
        command=command or told.build_command or "",
        output_directory=output_directory or told.output_directory or "",
        directory=directory or "",
        cache_key=cache_key or "",
        function=function or "",
        deploy=deploy,
        variables=project.variables_of(env or []) or {},
    )
    sources = (
        sources_of_git(source, ref or "")
        if is_remote
        else package_of(Path(source), as_sources=True)
    )
    with connected(endpoint_url, region) as client:
        building = Building(client, quiet=as_json)
        made = building.begin(sources, wishes)
        if wait:
            made = building.follow(made["id"])
        if made["status"] == "ready" and save is not None:
            _save(save, building.package(made))
    _show(made, save, as_json=as_json)
    if made["status"] in {"failed", "canceled"}:
        raise Failure(f"The build {made['status']}: {made['reason']}")


def _save(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise WrongUse(f"{path} cannot be written: {error.strerror}.") from error


def _show(made: dict[str, Any], save: Path | None, *, as_json: bool) -> None:
    if as_json:
        output.show_json(made)
        return
    output.show_members(
        [
            ("Id", made["id"]),
            ("Status", made["status"]),
            ("Runtime", made["runtime"]),
            ("Made by", made["manifest"]),
            ("Size", made["size"]),
            ("Unpacked", made["unpacked_size"]),
            ("CodeSha256", made["code_sha256"]),
            ("Seconds", made["duration_s"]),
            ("Function", made["function"] if made["deployed"] else None),
            ("Saved as", str(save) if save and made["status"] == "ready" else None),
        ]
    )
