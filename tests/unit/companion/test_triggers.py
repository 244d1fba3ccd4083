"""Events in the shapes that AWS's developer guides show."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lambda_home.companion.triggers import (
    Happened,
    Published,
    Stored,
    bus_event,
    logs_event,
    s3_bus_event,
    s3_notification,
    sns_event,
)

AT = datetime(2026, 11, 21, 10, 0, 0, 250_000, tzinfo=UTC)
STORED = Stored(
    "111122223333", "eu-west-1", "photos", "arn:aws:s3:::photos", "a b/ü+.jpg", 3, "etag", None
)
PUT = Happened("ObjectCreated:Put", AT, "D8A1C3E4")


def test_a_stored_object_is_told_with_its_key_as_in_a_form() -> None:
    (record,) = s3_notification(STORED, PUT, "my-id")["Records"]
    assert record.pop("responseElements").keys() == {"x-amz-request-id", "x-amz-id-2"}
    assert record == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": "2026-11-21T10:00:00.250Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "111122223333"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "my-id",
            "bucket": {
                "name": "photos",
                "ownerIdentity": {"principalId": "111122223333"},
                "arn": "arn:aws:s3:::photos",
            },
            "object": {
                "key": "a+b/%C3%BC%2B.jpg",
                "size": 3,
                "eTag": "etag",
                "sequencer": PUT.sequencer,
            },
        },
    }


@pytest.mark.parametrize(
    ("name", "version", "members"),
    [
        ("ObjectCreated:Copy", "2.1", {"key", "size", "eTag", "versionId", "sequencer"}),
        ("ObjectRemoved:Delete", "2.1", {"key", "versionId", "sequencer"}),
        ("ObjectRemoved:DeleteMarkerCreated", "2.1", {"key", "eTag", "versionId", "sequencer"}),
        ("ObjectTagging:Put", "2.3", {"key", "size", "eTag", "versionId", "sequencer"}),
        ("Replication:OperationFailedReplication", "2.2", None),
    ],
)
def test_an_event_says_of_an_object_what_there_is_of_it(
    name: str, version: str, members: set[str] | None
) -> None:
    stored = replace(STORED, version_id="v1")
    (record,) = s3_notification(stored, replace(PUT, name=name), "i")["Records"]
    assert record["eventVersion"] == version
    assert members is None or record["s3"]["object"].keys() == members


def test_sequencers_grow() -> None:
    later = replace(PUT, at=AT.replace(microsecond=250_001))
    assert later.sequencer > PUT.sequencer


def test_event_bridge_hears_of_objects_in_words_of_its_own() -> None:
    event = s3_bus_event(STORED, PUT, "Object Created", "an-id")
    assert event["detail"]["object"] == {
        "key": "a b/ü+.jpg",
        "size": 3,
        "etag": "etag",
        "sequencer": PUT.sequencer,
    }
    assert (event["detail"]["reason"], event["time"]) == ("PutObject", "2026-11-21T10:00:00Z")
    gone = replace(STORED, size=None, etag=None)
    removed = replace(PUT, name="ObjectRemoved:Delete")
    detail = s3_bus_event(gone, removed, "Object Deleted", "an-id")["detail"]
    assert detail["deletion-type"] == "Permanently Deleted"
    assert detail["object"].keys() == {"key", "sequencer"}


@pytest.mark.parametrize("time", [AT.timestamp(), "2026-11-21T10:00:00Z"])
def test_an_event_of_a_bus_has_a_written_time_and_nothing_of_the_bus_itself(
    time: object,
) -> None:
    given = {"time": time, "ingestion-time": 1.0, "detail": {"a": 1}, "source": "s", "id": "1"}
    assert bus_event(given) == {
        "id": "1",
        "source": "s",
        "time": "2026-11-21T10:00:00Z",
        "detail": {"a": 1},
    }


@pytest.mark.parametrize(("subject", "told"), [("Hello", "Hello"), (None, None), ("", None)])
def test_a_published_message_comes_with_its_attributes(
    subject: str | None, told: str | None
) -> None:
    topic = "arn:aws:sns:eu-west-1:111122223333:news"
    attributes = {"kind": {"Type": "String", "Value": "x"}}
    given = Published(topic, f"{topic}:sub", "m-1", "text", subject, attributes)
    (record,) = sns_event(given, AT)["Records"]
    assert record["EventSubscriptionArn"] == f"{topic}:sub"
    sent = record["Sns"]
    assert (sent["Subject"], sent["Message"], sent["MessageId"]) == (told, "text", "m-1")
    assert (sent["TopicArn"], sent["MessageAttributes"]) == (topic, attributes)
    assert sent["Timestamp"] == "2026-11-21T10:00:00.250Z"


def test_lines_of_a_log_come_packed() -> None:
    lines = [{"id": 7, "timestamp": 1_700_000_000_000, "message": "ERROR ü"}]
    event = logs_event("111122223333", "group", "stream", "errors", lines)
    data = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    assert data == {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "group",
        "logStream": "stream",
        "subscriptionFilters": ["errors"],
        "logEvents": [{"id": "7".zfill(56), "timestamp": 1_700_000_000_000, "message": "ERROR ü"}],
    }
