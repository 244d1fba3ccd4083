"""Functions that are made of folders: `S3Bucket=hot-reload, S3Key=/folder`."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SANDBOXES
from functions_under_test import PYTHON, QUICK_WAITER, fresh_name, invoke
from live import ROLE, LiveServer, zip_of
from observing import until
from polling import refusal
from raw_http import request
from signing import SIGV4, Answer, Key, client, first_key

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

BUCKET = "hot-reload"


@dataclass(frozen=True)
class Stage:
    """A server that may read the folders below `root`."""

    server: LiveServer
    root: Path

    @property
    def aws(self) -> LambdaClient:
        return self.server.client()

    def folder(self, source: str) -> Path:
        made = self.root / fresh_name("folder")
        made.mkdir()
        (made / "app.py").write_text(source)
        return made

    def create(self, folder: Path, **members: Any) -> str:
        name = fresh_name("hot")
        made: dict[str, Any] = {
            "FunctionName": name,
            "Runtime": PYTHON,
            "Handler": "app.handler",
            "Role": ROLE,
            "Code": {"S3Bucket": BUCKET, "S3Key": str(folder)},
            **members,
        }
        self.aws.create_function(**made)
        self.aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
        return name

    def answers(self, name: str, wanted: object) -> None:
        aws = self.aws
        until(lambda: invoke(aws, name).payload == wanted, f"{name} never answered {wanted}")

    def log(self, name: str) -> list[str]:
        status, _, body = request(self.server, "GET", f"/api/admin/logs/{name}?limit=1000")
        assert status == 200
        events = json.loads(body)["events"]
        return [event["message"] for event in events if event["stream"] == BUCKET]


def returning(value: object) -> str:
    return f"def handler(event, context):\n    return {value!r}\n"


def started(kind: str, root: Path) -> LiveServer:
    variables = {"LAMBDA_HOME_FUNCTIONS__HOT_RELOAD_FOLDERS": json.dumps([str(root)])}
    return LiveServer("--sandbox", kind, "--ephemeral", environment=variables)


@pytest.fixture(scope="module", params=SANDBOXES)
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    root = tmp_path_factory.mktemp("roots").resolve()
    with started(request.param, root) as server:
        yield Stage(server, root)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """For what does not depend on the sandbox."""
    root = tmp_path_factory.mktemp("roots").resolve()
    with started("process", root) as server:
        yield Stage(server, root)


def test_the_next_invoke_runs_what_was_written(stage: Stage) -> None:
    folder = stage.folder(returning(1))
    name = stage.create(folder)
    assert invoke(stage.aws, name).payload == 1
    before = stage.aws.get_function_configuration(FunctionName=name)
    fresh = folder / ".app.py.tmp"
    fresh.write_text(returning(2))
    fresh.replace(folder / "app.py")
    stage.answers(name, 2)
    after = stage.aws.get_function_configuration(FunctionName=name)
    assert after["State"] == "Active"
    for member in ("CodeSha256", "LastModified", "RevisionId"):
        assert after[member] != before[member], member
    until(lambda: any("reloaded in" in line for line in stage.log(name)), "no word of it")
    # A module beside it, in a folder of its own.
    (folder / "lib").mkdir()
    (folder / "lib" / "inner.py").write_text("value = 3\n")
    (folder / "app.py").write_text("from lib.inner import value\n" + returning(0)[:-2] + "value\n")
    stage.answers(name, 3)
    (folder / "lib" / "inner.py").write_text("value = 4\n")
    stage.answers(name, 4)


@pytest.mark.process
def test_an_invocation_under_way_finishes_with_the_code_it_began_with(plain: Stage) -> None:
    source = (
        "import time\ndef handler(event, context):\n"
        "    print('begun')\n    time.sleep(event.get('s', 0))\n    return 'old'\n"
    )
    folder = plain.folder(source)
    name = plain.create(folder, Timeout=30)
    found: list[Any] = []
    slow = threading.Thread(target=lambda: found.append(invoke(plain.aws, name, {"s": 1.5})))
    slow.start()
    (folder / "app.py").write_text(returning("new"))
    plain.answers(name, "new")
    assert not found, "it should still be running"
    slow.join(30)
    assert found[0].payload == "old"


@pytest.mark.process
def test_a_published_version_is_a_frozen_copy(plain: Stage) -> None:
    folder = plain.folder(returning("first"))
    name = plain.create(folder)
    plain.aws.publish_version(FunctionName=name)
    (folder / "app.py").write_text(returning("second"))
    plain.answers(name, "second")
    assert invoke(plain.aws, name, Qualifier="1").payload == "first"


@pytest.mark.process
def test_a_folder_that_is_made_again_is_followed(plain: Stage) -> None:
    folder = plain.folder(returning("first"))
    name = plain.create(folder)
    shutil.rmtree(folder)
    assert invoke(plain.aws, name).payload == "first"
    folder.mkdir()
    (folder / "app.py").write_text(returning("again"))
    plain.answers(name, "again")
    (folder / "app.py").write_text(returning("and again"))
    plain.answers(name, "and again")


@pytest.mark.process
def test_other_code_ends_it_and_a_folder_begins_it(plain: Stage) -> None:
    folder = plain.folder(returning("folder"))
    name = plain.create(folder)
    plain.aws.update_function_code(
        FunctionName=name, ZipFile=zip_of({"app.py": returning("package")})
    )
    plain.answers(name, "package")
    (folder / "app.py").write_text(returning("not this"))
    other = plain.folder(returning("other"))
    watched = plain.create(other)
    (other / "app.py").write_text(returning("changed"))
    plain.answers(watched, "changed")  # by now the first would have changed, too
    assert invoke(plain.aws, name).payload == "package"
    tried = plain.aws.update_function_code(
        FunctionName=name, S3Bucket=BUCKET, S3Key=str(folder), DryRun=True
    )
    assert tried["CodeSha256"]
    assert invoke(plain.aws, name).payload == "package"
    plain.aws.update_function_code(FunctionName=name, S3Bucket=BUCKET, S3Key=str(folder))
    plain.answers(name, "not this")
    (folder / "app.py").write_text(returning("followed"))
    plain.answers(name, "followed")


@pytest.mark.process
def test_what_cannot_be_read_is_told_and_the_code_before_it_stays(plain: Stage) -> None:
    folder = plain.folder(returning("good"))
    name = plain.create(folder)
    (folder / "out").symlink_to("/etc/passwd")
    until(lambda: any("leads out" in line for line in plain.log(name)), "it is not told")
    assert invoke(plain.aws, name).payload == "good"
    (folder / "out").unlink()
    (folder / "app.py").write_text(returning("better"))
    plain.answers(name, "better")


@pytest.mark.process
@pytest.mark.slow
def test_a_restarted_server_goes_on_with_what_changed_meanwhile(tmp_path: Path) -> None:
    root = (tmp_path / "roots").resolve()
    root.mkdir()
    flags = ("--sandbox", "process", "--data-dir", str(tmp_path / "data"))
    variables = {"LAMBDA_HOME_FUNCTIONS__HOT_RELOAD_FOLDERS": json.dumps([str(root)])}
    with LiveServer(*flags, environment=variables) as server:
        stage = Stage(server, root)
        folder = stage.folder(returning("before"))
        name = stage.create(folder)
        assert invoke(stage.aws, name).payload == "before"
    (folder / "app.py").write_text(returning("meanwhile"))
    with LiveServer(*flags, environment=variables) as server:
        stage = Stage(server, root)
        stage.answers(name, "meanwhile")
        (folder / "app.py").write_text(returning("after"))
        stage.answers(name, "after")
    with LiveServer(*flags) as server:  # which reads no folders any more
        (folder / "app.py").write_text(returning("not any more"))
        assert invoke(server.client(), name).payload == "after"


@pytest.mark.process
def test_who_follows_what_is_shown(plain: Stage) -> None:
    folder = plain.folder(returning(1))
    name = plain.create(folder)

    def shown() -> dict[str, Any] | None:
        _, _, body = request(plain.server, "GET", "/api/admin/hot-reload")
        found = [f for f in json.loads(body)["Functions"] if f["FunctionArn"].endswith(name)]
        return found[0] if found else None

    found = until(shown, "it is not followed")
    assert (found["Folder"], found["Watching"], found["Fault"]) == (str(folder), "notices", None)
    plain.aws.delete_function(FunctionName=name)
    until(lambda: shown() is None, "it is still followed")


# --------------------------------------------------------------------------------------- attacks


@pytest.mark.process
def test_a_folder_outside_of_the_roots_is_refused(plain: Stage) -> None:
    outside = plain.root.parent / fresh_name("outside")
    outside.mkdir()
    (outside / "app.py").write_text(returning("secret"))
    (plain.root / "way-out").symlink_to(outside)
    for key in (
        str(outside),
        "/etc",
        "/",
        f"{plain.root}/../{outside.name}",
        f"{plain.root}/way-out",
        f"{plain.root}x",
    ):
        members = {
            "FunctionName": fresh_name("never"),
            "Runtime": PYTHON,
            "Handler": "app.handler",
            "Role": ROLE,
            "Code": {"S3Bucket": BUCKET, "S3Key": key},
        }
        status, code, _ = refusal(plain.aws.create_function, **members)
        assert (status, code) == (400, "InvalidParameterValueException"), key
    shutil.rmtree(outside)


@pytest.mark.process
def test_a_folder_that_becomes_a_link_to_elsewhere_is_not_read(plain: Stage) -> None:
    outside = plain.root.parent / fresh_name("outside")
    outside.mkdir()
    (outside / "app.py").write_text(returning("secret"))
    folder = plain.folder(returning("mine"))
    name = plain.create(folder)
    shutil.rmtree(folder)
    folder.symlink_to(outside)
    until(lambda: any("is not allowed" in line for line in plain.log(name)), "it is not told")
    assert invoke(plain.aws, name).payload == "mine"
    shutil.rmtree(outside)


@pytest.mark.process
def test_without_the_setting_no_folder_is_read(process_server: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(returning(1))
    members: dict[str, Any] = {
        "FunctionName": fresh_name("never"),
        "Runtime": PYTHON,
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"S3Bucket": BUCKET, "S3Key": str(tmp_path)},
    }
    status, code, message = refusal(process_server.client().create_function, **members)
    assert (status, code) == (400, "InvalidParameterValueException")
    assert "hot_reload_folders" in message


@pytest.mark.process
def test_only_deployers_make_functions_of_folders_or_debug_them(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text(returning(1))
    data = tmp_path / "data"
    root = first_key(data)
    variables = {**SIGV4, "LAMBDA_HOME_FUNCTIONS__HOT_RELOAD_FOLDERS": json.dumps([str(code)])}
    flags = ("--sandbox", "process", "--data-dir", str(data))
    statuses = {}
    with LiveServer(*flags, environment=variables) as server:
        for role in ("viewer", "invoker", "deployer"):
            body = json.dumps({"user_name": role, "role": role}).encode()
            made = Answer(*request(server, "POST", "/api/admin/keys", body, **root.bearer))
            document = json.loads(made.body)
            key = Key(document["access_key_id"], document["secret_access_key"])
            members: dict[str, Any] = {
                "FunctionName": role,
                "Runtime": PYTHON,
                "Handler": "app.handler",
                "Role": ROLE,
                "Code": {"S3Bucket": BUCKET, "S3Key": str(code)},
            }
            try:
                client(server, key).create_function(**members)
                created = 201
            except client(server, key).exceptions.ClientError as error:
                created = error.response["ResponseMetadata"]["HTTPStatusCode"]
            debug = request(server, "PUT", "/api/admin/debug/deployer", b"{}", **key.bearer)
            statuses[role] = (created, debug[0])
    assert statuses == {"viewer": (403, 403), "invoker": (403, 403), "deployer": (201, 200)}
