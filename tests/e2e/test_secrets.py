"""Secrets in functions that run: each way an environment is made, rotation, what is missing."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from functions_under_test import NODE, create, fresh_name, invoke
from live import LiveServer
from observing import WITHOUT_SPARES, containers, until, until_logged
from polling import refusal

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

LOOK = """
import os, time
def handler(event, context):
    if event.get("say"):
        print(event["say"], flush=True)
    time.sleep(event.get("seconds", 0))
    return {
        "value": os.environ.get("PASSWORD"),
        "plain": os.environ.get("PLAIN"),
        "kind": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "stream": context.log_stream_name,
    }
"""
LOOK_NODE = "exports.handler = async () => ({ value: process.env.PASSWORD });"


def admin(server: LiveServer, method: str, path: str, body: Any = None) -> Any:
    """An answer's JSON; raises for one that is an error."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}/api/admin{path}", data, method=method)
    with urllib.request.urlopen(request) as response:
        return json.loads(response.read() or b"null")


def secret(server: LiveServer, value: str, name: str = "") -> str:
    """Set a secret; answers its name."""
    name = name or fresh_name("secret")
    admin(server, "POST", "/secrets", {"name": name, "value": value})
    return name


def looking(client: LambdaClient, name: str, **members: Any) -> str:
    environment = {"Variables": {"PASSWORD": f"SECRET_REF:{name}", "PLAIN": f" SECRET_REF:{name}"}}
    return create(client, LOOK, Environment=environment, **members)


def test_a_reference_is_resolved_where_it_is_the_whole_value(
    server: LiveServer, aws: LambdaClient
) -> None:
    name = secret(server, "s3cret ü\nof two lines = $HOME")
    function = looking(aws, name)
    seen = invoke(aws, function, {}).payload
    assert seen["value"] == "s3cret ü\nof two lines = $HOME"
    assert seen["plain"] == f" SECRET_REF:{name}"


def test_each_way_an_environment_is_made_resolves_it(server: LiveServer, aws: LambdaClient) -> None:
    name = secret(server, "right")
    function = looking(aws, name, Timeout=20)
    with ThreadPoolExecutor(3) as pool:  # spares, and those started because more was asked for
        calls = [pool.submit(invoke, aws, function, {"seconds": 0.7}) for _ in range(3)]
        assert {call.result().payload["value"] for call in calls} == {"right"}
    early = create(  # an interpreter reads this before there is a function: no spare fits
        aws,
        LOOK,
        Environment={"Variables": {"PASSWORD": f"SECRET_REF:{name}", "PYTHONOPTIMIZE": "1"}},
    )
    assert invoke(aws, early, {}).payload["value"] == "right"
    node = create(
        aws, LOOK_NODE, Runtime=NODE, Environment={"Variables": {"PASSWORD": f"SECRET_REF:{name}"}}
    )
    assert invoke(aws, node, {}).payload == {"value": "right"}


def test_provisioned_environments_have_it_and_are_replaced_when_it_changes(
    server: LiveServer, aws: LambdaClient
) -> None:
    name = secret(server, "old")
    function = looking(aws, name)
    version = aws.publish_version(FunctionName=function)["Version"]
    aws.put_provisioned_concurrency_config(
        FunctionName=function, Qualifier=version, ProvisionedConcurrentExecutions=1
    )

    def ready() -> bool:
        found = aws.get_provisioned_concurrency_config(FunctionName=function, Qualifier=version)
        return found["Status"] == "READY"

    until(ready, "never provisioned")
    seen = invoke(aws, function, {}, Qualifier=version).payload
    assert (seen["value"], seen["kind"]) == ("old", "provisioned-concurrency")
    secret(server, "new", name)
    assert invoke(aws, function, {}, Qualifier=version).payload["value"] == "new"
    until(ready, "not provisioned again")

    def provisioned() -> bool:
        seen.update(invoke(aws, function, {}, Qualifier=version).payload)
        return bool(seen["kind"] == "provisioned-concurrency")

    until(provisioned, "provisioned environments were not replaced")
    assert seen["value"] == "new"


def test_rotation_takes_effect_on_the_next_invoke_and_lets_the_running_one_finish(
    server: LiveServer, aws: LambdaClient
) -> None:
    name = secret(server, "first")
    function = looking(aws, name, Timeout=20)
    other = looking(aws, secret(server, "other"))
    before = invoke(aws, other, {}).payload
    assert invoke(aws, function, {}).payload["value"] == "first"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(invoke, aws, function, {"seconds": 0.8, "say": "begun"})
        until_logged(server, function, "begun")
        for value in ("second", "third"):
            secret(server, value, name)
            assert invoke(aws, function, {}).payload["value"] == value
        assert running.result().payload["value"] == "first"
    assert invoke(aws, function, {}).payload["value"] == "third"
    assert invoke(aws, other, {}).payload == before, "a function without the secret was stopped"


def test_a_missing_secret_is_told_at_once_and_made_good_by_creating_it(
    server: LiveServer, aws: LambdaClient
) -> None:
    name = fresh_name("missing")
    function = looking(aws, name, Timeout=60)
    started = time.monotonic()
    status, code, message = refusal(aws.invoke, FunctionName=function)
    assert time.monotonic() - started < 20
    assert (status, code) == (502, "KMSNotFoundException")
    assert "PASSWORD" in message
    assert name in message
    secret(server, "there now", name)
    assert invoke(aws, function, {}).payload["value"] == "there now"
    admin(server, "DELETE", f"/secrets/{name}")
    assert refusal(aws.invoke, FunctionName=function)[:2] == (502, "KMSNotFoundException")


def test_events_wait_for_a_missing_secret(process_server: LiveServer) -> None:
    client = process_server.client()
    name = fresh_name("late")
    function = create(
        client,
        "import os\ndef handler(event, context):\n"
        "    print('ran with', os.environ['PASSWORD'][::-1])\n",
        Environment={"Variables": {"PASSWORD": f"SECRET_REF:{name}"}},
    )
    client.invoke(FunctionName=function, InvocationType="Event")
    time.sleep(0.3)
    secret(process_server, "live", name)
    until_logged(process_server, function, "ran with evil")


def test_accounts_and_regions_have_secrets_of_their_own(process_server: LiveServer) -> None:
    name = secret(process_server, "at home")
    elsewhere = process_server.client(account="111111111111")
    function = looking(elsewhere, name)
    assert refusal(elsewhere.invoke, FunctionName=function)[1] == "KMSNotFoundException"


# -- what is kept, and who sees it

PASSWORD = "correct-horse-battery-staple"


@pytest.mark.process
def test_it_is_kept_and_nowhere_in_clear_and_a_lost_key_is_told_at_use(tmp_path: Path) -> None:
    data = tmp_path / "data"
    key, lost = data / "secrets.key", tmp_path / "lost"
    flags = ("--sandbox", "process", "--data-dir", str(data))
    with LiveServer(*flags, environment=WITHOUT_SPARES) as server:
        client = server.client()
        secret(server, PASSWORD, "kept")
        function = looking(client, "kept")
        assert invoke(client, function, {}).payload["value"] == PASSWORD
        shown = json.dumps(client.get_function(FunctionName=function), default=str)
        assert "SECRET_REF:kept" in shown
        shown += json.dumps(admin(server, "GET", "/secrets"))
        server.stop(how=signal.SIGKILL)
    assert key.stat().st_mode & 0o777 == 0o600
    key.rename(lost)
    with LiveServer(*flags, environment=WITHOUT_SPARES) as again:
        client = again.client()
        status, code, message = refusal(client.invoke, FunctionName=function)
        assert (status, code) == (502, "KMSInvalidStateException")
        assert str(key) in message
        with pytest.raises(urllib.error.HTTPError) as refused:
            admin(again, "POST", "/secrets", {"name": "new", "value": "x"})
        assert refused.value.code == 500
        assert str(key) in json.loads(refused.value.read())["Message"]
        assert not key.exists(), "a new key was made, which cannot read what there is"
        lost.rename(key)
        assert invoke(client, function, {}).payload["value"] == PASSWORD
    shown += message + "".join(server.output + again.output)
    assert PASSWORD not in shown
    files = [path for path in data.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    for path in files:
        assert PASSWORD.encode() not in path.read_bytes(), path


@pytest.mark.docker
def test_docker_inspect_shows_it_only_where_no_spare_fits(
    server: LiveServer, aws: LambdaClient
) -> None:
    if not server.facts["sandbox"].startswith("docker"):
        pytest.skip("only Docker has docker inspect")
    for early, count in (({}, 0), ({"PYTHONOPTIMIZE": "1"}, 1)):
        value = f"{PASSWORD}-{len(early)}"
        reference = f"SECRET_REF:{secret(server, value)}"
        function = create(aws, LOOK, Environment={"Variables": {"PASSWORD": reference, **early}})
        assert invoke(aws, function, {}).payload["value"] == value
        ids = [container["ID"] for container in containers(server)]
        done = subprocess.run(["docker", "inspect", *ids], check=True, capture_output=True)
        assert done.stdout.count(value.encode()) == count
