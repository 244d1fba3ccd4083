"""Function images: a base image, our bootstrap at /var/runtime, the function's code at /var/task.

    lambda-home/runtime-<runtime>:<hash of base image and bootstrap>     one for each runtime
    lambda-home/function:<instance>-<code>-<hash of the runtime image>   one for each code

Layers are at /opt; their list's key then follows that of the code.

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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from weakref import WeakValueDictionary

import docker.errors
import requests
import structlog

from lambda_home.bundled import bundled
from lambda_home.errors import ApiError
from lambda_home.functions import layers_key
from lambda_home.packager.architectures import runs
from lambda_home.packager.archive import Kind, content
from lambda_home.packager.base_image import BaseImages, family_of
from lambda_home.packager.container_image import ContainerImages
from lambda_home.packager.entrypoints import Entrypoints
from lambda_home.packager.folder import FolderPreparer, contents, extensions_among
from lambda_home.packager.store import CodeStore, CodeUnavailableError, checked_key
from lambda_home.runtimes import preloads
from lambda_home.sandboxes.base import (
    NotNowError,
    Package,
    Prepared,
    RuntimeMissingError,
    SandboxError,
)

FUNCTIONS = "lambda-home/function"
RUNTIMES = "lambda-home/runtime"

_BUILDERS = "lambda-home-build"
_TASK_ROOT, _ROOT, _OPT = "/var/task", "/", "opt/"
_OPT_LABEL = "lambda-home.opt"
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
        self._own_images = frozenset(images)
        self._entrypoints = Entrypoints(store)
        self._known_extensions: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._instance_id = instance_id
        self._instance = _digest(instance_id.encode())[:12]
        self._containers = ContainerImages(client, allow_pull=allow_pull, instance=self._instance)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._runtimes: dict[str, str] = {}
        self._recipes: dict[str, Package] = {}
        self._made: set[str] = set()
        self._with_own_opt: set[str] = set()
        self._warnings: dict[str, str | None] = {}
        self._building: set[str] = set()
        self._guard = threading.Lock()

    async def prepare(self, package: Package) -> Prepared:
        """The tag of the function image, built if it is not there. Raises SandboxError."""
        if package.image is not None:
            async with self._lock(self._containers.tag(package.image)):
                return await asyncio.to_thread(self._containers.started, package.image)
        checked_key(package.code_key)
        remembered = package.runtime in self._runtimes
        try:
            return await self._prepare(package)
        except SandboxError:
            if not remembered:
                raise
            # Its image may have been removed behind our back.
            self._runtimes.pop(package.runtime, None)
            return await self._prepare(package)

    async def rebuild(self, tag: str) -> None:
        """Make an image again that was removed behind our back. Raises SandboxError."""
        for runtime, known in list(self._runtimes.items()):
            if known == tag:
                self._runtimes.pop(runtime)
                await self._parent(runtime)
                return
        if await asyncio.to_thread(self._containers.restore, tag):
            return
        if tag not in self._recipes:
            raise SandboxError(f"Image {tag} is not in the Docker daemon.")
        package = self._recipes[tag]
        self._made.discard(tag)
        self._runtimes.pop(package.runtime, None)
        await self.prepare(package)

    async def resolve_image(self, uri: str) -> str | None:
        """The digest of a container image. Raises ImageError, NotNowError."""
        return await asyncio.to_thread(self._containers.resolve, uri)

    async def runs(self, architecture: str) -> bool:
        """Whether programs made for an architecture run here. Raises NotNowError."""
        return runs(await asyncio.to_thread(self._containers.machine), architecture)

    async def bare(self, runtime: str) -> str | None:
        """The image of a runtime, without a function. Raises SandboxError.

        None if the image has something of its own at /opt, which a spare's folder would hide.
        """
        if self._folders is None or not preloads(runtime):
            return None
        parent = await self._parent(runtime)
        return None if parent in self._with_own_opt else parent

    async def unpack(self, package: Package) -> Prepared | None:
        """Folders with the code and layers, None if they are too large. Raises SandboxError."""
        return None if self._folders is None else await self._folders.unpack(package)

    async def prepare_ahead(self, package: Package) -> None:
        """Unpack the code for a spare; make an image only of what spares do not take."""
        if package.image is not None:
            async with self._lock(self._containers.tag(package.image)):
                await asyncio.to_thread(self._containers.prepare, package.image)
            return
        placed = None if await self.bare(package.runtime) is None else await self.unpack(package)
        if placed is None or placed.extensions:
            await self.prepare(package)

    def warning_for(self, package: Package) -> str | None:
        """What is not as on AWS with what was prepared, in one line for its log."""
        if package.image is not None:
            return self._containers.advice(package.image)
        notes = (
            self._warnings.get(package.runtime),
            self._entrypoints.advice(package),
            self._containers.note(package),
        )
        return " ".join(filter(None, notes)) or None

    async def discard_except(self, code_keys: frozenset[str]) -> None:
        """Remove this instance's images of all other code; one in use stays until next time."""
        if self._folders is not None:  # first: see there
            await self._folders.discard_except(code_keys)
        await asyncio.to_thread(self._discard, {key[:_CODE_DIGITS] for key in code_keys})
        await asyncio.to_thread(self._containers.discard_except, code_keys)

    async def _parent(self, runtime: str) -> str:
        async with self._lock(f"runtime {runtime}"):
            parent = self._runtimes.get(runtime)
            if parent is None:
                parent = await asyncio.to_thread(self._runtime_image, runtime)
                self._runtimes[runtime] = parent
        return parent

    async def _prepare(self, package: Package) -> Prepared:
        parent = await self._parent(package.runtime)
        tag = self._tag(package, parent)
        async with self._lock(tag):
            if tag not in self._made:
                await asyncio.to_thread(self._function_image, tag, parent, package)
                self._recipes[tag] = package
                self._made.add(tag)
        if package.runtime in self._own_images:  # it may have a program of its own
            return Prepared(tag, extensions=await self._extensions(package))
        verdict = await self._entrypoints.verdict(package)
        extensions = await self._extensions(package)
        return Prepared(tag, unstartable=verdict.error, extensions=extensions)

    async def _extensions(self, package: Package) -> tuple[str, ...]:
        """The external extensions of the layers, read from their ZIPs once."""
        keys = package.layer_keys
        if keys and keys not in self._known_extensions:
            try:
                found = await asyncio.to_thread(contents, self._store, keys)
            except (ApiError, CodeUnavailableError) as error:
                raise SandboxError(f"Cannot read the layers: {error}") from error
            self._known_extensions[keys] = extensions_among(found)
        return self._known_extensions.get(keys, ())

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _tag(self, package: Package, parent: str) -> str:
        names = [self._instance, package.code_key[:_CODE_DIGITS], parent.rpartition(":")[2]]
        if package.layer_keys:
            names.insert(2, layers_key(package.layer_keys)[:_CODE_DIGITS])
        return f"{FUNCTIONS}:{'-'.join(names)}"

    def _runtime_image(self, runtime: str) -> str:
        base = self._bases.find(runtime)
        self._warnings[runtime] = base.warning
        folder = bundled("runtimes") / family_of(runtime)
        if not (folder / "Dockerfile").is_file():
            raise RuntimeMissingError(
                f"The bootstrap of runtime {runtime} is not installed: {folder}"
            )
        files = {str(path.relative_to(folder)): path.read_bytes() for path in _files(folder)}
        recipe = (folder / "Dockerfile").read_bytes()
        digest = hashlib.sha256(base.id.encode() + b"\0" + recipe)
        for name, data in files.items():
            digest.update(f"\0{name}\0{len(data)}\0".encode() + data)
        tag = f"{RUNTIMES}-{runtime}:{digest.hexdigest()[:_HASH_DIGITS]}"
        labels = self._labels(tag)
        if labels is None:
            labels = {"lambda-home": "1", _OPT_LABEL: self._opt_of(base.reference)}
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as context:
                with tarfile.open(fileobj=context, mode="w") as tar:
                    _add(tar, "Dockerfile", recipe, 0o644)
                    for name, data in files.items():
                        mode = (folder / name).stat().st_mode & 0o111
                        _add(tar, f"runtime/{name}", data, 0o755 if mode else 0o644)
                arguments = {"BASE": base.reference}
                self._build(tag, context, arguments, labels)
            self._discard_former(tag)
        if labels.get(_OPT_LABEL):
            self._with_own_opt.add(tag)
        return tag

    def _opt_of(self, image: str) -> str:
        """The first thing that an image has at /opt; empty if nothing."""
        client = self._client
        try:
            container = client.create_container_from_config({"Image": image, "Cmd": ["-"]})["Id"]
            try:
                chunks, _ = client.get_archive(container, "/opt")
                with tarfile.open(fileobj=_Stream(iter(chunks)), mode="r|") as tar:
                    names = [item.name for item, _ in zip(tar, range(2), strict=False)]
            except docker.errors.NotFound:
                return ""
            finally:
                client.remove_container(container, force=True)
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise NotNowError(f"Docker could not look into {image}: {error}") from error
        return names[1] if len(names) > 1 else ""

    def _function_image(self, tag: str, parent: str, package: Package) -> None:
        with self._guard:
            self._building.add(tag)
        try:
            if self._labels(tag) is not None:
                return
            with contextlib.ExitStack() as stack:
                code = stack.enter_context(self._tar((package.code_key,)))
                put = [(_TASK_ROOT, code)]
                if package.layer_keys:
                    put.append((_ROOT, stack.enter_context(self._tar(package.layer_keys, _OPT))))
                self._commit(tag, parent, package, put)
        finally:
            with self._guard:
                self._building.discard(tag)

    @contextlib.contextmanager
    def _tar(self, keys: Sequence[str], below: str = "") -> Iterator[IO[bytes]]:
        """ZIPs as they were judged safe, as a tar whose files belong to root."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            self._write(file, keys, below)
            file.seek(0)
            yield file

    def _write(self, file: IO[bytes], keys: Sequence[str], below: str) -> None:
        try:
            found = contents(self._store, keys)
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for entry, data in ((piece.entry, piece.data) for piece in found):
                    item = tarfile.TarInfo(below + entry.path)
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

    def _commit(
        self, tag: str, parent: str, package: Package, put: Sequence[tuple[str, IO[bytes]]]
    ) -> None:
        client, name = self._client, self._builder_name(tag)
        config = {
            "Image": parent,
            "Labels": {  # the image inherits them, and so do its containers
                "lambda-home": "1",
                "lambda-home.instance": self._instance_id,
                "lambda-home.code": package.code_key,
            },
            "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none", "Config": {}}},
        }
        try:
            with contextlib.suppress(docker.errors.NotFound):
                client.remove_container(name, force=True)  # of a server that died over it
            container = client.create_container_from_config(config, name)["Id"]
            try:
                for folder, tar in put:
                    client.put_archive(container, folder, tar)
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

    def _labels(self, tag: str) -> Mapping[str, str] | None:
        """The labels of an image; None if it is not there."""
        try:
            image: dict[str, Any] = self._client.inspect_image(tag)
        except docker.errors.ImageNotFound:
            return None
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise NotNowError(f"The Docker daemon does not answer: {error}") from error
        return (image.get("Config") or {}).get("Labels") or {}

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

    def _discard(self, keys: set[str]) -> None:
        try:
            self._discard_builders()
            images = self._client.images(name=FUNCTIONS)
        except (docker.errors.DockerException, requests.RequestException) as error:
            _log.warning("image_list_failed", error=str(error))
            return
        for tag in (tag for image in images for tag in image["RepoTags"] or ()):
            instance, *made_of, _ = tag.removeprefix(f"{FUNCTIONS}:").split("-")
            if instance != self._instance or keys.issuperset(made_of):
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
