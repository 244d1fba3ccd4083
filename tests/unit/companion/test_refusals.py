"""Errors in the protocol of whoever is asked, read by AWS's own SDK."""

from __future__ import annotations

from typing import Any

import botocore.parsers
import botocore.session
import pytest
from botocore.awsrequest import HeadersDict

from lambda_home.companion.refusals import Refusal, worded
from lambda_home.direct_http import Head

SAID = Refusal(503, "ServiceUnavailable", "<moto> does not start & says why: ü")
FORM = (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")
JSON = (b"content-type", b"application/x-amz-json-1.0")
CBOR = (b"smithy-protocol", b"rpc-v2-cbor")


@pytest.mark.parametrize(
    ("service", "protocol", "query", "header"),
    [
        ("s3", "rest-xml", b"", None),
        ("route53", "rest-xml", b"", None),
        ("sts", "query", b"", FORM),
        ("sqs", "query", b"Action=ReceiveMessage&Version=2012-11-05", None),
        ("ec2", "ec2", b"", FORM),
        ("sqs", "json", b"", JSON),
        ("dynamodb", "json", b"", (b"x-amz-target", b"DynamoDB_20120810.GetItem")),
        ("apigateway", "rest-json", b"", None),
        ("arc-region-switch", "smithy-rpc-v2-cbor", b"", CBOR),
    ],
)
def test_an_sdk_reads_the_code_and_the_line(
    service: str, protocol: str, query: bytes, header: tuple[bytes, bytes] | None
) -> None:
    fields = [header] if header else []
    head = Head(b"POST", b"/", query, dict(fields), 9000, fields)
    headers, body = worded(SAID, service, head, "a-request-id")
    model = botocore.session.Session().get_service_model(service)
    answer: Any = {
        "status_code": SAID.status,
        "headers": HeadersDict({name.decode(): value.decode() for name, value in headers}),
        "body": body,
        "context": {"operation_name": "Any"},
    }
    operation = model.operation_model(model.operation_names[0])
    parsed = botocore.parsers.create_parser(protocol).parse(answer, operation.output_shape)
    assert parsed["Error"]["Code"] == SAID.code
    assert parsed["Error"]["Message"] == SAID.message


@pytest.mark.parametrize(
    ("service", "header", "code"),
    [
        ("s3", FORM, b"<Code>InvalidAccessKeyId</Code>"),
        ("sts", FORM, b"<Code>InvalidClientTokenId</Code>"),
        ("sqs", JSON, b'"UnrecognizedClientException"'),
    ],
)
def test_older_protocols_have_codes_of_their_own(
    service: str, header: tuple[bytes, bytes], code: bytes
) -> None:
    said = Refusal(403, "UnrecognizedClientException", "The security token is invalid.")
    head = Head(b"POST", b"/", b"", dict([header]), 9000, [header])
    assert code in worded(said, service, head, "a-request-id")[1]
