"""Unpacked packages for the interpreters of this machine."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

from lambda_home.functions import layers_key
from lambda_home.packager.architectures import note, runs
from lambda_home.packager.entrypoints import Entrypoints, this_machine
from lambda_home.packager.folder import FolderPreparer
from lambda_home.packager.store import CodeStore
from lambda_home.runtimes import preloads
from lambda_home.sandboxes.base import Package, Prepared, RuntimeMissingError
from lambda_home.sandboxes.interpreters import Interpreter, Search, find

_COMPILE_PATIENCE_S = 60
_NO_IMAGES = (
    "Functions made of container images run in Docker only, and this server runs functions as"
    ' processes: install Docker and start it with sandbox.kind = "docker".'
)
_NO_OPT = (
    "The layers are at {}, not at /opt, which a process without bubblewrap shares with the machine."
    " PATH, LD_LIBRARY_PATH, NODE_PATH and PYTHONPATH lead there; whatever names /opt itself fails."
)


class RunnablePreparer(FolderPreparer):
    """A FolderPreparer that knows which interpreter runs a runtime, and makes it start fast.

    `shows_opt`: whether environments have an /opt of their own. Without one, those with layers are
    started for themselves, because the loader reads LD_LIBRARY_PATH only then.
    """

    def __init__(
        self, store: CodeStore, root: Path, search: Search, runtimes: Path, *, shows_opt: bool
    ) -> None:
        super().__init__(store, root, lambda _: None)
        self._search = search
        self._shows_opt = shows_opt
        self._runtimes = runtimes
        self._found: dict[str, Interpreter] = {}
        self._entrypoints = Entrypoints(store)
        self._compiled: set[Path] = set()
        self._compiling = asyncio.Lock()

    async def prepare(self, package: Package) -> Prepared:
        """The folders with the unpacked package. Raises SandboxError if nothing runs it."""
        if package.image is not None:
            raise RuntimeMissingError(_NO_IMAGES)
        interpreter = await self._interpreter(package.runtime)
        if interpreter.family == "python" and interpreter.path not in self._compiled:
            async with self._compiling:
                await asyncio.to_thread(self._compile, interpreter)
        prepared = await super().prepare(package)
        verdict = await self._entrypoints.verdict(package)
        return replace(prepared, unstartable=verdict.error) if verdict.error else prepared

    async def runs(self, architecture: str) -> bool:
        """Whether programs made for an architecture run here, maybe emulated."""
        return runs(this_machine(), architecture)

    async def resolve_image(self, uri: str) -> None:
        """None: container images do not run here."""
        del uri

    async def bare(self, runtime: str) -> str | None:
        """Spares need nothing but their interpreter. Raises SandboxError if there is none."""
        await self._interpreter(runtime)
        return "" if preloads(runtime) else None

    async def unpack(self, package: Package) -> Prepared | None:
        """The same folders, if a spare can be shown them."""
        if package.layer_keys and not self._shows_opt:
            return None
        return await super().unpack(package)

    async def prepare_ahead(self, package: Package) -> None:
        """Unpack the package."""
        await self.prepare(package)

    def warning_for(self, package: Package) -> str | None:
        """Another version of the interpreter, layers that are not at /opt, no program to start."""
        if package.image is not None:
            return None
        notes = [find(package.runtime, self._search).note, self._entrypoints.advice(package)]
        if package.architecture:
            notes.append(note(this_machine(), package.runtime, package.architecture))
        if package.layer_keys and not self._shows_opt:
            notes.append(_NO_OPT.format(self._root / layers_key(package.layer_keys)))
        return " ".join(filter(None, notes)) or None

    async def _interpreter(self, runtime: str) -> Interpreter:
        found = self._found.get(runtime)
        if found is None:
            found = await asyncio.to_thread(find, runtime, self._search)
            if not (self._runtimes / found.family / "bootstrap").is_file():
                raise RuntimeMissingError(
                    f"{runtime} cannot run here: this version of lambda_home has no bootstrap for"
                    f" the runtimes of {found.family}."
                )
            self._found[runtime] = found
        return found

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
