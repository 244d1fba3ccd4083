"""docs/configuration.md says what is true: it is written anew and compared with the settings."""

from __future__ import annotations

import pytest
from pydantic.fields import FieldInfo
from typer.main import get_command

from lambda_home.cli import app
from lambda_home.config import Settings
from scripts.settings_reference import DEFAULTS, FLAGS, PAGE, field_of, page, parts, values_of

SECTIONS = {field.alias or name: field for name, field in Settings.model_fields.items()}


def test_the_page_is_what_the_script_writes() -> None:
    wanted = page(DEFAULTS.read_text())
    assert PAGE.read_text() == wanted, "run: .venv/bin/python scripts/settings_reference.py --write"


def test_every_setting_is_on_the_page() -> None:
    found = {
        f"{part.name}.{entry.key}" for part in parts(DEFAULTS.read_text()) for entry in part.entries
    }
    tables = {part.name for part in parts(DEFAULTS.read_text())}
    for section, field in SECTIONS.items():
        assert field.annotation is not None
        for key, of in field.annotation.model_fields.items():
            name = f"{section}.{of.alias or key}"
            assert name in found | tables


def test_every_setting_has_its_meaning_beside_it() -> None:
    silent = [
        f"{part.name}.{entry.key}"
        for part in parts(DEFAULTS.read_text())
        for entry in part.entries
        if not entry.words
    ]
    assert silent == []


def test_the_flags_are_those_of_serve() -> None:
    serve = getattr(get_command(app), "commands")["serve"]  # noqa: B009  of groups only
    flags = {option for given in serve.params for option in given.opts}
    assert set(FLAGS.values()) <= flags
    assert all(isinstance(field_of(name), FieldInfo) for name in FLAGS)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("server.bind", "text"),
        ("server.port_user_api", "whole number, 0 to 65535"),
        ("server.insecure", "`true`, `false`"),
        ("server.header_timeout_s", "number, more than 0"),
        ("server.allowed_hosts", "list of texts"),
        ("sandbox.kind", '`"auto"`, `"docker"`, `"process"`'),
        ("sandbox.closed_ports", "list of whole numbers, 1 to 65535"),
        ("docker.images", "table of texts"),
        ("data.dir", "path"),
        ("secrets.key", "text, secret"),
        ("async.workers", "whole number, more than 0"),
    ],
)
def test_values_are_told_in_words(name: str, values: str) -> None:
    assert values_of(field_of(name)) == values


def test_words_beside_a_key_become_a_row() -> None:
    text = (
        '# A file.\n\n[server]   # where\nbind = "x"     # an address;\n'
        '                # of [data] dir or "y"\n\n[docker.images]\n# "a" = "b"\n'
    )
    (server, images) = parts(text)
    assert (server.words, server.entries[0].words) == (
        ["where"],
        ["an address;", 'of [data] dir or "y"'],
    )
    assert images.examples == ['"a" = "b"']
    rows = page(text).splitlines()
    assert (
        '| `bind` | `"x"` | text | an address; of `[data] dir` or `"y"`; flag `--host`'
        "<br>`LAMBDA_HOME_SERVER__BIND` |"
    ) in rows
