"""The aws-chunked encoding: AWS's published examples, and all that is not quite one."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_home.access import canonical, signatures, signed_chunks
from lambda_home.access.signed_chunks import ChunkDecoder, ChunkSigner
from lambda_home.errors import InvalidRequestContentException, InvalidSignatureException

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
AMZ_DATE = "20130524T000000Z"
SCOPE = "20130524/us-east-1/s3/aws4_request"
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
SEED_WITH_TRAILER = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
OBJECT = b"a" * 66560
CHUNKS = [
    (65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
]
CHUNKS_WITH_TRAILER = [
    (65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
    (1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
    (0, "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
]
# AWS's page prints another signature of the trailer, which none of its SDKs makes.
TRAILER = (
    b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
    b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n"
)
CRC32C = frozenset({b"x-amz-checksum-crc32c"})


def encoded(chunks: list[tuple[int, str]], trailer: bytes = b"") -> bytes:
    parts = []
    for size, signature in chunks:
        data = b"a" * size + b"\r\n" if size else b""
        parts.append(b"%x;chunk-signature=%b\r\n%b" % (size, signature.encode(), data))
    return b"".join([*parts, trailer, b"\r\n"])


def signer(seed: str = SEED) -> ChunkSigner:
    key = canonical.signing_key(SECRET, "20130524", "us-east-1", "s3")
    return ChunkSigner(key, AMZ_DATE, SCOPE, seed)


def decoded(decoder: ChunkDecoder, body: bytes, step: int | None = None) -> bytes:
    step = step or len(body) or 1
    pieces = [decoder.feed(body[at : at + step]) for at in range(0, len(body), step)]
    decoder.end()
    return b"".join(pieces)


@pytest.mark.parametrize("step", [None, 1, 7, 65536, 65540])
def test_the_published_example_is_decoded_in_pieces_of_any_size(step: int | None) -> None:
    decoder = ChunkDecoder(len(OBJECT), signer(), None)
    assert decoded(decoder, encoded(CHUNKS), step) == OBJECT
    assert decoder.trailers == {}


SDKS_TRAILERS = [
    TRAILER,
    b"\r\n" + TRAILER,
    TRAILER.replace(b"\r\n", b"\n"),
    TRAILER.replace(b"==\r\n", b"==\n\r\n"),
    TRAILER.replace(b":", b": ").replace(b"x-amz-checksum", b"X-Amz-Checksum"),
]


@pytest.mark.parametrize("trailer", SDKS_TRAILERS)
@pytest.mark.parametrize("step", [None, 3])
def test_the_published_example_with_a_trailer_is_decoded(trailer: bytes, step: int | None) -> None:
    decoder = ChunkDecoder(len(OBJECT), signer(SEED_WITH_TRAILER), CRC32C)
    assert decoded(decoder, encoded(CHUNKS_WITH_TRAILER, trailer), step) == OBJECT
    assert decoder.trailers == {b"x-amz-checksum-crc32c": b"sOO8/Q=="}


@pytest.mark.parametrize(("mode", "seed", "chunks", "trailer", "more"), [
    (signed_chunks.SIGNED, SEED, CHUNKS, b"", [(b"content-length", b"66824")]),
    (signed_chunks.SIGNED_WITH_TRAILER, SEED_WITH_TRAILER, CHUNKS_WITH_TRAILER, TRAILER,
     [(b"x-amz-trailer", b"x-amz-checksum-crc32c")]),
])  # fmt: skip
def test_the_published_requests_are_verified_as_a_whole(
    mode: str,
    seed: str,
    chunks: list[tuple[int, str]],
    trailer: bytes,
    more: list[tuple[bytes, bytes]],
) -> None:
    fields = [
        (b"host", b"s3.amazonaws.com"),
        (b"x-amz-date", AMZ_DATE.encode()),
        (b"x-amz-storage-class", b"REDUCED_REDUNDANCY"),
        (b"x-amz-content-sha256", mode.encode()),
        (b"content-encoding", b"aws-chunked"),
        (b"x-amz-decoded-content-length", b"66560"),
        *more,
    ]
    names = ";".join(sorted(name.decode() for name, _ in fields))
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/{SCOPE},"
        f"SignedHeaders={names},Signature={seed}"
    )
    fields.append((b"authorization", authorization.encode()))
    signed = signatures.read("PUT", b"/examplebucket/chunkObject.txt", b"", fields)
    assert signed is not None
    signatures.check_time(signed, datetime(2013, 5, 24, tzinfo=UTC))
    body = encoded(chunks, trailer)
    assert signatures.verify(signed, SECRET, body) == OBJECT
    with pytest.raises(InvalidSignatureException):
        signatures.verify(signed, SECRET, body.replace(b"aaaa", b"aaab", 1))
    with pytest.raises(InvalidSignatureException):
        signatures.verify(signed, SECRET + "x", body)


UNSIGNED = b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:s3SFCQ==\r\n\r\n"
CRC32 = frozenset({b"x-amz-checksum-crc32"})


@pytest.mark.parametrize("body", [
    UNSIGNED,
    UNSIGNED.replace(b"==\r\n", b"==\n"),
    UNSIGNED.replace(b"A\r\n0", b"0000a\r\n0"),
])  # fmt: skip
@pytest.mark.parametrize("step", [None, 1])
def test_chunks_without_signatures_are_decoded(body: bytes, step: int | None) -> None:
    decoder = ChunkDecoder(15, None, CRC32)
    assert decoded(decoder, body, step) == b"hello0123456789"
    assert decoder.trailers == {b"x-amz-checksum-crc32": b"s3SFCQ=="}


def test_an_empty_body_is_one_chunk_of_size_0() -> None:
    assert decoded(ChunkDecoder(0, None, frozenset()), b"0\r\n\r\n") == b""
    signature = signer().sign_chunk(canonical.EMPTY_DIGEST)
    body = encoded([(0, signature)])
    assert decoded(ChunkDecoder(0, signer(), None), body) == b""


HEAD_UNSIGNED = "the head of a chunk must be <size>, the size in hexadecimal digits"
FIELDS = "its trailer must have the fields that x-amz-trailer names"
LINES = "its trailer must have one line of name:value for each name"
UNFINISHED = "it ends before its last chunk, which has the size 0"
AFTER_DATA = "a chunk's data must be of its size, and followed by CR LF"
CRC_LINE = b"x-amz-checksum-crc32:s3SFCQ==\r\n"
MALFORMED: list[tuple[bytes, str]] = [
    (b"", UNFINISHED),
    (b"5", UNFINISHED),
    (b"5\r\nhel", UNFINISHED),
    (b"5\r\nhello", UNFINISHED),
    (b"5\r\nhello\r\n", UNFINISHED),
    (b"hello\r\n", HEAD_UNSIGNED),
    (b"\r\n", HEAD_UNSIGNED),
    (b"-5\r\nhello\r\n", HEAD_UNSIGNED),
    (b"0x5\r\nhello\r\n", HEAD_UNSIGNED),
    (b" 5\r\nhello\r\n", HEAD_UNSIGNED),
    (b"5;a=b\r\nhello\r\n", HEAD_UNSIGNED),
    (b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello\r\n", HEAD_UNSIGNED),
    (b"00000000000000005\r\nhello\r\n", HEAD_UNSIGNED),
    (b"5" * 200, "the head of a chunk is too long"),
    (b"5\r\nhelloo\r\n", AFTER_DATA),
    (b"5\r\nhello\n0\r\n", AFTER_DATA),
    (b"F\r\n0123456789abcde\r\n0\r\n\r\n", FIELDS),
    (b"F\r\n0123456789abcde\r\n0\r\nx-amz-other:1\r\n\r\n", FIELDS),
    (b"F\r\n0123456789abcde\r\n0\r\n" + CRC_LINE + b"x-amz-other:1\r\n\r\n", FIELDS),
    (b"F\r\n0123456789abcde\r\n0\r\n" + CRC_LINE * 2 + b"\r\n", LINES),
    (b"F\r\n0123456789abcde\r\n0\r\nx-amz-checksum-crc32\r\n\r\n", LINES),
    (b"F\r\n0123456789abcde\r\n0\r\n" + b"x" * 20000, "its trailer is longer than 16 KiB"),
    (b"5\r\nhello\r\n0\r\n" + CRC_LINE + b"\r\n",
     "it has 5 bytes, x-amz-decoded-content-length is 15"),
    (b"10\r\n", "it has 16 bytes or more, x-amz-decoded-content-length is 15"),
    (b"ffffffffffffffff\r\n",
     "it has 18446744073709551615 bytes or more, x-amz-decoded-content-length is 15"),
]  # fmt: skip


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(("body", "why"), MALFORMED)
def test_what_is_wrong_with_an_encoded_body_is_told(
    body: bytes, why: str, step: int | None
) -> None:
    with pytest.raises(InvalidRequestContentException) as caught:
        decoded(ChunkDecoder(15, None, CRC32), body, step)
    assert caught.value.message == f"Could not decode the aws-chunked body: {why}."


@pytest.mark.parametrize("end", [b"", b"\r", b"\r\n\r\n", b"\r\nx", TRAILER])
def test_nothing_but_an_empty_line_follows_the_last_chunk_where_there_is_no_trailer(
    end: bytes,
) -> None:
    body = encoded(CHUNKS)[: -len(b"\r\n")] + end
    with pytest.raises(InvalidRequestContentException, match="an empty line must follow"):
        decoded(ChunkDecoder(len(OBJECT), signer(), None), body)


def test_a_chunk_without_signature_is_refused_where_chunks_are_signed() -> None:
    for head in (
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"5;chunk-signature=\r\n",
        b"5;chunk-signature=AB",
    ):
        decoder = ChunkDecoder(5, signer(), None)
        with pytest.raises(InvalidRequestContentException):
            decoded(decoder, head)


@pytest.mark.parametrize("change", [
    (b"x-amz-checksum-crc32c:sOO8", b"x-amz-checksum-crc32c:sOO9"),
    (b"d81f82fc", b"d81f82fd"),
    (TRAILER[TRAILER.index(b"x-amz-trailer") :], b""),
    (b"2ca2aba2", b"2ca2aba3"),
    (b"1c1344b1", b"1c1344b2"),
    (b"b474d886", b"b474d887"),
    (b"aaaa\r\n0", b"aaab\r\n0"),
])  # fmt: skip
def test_what_is_changed_in_a_signed_body_is_noticed(change: tuple[bytes, bytes]) -> None:
    body = encoded(CHUNKS_WITH_TRAILER, TRAILER)
    assert change[0] in body
    changed = body.replace(*change, 1)
    decoder = ChunkDecoder(len(OBJECT), signer(SEED_WITH_TRAILER), CRC32C)
    with pytest.raises(InvalidSignatureException, match="does not match the signature you"):
        decoded(decoder, changed)


def test_chunks_cannot_change_places_nor_be_left_out() -> None:
    pieces = [(5, b"aaaaa"), (5, b"bbbbb"), (0, b"")]
    sign = signer()
    made = []
    for size, data in pieces:
        signature = sign.sign_chunk(hashlib.sha256(data).hexdigest()).encode()
        made.append(b"%x;chunk-signature=%b\r\n%b\r\n" % (size, signature, data))
    whole = ChunkDecoder(10, signer(), None)
    assert decoded(whole, b"".join(made)) == b"aaaaabbbbb"
    for order in ([1, 0, 2], [0, 2], [1, 2], [2], [0, 0, 2]):
        decoder = ChunkDecoder(10, signer(), None)
        with pytest.raises(InvalidSignatureException):
            decoded(decoder, b"".join(made[at] for at in order))


@settings(max_examples=60, deadline=None)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=30), max_size=4),
    step=st.integers(1, 50),
    place=st.integers(0, 10_000),
    bit=st.integers(0, 7),
)
def test_what_is_signed_is_decoded_and_no_bit_of_its_data_can_change(
    chunks: list[bytes], step: int, place: int, bit: int
) -> None:
    sign = signer()
    body = b""
    data_at: list[int] = []
    for data in [*chunks, b""]:
        signature = sign.sign_chunk(hashlib.sha256(data).hexdigest()).encode()
        body += b"%x;chunk-signature=%b\r\n" % (len(data), signature)
        data_at += range(len(body), len(body) + len(data))
        body += data + b"\r\n"
    length = sum(map(len, chunks))
    assert decoded(ChunkDecoder(length, signer(), None), body, step) == b"".join(chunks)
    if data_at:
        changed = bytearray(body)
        changed[data_at[place % len(data_at)]] ^= 1 << bit
        with pytest.raises(InvalidSignatureException):
            decoded(ChunkDecoder(length, signer(), None), bytes(changed), step)


def test_a_decoder_holds_no_more_than_a_line() -> None:
    decoder = ChunkDecoder(10**9, None, frozenset())
    assert decoder.feed(b"3b9aca00\r\n") == b""
    piece = b"x" * 100_000
    for _ in range(5):
        assert decoder.feed(piece) == piece
    assert decoder._rest == b""  # noqa: SLF001
