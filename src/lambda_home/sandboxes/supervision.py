"""The command of an environment that has external extensions: a supervisor, which then runs it.

The supervisor is a script of ours (`runtimes/supervisor.sh`). It comes as a part of the command,
so that it is there in any image. bash runs it where there is one: it can speak HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from lambda_home.bundled import bundled

FOLDER = "/opt/extensions"
_LAUNCHER = 'shell=$(command -v bash) || shell=/bin/sh; exec "$shell" -c "$@"'
_NAME = "lambda-home-supervisor"


def supervised(
    command: Sequence[str], extensions: Sequence[str], folder: str = FOLDER
) -> list[str]:
    """`command`, run after and beside these files of `folder`; itself if there are none."""
    if not extensions:
        return list(command)
    count = str(len(extensions))
    words = ["/bin/sh", "-c", _LAUNCHER, "sh", _script(), _NAME, folder, count]
    return [*words, *extensions, *command]


@cache
def _script() -> str:
    return (bundled("runtimes") / "supervisor.sh").read_text(encoding="utf-8")
