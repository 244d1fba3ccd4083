"""The records that destinations and dead-letter queues get, as recorded on AWS."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lambda_home.invoker.destinations import (
    NOT_INVOKED,
    Ending,
    Parcel,
    Response,
    dead_letter_parcel,
    destination_parcel,
    pack,
    record,
    unpack,
)
from lambda_home.invoker.retries import Condition

ARN = "arn:aws:lambda:us-east-1:123456789012:function:hello:$LATEST"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:dead"
AT = 1_763_768_101.0625  # 2025-11-21 23:35:01
ERROR = b'{"errorMessage":"intentional","errorType":"Exception","stackTrace":[]}'
FAILED = Ending(
    request_id="r-1",
    function_arn=ARN,
    condition=Condition.RETRIES_EXHAUSTED,
    invoke_count=3,
    payload=b'{"raise_error":1}',
    ended_at=AT,
    response=Response(200, "$LATEST", "Unhandled", ERROR),
)
SUCCEEDED = replace(
    FAILED,
    condition=Condition.SUCCESS,
    invoke_count=1,
    response=Response(200, "7", None, b'{"ok":true}'),
)
THROTTLED = replace(
    FAILED, condition=Condition.EVENT_AGE_EXCEEDED, invoke_count=0, response=Response(429)
)
STOPPED = replace(
    FAILED, condition=Condition.ZERO_RESERVED_CONCURRENCY, invoke_count=0, response=None
)


def test_the_record_of_a_failure_has_exactly_the_members_of_aws() -> None:
    assert list(json.loads(record(FAILED)).items()) == [
        ("version", "1.0"),
        ("timestamp", "2025-11-21T23:35:01.062Z"),
        (
            "requestContext",
            {
                "requestId": "r-1",
                "functionArn": ARN,
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
        ),
        ("requestPayload", {"raise_error": 1}),
        (
            "responseContext",
            {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        ),
        (
            "responsePayload",
            {"errorMessage": "intentional", "errorType": "Exception", "stackTrace": []},
        ),
    ]


def test_the_record_of_a_success_has_no_function_error() -> None:
    document = json.loads(record(SUCCEEDED))
    assert document["responseContext"] == {"statusCode": 200, "executedVersion": "7"}
    assert document["requestContext"]["condition"] == "Success"
    assert document["responsePayload"] == {"ok": True}


def test_the_record_of_an_event_that_never_ran_has_no_response() -> None:
    assert list(json.loads(record(STOPPED))) == [
        "version",
        "timestamp",
        "requestContext",
        "requestPayload",
    ]
    throttled = json.loads(record(THROTTLED))
    assert throttled["responseContext"] == {"statusCode": 429}
    assert "responsePayload" not in throttled


def test_payloads_stand_in_a_record_as_they_were_sent() -> None:
    payload = '{"big": 123456789012345678901234567890, "e": 1E400, "s": "é\\u00e9"}'
    assert payload in record(replace(FAILED, payload=payload.encode()))


@pytest.mark.parametrize("payload", [b"NaN", b"not json", b"\xff", b"", b"[" * 200_000])
def test_a_payload_that_is_no_json_does_not_spoil_the_record(payload: bytes) -> None:
    ending = replace(FAILED, response=Response(200, "1", None, payload))
    document = json.loads(record(ending))
    assert document["responsePayload"] == payload.decode("utf-8", "replace")


def test_an_event_bus_and_a_bucket_get_their_names_and_keys() -> None:
    bus = "arn:aws:events:us-east-1:123456789012:event-bus/b"
    parcel = destination_parcel(FAILED, bus, "some-uuid")
    assert parcel.detail_type == "Lambda Function Invocation Result - Failure"
    assert parcel.resources == (bus, ARN)
    assert parcel.key == ("aws/lambda/async/hello/2025/11/21/2025-11-21T23.35.01-some-uuid")
    happy = destination_parcel(SUCCEEDED, bus, "some-uuid")
    assert happy.detail_type == "Lambda Function Invocation Result - Success"
    assert parcel.service == "events"


def test_a_dead_letter_is_the_event_with_why_it_failed() -> None:
    parcel = dead_letter_parcel(FAILED, QUEUE)
    assert (parcel.target, parcel.body) == (QUEUE, '{"raise_error":1}')
    assert parcel.attributes == {
        "RequestID": ("String", "r-1"),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "intentional"),
    }


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        (THROTTLED, ("Number", "429"), "Rate Exceeded."),
        (STOPPED, None, NOT_INVOKED),
        (replace(FAILED, response=Response(409)), ("Number", "409"), "RetriesExhausted"),
        (replace(FAILED, response=Response(200, "1", "x", b"oops")), ("Number", "200"), "oops"),
        (replace(FAILED, response=Response(200, "1", "x", b"")), ("Number", "200"), "-"),
        (
            replace(FAILED, response=Response(200, "1", "x", b'"' + b"m" * 2000 + b'"')),
            ("Number", "200"),
            '"' + "m" * 1023,
        ),
    ],
)
def test_the_attributes_of_a_dead_letter_say_what_is_known(
    ending: Ending, code: tuple[str, str] | None, message: str
) -> None:
    attributes = dead_letter_parcel(ending, QUEUE).attributes
    assert attributes.get("ErrorCode") == code
    assert attributes["ErrorMessage"] == ("String", message)


def test_parcels_survive_being_stored() -> None:
    sent = [destination_parcel(FAILED, QUEUE, "u"), dead_letter_parcel(FAILED, QUEUE)]
    found = unpack(pack(sent))
    assert [parcel.body for parcel in found] == [parcel.body for parcel in sent]
    assert found[1] == replace(sent[1], resources=[])
    assert pack(found) == pack(sent)


def test_what_is_no_arn_is_of_no_service() -> None:
    assert Parcel("kafka://topic", "{}").service == ""
