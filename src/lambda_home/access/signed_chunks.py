r"""The aws-chunked encoding of a body: chunks, each with a signature of its own, and a trailer.

    10000;chunk-signature=<64 hexadecimal digits>\r\n <65536 bytes>\r\n
    0;chunk-signature=...\r\n
    x-amz-checksum-crc32c:sOO8/Q==\r\n x-amz-trailer-signature:...\r\n \r\n

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

from __future__ import annotations

import hmac
import re
from enum import Enum, auto
from hashlib import sha256
from typing import Final

from lambda_home.access.canonical import EMPTY_DIGEST, digest, signature_of
from lambda_home.errors import InvalidRequestContentException, InvalidSignatureException

SIGNED: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_WITH_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_WITH_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
MODES: Final = frozenset({SIGNED, SIGNED_WITH_TRAILER, UNSIGNED_WITH_TRAILER})

_TRAILER_SIGNATURE: Final = b"x-amz-trailer-signature"
# Longer than any head of a chunk: 16 digits, the word and a signature.
_LONGEST_HEAD: Final = 128
_LONGEST_TRAILER: Final = 16 * 1024
_HEAD: Final = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_CRLF: Final = b"\r\n"


class _Awaits(Enum):
    """What comes next."""

    HEAD = auto()
    DATA = auto()
    END_OF_DATA = auto()
    TRAILER = auto()


class ChunkSigner:
    """Signs one chunk after the other; each signature takes in the one before it.

    `seed` is the signature of the request, `scope` its credential scope without the key's id.
    """

    def __init__(self, key: bytes, amz_date: str, scope: str, seed: str) -> None:
        self._key = key
        self._place = f"{amz_date}\n{scope}\n"
        self._previous = seed

    def sign_chunk(self, data_digest: str) -> str:
        """The signature of the next chunk, whose data have this SHA-256."""
        return self._sign("PAYLOAD", f"{EMPTY_DIGEST}\n{data_digest}")

    def sign_trailer(self, lines: bytes) -> str:
        """The signature of the trailer: lines of `name:value`, each with its newline."""
        return self._sign("TRAILER", digest(lines))

    def _sign(self, what: str, content: str) -> str:
        text = f"AWS4-HMAC-SHA256-{what}\n{self._place}{self._previous}\n{content}"
        self._previous = signature_of(self._key, text.encode())
        return self._previous


class ChunkDecoder:
    """Decodes a body while it comes, and holds no more of it than a line.

    What `feed` gives is proved only at the end of its chunk, and the whole by `end`: act on
    nothing before. `length` is x-amz-decoded-content-length. Without `signer` the chunks carry no
    signatures. `trailers` are the names of x-amz-trailer, or None if there is no trailer.

    Errors: InvalidSignatureException (403) for a signature that is wrong,
    InvalidRequestContentException (400) for a body that is not so encoded, or of another length.
    """

    def __init__(
        self, length: int, signer: ChunkSigner | None, trailers: frozenset[bytes] | None
    ) -> None:
        self._length = length
        self._signer = signer
        self._declared = trailers
        self._awaits = _Awaits.HEAD
        self._rest = b""
        self._missing = 0
        self._decoded = 0
        self._signature = b""
        self._hash = sha256()
        self.trailers: dict[bytes, bytes] = {}

    def feed(self, data: bytes) -> bytes:
        """What the next piece of the encoded body holds of the decoded one."""
        rest = self._rest + data
        out: list[bytes] = []
        at, before = 0, -1
        while before < at < len(rest):
            before = at
            if self._awaits is _Awaits.DATA:
                at = self._take_data(rest, at, out)
            elif self._awaits is _Awaits.HEAD:
                at = self._take_head(rest, at)
            elif self._awaits is _Awaits.END_OF_DATA:
                at = self._take_end_of_data(rest, at)
            elif len(rest) - at > _LONGEST_TRAILER:
                raise _malformed("its trailer is longer than 16 KiB")
        self._rest = rest[at:]
        return b"".join(out)

    def end(self) -> None:
        """The encoded body is complete."""
        if self._awaits is not _Awaits.TRAILER:
            raise _malformed("it ends before its last chunk, which has the size 0")
        if self._decoded != self._length:
            raise _wrong_length(self._decoded, self._length)
        if self._declared is None:
            if self._rest != _CRLF:
                raise _malformed("an empty line must follow its last chunk, and nothing else")
        else:
            self._check_trailer(self._declared)

    def _take_head(self, rest: bytes, at: int) -> int:
        """Read the head of a chunk, once it is complete."""
        end = rest.find(_CRLF, at, at + _LONGEST_HEAD)
        if end < 0:
            if len(rest) - at >= _LONGEST_HEAD:
                raise _malformed("the head of a chunk is too long")
            return at
        match = _HEAD.fullmatch(rest, at, end)
        if match is None or (match[2] is None) is not (self._signer is None):
            form = "<size>" if self._signer is None else "<size>;chunk-signature=<signature>"
            raise _malformed(f"the head of a chunk must be {form}, the size in hexadecimal digits")
        self._missing = int(match[1], 16)
        self._signature = match[2] or b""
        self._decoded += self._missing
        if self._decoded > self._length:
            raise _wrong_length(self._decoded, self._length)
        self._hash = sha256()
        self._awaits = _Awaits.DATA
        if not self._missing:
            self._check_chunk()
            self._awaits = _Awaits.TRAILER
        return end + len(_CRLF)

    def _take_data(self, rest: bytes, at: int, out: list[bytes]) -> int:
        """Pass on data of a chunk."""
        data = rest[at : at + self._missing]
        out.append(data)
        if self._signer is not None:
            self._hash.update(data)
        self._missing -= len(data)
        if not self._missing:
            self._check_chunk()
            self._awaits = _Awaits.END_OF_DATA
        return at + len(data)

    def _take_end_of_data(self, rest: bytes, at: int) -> int:
        """Skip the line break after a chunk's data."""
        if len(rest) - at < len(_CRLF):
            return at
        if not rest.startswith(_CRLF, at):
            raise _malformed("a chunk's data must be of its size, and followed by CR LF")
        self._awaits = _Awaits.HEAD
        return at + len(_CRLF)

    def _check_chunk(self) -> None:
        if self._signer is not None:
            signature = self._signer.sign_chunk(self._hash.hexdigest())
            _compare(signature, self._signature)

    def _check_trailer(self, declared: frozenset[bytes]) -> None:
        """SDKs end lines with LF or CR LF, and put empty ones between: only the others count."""
        lines = [line.strip() for line in self._rest.split(b"\n")]
        fields = [line.partition(b":") for line in lines if line]
        found = {name.strip().lower(): value.strip() for name, _, value in fields}
        given = found.pop(_TRAILER_SIGNATURE, None)
        if len(found) + (given is not None) != len(fields) or any(not field[1] for field in fields):
            raise _malformed("its trailer must have one line of name:value for each name")
        if found.keys() != declared:
            raise _malformed("its trailer must have the fields that x-amz-trailer names")
        if self._signer is not None:
            text = b"".join([b"%b:%b\n" % field for field in found.items()])
            _compare(self._signer.sign_trailer(text), given or b"")
        self.trailers = found


def mismatch() -> InvalidSignatureException:
    """What AWS answers for a signature that is not the right one."""
    return InvalidSignatureException(
        "The request signature we calculated does not match the signature you provided. Check your"
        " AWS Secret Access Key and signing method. Consult the service documentation for details."
    )


def _compare(calculated: str, given: bytes) -> None:
    if not hmac.compare_digest(calculated.encode(), given):
        raise mismatch()


def _malformed(why: str) -> InvalidRequestContentException:
    return InvalidRequestContentException(f"Could not decode the aws-chunked body: {why}.")


def _wrong_length(found: int, declared: int) -> InvalidRequestContentException:
    return _malformed(
        f"it has {found} bytes or more, x-amz-decoded-content-length is {declared}"
        if found > declared
        else f"it has {found} bytes, x-amz-decoded-content-length is {declared}"
    )
