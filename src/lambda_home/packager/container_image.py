"""Functions that are container images: found in the Docker daemon or pulled, pinned, looked into.

    lambda-home/container-image:<instance>-<digest>      one for each digest in use
    lambda-home-look-<instance>-<digest>                 a container that never runs, with volumes

An image is known by the digest that it had when it was given, and gets that tag, so that neither
another image of the same name nor a `docker image prune` takes it away from its functions.

All methods block on the daemon (`client` is a docker.APIClient); call them in a thread.
"""

from __future__ import annotations

import contextlib
import json
import tarfile
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import docker.auth
import docker.errors
import requests
import structlog

from lambda_home.packager.architectures import native, note
from lambda_home.packager.entrypoint import Machine
from lambda_home.packager.entrypoints import this_machine
from lambda_home.packager.image_program import (
    Found,
    digest_of,
    has_shell,
    is_name,
    judge_program,
    made_for,
    may_be_asked,
    platform_of,
    program_of,
    repository_of,
)
from lambda_home.sandboxes.base import ImageCode, ImageError, NotNowError, Package, Prepared

PINNED: Final = "lambda-home/container-image"

_LOOKERS = "lambda-home-look"
_DIGITS = 40
_HEAD = 256
_PATIENCE_S = 10.0
_FOLDER, _SYMLINK = 1 << 31, 1 << 27  # of Go's os.FileMode
_EXTENSIONS = "/opt/extensions"
_MISSING = 404
_DENIALS = ("denied", "unauthorized", "no basic auth", "authentication required", "forbidden")
_FAILURES = (docker.errors.DockerException, requests.RequestException)

_log = structlog.get_logger(__name__)


class ContainerImages:
    """The container images of one instance's functions. `instance` is a short name for tags."""

    def __init__(self, client: Any, *, allow_pull: bool, instance: str) -> None:
        self._client = client
        self._allow_pull = allow_pull
        self._instance = instance
        self._machine: Machine | None = None
        self._prepared: dict[ImageCode, Prepared] = {}
        self._advice: dict[ImageCode, str] = {}
        self._codes: dict[str, ImageCode] = {}

    def resolve(self, uri: str) -> str:
        """The digest (hex) of the image of that name: the daemon's, else its registry's.

        Raises ImageError if neither has it, NotNowError.
        """
        _check_name(uri)
        image = self._inspect(uri)
        if image is not None:
            return digest_of(image, uri)
        self._check_pullable(uri)
        try:
            answer = self._client.get(
                self._url("distribution", uri, "json"),
                headers=self._credentials(uri),
                timeout=_PATIENCE_S,
            )
        except requests.RequestException as error:
            raise _missing(uri, f"its registry did not answer in {_PATIENCE_S:.0f} s") from error
        if not answer.ok:
            raise _refused(uri, _said(answer))
        return str(answer.json()["Descriptor"]["digest"]).removeprefix("sha256:")

    def prepare(self, code: ImageCode) -> Prepared:
        """The image by its pinned tag, with what it runs. Raises ImageError, NotNowError."""
        prepared = self._prepared.get(code)
        if prepared is None:
            tag = self.tag(code)
            image = self._had(code, tag)
            prepared = self._look_into(image, code, tag)
            self._prepared[code] = prepared
            self._codes[tag] = code
        return prepared

    def started(self, code: ImageCode) -> Prepared:
        """The same, of a function that could run before. Raises ImageError, NotNowError."""
        try:
            return self.prepare(code)
        except ImageError as error:
            raise _deleted(error) from error

    def restore(self, tag: str) -> bool:
        """Get an image again that was removed while the server ran; False if it is none of these.

        Raises ImageError, NotNowError.
        """
        code = self._codes.get(tag)
        if code is None:
            return False
        try:
            image = self._had(code, tag)
        except ImageError as error:
            raise _deleted(error) from error
        self._prepared[code] = self._look_into(image, code, tag)
        return True

    def advice(self, code: ImageCode) -> str | None:
        """What the log should say about an image that was prepared."""
        return self._advice.get(code)

    def tag(self, code: ImageCode) -> str:
        """The name that an image has here as long as functions use it."""
        return f"{PINNED}:{self._instance}-{code.digest[:_DIGITS]}"

    def discard_except(self, digests: frozenset[str]) -> None:
        """Give up the tags of all other images; one that has another name stays under that."""
        keep = {f"{PINNED}:{self._instance}-{digest[:_DIGITS]}" for digest in digests}
        try:
            found = self._client.images(name=PINNED)
        except _FAILURES as error:
            _log.warning("image_list_failed", error=str(error))
            return
        for tag in (tag for image in found for tag in image["RepoTags"] or ()):
            if not tag.startswith(f"{PINNED}:{self._instance}-") or tag in keep:
                continue
            for code in [c for c in self._prepared if self.tag(c) == tag]:
                self._prepared.pop(code, None)
                self._advice.pop(code, None)
            self._codes.pop(tag, None)
            try:
                with contextlib.suppress(docker.errors.NotFound):
                    self._client.remove_container(_looker_name(tag), v=True, force=True)
                self._client.remove_image(tag)
            except _FAILURES as error:
                _log.debug("image_kept", image=tag, error=str(error))

    # ---------------------------------------------------------------------------------- finding

    def _had(self, code: ImageCode, tag: str) -> Mapping[str, Any]:
        """The image of that digest, pulled if need be, and pinned."""
        _check_name(code.uri)
        image = self._inspect(tag)
        if image is not None:
            return image
        by_digest = f"{repository_of(code.uri)}@sha256:{code.digest}"
        image = self._inspect(by_digest) or self._inspect(f"sha256:{code.digest}")
        if image is None:
            self._pull(code, by_digest)
            image = self._inspect(by_digest)
        if image is None:
            raise _missing(code.uri, "the daemon has lost it")
        repository, _, name = tag.partition(":")
        try:
            self._client.tag(image["Id"], repository, name)
        except _FAILURES as error:
            raise NotNowError(f"Docker could not keep image {code.uri}: {error}") from error
        return image

    def _inspect(self, reference: str) -> Mapping[str, Any] | None:
        try:
            image: Mapping[str, Any] = self._client.inspect_image(reference)
        except docker.errors.ImageNotFound:
            return None
        except docker.errors.APIError as error:
            if error.is_client_error():  # no name that an image could have
                return None
            raise NotNowError(f"The Docker daemon does not answer: {error}") from error
        except _FAILURES as error:
            raise NotNowError(f"The Docker daemon does not answer: {error}") from error
        return image

    def _check_pullable(self, uri: str) -> None:
        if not self._allow_pull:
            raise _missing(uri, "the Docker daemon has none of that name, docker.allow_pull is off")
        if not may_be_asked(uri):
            raise _missing(uri, "nothing is pulled from a link-local address")

    def _pull(self, code: ImageCode, reference: str) -> None:
        self._check_pullable(code.uri)
        try:
            platform = platform_of(code.architecture)
            lines = self._client.pull(reference, stream=True, decode=True, platform=platform)
            failed = next((line["error"] for line in lines if "error" in line), None)
        except _FAILURES as error:
            failed = str(getattr(error, "explanation", None) or error)
        if failed is not None:
            raise _refused(code.uri, str(failed))

    def _url(self, *parts: str) -> str:
        return "/".join((self._client.base_url, f"v{self._client.api_version}", *parts))

    def _credentials(self, uri: str) -> dict[str, str]:
        """What the Docker configuration of this machine has for the registry."""
        try:
            registry, _ = docker.auth.resolve_repository_name(repository_of(uri))
            header = docker.auth.get_config_header(self._client, registry)
        except docker.errors.DockerException:
            return {}
        if not header:
            return {}
        return {"X-Registry-Auth": header.decode() if isinstance(header, bytes) else header}

    # ------------------------------------------------------------------------------ looking into

    def _look_into(self, image: Mapping[str, Any], code: ImageCode, tag: str) -> Prepared:
        machine = self.machine()
        with self._looker(image, tag) as looker:
            shell = has_shell(looker.look)
            program = program_of(image.get("Config") or {}, code, has_shell=shell)
            error = judge_program(program, code.search_path, looker.look, machine)
            extensions = looker.names(_EXTENSIONS)
        if (image.get("Config") or {}).get("Volumes"):
            program = replace(program, volumes_from=_looker_name(tag))
        made = native(Machine(made_for(image)))
        if made and made != code.architecture:
            self._advice[code] = (
                f"Image {code.uri} is made for {made}, the function for {code.architecture}: on AWS"
                f" it fails with `exec format error`. Create the function with Architectures"
                f" [{made}], or build the image with --platform {platform_of(code.architecture)}."
            )
        return Prepared(tag, unstartable=error, extensions=extensions, program=program)

    def note(self, package: Package) -> str:
        """What the log should say of a package that is made for another machine."""
        if not package.architecture:
            return ""
        return note(self._machine or this_machine(), package.runtime, package.architecture)

    def machine(self) -> Machine:
        """The daemon's machine. Raises NotNowError."""
        if self._machine is None:
            try:
                about = self._client.info()
            except _FAILURES as error:
                raise NotNowError(f"The Docker daemon does not answer: {error}") from error
            self._machine = machine_of(about)
        return self._machine

    @contextlib.contextmanager
    def _looker(self, image: Mapping[str, Any], tag: str) -> Iterator[_Looker]:
        """A container of the image that never runs: its files can be asked for.

        It stays where the image declares volumes, which all its environments see from there.
        """
        client, name = self._client, _looker_name(tag)
        config = {
            "Image": str(image["Id"]),
            "Entrypoint": ["-"],
            "Labels": {"lambda-home": "1"},
            "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none", "Config": {}}},
        }
        try:
            with contextlib.suppress(docker.errors.NotFound):
                client.remove_container(name, v=True, force=True)  # of a former server
            container = client.create_container_from_config(config, name)["Id"]
            try:
                yield _Looker(client, self._url("containers", container, "archive"))
            finally:
                if not (image.get("Config") or {}).get("Volumes"):
                    client.remove_container(container, force=True)
        except (tarfile.TarError, *_FAILURES) as error:
            raise NotNowError(f"Docker could not look into the image: {error}") from error


class _Looker:
    """Looks at files of a container by `url`, that of its archive."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url
        self._seen: dict[str, Found | None] = {}

    def look(self, path: str) -> Found | None:
        """See `image_program.Look`."""
        if path not in self._seen:
            self._seen[path] = self._found(path)
        return self._seen[path]

    def names(self, folder: str) -> tuple[str, ...]:
        """The names of the files of a folder, in order."""
        found = self.look(folder)
        if found is None or not found.is_folder:
            return ()
        top = folder.rpartition("/")[2]
        with self._archive(folder) as tar:
            files = [item.name for item in tar if not item.isdir()]
        below = (name.removeprefix(f"{top}/") for name in files)
        return tuple(sorted(name for name in below if "/" not in name))

    def _found(self, path: str) -> Found | None:
        stat = self._stat(path)
        if stat is not None and stat["mode"] & _SYMLINK:
            path = stat["linkTarget"]
            stat = self._stat(path)
        if stat is None:
            return None
        if stat["mode"] & _FOLDER:
            return Found(stat["mode"] & 0o777, is_folder=True)
        with self._archive(path) as tar:
            item = tar.next()
            if item is None:
                return None
            file = tar.extractfile(item)
            head = file.read(_HEAD) if file is not None else b""
        return Found(item.mode & 0o777, item.uid, item.gid, head=head)

    def _stat(self, path: str) -> dict[str, Any] | None:
        answer = self._client.head(self._url, params={"path": path}, timeout=_PATIENCE_S)
        if answer.status_code == _MISSING:
            return None
        answer.raise_for_status()
        found: dict[str, Any] = json.loads(
            b64decode(answer.headers["X-Docker-Container-Path-Stat"])
        )
        return found

    @contextlib.contextmanager
    def _archive(self, path: str) -> Iterator[tarfile.TarFile]:
        answer = self._client.get(
            self._url,
            params={"path": path},
            headers={"Accept-Encoding": "identity"},
            stream=True,
            timeout=_PATIENCE_S,
        )
        with answer:
            answer.raise_for_status()
            with tarfile.open(fileobj=answer.raw, mode="r|") as tar:
                yield tar


def machine_of(about: Mapping[str, Any]) -> Machine:
    """The daemon's machine, by what it says about itself (`docker info`).

    Docker Desktop's emulates others; whether a Linux machine does is known only of this one.
    """
    here = this_machine()
    name = str(about.get("Architecture") or here.name)
    desktop = "Docker Desktop" in str(about.get("OperatingSystem", ""))
    return Machine(name, desktop or (here.emulates and name == here.name))


def _deleted(error: ImageError) -> ImageError:
    return ImageError(f"The function is trying to use a deleted image. {error}", "ImageDeleted")


def _looker_name(tag: str) -> str:
    return f"{_LOOKERS}-{tag.partition(':')[2]}"


def _check_name(uri: str) -> None:
    if not is_name(uri):
        raise _missing(uri, "no image can have that name")


def _missing(uri: str, why: str) -> ImageError:
    text = f"Source image {uri} does not exist. Provide a valid source image. ({why})"
    return ImageError(text, "InvalidImage")


def _refused(uri: str, why: str) -> ImageError:
    if any(word in why.lower() for word in _DENIALS):
        text = (
            f"The function does not have permission to access the specified image. ({uri}: {why})"
        )
        return ImageError(text, "ImageAccessDenied")
    return _missing(uri, why)


def _said(answer: Any) -> str:
    """What the daemon said, out of its JSON."""
    try:
        return str(answer.json()["message"])
    except (ValueError, LookupError, TypeError):
        return str(answer.text).strip()
