"""Event source mappings through boto3: answers, errors and states as AWS's."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from functions_under_test import PYTHON, create, fresh_name
from live import ROLE, LiveServer, zip_of
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

SOURCE = "def handler(event, context):\n    return 1\n"
ROOT = "arn:aws:lambda:us-east-1:000000000000"
KINESIS = "arn:aws:kinesis:us-east-1:000000000000:stream/{}"
GONE = (404, "ResourceNotFoundException", "The resource you requested does not exist.")
INVALID = (400, "InvalidParameterValueException")


@pytest.fixture(scope="module")
def name(process_server: LiveServer) -> str:
    return create(process_server.client(), SOURCE)


def queue(name: str = "") -> str:
    return f"arn:aws:sqs:us-east-1:000000000000:{name or fresh_name('queue')}"


def shown(answer: Any) -> dict[str, Any]:
    """An answer without what differs in every one; its time is now."""
    answer.pop("ResponseMetadata", None)
    age = dt.datetime.now(dt.UTC) - answer.pop("LastModified")
    assert abs(age.total_seconds()) < 60
    assert answer["EventSourceMappingArn"].endswith(f":event-source-mapping:{answer['UUID']}")
    return dict(answer)


def status(answer: Any) -> int:
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


def refusal(call: Any, **params: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as refused:
        call(**params)
    response: Any = refused.value.response
    error = response["Error"]
    return status(response), error["Code"], error["Message"]


def test_a_mapping_lives_from_its_creation_to_its_deletion(api: LambdaClient, name: str) -> None:
    arn = queue()
    created = api.create_event_source_mapping(
        FunctionName=name, EventSourceArn=arn, Tags={"a": "b"}
    )
    assert status(created) == 202
    expected = shown(created)
    identifier = expected["UUID"]
    assert str(uuid.UUID(identifier)) == identifier
    assert expected == {
        "UUID": identifier,
        "EventSourceMappingArn": f"{ROOT}:event-source-mapping:{identifier}",
        "FunctionArn": f"{ROOT}:function:{name}",
        "EventSourceArn": arn,
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
    }
    got = api.get_event_source_mapping(UUID=identifier)
    assert status(got) == 200
    assert shown(got) == {**expected, "State": "Enabled"}
    updated = api.update_event_source_mapping(UUID=identifier, BatchSize=5)
    assert status(updated) == 202
    assert shown(updated) == {**expected, "BatchSize": 5, "State": "Updating"}
    for enabled, going, then in ((False, "Disabling", "Disabled"), (True, "Enabling", "Enabled")):
        changed = api.update_event_source_mapping(UUID=identifier, Enabled=enabled)
        assert changed["State"] == going
        assert api.get_event_source_mapping(UUID=identifier)["State"] == then
    deleted = api.delete_event_source_mapping(UUID=identifier)
    assert status(deleted) == 202
    assert shown(deleted) == {**expected, "BatchSize": 5, "State": "Deleting"}
    for call in (
        api.get_event_source_mapping,
        api.update_event_source_mapping,
        api.delete_event_source_mapping,
    ):
        assert refusal(call, UUID=identifier) == GONE


def test_a_mapping_of_a_stream_has_the_settings_of_streams(api: LambdaClient, name: str) -> None:
    since = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    pattern = '{"data": {"kind": ["a"]}}'
    created = api.create_event_source_mapping(
        FunctionName=f"{name}:$LATEST",
        EventSourceArn=KINESIS.format(fresh_name()),
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=since,
        Enabled=False,
        FilterCriteria={"Filters": [{"Pattern": pattern}]},
        DestinationConfig={"OnFailure": {"Destination": queue("failed")}},
    )
    got = api.get_event_source_mapping(UUID=created["UUID"])
    assert (created["State"], got["State"]) == ("Disabled", "Disabled")
    assert got["FunctionArn"] == f"{ROOT}:function:{name}:$LATEST"
    assert got["StartingPositionTimestamp"] == since
    assert got["FilterCriteria"] == {"Filters": [{"Pattern": pattern}]}
    assert got["DestinationConfig"] == {"OnFailure": {"Destination": queue("failed")}}
    assert (got["StateTransitionReason"], got["LastProcessingResult"]) == (
        "User action",
        "No records processed",
    )


def test_unknown_things_are_refused_as_recorded(api: LambdaClient) -> None:
    make = api.create_event_source_mapping
    arn = "arn:aws:sqs:us-east-1:111111111111:somequeue"
    assert refusal(make, FunctionName="doesnotexist") == (*INVALID, "Unrecognized event source.")
    assert refusal(make, FunctionName="doesnotexist", EventSourceArn=arn) == (
        *INVALID,
        "Function does not exist",
    )
    config = {"OnSuccess": {"Destination": f"{arn}2"}}
    assert refusal(
        make, FunctionName="doesnotexist", EventSourceArn=arn, DestinationConfig=config
    ) == (
        *INVALID,
        "Unsupported DestinationConfig parameter for given event source mapping type.",
    )
    unknown = str(uuid.uuid4())
    assert refusal(api.get_event_source_mapping, UUID=unknown) == GONE
    assert refusal(api.delete_event_source_mapping, UUID=unknown) == GONE
    assert refusal(api.update_event_source_mapping, UUID=unknown, Enabled=False) == GONE
    filters: Any = ({"FunctionName": "doesnotexist"}, {"EventSourceArn": arn})
    for params in filters:
        assert api.list_event_source_mappings(**params)["EventSourceMappings"] == []


def test_a_starting_position_is_checked(api: LambdaClient, name: str) -> None:
    params: Any = {"FunctionName": name, "EventSourceArn": KINESIS.format("s")}
    make = api.create_event_source_mapping
    assert refusal(make, **params) == (
        *INVALID,
        (
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy"
            " constraint: Member must not be null."
        ),
    )
    assert refusal(make, **params, StartingPosition="invalid") == (
        400,
        "ValidationException",
        (
            "1 validation error detected: Value 'invalid' at 'startingPosition' failed to satisfy"
            " constraint: Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]"
        ),
    )


def test_a_refused_update_changes_nothing(api: LambdaClient, name: str) -> None:
    made = api.create_event_source_mapping(FunctionName=name, EventSourceArn=queue())
    before = api.get_event_source_mapping(UUID=made["UUID"])
    change = api.update_event_source_mapping
    assert refusal(change, UUID=made["UUID"], BatchSize=20) == (
        *INVALID,
        (
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is"
            " greater than 10"
        ),
    )
    assert refusal(change, UUID=made["UUID"], FunctionName="doesnotexist") == (
        *INVALID,
        "Function does not exist",
    )
    assert shown(api.get_event_source_mapping(UUID=made["UUID"])) == shown(before)


def test_an_update_may_name_another_function_which_may_not_have_the_source(
    api: LambdaClient, name: str
) -> None:
    arn = queue()
    other = create(api, SOURCE)
    api.publish_version(FunctionName=other)
    first = api.create_event_source_mapping(FunctionName=name, EventSourceArn=arn)["UUID"]
    moved = api.update_event_source_mapping(UUID=first, FunctionName=f"{other}:1")
    assert moved["FunctionArn"] == f"{ROOT}:function:{other}:1"
    second = api.create_event_source_mapping(FunctionName=name, EventSourceArn=arn)["UUID"]
    taken = refusal(api.update_event_source_mapping, UUID=second, FunctionName=f"{other}:1")
    assert taken == (
        409,
        "ResourceConflictException",
        (
            f'An event source mapping with SQS arn (" {arn} ") and function (" {other}:1 ") already'
            f" exists. Please update or delete the existing mapping with UUID {first}"
        ),
    )


def test_of_many_creates_at_a_time_one_succeeds(api: LambdaClient, name: str) -> None:
    arn = KINESIS.format(fresh_name())

    def make(_: int) -> str:
        try:
            made = api.create_event_source_mapping(
                FunctionName=name, EventSourceArn=arn, StartingPosition="LATEST"
            )
        except ClientError as error:
            return str(error.response["Error"]["Message"])
        return made["UUID"]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(make, range(8)))
    made = [result for result in results if " " not in result]
    assert len(made) == 1
    assert set(results) - set(made) == {
        (
            f'The event source arn (" {arn} ") and function (" {name} ") provided mapping already'
            f" exists. Please update or delete the existing mapping with UUID {made[0]}"
        )
    }


def test_a_mapping_outlives_its_function(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    made = api.create_event_source_mapping(FunctionName=name, EventSourceArn=queue())
    api.delete_function(FunctionName=name)
    assert api.get_event_source_mapping(UUID=made["UUID"])["State"] == "Enabled"
    listed = api.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    assert [one["UUID"] for one in listed] == [made["UUID"]]
    assert api.delete_event_source_mapping(UUID=made["UUID"])["State"] == "Deleting"


def test_lists_are_filtered_and_come_in_pages(process_server: LiveServer) -> None:
    api = process_server.client(account="222222222222")
    first, second = create(api, SOURCE), create(api, SOURCE)
    arn = queue()
    for function in (first, second):
        api.create_event_source_mapping(FunctionName=function, EventSourceArn=arn)
    for _ in range(3):
        api.create_event_source_mapping(FunctionName=first, EventSourceArn=queue())

    def listed(**params: Any) -> list[str]:
        pages = api.get_paginator("list_event_source_mappings").paginate(**params)
        return [one["UUID"] for page in pages for one in page["EventSourceMappings"]]

    everything = listed()
    assert len(set(everything)) == 5
    assert listed(PaginationConfig={"PageSize": 2}) == everything
    assert len(listed(FunctionName=first)) == 4
    assert len(listed(FunctionName=f"222222222222:function:{second}")) == 1
    assert listed(FunctionName=f"{first}:alias") == []
    assert len(listed(EventSourceArn=arn)) == 2
    assert len(listed(EventSourceArn=arn, FunctionName=first)) == 1
    page: Any = api.list_event_source_mappings(MaxItems=5)
    assert "NextMarker" not in page
    assert page["EventSourceMappings"][0]["State"] == "Enabled"
    elsewhere = process_server.client(account="333333333333")
    assert elsewhere.list_event_source_mappings()["EventSourceMappings"] == []


def test_states_are_held_and_survive_a_restart(tmp_path: Path) -> None:
    flags = ("--sandbox", "process", "--data-dir", str(tmp_path))
    environment = {
        "LAMBDA_HOME_FUNCTIONS__TRANSITION_MS": "600000",
        "LAMBDA_HOME_FUNCTIONS__STRICT_STATES": "true",
    }
    with LiveServer(*flags, environment=environment) as server:
        api = server.client()
        name = fresh_name()
        code: Any = {"ZipFile": zip_of({"lambda_function.py": SOURCE})}
        api.create_function(
            FunctionName=name,
            Runtime=PYTHON,
            Handler="lambda_function.handler",
            Role=ROLE,
            Code=code,
        )
        make = api.create_event_source_mapping
        kept = make(FunctionName=name, EventSourceArn=queue())["UUID"]
        assert api.get_event_source_mapping(UUID=kept)["State"] == "Creating"
        for verb in ("update", "delete"):
            call = getattr(api, f"{verb}_event_source_mapping")
            assert refusal(call, UUID=kept) == (
                400,
                "ResourceInUseException",
                f"Cannot {verb} the event source mapping because it is in use.",
            )
        deleted = make(FunctionName=name, EventSourceArn=queue(), Enabled=False)["UUID"]
        api.delete_event_source_mapping(UUID=deleted)
        listed = api.list_event_source_mappings()["EventSourceMappings"]
        assert {one["UUID"]: one["State"] for one in listed} == {
            kept: "Creating",
            deleted: "Deleting",
        }
    with LiveServer(*flags) as server:
        api = server.client()
        listed = api.list_event_source_mappings()["EventSourceMappings"]
        assert [(one["UUID"], one["State"]) for one in listed] == [(kept, "Enabled")]
        assert refusal(api.get_event_source_mapping, UUID=deleted) == GONE


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_sources_are_looked_up_where_an_endpoint_is_set_and_changes_are_waited_for(
    moto: str,
) -> None:
    environment = {
        "LAMBDA_HOME_AWS__ENDPOINT_URL": moto,
        "LAMBDA_HOME_FUNCTIONS__TRANSITION_MS": "100",
    }
    access: Any = {
        "endpoint_url": moto,
        "region_name": "us-east-1",
        "aws_access_key_id": "000000000000",
        "aws_secret_access_key": "secret",
    }
    sqs = boto3.client("sqs", **access)
    sqs.create_queue(QueueName="short", Attributes={"VisibilityTimeout": "20"})
    sqs.close()
    missing = (
        "Error occurred while ReceiveMessage. SQS Error Code:"
        " AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not"
        " exist."
    )
    with LiveServer("--sandbox", "process", "--ephemeral", environment=environment) as server:
        api = server.client()
        name = create(api, SOURCE, Timeout=21)
        make = api.create_event_source_mapping
        refused = refusal(make, FunctionName=name, EventSourceArn=queue("missing"))
        assert refused == (*INVALID, missing)
        assert refusal(make, FunctionName=name, EventSourceArn=queue("short")) == (
            *INVALID,
            "Queue visibility timeout: 20 seconds is less than Function timeout: 21 seconds",
        )
        stream = KINESIS.format("missing")
        assert refusal(
            make, FunctionName=name, EventSourceArn=stream, StartingPosition="LATEST"
        ) == (*INVALID, f"Stream not found: {stream}")
        brief = create(api, SOURCE)
        made = make(FunctionName=brief, EventSourceArn=queue("short"))["UUID"]
        assert api.update_event_source_mapping(UUID=made, BatchSize=5)["State"] == "Updating"
        assert api.delete_event_source_mapping(UUID=made)["State"] == "Deleting"
