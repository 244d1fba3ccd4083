"""Layers, their policies, and layers on functions, through boto3: AWS's answers and texts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import QUICK_WAITER, create, fresh_name
from live import ROLE, LiveServer, zip_of

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

ZIP = zip_of({"python/tool.py": "VALUE = 1\n"})
SOURCE = "def handler(event, context):\n    return 1\n"
ROOT = "arn:aws:lambda:us-east-1:000000000000:layer"
GONE = (404, "ResourceNotFoundException", "The resource you requested does not exist.")
TOO_SMALL = (400, "InvalidParameterValueException", "Layer Version Cannot be less than 1")
GRANT: Any = {"StatementId": "s1", "Action": "lambda:GetLayerVersion", "Principal": "*"}
OTHER = "222222222222"


@pytest.fixture
def name(api: LambdaClient) -> str:
    """A layer with one version."""
    name = fresh_name("layer")
    publish(api, name)
    return name


def publish(client: LambdaClient, name: str, **members: Any) -> Any:
    request: Any = {"LayerName": name, "Content": {"ZipFile": ZIP}, **members}
    return client.publish_layer_version(**request)


def refusal(call: Any, **params: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as refused:
        call(**params)
    response: Any = refused.value.response
    error = response["Error"]
    assert response.get("Type") == (None if error["Code"] == "AccessDeniedException" else "User")
    return response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def invalid(text: str) -> tuple[int, str, str]:
    return 400, "InvalidParameterValueException", text


def missing(arn: str) -> tuple[int, str, str]:
    return 404, "ResourceNotFoundException", f"Layer version {arn} does not exist."


def denied(action: str, resource: str, account: str = "000000000000") -> tuple[int, str, str]:
    text = (
        f"User: arn:aws:iam::{account}:root is not authorized to perform: lambda:{action} on"
        f" resource: {resource} because no resource-based policy allows the lambda:{action} action"
    )
    return 403, "AccessDeniedException", text


def bare(answer: Any) -> Any:
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def status(answer: Any) -> int:
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


def test_a_version_is_published_got_listed_and_its_link_serves_the_zip(api: LambdaClient) -> None:
    name = fresh_name("layer")
    given: Any = {
        "CompatibleRuntimes": ["python3.12", "nodejs12.x"],
        "CompatibleArchitectures": ["arm64"],
        "LicenseInfo": "MIT",
        "Description": "d",
    }
    made = publish(api, name, **given)
    assert status(made) == 201
    content = made["Content"]
    location = content.pop("Location")
    with urllib.request.urlopen(location) as served:
        assert served.read() == ZIP
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", made["CreatedDate"])
    listed = {
        **given,
        "CreatedDate": made["CreatedDate"],
        "LayerVersionArn": f"{ROOT}:{name}:1",
        "Version": 1,
    }
    sha256 = base64.b64encode(hashlib.sha256(ZIP).digest()).decode()
    content_of = {"CodeSha256": sha256, "CodeSize": len(ZIP)}
    whole = {**listed, "LayerArn": f"{ROOT}:{name}", "Content": content_of}
    assert bare(made) == whole
    for got in (
        api.get_layer_version(LayerName=name, VersionNumber=1),
        api.get_layer_version(LayerName=f"{ROOT}:{name}", VersionNumber=1),
        api.get_layer_version_by_arn(Arn=f"{ROOT}:{name}:1"),
    ):
        assert got["Content"].pop("Location")
        assert bare(got) == whole
    versions = api.list_layer_versions(LayerName=name)
    assert bare(versions) == {"LayerVersions": [listed]}
    item = {"LayerName": name, "LayerArn": f"{ROOT}:{name}", "LatestMatchingVersion": listed}
    assert item in api.list_layers(MaxItems=50)["Layers"]


def test_only_what_was_given_is_answered_except_the_description(api: LambdaClient) -> None:
    name = fresh_name("layer")
    made = publish(api, name)
    assert bare(made).keys() == {
        "Content",
        "LayerArn",
        "LayerVersionArn",
        "Description",
        "CreatedDate",
        "Version",
    }
    assert made["Description"] == ""
    assert publish(api, name, CompatibleRuntimes=[])["CompatibleRuntimes"] == []


def test_a_layer_may_be_named_by_its_arn_to_publish_it(api: LambdaClient, name: str) -> None:
    assert publish(api, f"{ROOT}:{name}")["LayerVersionArn"] == f"{ROOT}:{name}:2"


def test_numbers_go_on_after_deletes(api: LambdaClient, name: str) -> None:
    publish(api, name)
    for number in (1, 2, 2, 9):
        assert status(api.delete_layer_version(LayerName=name, VersionNumber=number)) == 204
    assert status(api.delete_layer_version(LayerName=fresh_name(), VersionNumber=1)) == 204
    assert api.list_layer_versions(LayerName=name)["LayerVersions"] == []
    assert name not in [layer["LayerName"] for layer in api.list_layers()["Layers"]]
    assert publish(api, name)["Version"] == 3


def test_what_is_not_there_is_answered_as_on_aws(api: LambdaClient, name: str) -> None:
    absent = fresh_name()
    assert refusal(api.get_layer_version, LayerName=absent, VersionNumber=1) == GONE
    assert refusal(api.get_layer_version, LayerName=name, VersionNumber=2) == GONE
    for number in (-1, 0):
        assert refusal(api.get_layer_version, LayerName=name, VersionNumber=number) == TOO_SMALL
        assert refusal(api.delete_layer_version, LayerName=name, VersionNumber=number) == TOO_SMALL
    assert refusal(api.get_layer_version_by_arn, Arn=f"{ROOT}:{name}:2") == GONE
    assert bare(api.list_layer_versions(LayerName=absent)) == {"LayerVersions": []}
    in_europe = f"arn:aws:lambda:eu-west-1:000000000000:layer:{name}"
    assert refusal(api.get_layer_version_by_arn, Arn=f"{in_europe}:1") == GONE
    assert api.list_layer_versions(LayerName=in_europe)["LayerVersions"] == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"ZipFile": b"no zip"}, "Could not unzip uploaded file. Please check your file, then try"),
        ({"ZipFile": b""}, "Uploaded file must be a non-empty zip"),
        ({"S3Bucket": "bucket", "S3Key": "key"}, "Code in S3 needs to know where S3 is"),
    ],
)
def test_bad_content_is_refused_and_uses_no_number(
    api: LambdaClient, name: str, content: Any, text: str
) -> None:
    answered = refusal(api.publish_layer_version, LayerName=name, Content=content)
    assert answered[:2] == (400, "InvalidParameterValueException")
    assert answered[2].startswith(text)
    assert publish(api, name)["Version"] == 2


def test_lists_are_filtered_and_paged(process_server: LiveServer) -> None:
    api = process_server.client("444444444444")
    for name, members in (
        ("b", {"CompatibleRuntimes": ["python3.12"]}),
        ("a", {"CompatibleRuntimes": ["nodejs20.x"], "CompatibleArchitectures": ["arm64"]}),
        ("a", {"CompatibleRuntimes": ["python3.12"]}),
        ("a", {}),
    ):
        publish(api, name, **members)

    def versions(**filters: Any) -> list[int]:
        listed = api.list_layer_versions(LayerName="a", **filters)["LayerVersions"]
        return [item["Version"] for item in listed]

    def latest(**filters: Any) -> list[tuple[str, int]]:
        listed = api.list_layers(**filters)["Layers"]
        return [(i["LayerName"], i["LatestMatchingVersion"]["Version"]) for i in listed]

    assert versions() == [3, 2, 1]
    assert versions(CompatibleRuntime="python3.12") == [2]
    assert versions(CompatibleArchitecture="arm64") == [1]
    assert versions(CompatibleArchitecture="arm64", CompatibleRuntime="python3.12") == []
    assert latest() == [("a", 3), ("b", 1)]
    assert latest(CompatibleRuntime="python3.12") == [("a", 2), ("b", 1)]
    assert latest(CompatibleArchitecture="arm64") == [("a", 1)]
    pages: Any = api.get_paginator("list_layer_versions").paginate(
        LayerName="a", PaginationConfig={"PageSize": 2}
    )
    assert [[i["Version"] for i in page["LayerVersions"]] for page in pages] == [[3, 2], [1]]
    pages = api.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 1})
    assert [[i["LayerName"] for i in page["Layers"]] for page in pages] == [["a"], ["b"]]


def test_a_policy_lives_as_on_aws(api: LambdaClient, name: str) -> None:
    version: Any = {"LayerName": name, "VersionNumber": 1}
    added = api.add_layer_version_permission(**version, **GRANT)
    assert status(added) == 201
    first = (
        f'{{"Sid":"s1","Effect":"Allow","Principal":"*","Action":"lambda:GetLayerVersion",'
        f'"Resource":"{ROOT}:{name}:1"}}'
    )
    assert added["Statement"] == first
    got = api.get_layer_version_policy(**version)
    assert got["Policy"] == f'{{"Version":"2012-10-17","Id":"default","Statement":[{first}]}}'
    assert got["RevisionId"] == added["RevisionId"]

    second = api.add_layer_version_permission(
        **version, **{**GRANT, "StatementId": "s2"}, RevisionId=added["RevisionId"]
    )
    assert second["RevisionId"] != added["RevisionId"]
    gone = api.remove_layer_version_permission(
        **version, StatementId="s1", RevisionId=second["RevisionId"]
    )
    assert status(gone) == 204
    got = api.get_layer_version_policy(**version)
    assert [one["Sid"] for one in json.loads(got["Policy"])["Statement"]] == ["s2"]
    assert got["RevisionId"] not in (added["RevisionId"], second["RevisionId"])
    api.remove_layer_version_permission(**version, StatementId="s2")
    nothing = (
        404,
        "ResourceNotFoundException",
        "No policy is associated with the given resource.",
    )
    assert refusal(api.get_layer_version_policy, **version) == nothing
    assert refusal(api.remove_layer_version_permission, **version, StatementId="s2") == nothing


@pytest.mark.parametrize(
    ("given", "principal", "condition"),
    [
        ({"Principal": OTHER}, {"AWS": f"arn:aws:iam::{OTHER}:root"}, None),
        (
            {"Principal": f"arn:aws:iam::{OTHER}:root"},
            {"AWS": f"arn:aws:iam::{OTHER}:root"},
            None,
        ),
        (
            {"OrganizationId": "o-a1b2c3d4e5"},
            "*",
            {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}},
        ),
    ],
)
def test_statements_name_accounts_and_organizations_as_iam_does(
    api: LambdaClient, name: str, given: Any, principal: Any, condition: Any
) -> None:
    added = api.add_layer_version_permission(
        **{"LayerName": name, "VersionNumber": 1, **GRANT, **given}
    )
    statement = json.loads(added["Statement"])
    assert (statement["Principal"], statement.get("Condition")) == (principal, condition)


def test_refusals_of_policies_are_those_of_aws(api: LambdaClient, name: str) -> None:
    version: Any = {"LayerName": name, "VersionNumber": 1}
    text = (
        "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy"
        " API to retrieve the latest Revision Id"
    )
    stale = (412, "PreconditionFailedException", text)
    text = (
        "The statement id (s1) provided already exists. Please provide a new statement id, or"
        " remove the existing statement."
    )
    taken = (409, "ResourceConflictException", text)
    add, remove = api.add_layer_version_permission, api.remove_layer_version_permission
    assert refusal(add, **version, **GRANT, RevisionId="none yet") == stale
    add(**version, **GRANT)
    assert refusal(add, **version, **GRANT) == taken
    assert refusal(add, **version, **{**GRANT, "StatementId": "s2"}, RevisionId="old") == stale
    assert refusal(remove, **version, StatementId="s1", RevisionId="old") == stale
    assert refusal(remove, **version, StatementId="other") == (
        404,
        "ResourceNotFoundException",
        "Statement other is not found in resource policy.",
    )
    policy = json.loads(api.get_layer_version_policy(**version)["Policy"])
    assert [one["Sid"] for one in policy["Statement"]] == ["s1"]
    absent = fresh_name()
    for layer, number in ((name, 2), (absent, 1), (f"{ROOT}:{absent}", 1)):
        where: Any = {"LayerName": layer, "VersionNumber": number}
        told = missing(f"{ROOT}:{layer.rpartition(':')[2]}:{number}")
        assert refusal(add, **where, **GRANT) == told
        assert refusal(api.get_layer_version_policy, **where) == told
        assert refusal(remove, **where, StatementId="s1") == told
    assert refusal(add, LayerName=name, VersionNumber=0, **GRANT) == TOO_SMALL


def test_another_account_gets_what_it_was_given_and_nothing_else(
    api: LambdaClient, process_server: LiveServer, name: str
) -> None:
    other, layer = process_server.client(OTHER), f"{ROOT}:{name}"
    arn, version = f"{layer}:1", {"LayerName": layer, "VersionNumber": 1}
    function: Any = {
        "FunctionName": fresh_name(),
        "Runtime": "python3.11",
        "Handler": "lambda_function.handler",
        "Role": ROLE,
        "Code": {"ZipFile": zip_of({"lambda_function.py": SOURCE})},
        "Layers": [arn],
    }
    no = denied("GetLayerVersion", arn, OTHER)
    gets: list[tuple[Any, Any]] = [
        (other.get_layer_version, version),
        (other.get_layer_version_by_arn, {"Arn": arn}),
        (other.create_function, function),
    ]
    for get, given in gets:
        assert refusal(get, **given) == no
    api.add_layer_version_permission(
        LayerName=name, VersionNumber=1, **{**GRANT, "Principal": OTHER}
    )
    assert other.get_layer_version_by_arn(Arn=arn)["LayerVersionArn"] == arn
    made = other.create_function(**function)
    assert made["Layers"] == [{"Arn": arn, "CodeSize": len(ZIP)}]
    third = process_server.client("333333333333")
    told = refusal(third.get_layer_version_by_arn, Arn=arn)
    assert told == denied("GetLayerVersion", arn, "333333333333")
    from_europe = process_server.client(OTHER, "eu-west-1")
    assert refusal(from_europe.get_layer_version_by_arn, Arn=arn) == no
    actions: list[tuple[Any, str, Any, str]] = [
        (publish, "PublishLayerVersion", {"client": other, "name": layer}, layer),
        (other.list_layer_versions, "ListLayerVersions", {"LayerName": layer}, layer),
        (other.delete_layer_version, "DeleteLayerVersion", version, arn),
        (other.get_layer_version_policy, "GetLayerVersionPolicy", version, arn),
        (
            other.add_layer_version_permission,
            "AddLayerVersionPermission",
            {**version, **GRANT},
            arn,
        ),
        (
            other.remove_layer_version_permission,
            "RemoveLayerVersionPermission",
            {**version, "StatementId": "s1"},
            arn,
        ),
    ]
    for call, action, params, resource in actions:
        assert refusal(call, **params) == denied(action, resource, OTHER)
    other.delete_function(FunctionName=function["FunctionName"])


def test_layers_of_a_function_are_checked_as_on_aws(api: LambdaClient, name: str) -> None:
    publish(api, name)
    function = create(api, SOURCE)

    def told(*layers: str) -> tuple[int, str, str]:
        return refusal(
            api.update_function_configuration, FunctionName=function, Layers=list(layers)
        )

    one, two, nine = (f"{ROOT}:{name}:{number}" for number in (1, 2, 9))
    absent = f"{ROOT}:doesnotexist:1"
    assert told(one, one, one, one, one, one) == invalid("Cannot reference more than 5 layers.")
    for arn in (absent, nine, "arn:aws:lambda:::awslayer:AmazonLinux1803"):
        assert told(arn) == invalid(f"Layer version {arn} does not exist.")
    twice = (
        "Two different versions of the same layer are not allowed to be referenced in the same"
        f" function. {one} and {{}} are versions of the same layer."
    )
    assert told(one, two) == invalid(twice.format(two))
    assert told(one, one) == invalid(twice.format(one))
    assert told(one.replace("us-east-1", "eu-west-1")) == invalid(
        "Layers are not in the same region as the function. Layers are expected to be in region"
        " us-east-1."
    )
    theirs = one.replace("000000000000", "555555555555")
    assert told(theirs) == denied("GetLayerVersion", theirs)
    assert "Layers" not in api.get_function_configuration(FunctionName=function)


def test_a_function_keeps_a_deleted_layer_but_no_list_may_name_it_again(
    api: LambdaClient, name: str
) -> None:
    function = create(api, SOURCE)
    arn = f"{ROOT}:{name}:1"
    updated = api.get_waiter("function_updated_v2")

    def update(**members: Any) -> Any:
        updated.wait(FunctionName=function, WaiterConfig=QUICK_WAITER)
        return api.update_function_configuration(FunctionName=function, **members)

    kept = [{"Arn": arn, "CodeSize": len(ZIP)}]
    assert update(Layers=[arn])["Layers"] == kept
    api.delete_layer_version(LayerName=name, VersionNumber=1)
    assert update(Description="new")["Layers"] == kept
    assert api.publish_version(FunctionName=function)["Layers"] == kept
    assert refusal(update, Layers=[arn]) == invalid(f"Layer version {arn} does not exist.")
    assert "Layers" not in update(Layers=[])


def test_account_settings_count_each_version_of_a_layer(process_server: LiveServer) -> None:
    api = process_server.client("666666666666")
    for _ in range(2):
        publish(api, "counted")
    assert api.get_account_settings()["AccountUsage"]["TotalCodeSize"] == 2 * len(ZIP)
    api.delete_layer_version(LayerName="counted", VersionNumber=1)
    assert api.get_account_settings()["AccountUsage"]["TotalCodeSize"] == len(ZIP)
