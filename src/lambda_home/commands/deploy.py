"""`lambda-home deploy`: from a folder to a function that can be called; and `create`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from lambda_home.commands import detection, output, project
from lambda_home.commands.building import Building, Wishes, needs
from lambda_home.commands.client import Client, connected
from lambda_home.commands.deploying import Deployment, Outcome, Wanted
from lambda_home.commands.endpoint import DEFAULT_ENDPOINT, DEFAULT_REGION
from lambda_home.commands.failures import WrongUse
from lambda_home.commands.options import (
    AsJson,
    EndpointUrl,
    Handler,
    Memory,
    NewName,
    Region,
    Runtime,
    Timeout,
    Variables,
)
from lambda_home.commands.packaging import Package, in_zip, package_of


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("deploy")(deploy_command)
    app.command("create")(create_command)


def deploy_command(  # noqa: PLR0913, PLR0917  one parameter is one flag
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder, one file, or a .zip.")],
    name: NewName = None,
    runtime: Runtime = None,
    handler: Handler = None,
    role: Annotated[str | None, typer.Option(help="The ARN of its execution role.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    memory: Memory = None,
    timeout: Timeout = None,
    env: Variables = None,
    layer: Annotated[
        list[str] | None,
        typer.Option("--layer", metavar="ARN", help="A version of a layer; may be repeated."),
    ] = None,
    url: Annotated[
        bool | None,
        typer.Option("--url", help="Give it a function URL that anybody may call."),
    ] = None,
    build: Annotated[
        bool | None,
        typer.Option(
            "--build/--no-build",
            help="Install or compile what the files say; without either, if they ask for it.",
        ),
    ] = None,
    build_command: Annotated[
        str | None, typer.Option(help="A command for the shell that builds it.")
    ] = None,
    output_directory: Annotated[
        str | None, typer.Option(help="The folder that the package is made of.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until it can be called.")
    ] = True,
    as_json: AsJson = False,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
) -> None:
    """Create a function from a folder, or update what differs.

    Runtime and handler are found from the files.
    lambda-home.toml in the folder may say what flags say.
    Dependencies that the files name and that are not there are installed by the server, and
    sources compiled.
    What .lambdaignore names stays out of the package.
    """
    flags = project.Project(
        name=name,
        runtime=runtime,
        handler=handler,
        role=role,
        description=description,
        memory=memory,
        timeout=timeout,
        environment=project.variables_of(env or []),
        layers=layer or None,
        url=url,
        build=build,
        build_command=build_command,
        output_directory=output_directory,
    )
    folder = path if path.is_dir() else path.parent
    told = (project.read_project(folder) if path.is_dir() else project.Project()).with_flags(flags)
    with connected(endpoint_url, region) as client:
        package, told = _package(path, told, client, quiet=as_json)
        entry = _entry(package, told)
        wanted = _wanted(told.name or project.name_of(path), package, told, entry)
        deployment = Deployment(client, output.working, waits=wait)
        outcome = deployment.bring(wanted)
        function_url = deployment.url_of(wanted.name) if told.url else None
        if as_json:
            output.show_json(_document(outcome, function_url))
        else:
            _show(outcome, function_url, client)


def create_command(  # noqa: PLR0913, PLR0917  one parameter is one flag
    name: Annotated[str, typer.Argument(metavar="NAME", help="The function's name.")],
    runtime: Annotated[str, typer.Argument(metavar="RUNTIME", help="As python3.12.")],
    handler: Annotated[str, typer.Argument(metavar="HANDLER", help="As app.handler.")],
    path: Annotated[Path, typer.Argument(metavar="ZIP", help="A .zip, a folder, or one file.")],
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    memory: Annotated[int, typer.Option(help="MB.")] = 512,
    timeout: Annotated[int, typer.Option(help="Seconds.")] = 3,
    as_json: AsJson = False,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
) -> None:
    """Create a function, as Lambda@Home's command line does; fails if there is one."""
    told = project.Project(
        runtime=runtime, handler=handler, description=description, memory=memory, timeout=timeout
    )
    package = package_of(path)
    wanted = _wanted(name, package, told, _entry(package, told))
    with connected(endpoint_url, region) as client:
        outcome = Deployment(client, output.working, only_new=True).bring(wanted)
        if as_json:
            output.show_json(_document(outcome, None))
        else:
            _show(outcome, None, client)


def _package(
    path: Path, told: project.Project, client: Client, *, quiet: bool
) -> tuple[Package, project.Project]:
    """What is deployed: built by the server where there is something to build, else as it is."""
    if not path.is_dir() or told.build is False:
        return package_of(path), told
    sources = package_of(path, as_sources=True)
    wishes = Wishes(
        runtime=told.runtime or _guessed_runtime(sources, told),
        command=told.build_command or "",
        output_directory=told.output_directory or "",
    )
    if not told.build and not needs(sources, wishes):
        return package_of(path), told
    building = Building(client, quiet=quiet)
    built = building.follow(building.begin(sources, wishes)["id"])
    package = in_zip(building.package(built), path)
    return package, replace(told, runtime=told.runtime or built["runtime"])


def _guessed_runtime(sources: Package, told: project.Project) -> str:
    """The runtime that sources tell as a package does; empty where only a build will tell."""
    files = detection.Files(sources.names, sources.executables, sources.text)
    try:
        return detection.entry_of(files, None, told.handler, _this_python()).runtime
    except WrongUse:
        return ""


def _this_python() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _entry(package: Package, told: project.Project) -> detection.Entry:
    """What the function is started with, held against its files."""
    files = detection.Files(package.names, package.executables, package.text)
    entry = detection.entry_of(files, told.runtime, told.handler, _this_python())
    if not told.layers:  # a layer may bring the handler
        detection.check_handler(files, entry)
        if (advice := detection.advice_of(files)) is not None:
            output.note(f"If the function needs them: {advice}")
    return entry


def _wanted(name: str, package: Package, told: project.Project, entry: detection.Entry) -> Wanted:
    """Members of CreateFunction and UpdateFunctionConfiguration, of what was said."""
    environment = None if told.environment is None else {"Variables": told.environment}
    members = {
        "Runtime": None if entry.is_guess else entry.runtime,
        "Handler": entry.handler,
        "Role": told.role,
        "Description": told.description,
        "MemorySize": told.memory,
        "Timeout": told.timeout,
        "Environment": environment,
        "Layers": told.layers,
    }
    settings = {key: value for key, value in members.items() if value is not None}
    return Wanted(name, package.content, settings, entry.runtime if entry.is_guess else "")


def _document(outcome: Outcome, function_url: str | None) -> dict[str, Any]:
    return {
        "Action": outcome.action,
        "Changes": outcome.changes,
        "FunctionUrl": function_url,
        "Configuration": outcome.configuration,
    }


def _show(outcome: Outcome, function_url: str | None, client: Client) -> None:
    """Print what was done, and how to call the function."""
    configuration = outcome.configuration
    name = configuration["FunctionName"]
    what = f" ({', '.join(outcome.changes)})" if outcome.changes else ""
    typer.echo(
        f"{name} is {outcome.action}{what}: {configuration.get('Runtime')},"
        f" {configuration.get('Handler')}, {configuration.get('MemorySize')} MB,"
        f" {configuration.get('Timeout')} s"
    )
    access = client.access
    shown = shlex.quote(access.endpoint)
    at = "" if access.endpoint == DEFAULT_ENDPOINT else f" --endpoint-url {shown}"
    region = "" if access.region == DEFAULT_REGION else f" --region {access.region}"
    typer.echo("\nCall it:")
    typer.echo(f"  lambda-home invoke {name} --payload '{{}}'{at}{region}")
    where = f"--endpoint-url {shown}{region}"
    typer.echo(f"  aws lambda invoke {where} --function-name {name} out.json")
    if access.is_as_anybody:
        typer.echo(f"  curl {shlex.quote(f'{access.endpoint}/{name}')}")
    if function_url:
        typer.echo(f"  curl {shlex.quote(function_url)}")
