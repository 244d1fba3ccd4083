"""The wire codec of the user API: HTTP in AWS's rest-json protocol on one side, dicts on the other.

Everything is driven by AWS's own model of Lambda (91 operations), with the differences that AWS
shows in practice in `deviations`. An operation is served in five steps:

    match(method, raw_path, raw_query)                 -> Match | None (no such operation)
    parse(name, match, raw_query, headers, body)       -> params; SerializationException
    validate(name, params, today)                      -> None; ValidationException and two others
    (the operation runs: params in, result out, both with AWS's member names)
    serialize(name, result) or serialize_error(error)  -> status, headers, body

`warm()` reads the model and builds the route index, so that the first request need not. A body that
is not in AWS's form is read with `read_document`, translated and then given to `parse` as a
mapping. All functions are pure apart from caches.
"""

from __future__ import annotations

from lambda_home.user_api.protocol.model import operations
from lambda_home.user_api.protocol.parsing import parse, read_document
from lambda_home.user_api.protocol.routing import Match, match
from lambda_home.user_api.protocol.serialization import Answer, serialize, serialize_error
from lambda_home.user_api.protocol.validation import NO_END, validate

__all__ = [
    "NO_END",
    "Answer",
    "Match",
    "match",
    "operation_names",
    "parse",
    "read_document",
    "serialize",
    "serialize_error",
    "validate",
    "warm",
]


def operation_names() -> tuple[str, ...]:
    """The names of all operations of the model."""
    return tuple(operations())


def warm() -> None:
    """Read the model and build the route index (about a tenth of a second, once)."""
    match("GET", "/2015-03-31/functions")
