from __future__ import annotations

import asyncio
import io
import json
import stat
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_home.packager.image import FUNCTIONS, RUNTIMES, ImagePreparer
from lambda_home.packager.store import CodeStore
from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.docker_daemon import connect

pytestmark = pytest.mark.docker

RUNTIME = "python3.11"
IMAGES = {
    RUNTIME: "lambda-home/base-python:bookworm",
    "nodejs22.x": "lambda-home/base-nodejs:bookworm",
}
LIST = (
    "import os, json, sys\n"
    "print(json.dumps({n: [oct(os.lstat(n).st_mode), os.lstat(n).st_uid, os.lstat(n).st_gid,"
    " os.readlink(n) if os.path.islink(n) else ''] for n in sys.argv[1:]}))"
)


class Builds:
    """A client that remembers the images it makes."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.tags: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def build(self, **arguments: Any) -> Any:
        self.tags.append(arguments["tag"])
        return self._client.build(**arguments)

    def commit(self, container: str, repository: str, tag: str) -> Any:
        self.tags.append(f"{repository}:{tag}")
        return self._client.commit(container, repository, tag)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    try:
        client = connect("", timeout_s=30)
    except SandboxError as error:
        pytest.skip(str(error))
    if not client.images(name="lambda-home/base-python:bookworm"):
        client.close()
        pytest.skip("no base image: run `make base-images`")
    before = runtime_images(client)
    yield client
    for tag in runtime_images(client) - before:
        client.remove_image(tag)
    client.close()


def runtime_images(client: Any) -> set[str]:
    found = client.images(filters={"reference": f"{RUNTIMES}-*"})
    return {tag for image in found for tag in image["RepoTags"]}


@pytest.fixture
def store(tmp_path: Path) -> CodeStore:
    return CodeStore(tmp_path)


@pytest.fixture
def builds(client: Any) -> Builds:
    return Builds(client)


@pytest.fixture
def preparer(builds: Builds, store: CodeStore) -> Iterator[ImagePreparer]:
    made = preparer_of(builds, store)
    yield made
    asyncio.run(made.discard_except(frozenset()))


def preparer_of(client: Any, store: CodeStore, instance: str = "") -> ImagePreparer:
    instance = instance or uuid.uuid4().hex
    return ImagePreparer(client, store, IMAGES, allow_pull=False, instance_id=instance)


def package(**files: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.py", text)
    return data.getvalue()


def run(client: Any, tag: str, *command: str) -> str:
    config = {"Image": tag, "Entrypoint": list(command), "HostConfig": {"NetworkMode": "none"}}
    container = client.create_container_from_config(config)["Id"]
    try:
        client.start(container)
        client.wait(container)
        return str(client.logs(container).decode())
    finally:
        client.remove_container(container, force=True)


def test_code_is_in_the_image_with_its_modes_owned_by_root(
    client: Any, preparer: ImagePreparer, store: CodeStore
) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, mode in {"app.py": 0o640, "bin/tool": 0o700, ".dockerignore": 0o644}.items():
            item = zipfile.ZipInfo(name)
            item.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(item, "**")
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "bin/tool")
    tag = asyncio.run(preparer.prepare(store.put(data.getvalue()).key, RUNTIME))
    names = [f"/var/task/{name}" for name in ("app.py", "bin/tool", ".dockerignore", "link", "bin")]
    found = json.loads(run(client, tag, "python3", "-c", LIST, *names))
    assert found == {
        "/var/task/app.py": ["0o100644", 0, 0, ""],
        "/var/task/bin/tool": ["0o100755", 0, 0, ""],
        "/var/task/.dockerignore": ["0o100644", 0, 0, ""],
        "/var/task/link": ["0o120777", 0, 0, "bin/tool"],
        "/var/task/bin": ["0o40755", 0, 0, ""],
    }


def test_image_starts_our_bootstrap_and_has_our_labels(
    client: Any, preparer: ImagePreparer, store: CodeStore
) -> None:
    key = store.put(package(app="")).key
    for runtime in IMAGES:
        config = client.inspect_image(asyncio.run(preparer.prepare(key, runtime)))["Config"]
        assert config["Entrypoint"] == ["/var/runtime/bootstrap"]
        assert config["WorkingDir"] == "/var/task"
        assert config["Labels"]["lambda-home"] == "1"
        assert config["Labels"]["lambda-home.code"] == key
        assert not config.get("NetworkDisabled")


def test_boto3_is_there_beside_the_bootstrap(
    client: Any, preparer: ImagePreparer, store: CodeStore
) -> None:
    tag = asyncio.run(preparer.prepare(store.put(package(app="")).key, RUNTIME))
    code = "import sys; sys.path.append('/var/runtime'); import boto3; print(boto3.client)"
    assert run(client, tag, "python3", "-c", code).startswith("<function client")
    assert run(client, tag, "sh", "-c", "ls /var/runtime/bootstrap").strip().endswith("bootstrap")


def test_same_code_is_built_once_however_many_ask(
    builds: Builds, preparer: ImagePreparer, store: CodeStore
) -> None:
    key = store.put(package(app=uuid.uuid4().hex)).key

    async def main() -> list[str]:
        return await asyncio.gather(*(preparer.prepare(key, RUNTIME) for _ in range(5)))

    tags = asyncio.run(main())
    assert len(set(tags)) == 1
    assert builds.tags.count(tags[0]) == 1


def test_image_that_is_there_is_not_built_again_by_the_next_server(
    client: Any, store: CodeStore
) -> None:
    key = store.put(package(app=uuid.uuid4().hex)).key
    former, later = Builds(client), Builds(client)
    servers = [
        ImagePreparer(builds, store, IMAGES, allow_pull=False, instance_id="one")
        for builds in (former, later)
    ]
    for server in servers:
        asyncio.run(server.prepare(key, RUNTIME))
    asyncio.run(servers[0].discard_except(frozenset()))
    assert len([tag for tag in former.tags if tag.startswith(FUNCTIONS)]) == 1
    assert later.tags == []


def test_removed_image_is_rebuilt_on_demand(
    client: Any, preparer: ImagePreparer, store: CodeStore
) -> None:
    key = store.put(package(app=uuid.uuid4().hex)).key

    async def main() -> None:
        tag = await preparer.prepare(key, RUNTIME)
        client.remove_image(tag)
        await preparer.rebuild(tag)
        assert client.inspect_image(tag)
        with pytest.raises(SandboxError, match="is not in the Docker daemon"):
            await preparer.rebuild(f"{FUNCTIONS}:unknown")

    asyncio.run(main())


def test_other_code_is_discarded_and_other_instances_are_spared(
    client: Any, preparer: ImagePreparer, store: CodeStore
) -> None:
    keys = [store.put(package(app=uuid.uuid4().hex)).key for _ in range(2)]
    other = preparer_of(client, store)

    async def main() -> None:
        kept, gone = [await preparer.prepare(key, RUNTIME) for key in keys]
        foreign = await other.prepare(keys[1], RUNTIME)
        await preparer.discard_except(frozenset({keys[0]}))
        left = {tag for image in client.images(name=FUNCTIONS) for tag in image["RepoTags"]}
        assert {kept, foreign} <= left
        assert gone not in left
        assert await preparer.prepare(keys[1], RUNTIME) == gone
        assert client.inspect_image(gone)

    try:
        asyncio.run(main())
    finally:
        asyncio.run(other.discard_except(frozenset()))


def test_no_dangling_image_is_left(client: Any, preparer: ImagePreparer, store: CodeStore) -> None:
    before = {image["Id"] for image in client.images(filters={"dangling": True})}
    asyncio.run(preparer.prepare(store.put(package(app=uuid.uuid4().hex)).key, RUNTIME))
    asyncio.run(preparer.discard_except(frozenset()))
    assert {image["Id"] for image in client.images(filters={"dangling": True})} <= before


def test_builder_of_a_dead_server_is_no_obstacle_and_is_discarded(
    client: Any, store: CodeStore
) -> None:
    key = store.put(package(app=uuid.uuid4().hex)).key

    async def main() -> list[Any]:
        former = preparer_of(client, store, instance="dead")
        tag = await former.prepare(key, RUNTIME)
        client.remove_image(tag)
        name = f"lambda-home-build-{tag.partition(':')[2]}"
        for builder in (name, f"{name}-other"):
            config = {"Image": IMAGES[RUNTIME], "Cmd": ["true"]}
            client.create_container_from_config(config, builder)
        later = preparer_of(client, store, instance="dead")
        assert await later.prepare(key, RUNTIME) == tag
        await later.discard_except(frozenset())
        return list(client.containers(all=True, filters={"name": name}))

    assert asyncio.run(main()) == []


def test_code_that_is_not_in_the_store_is_told(preparer: ImagePreparer) -> None:
    with pytest.raises(SandboxError, match="not in the store"):
        asyncio.run(preparer.prepare("0" * 64, RUNTIME))
