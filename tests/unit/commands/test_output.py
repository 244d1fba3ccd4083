from __future__ import annotations

import io
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from lambda_home.cli import app
from lambda_home.commands import output

ROWS = (("one [bold]", "Active"), ("two", "Failed"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    made = Terminal()
    monkeypatch.setattr(sys, "stdout", made)
    return made


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    output.show_table(("NAME", "STATE"), ROWS, "")
    assert "one [bold]" in terminal.getvalue()
    assert "\x1b[32mActive" in terminal.getvalue()
    assert "\x1b[31mFailed" in terminal.getvalue()
    assert output.is_colourful()


def test_nobody_gets_colours_who_does_not_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    output.show_table(("NAME", "STATE"), ROWS, "")
    output.show_members([("name", "one")])
    assert "\x1b[3" not in terminal.getvalue()
    assert terminal.getvalue().endswith("name  one\n")


def test_a_pipe_gets_columns_that_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    output.show_table(("NAME", "STATE", "MORE"), [(long, None, True), ("a\nb", "", [1])], "")
    assert capsys.readouterr().out.splitlines() == [
        f"NAME{' ' * 296}  STATE  MORE",
        f"{long}  -      yes",
        f"a b{' ' * 297}  -      [1]",
    ]


def test_a_table_without_rows_says_so_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(("NAME",), [], "There is nothing.")
    assert capsys.readouterr() == ("", "There is nothing.\n")


def test_a_start_of_the_server_does_not_wait_for_what_other_commands_need() -> None:
    code = "import sys, lambda_home.__main__, lambda_home.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    heavy = {"httpx", "botocore", "sqlalchemy", "fastapi", "lambda_home.server", "rich.console"}
    assert "lambda_home.cli" in loaded
    assert not loaded & {*heavy, "lambda_home.commands.registration"}


def test_a_shell_is_told_the_commands_that_there_are() -> None:
    shell = {
        "_LAMBDA_HOME_COMPLETE": "complete_bash",
        "COMP_WORDS": "lambda-home ro",
        "COMP_CWORD": "1",
    }
    done = CliRunner().invoke(app, [], env=shell, prog_name="lambda-home")
    assert done.stdout.split() == ["routes"]
