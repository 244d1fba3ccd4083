"""`lambda-home keys`: access keys from the command line, whether a server is running or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lambda_home.access.roles import Role
from lambda_home.commands import output
from lambda_home.commands.options import AsJson, Config, DataDir, settings_of
from lambda_home.errors import LambdaHomeError, ResourceNotFoundException

if TYPE_CHECKING:
    from lambda_home.access.keys import AccessKeys, KeyRecord
    from lambda_home.config import Settings

app = typer.Typer(
    help="Access keys: who may use a server whose access.auth is sigv4.", no_args_is_help=True
)

Account = Annotated[str | None, typer.Option(help="The account, 12 digits.")]


@app.command("create")
def create_command(  # noqa: PLR0913, PLR0917  one parameter is one flag
    user_name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    role: Annotated[Role, typer.Option(help="What its owner may do.")],
    account: Account = None,
    requests_per_second: Annotated[
        int | None, typer.Option(help="The most requests in a second.")
    ] = None,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print it: its secret is never shown again."""
    from lambda_home.access.keys import checked_role  # noqa: PLC0415  as in `_opened`

    settings = settings_of(config, data_dir)
    account = account or settings.aws.account_id
    checked_role(account, user_name, role, requests_per_second)  # before a database is made
    with _opened(settings) as (keys, now):
        key = keys.create(account, user_name, role, now, requests_per_second)
        if as_json:
            record = keys.record_of(key.account, key.id)
            output.show_json({**_document(record), "secret_access_key": key.secret})
            return
        typer.echo(f"export AWS_ACCESS_KEY_ID={key.id}")
        typer.echo(f"export AWS_SECRET_ACCESS_KEY={key.secret}")
        typer.echo(f"{key.arn} is {_article(key.role)}; the secret is not shown again.", err=True)


@app.command("list")
def list_command(
    account: Account = None,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show all keys, without their secrets."""
    with _opened(settings_of(config, data_dir), must_exist=True) as (keys, _):
        found = keys.everywhere() if account is None else keys.all_of(account)
    if as_json:
        output.show_json({"keys": [_document(record) for record in found]})
        return
    columns = ("ID", "ACCOUNT", "ROLE", "CREATED", "NAME", "REQUESTS/S", "ENABLED")
    rows = [
        (
            record.id,
            record.account,
            record.role,
            f"{datetime.fromtimestamp(record.created_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
            record.user_name,
            record.requests_per_second,
            record.is_enabled,
        )
        for record in found
    ]
    output.show_table(columns, rows, "There are no keys: lambda-home keys create NAME --role ROLE.")


@app.command("delete")
def delete_command(
    access_key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id: AKIA...")],
    config: Config = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete a key; a running server refuses it within a second."""
    with _opened(settings_of(config, data_dir), must_exist=True) as (keys, _):
        for record in keys.everywhere():
            if record.id == access_key_id:
                keys.delete(record.account, access_key_id)
                if as_json:
                    output.show_json({"deleted": access_key_id})
                else:
                    output.note(f"{access_key_id} is deleted.")
                return
        raise ResourceNotFoundException(
            f"There is no access key of the id {access_key_id}: see lambda-home keys list."
        )


@contextmanager
def _opened(settings: Settings, *, must_exist: bool = False) -> Iterator[tuple[AccessKeys, float]]:
    """The keys of a data directory, and what time it is."""
    from lambda_home.access.keys import AccessKeys  # noqa: PLC0415  half a second for nobody else
    from lambda_home.clock import SystemClock  # noqa: PLC0415
    from lambda_home.registry.database import Database  # noqa: PLC0415
    from lambda_home.registry.resources import Resources  # noqa: PLC0415
    from lambda_home.registry.secrets import open_vault  # noqa: PLC0415

    if must_exist:
        _refuse_missing(settings.data.database)
    database = Database.open(settings.data.database)
    try:
        clock = SystemClock()
        key_of_setting = settings.secrets.key.get_secret_value()
        vault = open_vault(key_of_setting, settings.data.dir, database)
        yield AccessKeys(Resources(database), vault, clock.monotonic), clock.now()
    finally:
        database.close()


def _refuse_missing(database: Path) -> None:
    if not database.exists():
        raise LambdaHomeError(
            f"There is no database {database}: name the data directory of the server with"
            " --data-dir."
        )


def _document(record: KeyRecord) -> dict[str, Any]:
    return record.document(output.moment(record.created_at * 1000))


def _article(role: Role) -> str:
    return f"an {role}" if role in {Role.ADMIN, Role.INVOKER} else f"a {role}"
