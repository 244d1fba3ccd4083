"""How commands fail: one line on stderr that says what is wrong and what to do, and an exit code.

0  fine
1  it failed: the function, the server, a setting, a data directory
2  wrong use: flags, files or payloads that cannot be right
3  no server answers
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from lambda_home.errors import LambdaHomeError

INTERRUPTED = 130
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
# What a path that the user has named may lead to.
_OF_PATHS = frozenset({errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR})


class Failure(LambdaHomeError):
    """The server or the function failed."""

    exit_code = 1


class Refused(Failure):
    """The server answered with an error; `code` is AWS's name of it, empty if it has none."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class WrongUse(Failure):
    """What was asked for cannot be right."""

    exit_code = 2


class Unreachable(Failure):
    """No server answers."""

    exit_code = 3


class OneLineGroup(TyperGroup):
    """The commands of a program whose errors are one line each."""

    def main(self, *args: Any, **members: Any) -> Any:
        """Run a command, and end the process with its exit code."""
        members["standalone_mode"] = False
        try:
            code = super().main(*args, **members)
        except typer.TyperException as error:
            _say_usage(error)
            sys.exit(error.exit_code)
        except LambdaHomeError as error:
            say(str(error))
            sys.exit(getattr(error, "exit_code", 1))
        except (typer.Abort, KeyboardInterrupt):
            say("Interrupted.")
            sys.exit(INTERRUPTED)
        except OSError as error:
            if error.errno in _OF_PATHS and error.filename is not None:
                say(f"Cannot use {error.filename}: {error.strerror}; name another path.")
                sys.exit(1)
            if error.errno not in _NO_ROOM or error.filename is not None:
                raise
            _give_up_output()
            say(f"The output cannot be written: {error.strerror}.")
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def say(message: str) -> None:
    """Write one line to stderr."""
    typer.echo(f"lambda-home: {' '.join(message.split())}", err=True)


def _give_up_output() -> None:
    """Drop what stdout has not written, or Python tries again at its end, and fails as loudly."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say_usage(error: typer.TyperException) -> None:
    message = " ".join(error.format_message().split()).replace("?.", "?")
    message = message.replace(": Value error, ", ": ")
    if type(error).__name__ == "NoArgsIsHelpError":
        if message:
            typer.echo(error.format_message())
        return
    context = getattr(error, "ctx", None)
    hint = f" See {context.command_path} --help." if context is not None else ""
    say(f"{message}{'' if message.endswith(('.', '?')) else '.'}{hint}")
