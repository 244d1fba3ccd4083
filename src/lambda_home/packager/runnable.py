"""Unpacked packages for the interpreters of this machine."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from lambda_home.packager.folder import FolderPreparer
from lambda_home.packager.store import CodeStore
from lambda_home.sandboxes.interpreters import Interpreter, Search, find

_COMPILE_PATIENCE_S = 60


class RunnablePreparer(FolderPreparer):
    """A FolderPreparer that knows which interpreter runs a runtime, and makes it start fast."""

    def __init__(self, store: CodeStore, root: Path, search: Search, runtimes: Path) -> None:
        super().__init__(store, root, lambda _: None)
        self._search = search
        self._runtimes = runtimes
        self._compiled: set[Path] = set()
        self._compiling = asyncio.Lock()

    async def prepare(self, code_key: str, runtime: str) -> str:
        """The folder with the unpacked package. Raises SandboxError if nothing runs `runtime`."""
        interpreter = await asyncio.to_thread(find, runtime, self._search)
        if interpreter.family == "python" and interpreter.path not in self._compiled:
            async with self._compiling:
                await asyncio.to_thread(self._compile, interpreter)
        return await super().prepare(code_key, runtime)

    async def bare(self, runtime: str) -> str | None:
        """Spares need nothing but their interpreter. Raises SandboxError if there is none."""
        await asyncio.to_thread(find, runtime, self._search)
        return ""

    async def prepare_ahead(self, code_key: str, runtime: str) -> None:
        """Unpack the package."""
        await self.prepare(code_key, runtime)

    def warning_for(self, runtime: str) -> str | None:
        """What the function's log should say if another version of the interpreter runs it."""
        return find(runtime, self._search).note or None

    def _compile(self, interpreter: Interpreter) -> None:
        """Write the bootstrap's byte code: environments see it read-only, and each would compile.

        Where that fails (an installation that only root can write) starts are slower, not wrong.
        """
        folder = self._runtimes / interpreter.family
        command = [str(interpreter.path), "-m", "compileall", "-q", str(folder)]
        subprocess.run(  # noqa: S603
            command, check=False, capture_output=True, timeout=_COMPILE_PATIENCE_S
        )
        self._compiled.add(interpreter.path)
