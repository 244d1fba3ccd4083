"""AWS JSON 1.1 as CloudWatch Logs speaks it, driven by botocore's model of the service.

Constraints are worded as Lambda's are, and broken ones are InvalidParameterException.
Sources: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html, answers recorded on AWS.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from lambda_home.cloudwatch.names import PERFORMED, REQUEST_LIMIT
from lambda_home.errors import (
    ApiError,
    InvalidParameterException,
    RequestEntityTooLargeException,
    SerializationException,
)
from lambda_home.http_io import Headers
from lambda_home.user_api.protocol.model import Operation, operations_of
from lambda_home.user_api.protocol.parsing import read_document
from lambda_home.user_api.protocol.readers import read_structure
from lambda_home.user_api.protocol.serialization import document_of
from lambda_home.user_api.protocol.validation import broken

CONTENT_TYPE: Final = (b"content-type", b"application/x-amz-json-1.1")
_MODEL: Final = ("logs", "2014-03-28")
_LONGEST_NAME: Final = 512
_GZIP: Final = zlib.MAX_WBITS + 16  # the header of gzip around it, zlib's manual says
_NAMES: Final = ("logGroupName", "logStreamName")


@cache
def operations() -> Mapping[str, Operation]:
    """The operations that are performed here; reading the model takes some 20 ms, once."""
    return operations_of(*_MODEL, PERFORMED)


def read(operation: str, body: bytes) -> dict[str, Any]:
    """The parameters of a request, held against the model.

    Raises SerializationException and InvalidParameterException.
    """
    shape = operations()[operation].input
    params = read_structure(shape, read_document(body))
    # Recorded: this comes before the constraint of the model that says the same.
    if any(len(params.get(name) or "") > _LONGEST_NAME for name in _NAMES):
        raise InvalidParameterException(
            "Invalid LogGroup or LogStream, both must have length less than or equal to"
            f" {_LONGEST_NAME}."
        )
    if found := broken(shape, params):
        raise InvalidParameterException(found)
    return params


def unpacked(body: bytes) -> bytes:
    """A body that came as gzip, as the CloudWatch agent sends it.

    Raises SerializationException, and RequestEntityTooLargeException for one that is too long.
    """
    reader = zlib.decompressobj(_GZIP)
    try:
        content = reader.decompress(body, REQUEST_LIMIT + 1)
    except zlib.error as error:
        raise SerializationException(f"Could not unpack the request body: {error}") from error
    if len(content) > REQUEST_LIMIT:
        raise too_large()
    if not reader.eof:
        raise SerializationException("Could not unpack the request body: it is not whole")
    return content


def too_large() -> RequestEntityTooLargeException:
    """What is said of a body that is too long."""
    return RequestEntityTooLargeException(f"Request must be smaller than {REQUEST_LIMIT} bytes.")


def write(operation: str, result: Mapping[str, Any] | None) -> bytes:
    """The body of an answer; empty for operations that answer nothing."""
    if result is None:
        return b""
    return to_json(document_of(operations()[operation].output, result))


def write_error(error: ApiError) -> tuple[int, Headers, bytes]:
    """Status, headers and body of an error. What is the caller's fault is 400, whatever it is."""
    status = error.status
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        status = HTTPStatus.BAD_REQUEST
    document = {"__type": error.code, "message": error.message}
    given = {name: value for name, value in document.items() if value is not None}
    headers = [CONTENT_TYPE, (b"x-amzn-errortype", error.code.encode())]
    return status, headers, to_json(given)


def to_json(document: Mapping[str, Any]) -> bytes:
    """A JSON document as AWS writes it."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace")
