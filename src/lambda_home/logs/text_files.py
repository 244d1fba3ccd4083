"""Log groups as plain text beside the store, for `tail -f`: one file per group.

Files are `<dir>/<account>/<region>/<log group>.log`, each line `time [stream] message`; a file over
its size limit is rotated once.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from lambda_home.arns import Scope
from lambda_home.logs.chunks import Run

_CLEARED = ".cleared-"
_UNSAFE = re.compile(r"[^A-Za-z0-9_./#-]|\.\.")


class TextFiles:
    """Appends lines to the files of their groups below `root`."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._untidy = True  # a server before may have been killed meanwhile

    def path(self, scope: Scope, group: str) -> Path:
        """The file of a log group; nothing in the group's name leads out of the folder."""
        name = _UNSAFE.sub("_", group.strip("/")) or "_"
        return self._root / scope.account / scope.region / f"{name}.log"

    def clear(self, account: str | None) -> None:
        """Take all files out of sight, or those of one account; `tidy` removes them."""
        going = [self._root / account] if account is not None else self._accounts()
        for folder in going:
            with suppress(FileNotFoundError):
                folder.rename(self._root / f"{_CLEARED}{secrets.token_hex(8)}")
                self._untidy = True

    def tidy(self) -> None:
        """Remove what was cleared: file by file, which nobody should wait for."""
        if self._untidy:
            self._untidy = False
            for folder in self._root.glob(f"{_CLEARED}*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _accounts(self) -> list[Path]:
        if not self._root.is_dir():
            return []
        return [path for path in self._root.iterdir() if not path.name.startswith(_CLEARED)]

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
