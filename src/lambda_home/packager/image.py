"""Function images: a base image, our bootstrap at /var/runtime, the function's code at /var/task.

    lambda-home/runtime-<runtime>:<hash of base image and bootstrap>     one for each runtime
    lambda-home/function:<instance>-<code>-<hash of the runtime image>   one for each code

A function image is made by putting the code into a container that never runs and committing it:
110 ms, where a build of FROM and COPY takes 150 ms and LABEL another 100 (two cores, 1 kB).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import re
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from weakref import WeakValueDictionary

import docker.errors
import requests
import structlog

from lambda_home.bundled import bundled
from lambda_home.errors import ApiError
from lambda_home.packager.archive import Kind, content, inspect
from lambda_home.packager.base_image import BaseImages, family_of
from lambda_home.packager.folder import FolderPreparer
from lambda_home.packager.store import CodeStore, CodeUnavailableError, checked_key
from lambda_home.sandboxes.base import NotNowError, SandboxError

FUNCTIONS = "lambda-home/function"
RUNTIMES = "lambda-home/runtime"

_BUILDERS = "lambda-home-build"
_TASK_ROOT = "/var/task"
_CODE_DIGITS = 40
_HASH_DIGITS = 16
_IN_MEMORY = 8 * 1024 * 1024
_NOT_IN_IMAGE = re.compile(r"Dockerfile|requirements\.lock|__pycache__|.*\.pyc|\..*|README.*")

_log = structlog.get_logger(__name__)


class ImagePreparer:
    """The CodePreparer of the Docker sandbox; `code` of a SandboxSpec is an image's tag.

    `client` is a docker.APIClient, `images` the setting docker.images. With `folders`, which the
    daemon must see, code is unpacked for spares, and an image is made only where one is needed.
    Images of other instances are never touched.
    """

    def __init__(
        self,
        client: Any,
        store: CodeStore,
        images: Mapping[str, str],
        *,
        allow_pull: bool,
        instance_id: str,
        folders: FolderPreparer | None = None,
    ) -> None:
        self._client = client
        self._folders = folders
        self._store = store
        self._bases = BaseImages(client, images, allow_pull=allow_pull)
        self._instance_id = instance_id
        self._instance = _digest(instance_id.encode())[:12]
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._runtimes: dict[str, str] = {}
        self._recipes: dict[str, tuple[str, str]] = {}
        self._made: set[str] = set()
        self._warnings: dict[str, str | None] = {}
        self._building: set[str] = set()
        self._guard = threading.Lock()

    async def prepare(self, code_key: str, runtime: str) -> str:
        """The tag of the function image, built if it is not there. Raises SandboxError."""
        checked_key(code_key)
        remembered = runtime in self._runtimes
        try:
            return await self._prepare(code_key, runtime)
        except SandboxError:
            if not remembered:
                raise
            self._runtimes.pop(runtime, None)  # its image may have been removed behind our back
            return await self._prepare(code_key, runtime)

    async def rebuild(self, tag: str) -> None:
        """Make an image again that was removed behind our back. Raises SandboxError."""
        for runtime, known in list(self._runtimes.items()):
            if known == tag:
                self._runtimes.pop(runtime)
                await self._parent(runtime)
                return
        if tag not in self._recipes:
            raise SandboxError(f"Image {tag} is not in the Docker daemon.")
        code_key, runtime = self._recipes[tag]
        self._made.discard(tag)
        self._runtimes.pop(runtime, None)
        await self.prepare(code_key, runtime)

    async def bare(self, runtime: str) -> str | None:
        """The image of a runtime, without a function. Raises SandboxError."""
        return None if self._folders is None else await self._parent(runtime)

    async def unpack(self, code_key: str, runtime: str) -> str | None:
        """A folder with the code, None if it is too large to be placed. Raises SandboxError."""
        return None if self._folders is None else await self._folders.unpack(code_key, runtime)

    async def prepare_ahead(self, code_key: str, runtime: str) -> None:
        """Unpack the code for a spare; make an image only of what spares do not take."""
        if await self.bare(runtime) is None or await self.unpack(code_key, runtime) is None:
            await self.prepare(code_key, runtime)

    def warning_for(self, runtime: str) -> str | None:
        """What is not as on AWS with a runtime that was prepared, in one line for its log."""
        return self._warnings.get(runtime)

    async def discard_except(self, code_keys: frozenset[str]) -> None:
        """Remove this instance's images of all other code; one in use stays until next time."""
        await asyncio.to_thread(self._discard, {key[:_CODE_DIGITS] for key in code_keys})
        if self._folders is not None:
            await self._folders.discard_except(code_keys)

    async def _parent(self, runtime: str) -> str:
        async with self._lock(f"runtime {runtime}"):
            parent = self._runtimes.get(runtime)
            if parent is None:
                parent = await asyncio.to_thread(self._runtime_image, runtime)
                self._runtimes[runtime] = parent
        return parent

    async def _prepare(self, code_key: str, runtime: str) -> str:
        parent = await self._parent(runtime)
        tag = self._tag(code_key, parent)
        async with self._lock(tag):
            if tag not in self._made:
                await asyncio.to_thread(self._function_image, tag, parent, code_key)
                self._recipes[tag] = (code_key, runtime)
                self._made.add(tag)
        return tag

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _tag(self, code_key: str, parent: str) -> str:
        runtime_hash = parent.rpartition(":")[2]
        return f"{FUNCTIONS}:{self._instance}-{code_key[:_CODE_DIGITS]}-{runtime_hash}"

    def _runtime_image(self, runtime: str) -> str:
        base = self._bases.find(runtime)
        self._warnings[runtime] = base.warning
        folder = bundled("runtimes") / family_of(runtime)
        if not (folder / "Dockerfile").is_file():
            raise SandboxError(f"The bootstrap of runtime {runtime} is not installed: {folder}")
        files = {str(path.relative_to(folder)): path.read_bytes() for path in _files(folder)}
        recipe = (folder / "Dockerfile").read_bytes()
        digest = hashlib.sha256(base.id.encode() + b"\0" + recipe)
        for name, data in files.items():
            digest.update(f"\0{name}\0{len(data)}\0".encode() + data)
        tag = f"{RUNTIMES}-{runtime}:{digest.hexdigest()[:_HASH_DIGITS]}"
        if not self._exists(tag):
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as context:
                with tarfile.open(fileobj=context, mode="w") as tar:
                    _add(tar, "Dockerfile", recipe, 0o644)
                    for name, data in files.items():
                        mode = (folder / name).stat().st_mode & 0o111
                        _add(tar, f"runtime/{name}", data, 0o755 if mode else 0o644)
                arguments = {"BASE": base.reference}
                self._build(tag, context, arguments, {"lambda-home": "1"})
            self._discard_former(tag)
        return tag

    def _function_image(self, tag: str, parent: str, code_key: str) -> None:
        with self._guard:
            self._building.add(tag)
        try:
            if self._exists(tag):
                return
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as code:
                self._write_code(code, code_key)
                code.seek(0)
                self._commit(tag, parent, code_key, code)
        finally:
            with self._guard:
                self._building.discard(tag)

    def _write_code(self, code: IO[bytes], code_key: str) -> None:
        """The code as it was judged safe, as a tar whose files belong to root."""
        try:
            data = self._store.read(code_key)
            archive = inspect(data)
            with tarfile.open(fileobj=code, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for entry in archive.entries:
                    item = tarfile.TarInfo(entry.path)
                    item.mode, item.mtime = entry.mode, entry.modified
                    if entry.kind is Kind.FILE:
                        item.size = entry.size
                        tar.addfile(item, _Stream(content(entry, data)))
                        continue
                    item.type = tarfile.DIRTYPE
                    if entry.kind is Kind.SYMLINK:
                        item.type, item.linkname = tarfile.SYMTYPE, entry.target
                    tar.addfile(item)
        except (ApiError, CodeUnavailableError) as error:
            raise SandboxError(f"Cannot unpack the code: {error}") from error
        except OSError as error:
            raise NotNowError(f"Cannot unpack the code: {error}") from error

    def _commit(self, tag: str, parent: str, code_key: str, code: IO[bytes]) -> None:
        client, name = self._client, self._builder_name(tag)
        config = {
            "Image": parent,
            "Labels": {  # the image inherits them, and so do its containers
                "lambda-home": "1",
                "lambda-home.instance": self._instance_id,
                "lambda-home.code": code_key,
            },
            "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none", "Config": {}}},
        }
        try:
            with contextlib.suppress(docker.errors.NotFound):
                client.remove_container(name, force=True)  # of a server that died over it
            container = client.create_container_from_config(config, name)["Id"]
            try:
                client.put_archive(container, _TASK_ROOT, code)
                repository, _, version = tag.partition(":")
                client.commit(container, repository, version)
            finally:
                client.remove_container(container, force=True)
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise NotNowError(f"Docker could not make {tag}: {error}") from error

    def _builder_name(self, tag: str) -> str:
        return f"{_BUILDERS}-{tag.partition(':')[2]}"

    def _build(
        self,
        tag: str,
        context: IO[bytes],
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
    ) -> None:
        context.seek(0)
        try:
            for line in self._client.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                buildargs=dict(arguments),
                labels=dict(labels),
                rm=True,
                forcerm=True,
                decode=True,
            ):
                if "error" in line:
                    raise SandboxError(f"Docker could not build {tag}: {line['error'].strip()}")
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise NotNowError(f"Docker could not build {tag}: {error}") from error

    def _exists(self, tag: str) -> bool:
        try:
            self._client.inspect_image(tag)
        except docker.errors.ImageNotFound:
            return False
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise NotNowError(f"The Docker daemon does not answer: {error}") from error
        return True

    def _discard_former(self, tag: str) -> None:
        """Remove the runtime's images with an older bootstrap or base.

        The daemon keeps their layers as long as function images stand on them.
        """
        for image in self._client.images(name=tag.partition(":")[0]):
            for former in image["RepoTags"] or ():
                if former != tag:
                    self._remove(former)

    def _remove(self, tag: str) -> None:
        try:
            self._client.remove_image(tag)
        except (docker.errors.DockerException, requests.RequestException) as error:
            if not isinstance(error, docker.errors.ImageNotFound):
                _log.debug("image_kept", image=tag, error=str(error))

    def _discard_builders(self) -> None:
        """Remove the containers over which an earlier server of this instance died."""
        prefix = f"{_BUILDERS}-{self._instance}-"
        for container in self._client.containers(all=True, filters={"name": prefix}):
            with self._guard:
                busy = {f"/{self._builder_name(tag)}" for tag in self._building}
            if not busy & set(container["Names"]):
                with contextlib.suppress(docker.errors.NotFound):
                    self._client.remove_container(container["Id"], force=True)

    def _discard(self, codes: set[str]) -> None:
        try:
            self._discard_builders()
            images = self._client.images(name=FUNCTIONS)
        except (docker.errors.DockerException, requests.RequestException) as error:
            _log.warning("image_list_failed", error=str(error))
            return
        for tag in (tag for image in images for tag in image["RepoTags"] or ()):
            instance, _, rest = tag.removeprefix(f"{FUNCTIONS}:").partition("-")
            if instance != self._instance or rest.partition("-")[0] in codes:
                continue
            with self._guard:
                if tag in self._building:
                    continue
                self._made.discard(tag)
            self._remove(tag)


class _Stream(io.RawIOBase):
    """Chunks as the readable file that `tarfile` wants."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _files(folder: Path) -> list[Path]:
    """What goes into a runtime image, in an order that does not depend on the disk."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(_NOT_IN_IMAGE.fullmatch(part) for part in path.relative_to(folder).parts)
    )


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    item = tarfile.TarInfo(name)
    item.size, item.mode = len(data), mode
    tar.addfile(item, io.BytesIO(data))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
