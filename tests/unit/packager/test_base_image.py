from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import docker.errors
import pytest
import requests

from lambda_home.packager.base_image import BaseImages
from lambda_home.sandboxes.base import SandboxError

AWS = "public.ecr.aws/lambda/python:3.12"
STAND_IN = "lambda-home/base-python:bookworm"


@dataclass
class Answer:
    """What `requests` would return."""

    ok: bool
    text: str = ""


@dataclass
class FakeDaemon:
    """A daemon with `local` images; `remote` ones can be pulled, `silent` makes registries mute."""

    local: set[str] = field(default_factory=set)
    remote: set[str] = field(default_factory=set)
    silent: bool = False
    asked: list[tuple[str, float]] = field(default_factory=list)
    base_url: str = "http+docker://localhost"
    api_version: str = "1.41"

    def inspect_image(self, reference: str) -> dict[str, Any]:
        if reference not in self.local:
            raise docker.errors.ImageNotFound(reference)
        return {"Id": f"sha256:{reference}", "Config": {"Labels": {"lambda-home.python": "3.11.2"}}}

    def get(self, url: str, timeout: float) -> Answer:
        reference = url.removeprefix("http+docker://localhost/v1.41/distribution/")
        reference = reference.removesuffix("/json")
        self.asked.append((reference, timeout))
        if self.silent:
            raise requests.ReadTimeout
        return Answer(reference in self.remote, "no such host")

    def pull(self, reference: str, *, stream: bool, decode: bool) -> Iterator[dict[str, str]]:
        assert stream
        assert decode
        yield {"status": "Pulling"}
        self.local.add(reference)


class BrokenPullDaemon(FakeDaemon):
    """Its registries know every image and deliver none."""

    def pull(self, reference: str, *, stream: bool, decode: bool) -> Iterator[dict[str, str]]:
        del reference, stream, decode
        yield {"error": "connection reset"}


def images(
    daemon: FakeDaemon, chosen: dict[str, str] | None = None, *, allow_pull: bool = True
) -> BaseImages:
    return BaseImages(daemon, chosen or {}, allow_pull=allow_pull, clock=lambda: 1000.0)


def test_awss_local_image_is_taken_without_asking_a_registry() -> None:
    daemon = FakeDaemon(local={AWS, STAND_IN})
    found = images(daemon).find("python3.12")
    assert (found.reference, found.id, found.warning) == (AWS, f"sha256:{AWS}", None)
    assert daemon.asked == []


def test_awss_image_is_pulled_where_that_is_allowed() -> None:
    assert images(FakeDaemon(local={STAND_IN}, remote={AWS})).find("python3.12").reference == AWS


def test_nothing_is_pulled_where_that_is_not_allowed() -> None:
    daemon = FakeDaemon(local={STAND_IN}, remote={AWS})
    assert images(daemon, allow_pull=False).find("python3.12").reference == STAND_IN
    assert daemon.asked == []


def test_stand_in_is_taken_with_a_warning_that_names_the_interpreter() -> None:
    found = images(FakeDaemon(local={STAND_IN})).find("python3.12")
    assert found.reference == STAND_IN
    assert found.warning == (
        "python3.12 runs on Python 3.11.2 of the local stand-in image"
        f" {STAND_IN}, because AWS's image {AWS} is not there and cannot be pulled."
    )


def test_node_runtimes_are_named_as_aws_tags_them() -> None:
    daemon = FakeDaemon(local={"public.ecr.aws/lambda/nodejs:22"})
    assert images(daemon).find("nodejs22.x").reference == "public.ecr.aws/lambda/nodejs:22"


def test_silent_registry_costs_two_seconds_once() -> None:
    daemon = FakeDaemon(local={STAND_IN}, silent=True)
    finder = images(daemon)
    assert [finder.find("python3.12").reference for _ in range(3)] == [STAND_IN] * 3
    assert daemon.asked == [(AWS, 2.0)]


def test_silent_registry_is_asked_again_after_ten_minutes() -> None:
    now = 1000.0
    daemon = FakeDaemon(local={STAND_IN}, silent=True)
    finder = BaseImages(daemon, {}, allow_pull=True, clock=lambda: now)
    finder.find("python3.12")
    now += 601
    finder.find("python3.12")
    assert len(daemon.asked) == 2


def test_pull_that_breaks_falls_back_to_the_stand_in() -> None:
    daemon = BrokenPullDaemon(local={STAND_IN}, remote={AWS})
    assert images(daemon).find("python3.12").reference == STAND_IN


def test_chosen_image_is_taken_before_awss() -> None:
    daemon = FakeDaemon(local={AWS, STAND_IN, "mine:1"})
    assert images(daemon, {"python3.12": "mine:1"}).find("python3.12").reference == "mine:1"


def test_chosen_image_that_cannot_be_had_is_not_replaced() -> None:
    with pytest.raises(SandboxError, match=r"mine:1 of runtime python3\.12 .*no such host"):
        images(FakeDaemon(local={STAND_IN}), {"python3.12": "mine:1"}).find("python3.12")


def test_no_image_at_all_names_both_ways_out() -> None:
    with pytest.raises(SandboxError, match=r"make base-images.*docker\.images"):
        images(FakeDaemon()).find("python3.12")


def test_runtime_that_nobody_knows_is_refused() -> None:
    with pytest.raises(SandboxError, match=r"Runtime cobol85 is not supported"):
        images(FakeDaemon()).find("cobol85")


def test_an_os_only_runtime_runs_in_a_stand_in_of_its_own() -> None:
    found = images(FakeDaemon(local={"lambda-home/base-provided:bookworm"})).find("rust")
    assert found.warning == (
        "rust runs in the local stand-in image lambda-home/base-provided:bookworm, because AWS's"
        " image public.ecr.aws/lambda/provided:al2023 is not there and cannot be pulled."
    )


def test_a_runtime_of_which_aws_has_no_image_asks_no_registry() -> None:
    daemon = FakeDaemon(local={"lambda-home/base-nodejs:bookworm"})
    assert images(daemon).find("nodejs8.10").reference == "lambda-home/base-nodejs:bookworm"
    assert daemon.asked == []


def test_any_image_is_found_without_pulling() -> None:
    daemon = FakeDaemon(local={"lambda-home/base-nodejs:bookworm"})
    assert images(daemon).find_any().reference == "lambda-home/base-nodejs:bookworm"
    assert daemon.asked == []


def test_any_image_may_still_have_to_be_pulled() -> None:
    assert images(FakeDaemon(remote={AWS})).find_any().reference == AWS


def test_no_image_of_any_runtime_is_told() -> None:
    with pytest.raises(SandboxError, match="make base-images"):
        images(FakeDaemon()).find_any()
