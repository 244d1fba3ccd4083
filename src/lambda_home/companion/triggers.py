"""Events as AWS's services send them to functions; pure.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html,
https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html,
https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote_plus

Event = dict[str, Any]

_LOCAL: Final = "127.0.0.1"
_LATER_VERSIONS: Final = (
    ("Replication:", "2.2"),
    ("IntelligentTiering", "2.3"),
    ("LifecycleExpiration:", "2.3"),
    ("LifecycleTransition", "2.3"),
    ("ObjectAcl:", "2.3"),
    ("ObjectRestore:Delete", "2.3"),
    ("ObjectTagging:", "2.3"),
)
_EMPTY_MD5: Final = "d41d8cd98f00b204e9800998ecf8427e"
_S3_REASONS: Final = {
    "ObjectCreated:Put": "PutObject",
    "ObjectCreated:Post": "POST Object",
    "ObjectCreated:Copy": "CopyObject",
    "ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "ObjectRemoved:Delete": "DeleteObject",
    "ObjectRemoved:DeleteMarkerCreated": "DeleteObject",
    "ObjectTagging:Put": "PutObjectTagging",
    "ObjectTagging:Delete": "DeleteObjectTagging",
    "ObjectAcl:Put": "PutObjectAcl",
}
_DELETIONS: Final = {
    "ObjectRemoved:Delete": "Permanently Deleted",
    "ObjectRemoved:DeleteMarkerCreated": "Delete Marker Created",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that something happened to.

    `size` and `etag` are None for one that was removed, `version_id` in a bucket that keeps none.
    """

    account: str
    region: str
    bucket: str
    bucket_arn: str
    key: str
    size: int | None
    etag: str | None
    version_id: str | None


@dataclass(frozen=True, slots=True)
class Happened:
    """What happened to an object (`ObjectCreated:Put`), when, and in which request."""

    name: str
    at: datetime
    request_id: str

    @property
    def sequencer(self) -> str:
        """Hexadecimal digits that grow with time."""
        return f"{int(self.at.timestamp() * 1_000_000):018X}"


def s3_notification(stored: Stored, what: Happened, configuration_id: str) -> Event:
    """What a bucket's notification configuration sends."""
    about: Event = {"key": quote_plus(stored.key, safe="/")}
    removed = what.name.startswith(("ObjectRemoved:", "LifecycleExpiration:"))
    if not removed:
        about |= {"size": stored.size, "eTag": stored.etag}
    elif what.name.endswith("DeleteMarkerCreated"):
        about["eTag"] = _EMPTY_MD5
    if stored.version_id is not None:
        about["versionId"] = stored.version_id
    about["sequencer"] = what.sequencer
    versions = (given for prefix, given in _LATER_VERSIONS if what.name.startswith(prefix))
    record = {
        "eventVersion": next(versions, "2.1"),
        "eventSource": "aws:s3",
        "awsRegion": stored.region,
        "eventTime": _to_milliseconds(what.at),
        "eventName": what.name,
        "userIdentity": {"principalId": stored.account},
        "requestParameters": {"sourceIPAddress": _LOCAL},
        "responseElements": {
            "x-amz-request-id": what.request_id,
            "x-amz-id-2": base64.b64encode(what.request_id.encode()).decode(),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration_id,
            "bucket": {
                "name": stored.bucket,
                "ownerIdentity": {"principalId": stored.account},
                "arn": stored.bucket_arn,
            },
            "object": about,
        },
    }
    return {"Records": [record]}


def s3_bus_event(stored: Stored, what: Happened, detail_type: str, event_id: str) -> Event:
    """What a bucket sends to EventBridge."""
    about: Event = {"key": stored.key}
    if stored.size is not None:
        about["size"] = stored.size
    if stored.etag is not None:
        about["etag"] = stored.etag
    if stored.version_id is not None:
        about["version-id"] = stored.version_id
    about["sequencer"] = what.sequencer
    detail = {
        "version": "0",
        "bucket": {"name": stored.bucket},
        "object": about,
        "request-id": what.request_id,
        "requester": stored.account,
        "source-ip-address": _LOCAL,
        "reason": _S3_REASONS.get(what.name, what.name),
    }
    if what.name in _DELETIONS:
        detail["deletion-type"] = _DELETIONS[what.name]
    return {
        "version": "0",
        "id": event_id,
        "detail-type": detail_type,
        "source": "aws.s3",
        "account": stored.account,
        "time": _to_seconds(what.at),
        "region": stored.region,
        "resources": [stored.bucket_arn],
        "detail": detail,
    }


def bus_event(given: Mapping[str, Any]) -> Event:
    """An event of EventBridge's, in the members and the form that targets get."""
    names = ("version", "id", "detail-type", "source", "account", "time", "region", "resources")
    event = {name: given[name] for name in (*names, "detail") if name in given}
    time = event.get("time")
    if isinstance(time, int | float):
        event["time"] = _to_seconds(datetime.fromtimestamp(time, UTC))
    if "replay-name" in given:
        event["replay-name"] = given["replay-name"]
    return event


@dataclass(frozen=True, slots=True)
class Published:
    """A message of SNS. `attributes` are as SNS delivers them: {"Type": ..., "Value": ...}."""

    topic_arn: str
    subscription_arn: str
    message_id: str
    message: str
    subject: str | None
    attributes: Mapping[str, Any]


def sns_event(published: Published, at: datetime) -> Event:
    """What a subscribed function gets of a message."""
    region = published.topic_arn.split(":")[3]
    service = f"https://sns.{region}.amazonaws.com"
    unsubscribe = f"{service}/?Action=Unsubscribe&SubscriptionArn={published.subscription_arn}"
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": published.subscription_arn,
        "Sns": {
            "Type": "Notification",
            "MessageId": published.message_id,
            "TopicArn": published.topic_arn,
            "Subject": published.subject or None,
            "Message": published.message,
            "Timestamp": _to_milliseconds(at),
            "SignatureVersion": "1",
            "Signature": "EXAMPLE",
            "SigningCertUrl": f"{service}/SimpleNotificationService-EXAMPLE.pem",
            "UnsubscribeUrl": unsubscribe,
            "MessageAttributes": dict(published.attributes),
        },
    }
    return {"Records": [record]}


def logs_event(
    owner: str, group: str, stream: str, filter_name: str, events: Iterable[Mapping[str, Any]]
) -> Event:
    """What a subscription filter sends: lines of a log, packed."""
    data = {
        "messageType": "DATA_MESSAGE",
        "owner": owner,
        "logGroup": group,
        "logStream": stream,
        "subscriptionFilters": [filter_name],
        "logEvents": [
            {
                "id": f"{int(event['id']):056d}",
                "timestamp": int(event["timestamp"]),
                "message": event["message"],
            }
            for event in events
        ],
    }
    packed = gzip.compress(json.dumps(data, separators=(",", ":")).encode(), mtime=0)
    return {"awslogs": {"data": base64.b64encode(packed).decode()}}


def _to_milliseconds(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _to_seconds(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
