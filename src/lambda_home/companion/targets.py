"""Which AWS service a request is for, as far as its head tells; pure.

A signature names the service. Without one there are the X-Amz-Target of JSON protocols, the
Version of query protocols where it is in the URL, and a host name as AWS's services have theirs.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_to_bytes

from lambda_home.direct_http import Head

_END: Final = b"aws4_request"
_LEAST_PARTS: Final = 4  # key/date/service/aws4_request of SigV4A; SigV4 has the region, too
_NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9.-]{0,62}")
_SIGNED_QUERY = re.compile(rb"(?:^|&)X-Amz-Credential=([^&]*)", re.IGNORECASE)
_S3_SIGV2 = re.compile(rb"AWS [^:\s]+:\S+")
_S3_SIGV2_QUERY: Final = (b"AWSAccessKeyId=", b"Signature=", b"Expires=")
_ACCOUNT = re.compile(rb"(?:Credential=|AWS )(\d{12})[/:]")
_ACCOUNT_IN_QUERY = re.compile(
    rb"(?:^|&)(?:X-Amz-Credential=(?=\d{12}(?:%2F|/))|AWSAccessKeyId=(?=\d{12}(?:&|$)))(\d{12})",
    re.IGNORECASE,
)
_VERSION = re.compile(rb"(?:^|&)Version=(\d{4}-\d{2}-\d{2})(?:&|$)")
_VERSIONED_NAME = re.compile(rb"(?:_?v?\d{8}|v2)$", re.IGNORECASE)
_REGION: Final = r"[a-z]{2}(?:-[a-z]+)+-\d"
_S3_HOST = re.compile(rf"(?:(?P<bucket>.+)\.)?s3(?:[.-]{_REGION})?\.(?P<rest>[a-z0-9.-]+)")
_SERVICE_HOST = re.compile(rf"(?P<service>[a-z][a-z0-9-]*)\.(?:{_REGION})\.[a-z0-9.-]+")
_GLOBAL_HOST = re.compile(r"(?P<service>[a-z][a-z0-9-]*)\.amazonaws\.com")
_LOCAL_BUCKET = re.compile(r"(?P<bucket>.+)\.localhost")
_PORT = re.compile(r":\d*$")

_TARGETS: Final[Mapping[bytes, str]] = MappingProxyType(
    {
        b"AWSCognitoIdentityService": "cognito-identity",
        b"AWSCognitoIdentityProviderService": "cognito-idp",
        b"AWSEvents": "events",
        b"AWSStepFunctions": "states",
        b"AmazonEC2ContainerRegistry_V20150921": "ecr",
        b"AmazonEC2ContainerServiceV20141113": "ecs",
        b"AmazonSQS": "sqs",
        b"AmazonSSM": "ssm",
        b"AnyScaleFrontendService": "application-autoscaling",
        b"CertificateManager": "acm",
        b"DynamoDBStreams_20120810": "dynamodb",
        b"GraniteServiceVersion20100801": "monitoring",
        b"SimpleWorkflowService": "swf",
        b"StarlingDoveService": "config",
        b"TrentService": "kms",
    }
)
"""X-Amz-Target prefixes from which the service's name cannot be guessed."""

_VERSIONS: Final[Mapping[bytes, str]] = MappingProxyType(
    {
        b"2009-05-15": "autoscaling",
        b"2010-03-31": "sns",
        b"2010-05-08": "iam",
        b"2010-05-15": "cloudformation",
        b"2010-08-01": "monitoring",
        b"2010-12-01": "ses",
        b"2011-06-15": "sts",
        b"2012-11-05": "sqs",
        b"2016-11-15": "ec2",
    }
)
"""Versions of query APIs that belong to one service each."""


_BY_HOST: Final = frozenset(
    {
        "cloudformation",
        "cognito-identity",
        "cognito-idp",
        "dynamodb",
        "ec2",
        "events",
        "firehose",
        "iam",
        "kinesis",
        "kms",
        "lambda",
        "logs",
        "monitoring",
        "secretsmanager",
        "sns",
        "sqs",
        "ssm",
        "states",
        "sts",
    }
)
"""Services that are told by their host name; others' names could be anybody's."""


def service_of(head: Head) -> str | None:
    """The service that a request is for; None for one that names none.

    What a signature says comes first. S3's requests are told by older signatures, too.
    """
    headers, query = head.headers, head.query
    authorization = headers.get(b"authorization")
    if authorization:
        named = _signed(authorization.partition(b"Credential=")[2].partition(b",")[0])
        if named is not None:
            return named
        if _S3_SIGV2.fullmatch(authorization):
            return "s3"
    if query:
        named = _by_query(query)
        if named is not None:
            return named
    target = headers.get(b"x-amz-target")
    if target:
        return _targeted(target.partition(b".")[0] if b"com.amazonaws" not in target else target)
    return _by_host(headers.get(b"host", b""))


def bucket_in(host: str) -> str | None:
    """The bucket that a host name of an S3 request names; None for one with the bucket in its path.

    `<bucket>.s3.<anything>`, with or without a region, and `<bucket>.localhost`.
    """
    name = _PORT.sub("", host).lower()
    match = _S3_HOST.fullmatch(name)
    if match is None:
        match = _LOCAL_BUCKET.fullmatch(name)
    return match["bucket"] if match is not None else None


def account_in(head: Head) -> str | None:
    """The account that a request's access key id is; None if that is no account's number.

    In a header or in the query of a presigned URL.
    """
    authorization = head.headers.get(b"authorization", b"")
    match = _ACCOUNT.search(authorization) or _ACCOUNT_IN_QUERY.search(head.query)
    return match[1].decode("ascii") if match is not None else None


def _signed(credential: bytes) -> str | None:
    """The service of a SigV4 (or SigV4A) credential."""
    parts = credential.strip().rsplit(b"/", 4)
    if len(parts) < _LEAST_PARTS or parts[-1] != _END or not _NAME.fullmatch(parts[-2]):
        return None
    return parts[-2].decode("ascii").lower()


def _by_query(query: bytes) -> str | None:
    presigned = _SIGNED_QUERY.search(query)
    if presigned is not None:
        return _signed(unquote_to_bytes(presigned[1]))
    if all(parameter in query for parameter in _S3_SIGV2_QUERY):
        return "s3"
    version = _VERSION.search(query) if b"Action=" in query else None
    return _VERSIONS.get(version[1]) if version is not None else None


def _targeted(prefix: bytes) -> str | None:
    """`AWSEvents` as in X-Amz-Target, or `com.amazonaws.cloudtrail.v20131101.CloudTrail_...`."""
    known = _TARGETS.get(prefix)
    if known is not None:
        return known
    if prefix.startswith(b"com.amazonaws."):
        prefix = prefix.split(b".")[2]
    name = _VERSIONED_NAME.sub(b"", prefix).lower()
    for owner in (b"amazon", b"aws"):
        name = name.removeprefix(owner)
    return name.decode("ascii") if _NAME.fullmatch(name) else None


def _by_host(host: bytes) -> str | None:
    """The service that a host name such as AWS's names: `sqs.us-east-1.<anything>`."""
    if host.count(b".") == 0 or host[:1].isdigit():
        return None
    name = _PORT.sub("", host.decode("latin-1")).lower()
    if _S3_HOST.fullmatch(name):
        return "s3"
    match = _SERVICE_HOST.fullmatch(name) or _GLOBAL_HOST.fullmatch(name)
    return match["service"] if match is not None and match["service"] in _BY_HOST else None
