"""SigV4's arithmetic: canonical forms of a request's parts, the signing key, signatures.

Where SDKs differ in what they sign, a form has several candidates. None of them says more than the
request: two requests with one canonical form mean the same to AWS, too.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from lambda_home.errors import IncompleteSignatureException

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
SIGNATURE_PARAMETER: Final = b"X-Amz-Signature"

# These sign a path as it is sent; all other services encode it once more, and normalise it.
_SINGLY_ENCODED: Final = frozenset({"s3", "s3express", "s3-object-lambda", "s3-outposts"})
_DATE: Final = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)


def digest(data: bytes) -> str:
    """SHA-256 in lower-case hexadecimal."""
    return sha256(data).hexdigest()


EMPTY_DIGEST: Final = digest(b"")


@lru_cache(maxsize=256)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of a credential scope, which is used for a day."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signature_of(key: bytes, text: bytes) -> str:
    """A signature in hexadecimal."""
    return hmac.digest(key, text, "sha256").hex()


def headers_of(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Canonical values by lower-case name: trimmed, runs of blanks as one, several with commas."""
    headers: dict[bytes, bytes] = {}
    for given, value in fields:
        name = given.lower()
        trimmed = b" ".join(value.split())
        before = headers.get(name)
        headers[name] = trimmed if before is None else before + b"," + trimmed
    return headers


def header_lines(names: Iterable[bytes], headers: Mapping[bytes, bytes]) -> bytes:
    """The canonical headers; one that the request lacks counts as empty."""
    return b"".join([b"%b:%b\n" % (name, headers.get(name, b"")) for name in names])


def paths(service: str, raw: bytes) -> Sequence[bytes]:
    """Canonical URIs of a path that was sent as `raw`.

    botocore and the SDKs for JavaScript and Java remove `//` and dots before they encode; Go's
    does not. For Amazon S3 the path is what was sent, or its decoded form encoded anew.
    """
    path = raw or b"/"
    if service in _SINGLY_ENCODED:
        encoded = _encoded(unquote_to_bytes(path), safe="/")
        return (path,) if encoded == path else (path, encoded)
    encoded = _encoded(path, safe="/")
    if b"//" not in path and b"/." not in path:
        return (encoded,)
    return (encoded, _encoded(_normalised(path), safe="/"))


def _normalised(path: bytes) -> bytes:
    """Without empty segments and dots, as RFC 3986 5.2.4 says and AWS beyond it."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in {b"", b"."}:
            kept.append(segment)
    closing = b"/" if kept and path.endswith(b"/") else b""
    return b"/" + b"/".join(kept) + closing


def pairs_of(query: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values as they were sent."""
    if not query:
        return []
    parts = [pair.partition(b"=") for pair in query.split(b"&")]
    return [(name, value) for name, _, value in parts]


def queries(pairs: Iterable[tuple[bytes, bytes]]) -> Sequence[bytes]:
    """Canonical query strings, without the signature itself.

    botocore signs names and values as it sends them; others (and AWS) decode and encode anew, a
    plus sign being a space.
    """
    kept = [pair for pair in pairs if pair[0] != SIGNATURE_PARAMETER]
    if not kept:
        return (b"",)
    as_sent = _joined(kept)
    anew = _joined([(_anew(name), _anew(value)) for name, value in kept if name or value])
    return (as_sent,) if anew == as_sent else (as_sent, anew)


def _joined(pairs: list[tuple[bytes, bytes]]) -> bytes:
    return b"&".join([b"%b=%b" % pair for pair in sorted(pairs)])


def _anew(part: bytes) -> bytes:
    return _encoded(unquote_to_bytes(part.replace(b"+", b" ")), safe="")


def _encoded(data: bytes, *, safe: str) -> bytes:
    """Percent-encoded but for RFC 3986's unreserved characters, and those that are `safe`."""
    return quote_from_bytes(data, safe).encode("ascii")


def moment_of(given: str) -> tuple[str, datetime]:
    """The time of signing, from ISO 8601's basic format or, as of the Date header, RFC 9110's.

    Raises IncompleteSignatureException for any other form.
    """
    match = _DATE.fullmatch(given)
    try:
        if match is not None:
            year, month, day, hour, minute, second = map(int, match.groups())
            return given, datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        parsed = parsedate_to_datetime(given)
        at = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
        return basic_format(at), at
    except (ValueError, OverflowError):
        raise IncompleteSignatureException(
            f"Date must be in ISO-8601 'basic format'. Got '{given}'."
            " See http://en.wikipedia.org/wiki/ISO_8601"
        ) from None


def basic_format(moment: datetime) -> str:
    """A moment in UTC in ISO 8601's basic format."""
    return moment.strftime("%Y%m%dT%H%M%SZ")
