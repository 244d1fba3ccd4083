"""`lambda-home doctor`, `backup`, `restore`: upkeep of a machine and its data directory."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from lambda_home.commands import output
from lambda_home.commands.options import AsJson, Config, DataDir, settings_of
from lambda_home.errors import LambdaHomeError

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]

_SIGNS = {"ok": "ok     ", "warning": "WARNING", "failed": "FAILED "}
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def register(app: typer.Typer) -> None:
    """Add the three commands."""
    app.command("doctor")(doctor_command)
    app.command("backup")(backup_command)
    app.command("restore")(restore_command)


def doctor_command(
    config: Config = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Look at this machine and the data directory, and say what to do. 1 if something is wrong."""
    from lambda_home.operations.diagnosis import exit_code  # noqa: PLC0415  only these commands
    from lambda_home.operations.doctor import examine  # noqa: PLC0415

    findings = examine(settings_of(config, data_dir))
    if as_json:
        output.show_json({"checks": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            sign = _SIGNS[finding.status]
            if output.is_colourful():
                sign = typer.style(sign, fg=_COLOURS[finding.status])
            advice = f"; {finding.advice}" if finding.advice else ""
            typer.echo(f"{sign}  {finding.name}: {finding.message}{advice}")
    raise typer.Exit(exit_code(findings))


def backup_command(  # noqa: PLR0913, PLR0917  one parameter is one flag
    file: BackupFile,
    config: Config = None,
    data_dir: DataDir = None,
    with_logs: Annotated[bool, typer.Option("--with-logs", help="Also the logs.")] = False,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Also the key of the secrets: guard the file.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write one file with functions, layers, routes, secrets; a server may go on meanwhile."""
    from lambda_home.clock import SystemClock  # noqa: PLC0415
    from lambda_home.operations.backup import Source, backup  # noqa: PLC0415

    settings = settings_of(config, data_dir)
    if file.exists() and not force:
        raise LambdaHomeError(f"There is a file {file} already: name another, or give --force.")
    with output.working("Backing up"):
        made = backup(
            Source(settings.data.dir, settings.data.database),
            file,
            SystemClock().now(),
            with_logs=with_logs,
            with_key=with_key,
        )
    if made.needs_key:
        output.note(
            "The secrets in it are encrypted, and their key is not in it: keep"
            f" {settings.data.dir / 'secrets.key'}, or give --with-key."
        )
    if as_json:
        output.show_json(_described(made.manifest, {"file": str(file), "bytes": made.size}))
    else:
        typer.echo(f"{file}: {len(made.manifest.members)} files, {made.size} bytes")


def restore_command(
    file: BackupFile,
    config: Config = None,
    data_dir: DataDir = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a data directory of a backup; the server must not run."""
    from lambda_home.operations.restore import restore  # noqa: PLC0415

    settings = settings_of(config, data_dir)
    target = settings.data.dir
    if settings.data.database != target / "lhome.db":
        raise LambdaHomeError(
            "data.db_url names a database elsewhere: restore without it, then move lhome.db there."
        )
    with output.working("Restoring"):
        made = restore(file, target, force=force)
    if made.needs_key:
        output.note(
            f"The secrets in it are encrypted: put their key into {target / 'secrets.key'}, or set"
            " LAMBDA_HOME_SECRETS__KEY."
        )
    if as_json:
        output.show_json(_described(made.manifest, {"data_dir": str(target)}))
    else:
        typer.echo(f"{target}: {len(made.manifest.members)} files restored")


def _described(manifest: Any, more: dict[str, object]) -> dict[str, object]:
    return {
        **more,
        "version": manifest.version,
        "schema": manifest.schema,
        "created_at": manifest.created_at,
        "files": len(manifest.members),
    }
