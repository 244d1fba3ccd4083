"""Log groups as plain text beside the store, for `tail -f`: one file per group.

Files are `<dir>/<account>/<region>/<log group>.log`, each line `time [stream] message`; a file over
its size limit is rotated once.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from lambda_home.arns import Scope
from lambda_home.logs.chunks import Run

_UNSAFE = re.compile(r"[^A-Za-z0-9_./#-]|\.\.")


class TextFiles:
    """Appends lines to the files of their groups below `root`."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes

    def path(self, scope: Scope, group: str) -> Path:
        """The file of a log group; nothing in the group's name leads out of the folder."""
        name = _UNSAFE.sub("_", group.strip("/")) or "_"
        return self._root / scope.account / scope.region / f"{name}.log"

    def clear(self, account: str | None) -> None:
        """Remove all files, or those of one account."""
        folder = self._root if account is None else self._root / account
        shutil.rmtree(folder, ignore_errors=True)

    def append(self, scope: Scope, group: str, runs: Sequence[tuple[str, Run]]) -> None:
        """Write runs of events (stream, run). Raises OSError."""
        path = self.path(scope, group)
        path.parent.mkdir(parents=True, exist_ok=True)
        second, moment = -1, ""
        texts: list[str] = []
        for stream, run in runs:
            now, milliseconds = divmod(run.timestamp_ms, 1000)
            if now != second:
                second = now
                moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            prefix = f"{moment}{milliseconds:03}Z [{stream}] "
            texts += (prefix, f"\n{prefix}".join(run.messages), "\n")
        with path.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(texts))
            size = file.tell()
        if size > self._max_bytes:
            path.replace(path.with_suffix(".log.1"))
