from __future__ import annotations

import asyncio
import io
import json
import stat
import tarfile
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_home.functions import layers_key
from lambda_home.packager.folder import FolderPreparer
from lambda_home.packager.image import FUNCTIONS, RUNTIMES, ImagePreparer
from lambda_home.packager.store import CodeStore
from lambda_home.sandboxes.base import Package, SandboxError
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
    tag = asyncio.run(preparer.prepare(Package(store.put(data.getvalue()).key, RUNTIME))).code
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
        tag = asyncio.run(preparer.prepare(Package(key, runtime))).code
        config = client.inspect_image(tag)["Config"]
        assert config["Entrypoint"] == ["/var/runtime/bootstrap"]
        assert config["WorkingDir"] == "/var/task"
        assert config["Labels"]["lambda-home"] == "1"
        assert config["Labels"]["lambda-home.code"] == key
        assert not config.get("NetworkDisabled")


def test_boto3_is_there_beside_the_bootstrap(
    client: Any, preparer: ImagePreparer, store: CodeStore
) -> None:
    tag = asyncio.run(preparer.prepare(Package(store.put(package(app="")).key, RUNTIME))).code
    code = "import sys; sys.path.append('/var/runtime'); import boto3; print(boto3.client)"
    assert run(client, tag, "python3", "-c", code).startswith("<function client")
    assert run(client, tag, "sh", "-c", "ls /var/runtime/bootstrap").strip().endswith("bootstrap")


def test_same_code_is_built_once_however_many_ask(
    builds: Builds, preparer: ImagePreparer, store: CodeStore
) -> None:
    key = store.put(package(app=uuid.uuid4().hex)).key

    async def main() -> list[str]:
        made = (preparer.prepare(Package(key, RUNTIME)) for _ in range(5))
        return [prepared.code for prepared in await asyncio.gather(*made)]

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
        asyncio.run(server.prepare(Package(key, RUNTIME)))
    asyncio.run(servers[0].discard_except(frozenset()))
    assert len([tag for tag in former.tags if tag.startswith(FUNCTIONS)]) == 1
    assert later.tags == []


def test_removed_image_is_rebuilt_on_demand(
    client: Any, preparer: ImagePreparer, store: CodeStore
) -> None:
    key = store.put(package(app=uuid.uuid4().hex)).key

    async def main() -> None:
        tag = (await preparer.prepare(Package(key, RUNTIME))).code
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
        kept, gone = [(await preparer.prepare(Package(key, RUNTIME))).code for key in keys]
        foreign = (await other.prepare(Package(keys[1], RUNTIME))).code
        await preparer.discard_except(frozenset({keys[0]}))
        left = {tag for image in client.images(name=FUNCTIONS) for tag in image["RepoTags"]}
        assert {kept, foreign} <= left
        assert gone not in left
        assert (await preparer.prepare(Package(keys[1], RUNTIME))).code == gone
        assert client.inspect_image(gone)

    try:
        asyncio.run(main())
    finally:
        asyncio.run(other.discard_except(frozenset()))


def test_no_dangling_image_is_left(client: Any, preparer: ImagePreparer, store: CodeStore) -> None:
    before = {image["Id"] for image in client.images(filters={"dangling": True})}
    key = store.put(package(app=uuid.uuid4().hex)).key
    asyncio.run(preparer.prepare(Package(key, RUNTIME)))
    asyncio.run(preparer.discard_except(frozenset()))
    assert {image["Id"] for image in client.images(filters={"dangling": True})} <= before


def test_builder_of_a_dead_server_is_no_obstacle_and_is_discarded(
    client: Any, store: CodeStore
) -> None:
    key = store.put(package(app=uuid.uuid4().hex)).key

    async def main() -> list[Any]:
        former = preparer_of(client, store, instance="dead")
        tag = (await former.prepare(Package(key, RUNTIME))).code
        client.remove_image(tag)
        name = f"lambda-home-build-{tag.partition(':')[2]}"
        for builder in (name, f"{name}-other"):
            config = {"Image": IMAGES[RUNTIME], "Cmd": ["true"]}
            client.create_container_from_config(config, builder)
        later = preparer_of(client, store, instance="dead")
        assert (await later.prepare(Package(key, RUNTIME))).code == tag
        await later.discard_except(frozenset())
        return list(client.containers(all=True, filters={"name": name}))

    assert asyncio.run(main()) == []


def test_code_that_is_not_in_the_store_is_told(preparer: ImagePreparer) -> None:
    with pytest.raises(SandboxError, match="not in the store"):
        asyncio.run(preparer.prepare(Package("0" * 64, RUNTIME)))


def layer(**files: str) -> bytes:
    """A ZIP of programs; "__" in a name is a slash."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            item = zipfile.ZipInfo(name.replace("__", "/"))
            item.external_attr = (stat.S_IFREG | 0o700) << 16
            archive.writestr(item, text)
    return data.getvalue()


def test_layers_are_in_the_image_one_over_the_other(
    client: Any, preparer: ImagePreparer, store: CodeStore
) -> None:
    code = store.put(package(app=uuid.uuid4().hex)).key
    one, two = (store.put(layer(bin__tool=text, **{text: ""})).key for text in ("one", "two"))

    async def main() -> list[str]:
        lists = ((), (one, two), (two, one))
        return [(await preparer.prepare(Package(code, RUNTIME, keys))).code for keys in lists]

    bare, first, second = asyncio.run(main())
    assert len({bare, first, second}) == 3
    look = "import os; print(sorted(os.listdir('/opt')), end=' ')"
    show = f"{look}; print(oct(os.stat('/opt/bin/tool').st_mode), open('/opt/bin/tool').read())"
    assert run(client, bare, "python3", "-c", look) == "[] "
    assert run(client, first, "python3", "-c", show) == "['bin', 'one', 'two'] 0o100755 two\n"
    assert run(client, second, "python3", "-c", show).endswith(" one\n")
    assert run(client, first, "ls", "/var/task") == "app.py\n"


def test_images_go_with_their_list_of_layers(
    client: Any, preparer: ImagePreparer, store: CodeStore
) -> None:
    code = store.put(package(app=uuid.uuid4().hex)).key
    one, two = (store.put(layer(name=text)).key for text in ("one", "two"))

    async def left(*keys: str) -> list[bool]:
        await preparer.discard_except(frozenset({code, *keys}))
        there = {tag for image in client.images(name=FUNCTIONS) for tag in image["RepoTags"]}
        return [tag in there for tag in tags]

    packages = [Package(code, RUNTIME, keys) for keys in ((one,), (one, two))]

    async def main() -> None:
        tags.extend([(await preparer.prepare(package)).code for package in packages])
        lists = [layers_key(package.layer_keys) for package in packages]
        assert await left(one, two, *lists) == [True, True]
        assert await left(one, two, lists[1]) == [False, True]
        assert await left(one, two) == [False, False]

    tags: list[str] = []
    asyncio.run(main())


def test_an_image_with_something_at_opt_keeps_it_and_is_no_spare(
    client: Any, store: CodeStore, tmp_path: Path
) -> None:
    runtime = "python3.99"  # no server uses it: a new image of a runtime replaces older ones
    base, tar = f"lambda-home/test-{uuid.uuid4().hex}", io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("opt/vendor"))
    container = client.create_container_from_config({"Image": IMAGES[RUNTIME], "Cmd": ["-"]})["Id"]
    client.put_archive(container, "/", tar.getvalue())
    client.commit(container, base, "1")
    client.remove_container(container)

    def bare(image: str) -> str | None:
        folders = FolderPreparer(store, tmp_path / "unpacked", lambda _: None)
        preparer = ImagePreparer(
            client,
            store,
            {runtime: image},
            allow_pull=False,
            instance_id="test",
            folders=folders,
        )
        return asyncio.run(preparer.bare(runtime))

    try:
        assert [bare(f"{base}:1"), bare(f"{base}:1")] == [None, None]  # made, and found again
        assert bare(IMAGES[RUNTIME]) is not None
    finally:
        for tag in runtime_images(client):
            if runtime in tag:
                client.remove_image(tag)
        client.remove_image(f"{base}:1")
