"""`auth = "sigv4"`: callers prove who they are, by a signature, a bearer token or a session.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html, RFC 6750.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from lambda_home.access import signatures
from lambda_home.access.callers import Caller, Callers
from lambda_home.access.gate import BodyCheck, Entry, Known
from lambda_home.access.keys import AccessKey
from lambda_home.access.sessions import token_in
from lambda_home.access.signed_chunks import ChunkDecoder, mismatch
from lambda_home.arns import Scope
from lambda_home.direct_http import Head
from lambda_home.errors import (
    ApiError,
    MissingAuthenticationTokenException,
    ThrottleReason,
    TooManyRequestsException,
    UnrecognizedClientException,
)
from lambda_home.invoker.rate_limits import RateLimits

_BEARER: Final = b"bearer "
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"


class KeyRing(Protocol):
    """Finds access keys."""

    def find(self, access_key_id: str, session_token: str | None = None) -> AccessKey | None:
        """A key that may be used now; raises ApiError for a token that is not its own."""

    def with_secret(self, access_key_id: str, secret: str) -> AccessKey | None:
        """The key that an id and its secret name; raises as `find`."""


class SessionBook(Protocol):
    """Finds the sessions of browsers."""

    def find(self, token: str) -> str | None:
        """The access key id that a session was opened with; None for no session."""


class Signing:
    """See `gate.Authentication`.

    With `believed` whoever signs with a key that nobody made here is taken for who they say;
    signatures of the keys that were are verified all the same.
    """

    def __init__(
        self,
        keys: KeyRing,
        sessions: SessionBook,
        default_region: str,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        believed: Callers | None = None,
    ) -> None:
        self._believed = believed
        self._keys = keys
        self._sessions = sessions
        self._region = default_region
        self._now = now
        self._monotonic = monotonic
        self._limits = RateLimits()

    def identify(self, head: Head) -> Entry:
        """Who sends a request; raises ApiError where that cannot be told, or cannot be true."""
        method = head.method.decode("latin-1")
        signed = signatures.read(method, head.path, head.query, head.fields)
        if signed is not None:
            signatures.check_time(signed, self._now())
            owner = self._keys.find(signed.access_key_id, signed.session_token)
            if owner is not None:
                return _Signature(signed, owner, self._spend)
            if self._believed is None:
                raise unrecognized()
            return Known(self._believed.named(signed.access_key_id, signed.region))
        key = self._by_token(head) or self._by_session(head)
        if key is None:
            raise MissingAuthenticationTokenException("Missing Authentication Token")
        self._spend(key)
        return Known(_caller(key, self._region))

    def _spend(self, key: AccessKey) -> None:
        """Count a request; only of those who have proved that the key is theirs."""
        now = self._monotonic()
        bucket = self._limits.set(key.id, key.requests_per_second, now)
        if bucket is None:
            return
        try:
            bucket.take(now)
        except TooManyRequestsException as error:
            wait_s = error.retry_after_s
            raise TooManyRequestsException(
                ThrottleReason.CALLER_RATE, retry_after_s=wait_s
            ) from None

    def _by_token(self, head: Head) -> AccessKey | None:
        given = head.headers.get(b"authorization", b"")
        if given[: len(_BEARER)].lower() != _BEARER:
            return None
        key_id, _, secret = given[len(_BEARER) :].strip().decode("latin-1").partition(":")
        key = self._keys.with_secret(key_id, secret)
        if key is None:
            raise unrecognized()
        return key

    def _by_session(self, head: Head) -> AccessKey | None:
        token = token_in(head.headers.get(b"cookie", b"").decode("latin-1"))
        key_id = self._sessions.find(token) if token is not None else None
        return self._keys.find(key_id) if key_id is not None else None


class _Signature:
    """An entry whose body is still to be held against its signature."""

    __slots__ = ("_content", "_key", "_signed", "_spend")

    def __init__(
        self, signed: signatures.Signed, key: AccessKey, spend: Callable[[AccessKey], None]
    ) -> None:
        self._signed = signed
        self._key = key
        self._spend = spend
        self._content: bytes | None = None

    @property
    def caller(self) -> Caller | None:
        """Nobody, before the body has come."""
        return None

    def prove(self, body: bytes) -> Caller:
        """The caller; raises InvalidSignatureException, TooManyRequestsException."""
        self._content = signatures.verify(self._signed, self._key.secret, body)
        self._spend(self._key)
        return _caller(self._key, self._signed.region)

    def prove_head(self) -> tuple[Caller, BodyCheck] | None:
        """The caller, if the head declares the body's hash. Raises as `prove`."""
        declared = self._signed.payload_hash
        if declared is None:
            return None
        signatures.verify(self._signed, self._key.secret, None)
        self._spend(self._key)
        decoder = signatures.chunk_decoder(self._signed, self._key.secret)
        check: BodyCheck
        if decoder is not None:
            check = _Chunks(decoder)
        elif declared == _UNSIGNED:
            check = _Anything()
        else:
            check = _Hash(declared)
        return _caller(self._key, self._signed.region), check

    def content(self, body: bytes) -> bytes:
        """The body, decoded if it is aws-chunked."""
        return body if self._content is None else self._content


class _Anything:
    """Of a body whose hash nobody signed."""

    def feed(self, data: bytes) -> None:
        """Any piece will do."""

    def end(self) -> None:
        """Any body will do."""


class _Hash:
    """A body with one SHA-256."""

    def __init__(self, declared: str) -> None:
        self._declared = declared
        self._hash = hashlib.sha256()

    def feed(self, data: bytes) -> None:
        """Hash a piece."""
        self._hash.update(data)

    def end(self) -> None:
        """Raise InvalidSignatureException for another hash."""
        if self._hash.hexdigest() != self._declared:
            raise mismatch()


class _Chunks:
    """A body in signed chunks, which is passed on as it is."""

    def __init__(self, decoder: ChunkDecoder) -> None:
        self._decoder = decoder

    def feed(self, data: bytes) -> None:
        """Verify the chunks that are complete."""
        self._decoder.feed(data)

    def end(self) -> None:
        """Verify the last one."""
        self._decoder.end()


def unrecognized() -> ApiError:
    """What AWS answers for credentials that it does not know."""
    return UnrecognizedClientException("The security token included in the request is invalid.")


def _caller(key: AccessKey, region: str) -> Caller:
    scope = Scope(key.account, region)
    return Caller(scope, key.arn, key.role, key.id, key.user_id, is_verified=True)
