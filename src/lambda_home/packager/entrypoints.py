"""The programs that packages bring: looked at once for each package, before it is started."""

from __future__ import annotations

import asyncio
import platform
from functools import cache
from pathlib import Path

from lambda_home.errors import ApiError
from lambda_home.packager.entrypoint import STARTABLE, Machine, Verdict, judge
from lambda_home.packager.folder import contents
from lambda_home.packager.layers import Piece
from lambda_home.packager.store import CodeStore, CodeUnavailableError
from lambda_home.runtimes import Runtime, runtime
from lambda_home.sandboxes.base import Package, SandboxError

_EMULATORS = Path("/proc/sys/fs/binfmt_misc")
_MOST_REMEMBERED = 4096


class Entrypoints:
    """Remembers what was found, for packages in use."""

    def __init__(self, store: CodeStore) -> None:
        self._store = store
        self._found: dict[Package, Verdict] = {}

    async def verdict(self, package: Package) -> Verdict:
        """Whether the package's own program can be started. Raises SandboxError."""
        known = runtime(package.runtime)
        if known is None or not known.family.brings_program:
            return STARTABLE
        found = self._found.get(package)
        if found is None:
            found = await asyncio.to_thread(self._judge, known, package)
            if len(self._found) >= _MOST_REMEMBERED:
                self._found.clear()
            self._found[package] = found
        return found

    def advice(self, package: Package) -> str:
        """What to do about a package that was looked at and cannot be started."""
        return self._found.get(package, STARTABLE).advice

    def _judge(self, known: Runtime, package: Package) -> Verdict:
        try:
            code = contents(self._store, (package.code_key,))
            opt: list[Piece] = []
            if package.layer_keys:
                opt = contents(self._store, package.layer_keys)
            return judge(known, code, opt, this_machine())
        except (ApiError, CodeUnavailableError) as error:
            raise SandboxError(f"Cannot unpack the code: {error}") from error


@cache
def this_machine() -> Machine:
    """The machine that the server runs on, which is taken for the Docker daemon's."""
    emulates = _EMULATORS.is_dir() and any(_EMULATORS.glob("qemu-*"))
    return Machine(platform.machine(), emulates)
