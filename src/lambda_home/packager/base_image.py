"""Which image a runtime starts from: the one in the settings, AWS's own, or the local stand-in.

All methods block on the Docker daemon (`client` is a docker.APIClient); call them in a thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import docker.errors
import requests

from lambda_home import runtimes
from lambda_home.sandboxes.base import RuntimeMissingError, SandboxError

SETTING = "docker.images"

_PROBED = ("python3.12", "nodejs22.x", "provided.al2023")
_IMPATIENT_S = 2.0
_PATIENT_S = 10.0
_PULL_AGAIN_AFTER_S = 600.0


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image that is in the daemon; `warning` says in one line what is not as on AWS."""

    reference: str
    id: str
    warning: str | None = None


def family_of(runtime: str) -> str:
    """The family of a runtime. Raises RuntimeMissingError for one that nobody knows."""
    return _known(runtime).family.name


class BaseImages:
    """Finds, and pulls where that is allowed, the base images of runtimes.

    A registry that cannot be reached is not asked again for ten minutes. `clock` gives seconds
    that never go back.
    """

    def __init__(
        self,
        client: Any,
        images: Mapping[str, str],
        *,
        allow_pull: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._images = images
        self._allow_pull = allow_pull
        self._clock = clock
        self._pulling = threading.Lock()
        self._failed: dict[str, tuple[float, str]] = {}

    def find(self, runtime: str) -> BaseImage:
        """The base image of a runtime. Raises SandboxError that says how to get one."""
        chosen = self._images.get(runtime)
        if chosen is not None:
            image, why = self._local_or_pulled(chosen, _PATIENT_S)
            if image is None:
                raise RuntimeMissingError(
                    f"Image {chosen} of runtime {runtime} (setting {SETTING}) cannot be used: {why}"
                )
            return BaseImage(chosen, str(image["Id"]))
        known = _known(runtime)
        preferred, spare = known.image, known.stand_in
        local = self._inspect(spare)
        patience_s = _PATIENT_S if local is None else _IMPATIENT_S
        image, why = None, "AWS has published none"
        if preferred:
            image, why = self._local_or_pulled(preferred, patience_s)
        if image is not None:
            return BaseImage(preferred, str(image["Id"]))
        if local is None:
            raise RuntimeMissingError(
                f"No base image for runtime {runtime}: {preferred or 'one of AWS'} cannot be used"
                f" ({why}) and {spare} is not there. Run `make base-images`, or set"
                f" {SETTING}.{runtime!r} to an image that is."
            )
        return BaseImage(spare, str(local["Id"]), _warning(known, local))

    def find_any(self) -> BaseImage:
        """A base image of the first runtime that has one. Raises SandboxError if none has."""
        names = dict.fromkeys([*self._images, *_PROBED])
        for runtime in names:
            for reference in (self._images.get(runtime), *_candidates(runtime)):
                if reference is not None and (image := self._inspect(reference)) is not None:
                    return BaseImage(reference, str(image["Id"]))
        for runtime in names:
            reference = self._images.get(runtime) or _known(runtime).image
            if self._why_not_pullable(reference, _IMPATIENT_S) is None:
                return BaseImage(reference, "")
        raise SandboxError("no base image is there and none can be pulled: run `make base-images`")

    def _local_or_pulled(
        self, reference: str, patience_s: float
    ) -> tuple[dict[str, Any] | None, str]:
        """The image, or None and why it cannot be had."""
        image = self._inspect(reference)
        if image is not None:
            return image, ""
        with self._pulling:
            why = self._why_not_pullable(reference, patience_s) or self._pull(reference)
        return self._inspect(reference), why or "the daemon has lost it"

    def _inspect(self, reference: str) -> dict[str, Any] | None:
        try:
            image: dict[str, Any] = self._client.inspect_image(reference)
        except docker.errors.ImageNotFound:
            return None
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise SandboxError(f"The Docker daemon does not answer: {error}") from error
        return image

    def _why_not_pullable(self, reference: str, patience_s: float) -> str | None:
        """Ask the registry through the daemon, quickly; None if it has the image."""
        if not self._allow_pull:
            return "it is not there and docker.allow_pull is false"
        failed_at, why = self._failed.get(reference, (0.0, ""))
        if why and self._clock() - failed_at < _PULL_AGAIN_AFTER_S:
            return why
        client = self._client
        url = f"{client.base_url}/v{client.api_version}/distribution/{reference}/json"
        try:
            answer = client.get(url, timeout=patience_s)
        except requests.RequestException:
            return self._remember(reference, f"the registry did not answer in {patience_s:.0f} s")
        if answer.ok:
            return None
        return self._remember(reference, f"the registry could not be asked: {answer.text.strip()}")

    def _pull(self, reference: str) -> str | None:
        """Pull an image; returns why not, or None."""
        try:
            for line in self._client.pull(reference, stream=True, decode=True):
                if "error" in line:
                    return self._remember(reference, str(line["error"]))
        except (docker.errors.DockerException, requests.RequestException) as error:
            return self._remember(reference, str(error))
        return None

    def _remember(self, reference: str, why: str) -> str:
        self._failed[reference] = (self._clock(), why)
        return why


def _candidates(runtime: str) -> tuple[str, ...]:
    known = runtimes.runtime(runtime)
    return tuple(filter(None, (known.image, known.stand_in))) if known else ()


def _known(runtime: str) -> runtimes.Runtime:
    found = runtimes.runtime(runtime)
    if found is None:
        raise RuntimeMissingError(
            f"Runtime {runtime} is not supported: AWS Lambda has none so named."
        )
    return found


def _warning(runtime: runtimes.Runtime, image: Mapping[str, Any]) -> str:
    labels = (image.get("Config") or {}).get("Labels") or {}
    version = labels.get(f"lambda-home.{runtime.family.name}", "")
    running = f"{runtime.family.product} {version}".rstrip()
    how = f"on {running} of the local stand-in image {runtime.stand_in}"
    if runtime.family.brings_program:
        how = f"in the local stand-in image {runtime.stand_in}"
    return (
        f"{runtime.id} runs {how}, because AWS's image {runtime.image or 'of it'} is not there and"
        " cannot be pulled."
    )
