"""What clients of other services hear when a request cannot be forwarded, in their protocol; pure.

Sources: https://smithy.io/2.0/aws/protocols/index.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html,
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final
from xml.sax.saxutils import escape

from lambda_home.direct_http import FieldList, Head

_XML: Final = b"text/xml"
_REST_XML: Final = frozenset({"cloudfront", "route53"})
_CBOR_TEXT: Final = 0x60
_CBOR_ONE_BYTE: Final = 24
_CBOR_MAP_OF_2: Final = b"\xa2"


_IN_XML: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AccessDeniedException": "AccessDenied",
        "ExpiredTokenException": "ExpiredToken",
        "IncompleteSignatureException": "IncompleteSignature",
        "InvalidSignatureException": "SignatureDoesNotMatch",
        "MissingAuthenticationTokenException": "MissingAuthenticationToken",
        "TooManyRequestsException": "Throttling",
        "UnrecognizedClientException": "InvalidClientTokenId",
    }
)
_IN_S3: Final[Mapping[str, str]] = MappingProxyType(
    {
        "IncompleteSignature": "AuthorizationHeaderMalformed",
        "InvalidClientTokenId": "InvalidAccessKeyId",
        "MissingAuthenticationToken": "AccessDenied",
        "Throttling": "SlowDown",
    }
)
"""Codes of JSON protocols, as services with older ones write them."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error: an HTTP status, a code as AWS writes codes, one line that says what to do."""

    status: int
    code: str
    message: str


def worded(refusal: Refusal, service: str, head: Head, request_id: str) -> tuple[FieldList, bytes]:
    """Headers and body of a refusal, as the protocol of a request to `service` has errors."""
    said = _protocol(service, head)
    if said == "cbor":
        content_type, body = b"application/cbor", _cbor(refusal)
    elif said == "json":
        content_type = b"application/x-amz-json-1.0"
        given = {"__type": refusal.code, "message": refusal.message}
        body = json.dumps(given).encode()
    else:
        code = _IN_XML.get(refusal.code, refusal.code)
        refusal = replace(refusal, code=_IN_S3.get(code, code) if said == "s3" else code)
        content_type, body = _XML, _xml(said, refusal, request_id).encode()
    fields = [
        (b"content-type", content_type),
        (b"x-amzn-errortype", refusal.code.encode()),
        (b"x-amzn-requestid", request_id.encode()),
        (b"x-amz-request-id", request_id.encode()),
    ]
    if said == "cbor":
        fields.append((b"smithy-protocol", b"rpc-v2-cbor"))
    return fields, body


def _protocol(service: str, head: Head) -> str:
    headers = head.headers
    if headers.get(b"smithy-protocol") == b"rpc-v2-cbor":
        return "cbor"
    if service in {"s3", "ec2"}:
        return service
    content_type = headers.get(b"content-type", b"")
    form = content_type.startswith(b"application/x-www-form-urlencoded")
    if b"x-amz-target" in headers or not (form or b"Action=" in head.query or service in _REST_XML):
        return "json"
    return "query"


def _xml(form: str, refusal: Refusal, request_id: str) -> str:
    said = f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
    if form == "s3":
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error>{said}<RequestId>{request_id}</RequestId></Error>"
        )
    if form == "ec2":
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
            f"{said}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
        )
    return (
        f"<ErrorResponse><Error><Type>Receiver</Type>{said}</Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )


def _cbor(refusal: Refusal) -> bytes:
    """A map of two texts, RFC 8949."""
    words = ("__type", refusal.code, "message", refusal.message)
    return _CBOR_MAP_OF_2 + b"".join(map(_cbor_text, words))


def _cbor_text(text: str) -> bytes:
    data = text.encode()
    if len(data) < _CBOR_ONE_BYTE:
        return bytes((_CBOR_TEXT + len(data),)) + data
    return bytes((_CBOR_TEXT + _CBOR_ONE_BYTE + 1,)) + len(data).to_bytes(2, "big") + data
