"""Container images of functions: found, pulled, pinned and given up, with a daemon that is told."""

from __future__ import annotations

from typing import Any

import docker.auth
import docker.errors
import pytest
import requests

from lambda_home.packager.container_image import ContainerImages, machine_of
from lambda_home.packager.entrypoints import this_machine
from lambda_home.sandboxes.base import ImageCode, ImageError, Prepared

LOCAL, REMOTE = "a" * 64, "b" * 64
REPOSITORY = "registry.example/app"


def answer(status: int, body: str) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = body.encode()  # noqa: SLF001  as requests sets it
    return response


class Daemon:
    """A docker.APIClient of a daemon with `images` and a registry that says `registry`."""

    base_url, api_version = "http+docker://localhost", "1.41"

    def __init__(self, *images: str, registry: requests.Response | Exception | None = None) -> None:
        self.images_here = dict.fromkeys(images, LOCAL)
        self.registry = registry
        self.pull_error = ""
        self.pulled: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self._auth_configs = docker.auth.AuthConfig({"auths": {"elsewhere": {}}})
        self.credstore_env: dict[str, str] = {}

    def inspect_image(self, reference: str) -> dict[str, Any]:
        if reference not in self.images_here and reference != f"sha256:{LOCAL}":
            raise docker.errors.ImageNotFound(reference)
        if reference == f"sha256:{LOCAL}" and LOCAL not in self.images_here.values():
            raise docker.errors.ImageNotFound(reference)
        return {"Id": f"sha256:{LOCAL}", "RepoDigests": [], "Architecture": "amd64"}

    def get(self, url: str, **_: object) -> requests.Response:
        self.asked.append(url)
        if isinstance(self.registry, Exception):
            raise self.registry
        assert self.registry is not None
        return self.registry

    def pull(self, reference: str, *, platform: str, **_: object) -> list[dict[str, str]]:
        self.pulled.append((reference, platform))
        if self.pull_error:
            return [{"status": "..."}, {"error": self.pull_error}]
        self.images_here[reference] = LOCAL
        return [{"status": "done"}]

    def tag(self, image: str, repository: str, name: str) -> None:
        assert image == f"sha256:{LOCAL}"
        self.images_here[f"{repository}:{name}"] = LOCAL

    def images(self, name: str) -> list[dict[str, Any]]:
        return [{"RepoTags": [tag]} for tag in self.images_here if tag.startswith(name)]

    def remove_container(self, name: str, **_: object) -> None:
        raise docker.errors.NotFound(name)

    def remove_image(self, tag: str) -> None:
        del self.images_here[tag]


class Unlooked(ContainerImages):
    """Does not look into images."""

    def _look_into(self, image: Any, code: ImageCode, tag: str) -> Prepared:
        assert image["Id"] == f"sha256:{LOCAL}"
        assert code.uri
        return Prepared(tag)


def images(daemon: Daemon, *, allow_pull: bool = True) -> ContainerImages:
    return Unlooked(daemon, allow_pull=allow_pull, instance="one")


def test_the_daemons_image_has_its_own_digest_and_no_registry_is_asked() -> None:
    daemon = Daemon("app:1")
    assert images(daemon).resolve("app:1") == LOCAL
    assert daemon.asked == []


def test_the_digest_of_an_image_to_be_pulled_is_its_registrys() -> None:
    body = f'{{"Descriptor": {{"digest": "sha256:{REMOTE}"}}}}'
    daemon = Daemon(registry=answer(200, body))
    assert images(daemon).resolve(f"{REPOSITORY}:1") == REMOTE
    assert daemon.asked == [
        f"http+docker://localhost/v1.41/distribution/{REPOSITORY}:1/json",
    ]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (answer(404, '{"message": "manifest unknown"}'), "InvalidImage"),
        (answer(401, '{"message": "unauthorized: log in"}'), "ImageAccessDenied"),
        (answer(403, '{"message": "denied: requested access"}'), "ImageAccessDenied"),
        (answer(500, "no JSON"), "InvalidImage"),
        (requests.ConnectionError("nobody"), "InvalidImage"),
        (requests.ReadTimeout("slow"), "InvalidImage"),
    ],
)
def test_an_image_that_no_registry_gives_has_awss_code(
    said: requests.Response | Exception, code: str
) -> None:
    with pytest.raises(ImageError) as raised:
        images(Daemon(registry=said)).resolve(f"{REPOSITORY}:1")
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("uri", "allow_pull"), [(f"{REPOSITORY}:1", False), ("169.254.169.254/latest:1", True)]
)
def test_nobody_is_asked_where_nothing_may_be_pulled(uri: str, *, allow_pull: bool) -> None:
    daemon = Daemon()
    with pytest.raises(ImageError, match="does not exist"):
        images(daemon, allow_pull=allow_pull).resolve(uri)
    assert (daemon.asked, daemon.pulled) == ([], [])


def test_an_image_is_pinned_by_its_digest_whatever_its_name_means_later() -> None:
    daemon = Daemon("app:1")
    found = images(daemon)
    code = ImageCode("app:1", LOCAL)
    tag = found.prepare(code).code
    assert tag == f"lambda-home/container-image:one-{LOCAL[:40]}"
    assert tag in daemon.images_here
    daemon.images_here["app:1"] = REMOTE
    assert found.prepare(code).code == tag
    assert images(daemon).started(code).code == tag  # after a restart, too


def test_an_image_is_pulled_by_its_digest_for_the_functions_architecture() -> None:
    daemon = Daemon()
    images(daemon).prepare(ImageCode(f"{REPOSITORY}:1", REMOTE, "arm64"))
    assert daemon.pulled == [(f"{REPOSITORY}@sha256:{REMOTE}", "linux/arm64")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("pull access denied for x, repository does not exist", "ImageAccessDenied"),
        ("manifest for x not found", "InvalidImage"),
    ],
)
def test_a_pull_that_fails_says_why_in_awss_codes(error: str, code: str) -> None:
    daemon = Daemon()
    daemon.pull_error = error
    with pytest.raises(ImageError, match=error.partition(" ")[0]) as raised:
        images(daemon).prepare(ImageCode(f"{REPOSITORY}:1", REMOTE))
    assert raised.value.code == code


def test_an_image_removed_while_functions_use_it_is_a_deleted_one() -> None:
    daemon = Daemon("app:1")
    found = images(daemon)
    code = ImageCode("app:1", LOCAL)
    tag = found.prepare(code).code
    assert found.restore(tag)
    daemon.images_here.clear()
    daemon.pull_error = "not found"
    for again in (lambda: found.restore(tag), lambda: images(daemon).started(code)):
        with pytest.raises(ImageError, match="trying to use a deleted image") as raised:
            again()
        assert raised.value.code == "ImageDeleted"
    assert not found.restore("lambda-home/function:something")


def test_tags_that_no_function_needs_are_given_up_and_only_this_instances() -> None:
    other = "lambda-home/container-image:two-0000"
    daemon = Daemon("app:1", other)
    found = images(daemon)
    tag = found.prepare(ImageCode("app:1", LOCAL)).code
    found.discard_except(frozenset({LOCAL}))
    assert tag in daemon.images_here
    found.discard_except(frozenset())
    assert daemon.images_here.keys() == {"app:1", other}
    assert found.prepare(ImageCode("app:1", LOCAL)).code == tag
    assert tag in daemon.images_here


@pytest.mark.parametrize(
    ("about", "name", "emulates"),
    [
        ({"Architecture": "riscv64", "OperatingSystem": "Debian"}, "riscv64", False),
        ({"Architecture": "aarch64", "OperatingSystem": "Docker Desktop"}, "aarch64", True),
        ({}, this_machine().name, this_machine().emulates),
    ],
)
def test_the_daemon_says_what_machine_it_is_on(
    about: dict[str, str], name: str, *, emulates: bool
) -> None:
    machine = machine_of(about)
    assert (machine.name, machine.emulates) == (name, emulates)
