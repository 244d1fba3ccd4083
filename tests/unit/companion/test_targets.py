"""Which service a request is for, told by its head."""

from __future__ import annotations

import pytest

from lambda_home.companion.targets import account_in, bucket_in, service_of
from lambda_home.direct_http import Head

SIGV4 = "AWS4-HMAC-SHA256 Credential={}, SignedHeaders=host, Signature=0"


def head(query: str = "", **headers: str) -> Head:
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    given.setdefault(b"host", b"127.0.0.1:9000")
    return Head(b"GET", b"/", query.encode(), given, 9000, list(given.items()))


@pytest.mark.parametrize(
    ("credential", "service"),
    [
        ("000000000000/20261121/us-east-1/s3/aws4_request", "s3"),
        ("AKIA/20261121/eu-west-1/lambda/aws4_request", "lambda"),
        ("AKIA/20261121/eu-west-1/execute-api/aws4_request", "execute-api"),
        ("with/slashes/20261121/eu-west-1/sqs/aws4_request", "sqs"),
        ("AKIA/20261121/s3/aws4_request", "s3"),  # SigV4A: no region
        ("AKIA/20261121/eu-west-1/S3/aws4_request", "s3"),
        ("AKIA/20261121/eu-west-1//aws4_request", None),
        ("AKIA/20261121/eu-west-1/s3%0a/aws4_request", None),
        ("AKIA/20261121/eu-west-1/s3/aws5_request", None),
        ("s3/aws4_request", None),
        ("", None),
    ],
)
def test_a_signature_names_the_service(credential: str, service: str | None) -> None:
    assert service_of(head(authorization=SIGV4.format(credential))) == service
    presigned = "X-Amz-Credential=" + credential.replace("/", "%2F")
    assert service_of(head(f"a=b&{presigned}&X-Amz-Date=1")) == service
    assert service_of(head("X-Amz-Credential=" + credential)) == service


@pytest.mark.parametrize(
    ("authorization", "query", "service"),
    [
        ("AWS AKIA:c2ln", "", "s3"),
        ("", "AWSAccessKeyId=AKIA&Signature=c2ln&Expires=1", "s3"),
        ("", "AWSAccessKeyId=AKIA&Signature=c2ln", None),
        ("Basic AWS:c2ln", "", None),
        ("Bearer AWS", "", None),
    ],
)
def test_the_signatures_of_before_2014_are_those_of_s3(
    authorization: str, query: str, service: str | None
) -> None:
    given = {"authorization": authorization} if authorization else {}
    assert service_of(head(query, **given)) == service


@pytest.mark.parametrize(
    ("target", "service"),
    [
        ("AmazonSQS.SendMessage", "sqs"),
        ("DynamoDB_20120810.PutItem", "dynamodb"),
        ("DynamoDBStreams_20120810.GetRecords", "dynamodb"),
        ("AWSEvents.PutEvents", "events"),
        ("AWSCognitoIdentityProviderService.InitiateAuth", "cognito-idp"),
        ("Kinesis_20131202.PutRecord", "kinesis"),
        ("secretsmanager.GetSecretValue", "secretsmanager"),
        ("Logs_20140328.PutLogEvents", "logs"),
        ("TrentService.Encrypt", "kms"),
        ("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents", "cloudtrail"),
        ("AmazonAthena.StartQueryExecution", "athena"),
        ("Nobody knows", None),
        (".", None),
    ],
)
def test_without_a_signature_the_target_of_json_protocols_does(
    target: str, service: str | None
) -> None:
    assert service_of(head(x_amz_target=target)) == service


@pytest.mark.parametrize(
    ("query", "service"),
    [
        ("Action=GetCallerIdentity&Version=2011-06-15", "sts"),
        ("Version=2012-11-05&Action=ReceiveMessage", "sqs"),
        ("Action=Publish&Version=2010-03-31", "sns"),
        ("Action=Publish&Version=1999-01-01", None),
        ("Version=2012-11-05", None),
        ("Action=ReceiveMessage", None),
    ],
)
def test_or_the_version_of_query_protocols(query: str, service: str | None) -> None:
    assert service_of(head(query)) == service


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("sqs.us-east-1.localhost:9000", "sqs"),
        ("sqs.eu-central-1.amazonaws.com", "sqs"),
        ("sts.amazonaws.com", "sts"),
        ("lambda.us-gov-west-1.localhost", "lambda"),
        ("s3.localhost:9000", "s3"),
        ("photos.s3.localhost:9000", "s3"),
        ("my.photos.s3.eu-west-1.amazonaws.com", "s3"),
        ("photos.s3-eu-west-1.amazonaws.com", "s3"),
        ("PHOTOS.S3.localhost", "s3"),
        ("photos.localhost:9000", None),
        ("localhost:9000", None),
        ("127.0.0.1:9000", None),
        ("[::1]:9000", None),
        ("home.us-east-1.example.org", None),
        ("abc.lambda-url.us-east-1.localhost:9000", None),
        ("abc.execute-api.us-east-1.localhost", None),
        ("0123456789abcdef0123456789abcdef.lambda-home.internal:9001", None),
        ("s3-control.localhost", None),
    ],
)
def test_or_a_host_name_as_aws_has_them(host: str, service: str | None) -> None:
    assert service_of(head(host=host)) == service


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("photos.s3.localhost:9000", "photos"),
        ("my.photos.s3.eu-west-1.amazonaws.com", "my.photos"),
        ("photos.s3-eu-west-1.amazonaws.com", "photos"),
        ("PHOTOS.S3.localhost", "photos"),
        ("photos.localhost:9000", "photos"),
        ("s3.localhost:9000", None),
        ("s3.eu-west-1.amazonaws.com", None),
        ("localhost:9000", None),
        ("127.0.0.1:9000", None),
        ("lambda.home.example:9000", None),
        ("0123456789abcdef0123456789abcdef.lambda-home.internal:9001", None),
    ],
)
def test_the_host_name_of_a_request_to_s3_can_name_the_bucket(
    host: str, bucket: str | None
) -> None:
    assert bucket_in(host) == bucket


def test_the_signature_wins_over_all_else() -> None:
    signed = SIGV4.format("AKIA/20261121/us-east-1/lambda/aws4_request")
    given = head(
        "Action=GetCallerIdentity&Version=2011-06-15",
        authorization=signed,
        x_amz_target="AmazonSQS.SendMessage",
        host="photos.s3.localhost",
    )
    assert service_of(given) == "lambda"


@pytest.mark.parametrize(
    ("query", "authorization", "account"),
    [
        ("", SIGV4.format("111122223333/20261121/us-east-1/s3/aws4_request"), "111122223333"),
        ("", "AWS 111122223333:c2ln", "111122223333"),
        ("X-Amz-Credential=111122223333%2F20261121%2Fus-east-1%2Fs3", "", "111122223333"),
        ("a=1&AWSAccessKeyId=111122223333&Signature=x", "", "111122223333"),
        ("X-Amz-Credential=AKIA111122223333%2F2026", "", None),
        ("AWSAccessKeyId=1111222233334", "", None),
        ("", SIGV4.format("AKIA/20261121/us-east-1/s3/aws4_request"), None),
        ("", "", None),
    ],
)
def test_an_access_key_id_can_be_an_account(
    query: str, authorization: str, account: str | None
) -> None:
    assert account_in(head(query, authorization=authorization)) == account
