"""docs/command-line.md says what is true: it is written anew and compared with the commands."""

from __future__ import annotations

from scripts.cli_reference import PAGE, page


def test_the_page_is_what_the_script_writes() -> None:
    assert PAGE.read_text() == page(), "run: .venv/bin/python scripts/cli_reference.py --write"


def test_every_command_and_option_has_its_meaning() -> None:
    text = page()
    assert "### lambda-home keys create" in text
    assert "| `--role ROLE` |" in text
    assert "|  |" not in text
