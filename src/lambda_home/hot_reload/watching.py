"""Watches one folder in a thread of its own: by the kernel's notices, else by looking again.

The folder may go and come back: it is known by its inode, not by its name alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import structlog
from watchfiles._rust_notify import RustNotify

from lambda_home.packager.ignoring import IgnoreRules

_STEP_MS = 25  # how often notices are fetched, and how long it must be quiet for that
_GATHER_MS = 100
_LOOK_MS = 500  # how often it is asked whether the folder is still the same
_POLL_MS = 300
_AWAY_S = 0.05
_PATIENCE_S = 5.0

_log = structlog.get_logger(__name__)

Told = Callable[[set[str]], None]
"""Hears the names of what has changed, in the watcher's thread; empty: look at everything."""


class Watcher:
    """Watches `folder` between `start` and `stop`.

    `poll_ms` above 0 looks at all files again that often instead of waiting for notices, as it is
    done where the kernel gives none. `rules` answers what is left out at present.
    """

    def __init__(
        self, folder: str, rules: Callable[[], IgnoreRules], told: Told, poll_ms: int = 0
    ) -> None:
        self.folder = folder
        self.polls = poll_ms > 0
        self._poll_ms = poll_ms or _POLL_MS
        self._rules = rules
        self._told = told
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {folder}", daemon=True)

    def start(self) -> None:
        """Begin; `told` hears that everything is to be looked at once notices would come."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                held = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                self._stopping.wait(_AWAY_S)
                continue
            try:
                self._watch(held)
            except OSError as error:
                self._fall_back(error)
            except Exception:
                _log.exception("watching a folder failed", folder=self.folder)
                self._stopping.wait(_AWAY_S)
            finally:
                os.close(held)

    def _watch(self, held: int) -> None:
        """Until the folder is another one, or gone; while it is `held` none gets its inode."""
        identity = _identity(held)
        # What is watched, no words about it on stderr, how, how often, with all below, as far as
        # it may be read.
        how = (False, self.polls, self._poll_ms, True, True)
        followed = RustNotify([self.folder], *how)
        with followed as notices:
            self._told(set())
            look_again = False
            while True:
                found = notices.watch(_GATHER_MS, _STEP_MS, _LOOK_MS, self._stopping)
                if found in ("stop", "signal") or _identity(self.folder) != identity:
                    return
                if not isinstance(found, str):
                    paths = {path for _, path in found}
                    # What is made in a new folder at once may come before its own notices do.
                    look_again = look_again or any(map(os.path.isdir, paths))
                    self._pass_on({os.path.relpath(path, self.folder) for path in paths})
                elif look_again:
                    look_again = False
                    self._told(set())

    def _pass_on(self, names: set[str]) -> None:
        rules = self._rules()
        heard = {name for name in names if not is_left_out(name, rules)}
        if heard:
            self._told(heard)

    def _fall_back(self, error: OSError) -> None:
        if _identity(self.folder) is None:
            return
        if not self.polls:
            self.polls = True
            _log.warning(
                "the kernel gives no notices of changes: a folder is looked at again and again",
                folder=self.folder,
                reason=str(error),
            )
        self._stopping.wait(_AWAY_S)


def _identity(folder: str | int) -> tuple[int, int] | None:
    """By path or descriptor; None if it is not there."""
    try:
        found = os.stat(folder)  # noqa: PTH116  a descriptor, too
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_left_out(name: str, rules: IgnoreRules) -> bool:
    """Whether a change of a file or folder, which may be gone by now, is nobody's business."""
    parts = name.split("/")
    if parts[0] in {".", ".."}:
        return False
    above = ("/".join(parts[:count]) for count in range(1, len(parts)))
    if any(rules.ignores(folder, is_folder=True) for folder in above):
        return True
    return rules.ignores(name) or rules.ignores(name, is_folder=True)
