"""The control plane through boto3: states, revisions, versions, lists, limits, as AWS has them."""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.request
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import QUICK_WAITER, create, fresh_name, invoke
from live import ROLE, LiveServer, zip_of

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

SOURCE = "def handler(event, context):\n    return 1\n"
PACKAGE = zip_of({"lambda_function.py": SOURCE})


def settled(api: LambdaClient, name: str) -> Any:
    api.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    return api.get_function_configuration(FunctionName=name)


def test_create_answers_what_aws_answers(api: LambdaClient) -> None:
    name = fresh_name()
    made: Any = api.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="lambda_function.handler",
        Role=ROLE,
        Code={"ZipFile": PACKAGE},
    )
    assert made.pop("ResponseMetadata")["HTTPStatusCode"] == 201
    assert re.fullmatch(r"[0-9a-f-]{36}", made.pop("RevisionId"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", made.pop("LastModified"))
    arn = r"arn:aws:lambda:us-east-1::runtime:[0-9a-f]{64}"
    assert re.fullmatch(arn, made.pop("RuntimeVersionConfig")["RuntimeVersionArn"])
    assert made == {
        "FunctionName": name,
        "FunctionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
        "Runtime": "python3.11",
        "Role": ROLE,
        "Handler": "lambda_function.handler",
        "CodeSize": len(PACKAGE),
        "CodeSha256": b64encode(hashlib.sha256(PACKAGE).digest()).decode(),
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "State": "Pending",
        "StateReason": "The function is being created.",
        "StateReasonCode": "Creating",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
    }


def test_states_move_as_on_aws_and_waiters_pass(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    active: Any = api.get_function_configuration(FunctionName=name)
    assert (active["State"], active["LastUpdateStatus"]) == ("Active", "Successful")
    assert "StateReason" not in active
    updating: Any = api.update_function_configuration(FunctionName=name, Timeout=9)
    assert (updating["State"], updating["LastUpdateStatus"]) == ("Active", "InProgress")
    assert updating["LastUpdateStatusReasonCode"] == "Creating"
    done = settled(api, name)
    assert (done["Timeout"], done["LastUpdateStatus"]) == (9, "Successful")
    assert len({active["RevisionId"], updating["RevisionId"], done["RevisionId"]}) == 3


def test_the_code_location_serves_the_very_zip_and_nothing_else(
    api: LambdaClient, process_server: LiveServer
) -> None:
    name = create(api, SOURCE)
    found = api.get_function(FunctionName=name)
    assert found["Code"]["RepositoryType"] == "S3"
    url = found["Code"]["Location"]
    with urllib.request.urlopen(url, timeout=60) as answer:
        digest = b64encode(hashlib.sha256(answer.read()).digest()).decode()
    assert digest == found["Configuration"]["CodeSha256"]
    key = url.split("/code/")[1].split("?")[0]
    for bad in (url[:-1] + "x", f"{process_server.url}/api/code/{key}", url.replace(key, "0" * 64)):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(bad, timeout=60)
        assert refused.value.code == 403
        refused.value.close()


def test_versions_are_published_once_per_change_and_never_change(api: LambdaClient) -> None:
    name = create(api, SOURCE, Description="first")
    one: Any = api.publish_version(FunctionName=name, Description="one")
    again: Any = api.publish_version(FunctionName=name, Description="other words")
    assert one["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (again["Version"], again["RevisionId"]) == ("1", one["RevisionId"])
    assert one["FunctionArn"].endswith(f":{name}:1")
    api.update_function_configuration(FunctionName=name, MemorySize=256)
    settled(api, name)
    assert api.publish_version(FunctionName=name)["Version"] == "2"
    kept = api.get_function_configuration(FunctionName=name, Qualifier="1")
    assert (kept["MemorySize"], kept["Description"]) == (128, "one")
    api.delete_function(FunctionName=name, Qualifier="2")
    api.update_function_configuration(FunctionName=name, MemorySize=512)
    settled(api, name)
    assert api.publish_version(FunctionName=name)["Version"] == "3", "numbers are not reused"


def test_create_with_publish_makes_version_one_that_runs(api: LambdaClient) -> None:
    name = create(api, SOURCE, Publish=True)
    versions = api.list_versions_by_function(FunctionName=name)["Versions"]
    assert [v["Version"] for v in versions] == ["$LATEST", "1"]
    assert all("State" not in v for v in versions)
    assert invoke(api, name, Qualifier="1").payload == 1


def test_preconditions_are_checked(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    with pytest.raises(api.exceptions.PreconditionFailedException):
        api.publish_version(FunctionName=name, RevisionId="old")
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="CodeSHA256"):
        api.publish_version(FunctionName=name, CodeSha256="another")
    current = api.get_function_configuration(FunctionName=name)["RevisionId"]
    api.update_function_code(FunctionName=name, ZipFile=PACKAGE, RevisionId=current)


def test_a_dry_run_of_an_update_changes_nothing(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    before: Any = api.get_function_configuration(FunctionName=name)
    other = zip_of({"lambda_function.py": "def handler(event, context):\n    return 2\n"})
    tried: Any = api.update_function_code(FunctionName=name, ZipFile=other, DryRun=True)
    assert tried["CodeSha256"] == b64encode(hashlib.sha256(other).digest()).decode()
    after: Any = api.get_function_configuration(FunctionName=name)
    assert after["RevisionId"] == before["RevisionId"]
    assert invoke(api, name).payload == 1


def test_lists_are_paged_and_complete(process_server: LiveServer) -> None:
    api = process_server.client(account="111122223333")
    names = sorted(create(api, SOURCE, f"page-{number:02}") for number in range(7))
    first = api.list_functions(MaxItems=3)
    assert len(first["Functions"]) == 3
    pages = api.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
    found = [f for page in pages for f in page["Functions"]]
    assert [f["FunctionName"] for f in found] == names
    assert all("State" not in f for f in found)
    api.publish_version(FunctionName=names[0])
    every = api.list_functions(FunctionVersion="ALL")["Functions"]
    assert [f["Version"] for f in every if f["FunctionName"] == names[0]] == ["$LATEST", "1"]
    assert every[0]["FunctionArn"].endswith(":$LATEST")


def test_accounts_and_regions_are_separate_worlds(process_server: LiveServer) -> None:
    name = fresh_name("world")
    here = process_server.client()
    there = process_server.client(account="222233334444", region="eu-west-1")
    create(here, SOURCE, name)
    assert name not in [f["FunctionName"] for f in there.list_functions()["Functions"]]
    create(there, "def handler(e, c):\n    return c.invoked_function_arn\n", name)
    arn = f"arn:aws:lambda:eu-west-1:222233334444:function:{name}"
    assert invoke(there, name).payload == arn
    there.delete_function(FunctionName=name)
    assert invoke(here, name).payload == 1
    with pytest.raises(here.exceptions.ResourceNotFoundException, match="not reachable"):
        here.get_function(FunctionName=arn)


def test_deletion_rules(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    with pytest.raises(api.exceptions.InvalidParameterValueException, match="cannot be deleted"):
        api.delete_function(FunctionName=name, Qualifier="$LATEST")
    api.delete_function(FunctionName=name, Qualifier="42")
    api.delete_function(FunctionName=name)
    with pytest.raises(api.exceptions.ResourceNotFoundException):
        api.delete_function(FunctionName=name)


def test_reserved_concurrency_and_account_settings_agree(process_server: LiveServer) -> None:
    api = process_server.client(account="333344445555")
    name = create(api, SOURCE)
    limits = api.get_account_settings()["AccountLimit"]
    assert limits["ConcurrentExecutions"] == limits["UnreservedConcurrentExecutions"] == 256
    assert "ReservedConcurrentExecutions" not in api.get_function_concurrency(FunctionName=name)
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=100)
    assert api.get_function(FunctionName=name)["Concurrency"] == {
        "ReservedConcurrentExecutions": 100
    }
    settings = api.get_account_settings()
    assert settings["AccountLimit"]["UnreservedConcurrentExecutions"] == 156
    assert settings["AccountUsage"] == {"TotalCodeSize": len(PACKAGE), "FunctionCount": 1}
    with pytest.raises(api.exceptions.InvalidParameterValueException, match=r"value of \[100\]"):
        api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=157)
    api.delete_function_concurrency(FunctionName=name)
    assert "ReservedConcurrentExecutions" not in api.get_function_concurrency(FunctionName=name)


def test_parallel_creates_of_one_name_make_one_function(api: LambdaClient) -> None:
    name = fresh_name()

    def attempt(number: int) -> str:
        try:
            create(api, f"def handler(event, context):\n    return {number}\n", name)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "made"

    with ThreadPoolExecutor(6) as pool:
        outcomes = sorted(pool.map(attempt, range(6)))
    assert outcomes == ["ResourceConflictException"] * 5 + ["made"]
    assert invoke(api, name).payload in range(6)


def test_stored_settings_come_back_as_they_were_sent(api: LambdaClient) -> None:
    members: dict[str, Any] = {
        "Environment": {"Variables": {}},
        "TracingConfig": {"Mode": "Active"},
        "LoggingConfig": {"LogFormat": "JSON"},
        "EphemeralStorage": {"Size": 1024},
        "DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"},
    }
    name = create(api, SOURCE, **members)
    found: Any = api.get_function_configuration(FunctionName=name)
    assert found["Environment"] == {"Variables": {}}
    assert found["LoggingConfig"] == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "INFO",
        "LogGroup": f"/aws/lambda/{name}",
    }
    for member in ("TracingConfig", "EphemeralStorage", "DeadLetterConfig"):
        assert found[member] == members[member]
