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
from lambda_home.logs.chunks import Line

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

    def append(self, scope: Scope, group: str, lines: Sequence[tuple[str, Line]]) -> None:
        """Write lines (stream, line). Raises OSError."""
        path = self.path(scope, group)
        path.parent.mkdir(parents=True, exist_ok=True)
        second, prefix, texts = -1, "", []
        for stream, line in lines:
            now, milliseconds = divmod(line.timestamp_ms, 1000)
            if now != second:
                second = now
                prefix = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            texts.append(f"{prefix}{milliseconds:03}Z [{stream}] {line.message}\n")
        with path.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(texts))
            size = file.tell()
        if size > self._max_bytes:
            path.replace(path.with_suffix(".log.1"))
