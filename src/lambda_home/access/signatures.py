"""Signature Version 4, verified: who signed a request, when, and whether it is what was signed.

A signature stands in the Authorization header or in the query of a presigned URL. `read` finds it
and `check_time` says whether it is current, both before a body has come; `verify` needs the body.
Texts and their order are AWS's, as its services answer them.
Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from lambda_home.access import canonical, signed_chunks
from lambda_home.access.canonical import basic_format
from lambda_home.access.signed_chunks import ChunkDecoder, ChunkSigner, mismatch
from lambda_home.errors import IncompleteSignatureException, InvalidSignatureException

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
MAX_SKEW: Final = timedelta(minutes=5)
MAX_EXPIRES_S: Final = 604_800

_NO_HASHES: Final = signed_chunks.MODES | {UNSIGNED_PAYLOAD}
_CONTENT_HASH: Final = b"x-amz-content-sha256"
# What binds these is not the list of signed headers: the date is part of what is signed, a hash is
# held against the body, and a token against its access key.
_BOUND_OTHERWISE: Final = frozenset({b"x-amz-date", _CONTENT_HASH, b"x-amz-security-token"})
_QUERY_PARAMETERS: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Date",
)
_AUTHORIZATION_PARAMETERS: Final = ("Credential", "Signature", "SignedHeaders")
_SEPARATORS: Final = re.compile(r"[,\s]+")
_PRINTABLE: Final = re.compile(r"[!-~]+")
# The key's id, the date, the region, the service and the terminator.
_SCOPE_PARTS: Final = 5
_LENGTH: Final = re.compile(rb"\d{1,15}")


class Request(NamedTuple):
    """What a signature is held against; `headers` are canonical, `pairs` the query as sent."""

    method: str
    path: bytes
    pairs: Sequence[tuple[bytes, bytes]]
    headers: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature and what it says of itself, none of which is proved yet.

    `date`, `region` and `service` are the credential scope, `amz_date` the time of signing in ISO
    8601's basic format and `signed_at` the same. `expires` is X-Amz-Expires of a presigned URL in
    seconds, `payload_hash` x-amz-content-sha256; both None where they are not given.
    """

    access_key_id: str
    date: str
    region: str
    service: str
    terminator: str
    signed_headers: tuple[str, ...]
    signature: str = field(repr=False)
    amz_date: str
    signed_at: datetime
    session_token: str | None = field(repr=False)
    expires: int | None
    payload_hash: str | None
    is_presigned: bool
    request: Request = field(repr=False, compare=False)

    @property
    def scope(self) -> str:
        """The credential scope, as it is signed."""
        return f"{self.date}/{self.region}/{self.service}/{canonical.TERMINATOR}"


def read(
    method: str, raw_path: bytes, query: bytes, fields: Sequence[tuple[bytes, bytes]]
) -> Signed | None:
    """The signature that a request carries; None if there is none at all.

    Raises IncompleteSignatureException for one that lacks something or is not understood,
    InvalidSignatureException for one that leaves out what must be signed, or for two.
    """
    headers = canonical.headers_of(fields)
    request = Request(method, raw_path, canonical.pairs_of(query), headers)
    authorization = headers.get(b"authorization")
    found = _signing_parameters(request.pairs)
    if authorization is None:
        return _from_query(request, found) if found else None
    if "X-Amz-Algorithm" in found:
        raise InvalidSignatureException(
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP"
            " header."
        )
    if not authorization.startswith(b"AWS"):
        return None
    if [name.lower() for name, _ in fields].count(b"authorization") > 1:
        raise IncompleteSignatureException("The request has more than one 'Authorization' header.")
    return _from_header(request, authorization.decode("latin-1"))


def check_time(signed: Signed, now: datetime) -> None:
    """Raise InvalidSignatureException unless a signature is current, and its scope of its day.

    `now` must be aware. Clocks may differ by 5 minutes; a presigned URL is good until X-Amz-Expires
    seconds after it was made.
    """
    now = now.astimezone(UTC).replace(microsecond=0)
    given = signed.amz_date
    window = MAX_SKEW if signed.expires is None else timedelta(seconds=signed.expires)
    if now - signed.signed_at > window:
        bound = f"{basic_format(now - window)} ({basic_format(now)} - {_words(window)}.)"
        raise InvalidSignatureException(f"Signature expired: {given} is now earlier than {bound}")
    if signed.signed_at - now > MAX_SKEW:
        bound = f"{basic_format(now + MAX_SKEW)} ({basic_format(now)} + {_words(MAX_SKEW)}.)"
        raise InvalidSignatureException(
            f"Signature not yet current: {given} is still later than {bound}"
        )
    wrong = ""
    if signed.terminator != canonical.TERMINATOR:
        wrong += (
            "Credential should be scoped with a valid terminator: 'aws4_request', not"
            f" '{signed.terminator}'. "
        )
    day = given[:8]
    if signed.date != day:
        wrong += (
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from"
            f" HTTP: '{signed.date}' != '{day}', from '{given}'."
        )
    if wrong:
        raise InvalidSignatureException(wrong)


def verify(signed: Signed, secret: str, body: bytes | None) -> bytes:
    """The body of a request that is what was signed with `secret`; decoded, if it is aws-chunked.

    `body` may be None while it is still to come: then only the head is verified, and the caller
    must hold the body against `signed.payload_hash`, or decode it with `chunk_decoder`.

    Raises InvalidSignatureException (403) for any other request, and InvalidRequestContentException
    (400) for chunks that cannot be decoded.
    """
    key = canonical.signing_key(secret, signed.date, signed.region, signed.service)
    given = signed.signature.encode("latin-1")
    candidates = _string_to_sign_candidates(signed, body)
    # All are compared at any rate: usually there is one.
    if not any([_is_signature(key, text, given) for text in candidates]):  # noqa: C419
        raise mismatch()
    if body is None:
        return b""
    decoder = chunk_decoder(signed, secret)
    if decoder is None:
        return body
    decoded = decoder.feed(body)
    decoder.end()
    return decoded


def chunk_decoder(signed: Signed, secret: str) -> ChunkDecoder | None:
    """What decodes the body of a request whose head is verified; None if it is not aws-chunked.

    Raises IncompleteSignatureException if x-amz-decoded-content-length is missing.
    """
    mode = signed.payload_hash
    if mode not in signed_chunks.MODES:
        return None
    headers = signed.request.headers
    length = headers.get(b"x-amz-decoded-content-length", b"")
    if not _LENGTH.fullmatch(length):
        raise IncompleteSignatureException(
            "A request whose 'X-Amz-Content-Sha256' is STREAMING-* requires"
            " 'X-Amz-Decoded-Content-Length', the size of the body before it is encoded, in bytes."
        )
    signer = None
    if mode != signed_chunks.UNSIGNED_WITH_TRAILER:
        key = canonical.signing_key(secret, signed.date, signed.region, signed.service)
        signer = ChunkSigner(key, signed.amz_date, signed.scope, signed.signature)
    trailers = None
    if mode != signed_chunks.SIGNED:
        names = headers.get(b"x-amz-trailer", b"").lower().split(b",")
        trailers = frozenset(name.strip() for name in names if name.strip())
    return ChunkDecoder(int(length), signer, trailers)


# -------------------------------------------------------------------------- finding the signature


def _signing_parameters(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """X-Amz-* of a query that has a signature, decoded."""
    if not any(name.startswith(b"X-Amz-") for name, _ in pairs):
        return {}
    found: dict[str, str] = {}
    twice = ""
    for name, value in pairs:
        if name.startswith(b"X-Amz-"):
            key = name.decode("latin-1")
            twice = key if key in found else twice
            found[key] = unquote_to_bytes(value).decode("latin-1")
    if not found.keys() & {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"}:
        return {}
    if twice:
        raise IncompleteSignatureException(
            f"AWS query-string parameters must include '{twice}' only once."
            " Re-examine the query-string parameters."
        )
    return found


def _from_query(request: Request, found: Mapping[str, str]) -> Signed:
    missing = [name for name in _QUERY_PARAMETERS if not found.get(name)]
    if missing:
        lacks = "".join(f"AWS query-string parameters must include '{n}'. " for n in missing)
        raise IncompleteSignatureException(lacks + "Re-examine the query-string parameters.")
    return _signed(
        request,
        found["X-Amz-Algorithm"],
        (found["X-Amz-Credential"], found["X-Amz-Signature"], found["X-Amz-SignedHeaders"]),
        found["X-Amz-Date"],
        found,
    )


def _from_header(request: Request, authorization: str) -> Signed:
    algorithm, _, rest = authorization.partition(" ")
    given: dict[str, str] = {}
    for part in _SEPARATORS.split(rest):
        if not part:
            continue
        name, equals, value = part.partition("=")
        if not equals:
            raise IncompleteSignatureException(
                "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with"
                f" SHA-256 and encoded with Base64): '{_hashed(authorization)}'."
            )
        if name in given:
            raise IncompleteSignatureException(
                f"Authorization header requires only one '{name}' parameter. (Hashed with SHA-256"
                f" and encoded with Base64) Authorization={_hashed(authorization)}"
            )
        given[name] = value
    # SignedHeaders may be empty here: it is refused for lacking the host.
    lacks = "".join(
        f"Authorization header requires '{name}' parameter. "
        for name in _AUTHORIZATION_PARAMETERS
        if not given.get(name) and (name != "SignedHeaders" or name not in given)
    )
    date = request.headers.get(b"x-amz-date") or request.headers.get(b"date")
    if not date:
        lacks += (
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        )
    if lacks or not date:
        raise IncompleteSignatureException(
            f"{lacks}(Hashed with SHA-256 and encoded with Base64)"
            f" Authorization={_hashed(authorization)}"
        )
    values = (given["Credential"], given["Signature"], given["SignedHeaders"])
    return _signed(request, algorithm, values, date.decode("latin-1"), None)


def _signed(
    request: Request,
    algorithm: str,
    values: tuple[str, str, str],
    date: str,
    query: Mapping[str, str] | None,
) -> Signed:
    """Check a signature's parts in AWS's order; `query` is None for one of a header."""
    credential, signature, listed = values
    amz_date, signed_at = canonical.moment_of(date)
    names = tuple(listed.lower().split(";"))
    headers = request.headers
    if "host" not in names or not headers.get(b"host"):
        raise InvalidSignatureException(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        )
    if algorithm != canonical.ALGORITHM:
        raise IncompleteSignatureException(
            f"Unsupported AWS 'algorithm': '{algorithm}' (only {canonical.ALGORITHM} for now). "
        )
    scope = credential.rstrip("/").split("/")
    if len(scope) != _SCOPE_PARTS or not all(map(_PRINTABLE.fullmatch, scope)):
        raise IncompleteSignatureException(
            "Credential must have exactly 5 slash-delimited elements, e.g."
            f" keyid/date/region/service/term, got '{credential}'"
        )
    given = query or {}
    hashed = headers.get(_CONTENT_HASH)
    payload_hash = given.get("X-Amz-Content-Sha256") or (hashed and hashed.decode("latin-1"))
    _check_unsigned(headers, names, hashed)
    token = headers.get(b"x-amz-security-token") if query is None else None
    access_key_id, day, region, service, terminator = scope
    return Signed(
        access_key_id,
        day,
        region,
        service,
        terminator,
        signed_headers=names,
        signature=signature,
        amz_date=amz_date,
        signed_at=signed_at,
        session_token=token.decode("latin-1") if token else given.get("X-Amz-Security-Token"),
        expires=_expires(given.get("X-Amz-Expires")),
        payload_hash=payload_hash or None,
        is_presigned=query is not None,
        request=request,
    )


def _check_unsigned(
    headers: Mapping[bytes, bytes], names: Sequence[str], payload_hash: bytes | None
) -> None:
    """All x-amz-* must be signed, also a payload hash that is none: anybody could write it."""
    for name in headers:
        if not name.startswith(b"x-amz-") or name.decode("latin-1") in names:
            continue
        is_no_hash = name == _CONTENT_HASH and (payload_hash or b"").decode("latin-1") in _NO_HASHES
        if is_no_hash or name not in _BOUND_OTHERWISE:
            spelt = "-".join(part.capitalize() for part in name.decode("latin-1").split("-"))
            raise InvalidSignatureException(
                f"'{spelt}' must be a 'SignedHeader' in the AWS Authorization."
            )


def _expires(given: str | None) -> int | None:
    if given is None:
        return None
    if not given.isascii() or not given.isdecimal():
        raise IncompleteSignatureException("X-Amz-Expires should be a number")
    seconds = int(given[:10])
    if seconds < 1:
        raise IncompleteSignatureException("X-Amz-Expires must be greater than 0 seconds")
    if seconds > MAX_EXPIRES_S:
        raise IncompleteSignatureException(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires"
            f" must be less than {MAX_EXPIRES_S} seconds"
        )
    return seconds


def _hashed(authorization: str) -> str:
    return b64encode(sha256(authorization.encode("latin-1")).digest()).decode("ascii")


def _words(span: timedelta) -> str:
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    return f"{minutes * 60 + seconds} sec" if seconds else f"{minutes} min"


# ------------------------------------------------------------------------ calculating it once more


def _string_to_sign_candidates(signed: Signed, body: bytes | None) -> list[bytes]:
    request = signed.request
    names = [name.encode("latin-1") for name in signed.signed_headers]
    lines = canonical.header_lines(names, request.headers)
    head = f"{canonical.ALGORITHM}\n{signed.amz_date}\n{signed.scope}\n".encode("latin-1")
    method = request.method.encode("latin-1")
    tail = lines + b"\n" + b";".join(names) + b"\n"
    return [
        head
        + canonical.digest(
            b"\n".join((method, path, query, tail + payload.encode("latin-1")))
        ).encode("ascii")
        for payload in _payload_hashes(signed, body)
        for path in canonical.paths(signed.service, request.path)
        for query in canonical.queries(request.pairs)
    ]


def _payload_hashes(signed: Signed, body: bytes | None) -> list[str]:
    """What may stand for the payload; raises InvalidSignatureException for another body's hash.

    SDKs sign presigned URLs with the hash of the body, or of none, or with UNSIGNED-PAYLOAD.
    """
    declared = signed.payload_hash
    hashes: list[str] = []
    if declared is not None:
        if declared not in _NO_HASHES and body is not None:
            actual = canonical.digest(body)
            if not hmac.compare_digest(actual.encode(), declared.lower().encode("latin-1")):
                raise mismatch()
        hashes.append(declared)
    elif body is not None:
        hashes.append(canonical.digest(body))
    if signed.is_presigned and declared != UNSIGNED_PAYLOAD:
        hashes.append(UNSIGNED_PAYLOAD)
    return hashes


def _is_signature(key: bytes, text: bytes, given: bytes) -> bool:
    return hmac.compare_digest(canonical.signature_of(key, text).encode(), given)
