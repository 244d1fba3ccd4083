"""SigV4: what botocore signs and AWS publishes is accepted, everything else is refused."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_home.access import canonical, signatures
from lambda_home.access.signatures import Signed
from lambda_home.errors import (
    ApiError,
    IncompleteSignatureException,
    InvalidRequestContentException,
    InvalidSignatureException,
)

KEY_ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = datetime(2026, 1, 1, 0, 15, tzinfo=UTC)
SIGNED_AT = "20260101T001500Z"
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS"
    " Secret Access Key and signing method. Consult the service documentation for details."
)
INVOKE = "/2015-03-31/functions/f/invocations"
BODY = b'{"a": 1}'

Fields = list[tuple[bytes, bytes]]


class Sent:
    """A request as it reaches the server."""

    def __init__(self, method: str, target: bytes, fields: Fields, body: bytes) -> None:
        self.method = method
        self.path, _, self.query = target.partition(b"?")
        self.fields = fields
        self.body = body

    def read(self) -> Signed:
        signed = signatures.read(self.method, self.path, self.query, self.fields)
        assert signed is not None
        return signed

    def verify(self, secret: str = SECRET, now: datetime = NOW) -> Signed:
        signed = self.read()
        signatures.check_time(signed, now)
        assert signatures.verify(signed, secret, self.body) == self.body
        return signed

    def set(self, name: bytes, value: bytes | None) -> None:
        self.fields = [field for field in self.fields if field[0] != name]
        if value is not None:
            self.fields.append((name, value))

    def message(self, kind: type[ApiError], now: datetime = NOW) -> str | None:
        with pytest.raises(ApiError) as caught:
            self.verify(now=now)
        assert type(caught.value) is kind
        assert caught.value.status == 403
        assert caught.value.body() == {"message": caught.value.message}
        return caught.value.message


@pytest.fixture(autouse=True, scope="module")
def _botocore_signs_at_a_fixed_time() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)
    yield
    patch.undo()


def sent_by_botocore(
    auth: type[Any] = botocore.auth.SigV4Auth,
    target: str = INVOKE,
    *,
    body: bytes = BODY,
    headers: Sequence[tuple[str, str]] = (),
    service: str = "lambda",
    **options: Any,
) -> Sent:
    """Signed by botocore, with the headers that an HTTP client adds.

    Options are `method`, `token` and `unsigned_body`; others are the signer's.
    """
    method = options.pop("method", "POST")
    token = options.pop("token", None)
    request = AWSRequest(method=method, url="http://localhost:9000" + target, data=body)
    for name, value in headers:
        request.headers.add_header(name, value)
    if options.pop("unsigned_body", False):
        request.context["payload_signing_enabled"] = False
        request.url = request.url.replace("http:", "https:")
    credentials = Credentials(KEY_ID, SECRET, token)
    auth(credentials, service, "eu-west-1", **options).add_auth(request)
    url = urlsplit(request.url)
    fields = [(k.lower().encode(), str(v).encode()) for k, v in request.headers.items()]
    fields += [(b"host", b"localhost:9000"), (b"user-agent", b"botocore")]
    fields += [(b"content-length", b"%d" % len(body)), (b"accept-encoding", b"identity")]
    goes = url.path + ("?" + url.query if url.query else "")
    return Sent(method, goes.encode(), fields, body)


SIGNERS = [
    (botocore.auth.SigV4Auth, "lambda", {}),
    (botocore.auth.SigV4Auth, "execute-api", {}),
    (botocore.auth.S3SigV4Auth, "s3", {}),
    (botocore.auth.SigV4QueryAuth, "lambda", {"expires": 600}),
    (botocore.auth.S3SigV4QueryAuth, "s3", {"expires": 600}),
]
TARGETS = [
    "/",
    INVOKE,
    "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Af/invocations",
    "/2015-03-31/functions/f%3A%24LATEST/invocations?Qualifier=%24LATEST",
    "/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:f/code",
    "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Af?tagKeys=b&tagKeys=a",
    "/bucket/a%2Fb%20c/d+e/%E1%88%B4~(x)",
    "/a//b/./c/../d/",
    "//",
    "/f/%25already/%2525twice",
    "/q?b=2&a=1&c=&d=%20%26%3D%2F",
    "/q?A=1&a=2&_=3&%41=4&a-=5",
    "/q?prefix=somePrefix&marker=&max-keys=2",
]


def presigned_keeps(target: str) -> bool:
    """botocore's presigner keeps only the first of several parameters of a name."""
    return "tagKeys=b&tagKeys=a" not in target


@pytest.mark.parametrize("token", [None, "AQoDYXdzEPT//wEXAMPLE+token=="])
@pytest.mark.parametrize(("auth", "service", "options", "target"), [
    (*signer, target)
    for signer in SIGNERS
    for target in TARGETS
    if presigned_keeps(target) or not signer[2]
])  # fmt: skip
def test_what_botocore_signs_is_accepted(
    auth: Any, service: str, options: Any, target: str, token: str | None
) -> None:
    presigned = "expires" in options
    method, body = ("GET", b"") if presigned else ("POST", BODY)
    sent = sent_by_botocore(
        auth, target, method=method, body=body, service=service, token=token, **options
    )
    signed = sent.verify()
    assert signed.access_key_id == KEY_ID
    assert (signed.date, signed.region, signed.service) == ("20260101", "eu-west-1", service)
    assert signed.amz_date == SIGNED_AT
    assert signed.session_token == token
    assert signed.is_presigned == presigned
    assert signed.expires == (600 if presigned else None)
    assert "host" in signed.signed_headers
    with pytest.raises(InvalidSignatureException, match="does not match"):
        sent.verify(secret=SECRET + "x")


def test_query_values_without_equals_sign_and_repeated_names_are_signed_as_they_are() -> None:
    for query in ("b&a&a=2&a=1&c==d", "a=b+c", "x=%e1%88%b4", "a=1&&b=2&"):
        sent_by_botocore(target="/q?" + query).verify()


def test_headers_that_are_sent_several_times_or_with_blanks_are_canonical() -> None:
    headers = [("X-Many", "b"), ("X-Many", " a  c "), ("X-Blank", "  1   2 \t 3 ")]
    sent = sent_by_botocore(headers=[*headers, ("X-Amz-Invocation-Type", "Event")])
    assert "x-many" in sent.verify().signed_headers
    sent.set(b"x-many", b"b, a c")
    assert sent.message(InvalidSignatureException) == MISMATCH
    sent.set(b"x-many", b"b,a c")
    sent.verify()


def test_names_of_headers_may_be_in_any_case() -> None:
    sent = sent_by_botocore()
    sent.fields = [(name.title(), value) for name, value in sent.fields]
    sent.verify()


def test_the_date_header_stands_in_for_x_amz_date() -> None:
    sent = sent_by_botocore(headers=[("Date", "x")])
    assert b"x-amz-date" not in dict(sent.fields)
    assert sent.verify().amz_date == SIGNED_AT


# AWS's own suite, "aws-sig-v4-test-suite": path and query as sent, headers, body, signature.
SUITE_HOST = (b"host", b"example.amazonaws.com")
SUITE_DATE = (b"x-amz-date", b"20150830T123600Z")
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
STS_TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPf"
    "IeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7W"
    "Z0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8F"
    "DrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
FORM = "application/x-www-form-urlencoded"
SUITE: list[tuple[str, str, str, list[tuple[str, str]], bytes, str]] = [
    ("get-vanilla", "GET", "/", [], b"",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-unreserved", "GET", "/" + UNRESERVED, [], b"",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
    ("get-utf8", "GET", "/\u1234", [], b"",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    ("get-relative", "GET", "/example/..", [], b"",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slashes", "GET", "//example//", [], b"",
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    ("get-vanilla-empty-query-key", "GET", "/?Param1=value1", [], b"",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
    ("get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", [], b"",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ("get-vanilla-query-order-value", "GET", "/?Param1=value2&Param1=value1", [], b"",
     "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"),
    ("get-vanilla-query-unreserved", "GET", f"/?{UNRESERVED}={UNRESERVED}", [], b"",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
    ("get-vanilla-utf8-query", "GET", "/?\u1234=bar", [], b"",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
    ("get-header-key-duplicate", "GET", "/",
     [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")], b"",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
    ("get-header-value-order", "GET", "/",
     [("My-Header1", value) for value in ("value4", "value1", "value3", "value2")], b"",
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
    ("post-vanilla", "POST", "/", [], b"",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("post-header-key-sort", "POST", "/", [("My-Header1", "value1")], b"",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
    ("post-header-value-case", "POST", "/", [("My-Header1", "VALUE1")], b"",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
    ("post-sts-header-before", "POST", "/", [("X-Amz-Security-Token", STS_TOKEN)], b"",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
    ("post-vanilla-query", "POST", "/?Param1=value1", [], b"",
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
    ("post-x-www-form-urlencoded", "POST", "/", [("Content-Type", FORM)], b"Param1=value1",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "headers", "body", "signature"), [
    pytest.param(*case[1:], id=case[0]) for case in SUITE
])  # fmt: skip
def test_the_signatures_of_aws_own_suite_are_right(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes, signature: str
) -> None:
    fields = [SUITE_HOST, SUITE_DATE, *((n.encode(), v.encode()) for n, v in headers)]
    names = ";".join(sorted({name.decode().lower() for name, _ in fields}))
    fields.append((b"authorization", authorization("20150830/us-east-1/service", names, signature)))
    sent = Sent(method, target.encode(), fields, body)
    sent.verify(now=datetime(2015, 8, 30, 12, 36, tzinfo=UTC))


def authorization(scope: str, names: str, signature: str, key_id: str = KEY_ID) -> bytes:
    return (
        f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}/aws4_request,"
        f"SignedHeaders={names},Signature={signature}"
    ).encode()


# Amazon S3's published examples, of 24 May 2013.
S3_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
S3_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
S3_SCOPE = "20130524/us-east-1/s3"
S3_NOW = datetime(2013, 5, 24, tzinfo=UTC)
S3_HOST = (b"host", b"examplebucket.s3.amazonaws.com")
S3_DATE = (b"x-amz-date", b"20130524T000000Z")
NOTHING = (b"x-amz-content-sha256", canonical.EMPTY_DIGEST.encode())
S3_EXAMPLES = [
    ("GET", b"/test.txt", [(b"range", b"bytes=0-9"), NOTHING, S3_DATE], b"",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
    ("PUT", b"/test%24file.text",
     [(b"date", b"Fri, 24 May 2013 00:00:00 GMT"), S3_DATE,
      (b"x-amz-content-sha256", hashlib.sha256(b"Welcome to Amazon S3.").hexdigest().encode()),
      (b"x-amz-storage-class", b"REDUCED_REDUNDANCY")], b"Welcome to Amazon S3.",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
    ("GET", b"/?lifecycle", [NOTHING, S3_DATE], b"",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
    ("GET", b"/?max-keys=2&prefix=J", [NOTHING, S3_DATE], b"",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "fields", "body", "signature"), S3_EXAMPLES)
def test_the_published_examples_of_s3_are_right(
    method: str, target: bytes, fields: Fields, body: bytes, signature: str
) -> None:
    fields = [S3_HOST, *fields]
    names = ";".join(sorted(name.decode() for name, _ in fields))
    fields.append((b"authorization", authorization(S3_SCOPE, names, signature, S3_KEY_ID)))
    Sent(method, target, fields, body).verify(S3_SECRET, S3_NOW)


def test_the_published_presigned_url_of_s3_is_right() -> None:
    target = (
        b"/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F"
        b"20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
        b"&X-Amz-SignedHeaders=host&X-Amz-Signature="
        b"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    Sent("GET", target, [S3_HOST], b"").verify(S3_SECRET, S3_NOW + timedelta(hours=24))


# What SDKs sign for one path that is sent: Go's normalises nothing.
@pytest.mark.parametrize(("service", "path", "signed_path", "is_good"), [
    ("lambda", "/a//b", "/a//b", True),
    ("lambda", "/a//b", "/a/b", True),
    ("lambda", "/a%20b", "/a%2520b", True),
    ("lambda", "/a%20b", "/a%20b", False),
    ("lambda", "/a%2Fb", "/a/b", False),
    ("lambda", "/x/../../b", "/b", True),
    ("lambda", "/x/..", "/", True),
    ("lambda", "", "/", True),
    ("s3", "/a//b/../c", "/a//b/../c", True),
    ("s3", "/a//b/../c", "/a/c", False),
    ("s3", "/a%20b", "/a%2520b", False),
    ("s3", "/a%20b", "/a%20b", True),
    ("s3", "/a+b%7e", "/a%2Bb~", True),
    ("s3", "", "/", True),
])  # fmt: skip
def test_a_path_is_signed_as_its_service_wants_it(
    service: str, path: str, signed_path: str, *, is_good: bool
) -> None:
    sent = signed_by_hand(service, path.encode(), signed_path)
    if is_good:
        sent.verify()
    else:
        assert sent.message(InvalidSignatureException) == MISMATCH


@pytest.mark.parametrize(("query", "signed_query", "is_good"), [
    ("a=b+c", "a=b+c", True),
    ("a=b+c", "a=b%20c", True),
    ("a=b+c", "a=b%2Bc", False),
    ("a=b c~*", "a=b%20c~%2A", True),
    ("a", "a=", True),
    ("a=b=c", "a=b%3Dc", True),
    ("b=1&a=2&a=1", "a=1&a=2&b=1", True),
    ("a=%e1", "a=%E1", True),
    ("a=1&&b=2", "a=1&b=2", True),
    ("a=1&b=2", "a=1", False),
])  # fmt: skip
def test_a_query_is_signed_decoded_and_encoded_anew(
    query: str, signed_query: str, *, is_good: bool
) -> None:
    sent = signed_by_hand("lambda", b"/?" + query.encode(), "/", signed_query)
    if is_good:
        sent.verify()
    else:
        assert sent.message(InvalidSignatureException) == MISMATCH


def signed_by_hand(service: str, target: bytes, path: str, query: str = "") -> Sent:
    """Signed without any code of ours but the arithmetic."""
    text = (
        f"GET\n{path}\n{query}\nhost:h\nx-amz-date:{SIGNED_AT}\n\nhost;x-amz-date\n"
        + canonical.EMPTY_DIGEST
    )
    scope = f"20260101/us-east-1/{service}"
    hashed = hashlib.sha256(text.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{SIGNED_AT}\n{scope}/aws4_request\n{hashed}"
    key = canonical.signing_key(SECRET, "20260101", "us-east-1", service)
    signature = canonical.signature_of(key, to_sign.encode())
    fields = [
        (b"host", b"h"),
        (b"x-amz-date", SIGNED_AT.encode()),
        (b"authorization", authorization(scope, "host;x-amz-date", signature)),
    ]
    return Sent("GET", target, fields, b"")


SEGMENT = st.text("abcXYZ019-_~%:$é", min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    segments=st.lists(SEGMENT, min_size=1, max_size=4),
    query=st.lists(st.tuples(SEGMENT, SEGMENT), min_size=1, max_size=3),
    value=SEGMENT,
    body=st.binary(min_size=1, max_size=40),
    signer=st.sampled_from(SIGNERS[:3]),
    data=st.data(),
)
def test_one_byte_changed_anywhere_is_refused(
    segments: list[str],
    query: list[tuple[str, str]],
    value: str,
    body: bytes,
    signer: Any,
    data: st.DataObject,
) -> None:
    auth, service, _ = signer
    target = "/" + "/".join(quote(segment, safe="") for segment in segments)
    target += "?" + "&".join(f"{quote(n, safe='')}={quote(v, safe='')}" for n, v in query)
    header = quote(value, safe="")
    sent = sent_by_botocore(auth, target, body=body, service=service, headers=[("X-Own", header)])
    sent.verify()
    part = data.draw(st.sampled_from(["method", "path", "query", "header", "host", "body"]))
    if part == "method":
        sent.method = data.draw(st.sampled_from(["GET", "PUT", "DELETE", "post", "POSS"]))
    elif part in {"header", "host"}:
        name = b"x-own" if part == "header" else b"host"
        sent.set(name, changed(dict(sent.fields)[name], data))
    else:
        setattr(sent, part, changed(getattr(sent, part), data))
    with pytest.raises(ApiError) as caught:
        sent.verify()
    assert caught.value.message == MISMATCH


def changed(value: bytes, data: st.DataObject) -> bytes:
    """With one byte replaced, by one that makes no other form of the same."""
    at = data.draw(st.integers(0, len(value) - 1))
    now = value[at]
    # The case of the digits of an escape means nothing to S3 and in a query.
    others = [b for b in b"abQZ019_~" if bytes([b]).lower() != bytes([now]).lower()]
    new = value[:at] + bytes([data.draw(st.sampled_from(others))]) + value[at + 1 :]
    return new if canonical_meaning(new) != canonical_meaning(value) else value[:at] + b"!!"


def canonical_meaning(value: bytes) -> bytes:
    return canonical.queries([(value, b"")])[-1]


# ------------------------------------------------------------------------------------- the payload


def test_another_body_than_the_one_signed_is_refused() -> None:
    for sent in (sent_by_botocore(), sent_by_botocore(botocore.auth.S3SigV4Auth, service="s3")):
        sent.body = b'{"a": 2}'
        assert sent.message(InvalidSignatureException) == MISMATCH


def test_an_unsigned_payload_is_taken_if_the_signer_says_so() -> None:
    sent = sent_by_botocore(unsigned_body=True)
    assert sent.read().payload_hash == "UNSIGNED-PAYLOAD"
    sent.body = b"anything"
    sent.verify()


def test_nobody_else_can_say_that_the_payload_is_not_signed() -> None:
    for value in (b"UNSIGNED-PAYLOAD", b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
        sent = sent_by_botocore()
        sent.set(b"x-amz-content-sha256", value)
        assert sent.message(InvalidSignatureException) == (
            "'X-Amz-Content-Sha256' must be a 'SignedHeader' in the AWS Authorization."
        )


def test_a_hash_that_is_not_the_bodys_is_refused_even_if_it_is_signed() -> None:
    given = hashlib.sha256(BODY).hexdigest()
    sent = sent_by_botocore(headers=[("X-Amz-Content-Sha256", given)])
    sent.verify()
    for wrong in ("0" * 64, "UNSIGNED", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"):
        sent = sent_by_botocore(headers=[("X-Amz-Content-Sha256", wrong)])
        assert sent.message(InvalidSignatureException) == MISMATCH


def test_an_unsigned_hash_header_is_right_if_it_is_the_bodys() -> None:
    sent = sent_by_botocore()
    sent.set(b"x-amz-content-sha256", hashlib.sha256(BODY).hexdigest().encode())
    sent.verify()
    sent.set(b"x-amz-content-sha256", b"0" * 64)
    assert sent.message(InvalidSignatureException) == MISMATCH


def test_a_head_can_be_verified_before_its_body() -> None:
    sent = sent_by_botocore(botocore.auth.S3SigV4Auth, service="s3")
    assert signatures.verify(sent.read(), SECRET, None) == b""
    sent.path = b"/other"
    with pytest.raises(InvalidSignatureException):
        signatures.verify(sent.read(), SECRET, None)
    with pytest.raises(InvalidSignatureException):  # no hash is declared that could be trusted
        signatures.verify(sent_by_botocore().read(), SECRET, None)


def test_a_presigned_url_covers_the_body_as_its_signer_says() -> None:
    sent = sent_by_botocore(botocore.auth.SigV4QueryAuth, method="GET", body=b"")
    sent.body = b"more"
    assert sent.message(InvalidSignatureException) == MISMATCH
    sent = sent_by_botocore(botocore.auth.S3SigV4QueryAuth, method="PUT", body=b"", service="s3")
    sent.body = b"any object"
    sent.verify()


def test_chunks_are_verified_and_decoded() -> None:
    head = [("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")]
    head += [("X-Amz-Decoded-Content-Length", "5"), ("X-Amz-Trailer", "x-amz-checksum-crc32")]
    sent = sent_by_botocore(headers=head)
    good = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    assert signatures.verify(sent.read(), SECRET, good) == b"hello"
    assert signatures.verify(sent.read(), SECRET, None) == b""
    with pytest.raises(InvalidRequestContentException, match="Could not decode the aws-chunked"):
        signatures.verify(sent.read(), SECRET, b"hello")
    without_length = sent_by_botocore(headers=[head[0]])
    assert "requires 'X-Amz-Decoded-Content-Length'" in str(
        without_length.message(IncompleteSignatureException)
    )


# ------------------------------------------------------------------------------ incomplete, invalid


NO_SIGNATURE: list[tuple[bytes, Fields]] = [
    (b"", []),
    (b"a=1&X-Amz-Meta=2", [(b"x-amz-date", b"20260101T001500Z")]),
    (b"", [(b"authorization", b"Bearer abc")]),
    (b"", [(b"authorization", b"Basic Zm9vOmJhcg==")]),
]


@pytest.mark.parametrize(("query", "fields"), NO_SIGNATURE)
def test_a_request_without_signature_has_none(query: bytes, fields: Fields) -> None:
    assert signatures.read("GET", b"/", query, fields) is None


GOOD = {
    "alg": "AWS4-HMAC-SHA256",
    "Credential": f"{KEY_ID}/20260101/us-east-1/lambda/aws4_request",
    "SignedHeaders": "host;x-amz-date",
    "Signature": "0" * 64,
}


def asked(value: str, date: str | None = SIGNED_AT, *more: tuple[bytes, bytes]) -> Sent:
    fields: Fields = [(b"host", b"h"), (b"authorization", value.encode()), *more]
    if date is not None:
        fields.append((b"x-amz-date", date.encode()))
    return Sent("GET", b"/", fields, b"")


def made(**changes: str | None) -> str:
    parts = {**GOOD, **changes}
    algorithm = parts.pop("alg")
    return f"{algorithm} " + ", ".join(f"{k}={v}" for k, v in parts.items() if v is not None)


def hashed(value: str) -> str:
    digest = hashlib.sha256(value.encode()).digest()
    return "(Hashed with SHA-256 and encoded with Base64) Authorization=" + (
        b64encode(digest).decode()
    )


NO_CREDENTIAL = "Authorization header requires 'Credential' parameter. "
NO_SIGNATURE_PART = "Authorization header requires 'Signature' parameter. "
NO_SIGNED_HEADERS = "Authorization header requires 'SignedHeaders' parameter. "
NO_DATE = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
LACKING: list[tuple[str, str | None, str]] = [
    ("AWS4-HMAC-SHA256", None, NO_CREDENTIAL + NO_SIGNATURE_PART + NO_SIGNED_HEADERS + NO_DATE),
    ("AWS AKIA:c2lnbmF0dXJl=", SIGNED_AT, NO_CREDENTIAL + NO_SIGNATURE_PART + NO_SIGNED_HEADERS),
    (made(Credential=None), SIGNED_AT, NO_CREDENTIAL),
    (made(Credential=""), SIGNED_AT, NO_CREDENTIAL),
    (made(Signature=None), SIGNED_AT, NO_SIGNATURE_PART),
    (made(SignedHeaders=None), SIGNED_AT, NO_SIGNED_HEADERS),
    (made(), None, NO_DATE),
    (made(Signature=""), None, NO_SIGNATURE_PART + NO_DATE),
]


@pytest.mark.parametrize(("value", "date", "lacks"), LACKING)
def test_what_a_header_lacks_is_told_and_the_header_is_not_shown(
    value: str, date: str | None, lacks: str
) -> None:
    assert asked(value, date).message(IncompleteSignatureException) == lacks + hashed(value)


NOT_ISO = (
    "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601"
)
SPLIT = (
    "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term,"
    " got '{}'"
)
HOST = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
TERM = "Credential should be scoped with a valid terminator: 'aws4_request', not 'x'. "
DAY = (
    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP:"
    " '{}' != '20260101', from '20260101T001500Z'."
)
INCOMPLETE: list[tuple[str, str, type[ApiError], str]] = [
    (made(), "201", IncompleteSignatureException, NOT_ISO.format("201")),
    (made(), "20261301T000000Z", IncompleteSignatureException, NOT_ISO.format("20261301T000000Z")),
    (made(), "2026-01-01T00:15:00Z", IncompleteSignatureException,
     NOT_ISO.format("2026-01-01T00:15:00Z")),
    (made(SignedHeaders="x-amz-date"), SIGNED_AT, InvalidSignatureException, HOST),
    (made(SignedHeaders=""), SIGNED_AT, InvalidSignatureException, HOST),
    (made(alg="AWS4-HMAC-SHA25"), SIGNED_AT, IncompleteSignatureException,
     "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA25' (only AWS4-HMAC-SHA256 for now). "),
    (made(alg="AWS4-ECDSA-P256-SHA256"), SIGNED_AT, IncompleteSignatureException,
     "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256' (only AWS4-HMAC-SHA256 for now). "),
    (made(Credential="a/b/c/d"), SIGNED_AT, IncompleteSignatureException, SPLIT.format("a/b/c/d")),
    (made(Credential="a/b/c/d/e/f"), SIGNED_AT, IncompleteSignatureException,
     SPLIT.format("a/b/c/d/e/f")),
    (made(Credential="a//c/d/e"), SIGNED_AT, IncompleteSignatureException,
     SPLIT.format("a//c/d/e")),
    (made(Credential="a/20260101/r/lambda/x"), SIGNED_AT, InvalidSignatureException, TERM),
    (made(Credential="a/20260102/r/lambda/aws4_request"), SIGNED_AT, InvalidSignatureException,
     DAY.format("20260102")),
    (made(Credential="a/b/r/lambda/x"), SIGNED_AT, InvalidSignatureException,
     TERM + DAY.format("b")),
    (made(), SIGNED_AT, InvalidSignatureException, MISMATCH),
    (made(Signature="\u00e9"), SIGNED_AT, InvalidSignatureException, MISMATCH),
    (made(Signature="0" * 63), SIGNED_AT, InvalidSignatureException, MISMATCH),
]  # fmt: skip


@pytest.mark.parametrize(("value", "date", "kind", "message"), INCOMPLETE)
def test_what_is_wrong_with_a_header_is_told_in_aws_words(
    value: str, date: str, kind: type[ApiError], message: str
) -> None:
    assert asked(value, date).message(kind) == message


def test_a_part_without_equals_sign_is_named_by_its_hash() -> None:
    value = made() + ", oops"
    assert asked(value).message(IncompleteSignatureException) == (
        "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256"
        f" and encoded with Base64): '{hashed(value).rpartition('Authorization=')[2]}'."
    )


def test_what_is_given_twice_is_refused() -> None:
    twice = asked(made() + ", Credential=b/20260101/us-east-1/lambda/aws4_request")
    assert "only one 'Credential' parameter" in str(twice.message(IncompleteSignatureException))
    headers = asked(made(), SIGNED_AT, (b"authorization", made().encode()))
    assert headers.message(IncompleteSignatureException) == (
        "The request has more than one 'Authorization' header."
    )
    dates = asked(made(), SIGNED_AT, (b"x-amz-date", b"20260101T001600Z"))
    assert "Date must be in ISO-8601" in str(dates.message(IncompleteSignatureException))


def test_a_host_that_is_signed_must_be_sent() -> None:
    sent = sent_by_botocore()
    sent.set(b"host", None)
    assert sent.message(InvalidSignatureException) == HOST


def test_a_signed_header_that_is_taken_away_is_missed() -> None:
    sent = sent_by_botocore(headers=[("X-Own", "1")])
    sent.set(b"x-own", None)
    assert sent.message(InvalidSignatureException) == MISMATCH


@pytest.mark.parametrize("presigned", [False, True])
def test_an_x_amz_header_that_somebody_adds_is_refused(*, presigned: bool) -> None:
    auth = botocore.auth.SigV4QueryAuth if presigned else botocore.auth.SigV4Auth
    sent = sent_by_botocore(auth, body=b"")
    sent.set(b"x-amzn-trace-id", b"Root=1-5759e988-bd862e3fe1be46a994272793")
    sent.verify()
    sent.set(b"x-amz-invocation-type", b"Event")
    assert sent.message(InvalidSignatureException) == (
        "'X-Amz-Invocation-Type' must be a 'SignedHeader' in the AWS Authorization."
    )


def test_a_header_and_a_query_must_not_both_sign() -> None:
    sent = sent_by_botocore(botocore.auth.SigV4QueryAuth, body=b"")
    for value in (made(), "Bearer x"):
        sent.set(b"authorization", value.encode())
        assert sent.message(InvalidSignatureException) == (
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP"
            " header."
        )


QUERY_LACKS = "AWS query-string parameters must include '{}'. "
AGAIN = "Re-examine the query-string parameters."
ALL = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Date",
)


@pytest.mark.parametrize("name", ALL)
def test_what_a_presigned_url_lacks_is_told(name: str) -> None:
    sent = sent_by_botocore(botocore.auth.SigV4QueryAuth, body=b"")
    pairs = [p for p in sent.query.split(b"&") if not p.startswith(name.encode() + b"=")]
    sent.query = b"&".join(pairs)
    assert sent.message(IncompleteSignatureException) == QUERY_LACKS.format(name) + AGAIN
    sent.query += f"&{name}=".encode()
    assert sent.message(IncompleteSignatureException) == QUERY_LACKS.format(name) + AGAIN


def test_a_query_that_only_begins_to_sign_lacks_all() -> None:
    sent = Sent("GET", b"/?X-Amz-Algorithm", [(b"host", b"h")], b"")
    everything = "".join(QUERY_LACKS.format(name) for name in ALL)
    assert sent.message(IncompleteSignatureException) == everything + AGAIN


A_WEEK = (
    "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be"
    " less than 604800 seconds"
)


@pytest.mark.parametrize(("name", "value", "message"), [
    ("X-Amz-Expires", "abc", "X-Amz-Expires should be a number"),
    ("X-Amz-Expires", "-1", "X-Amz-Expires should be a number"),
    ("X-Amz-Expires", "", "X-Amz-Expires should be a number"),
    ("X-Amz-Expires", "%D9%A3", "X-Amz-Expires should be a number"),
    ("X-Amz-Expires", "0", "X-Amz-Expires must be greater than 0 seconds"),
    ("X-Amz-Expires", "604801",
     A_WEEK),
    ("X-Amz-Expires", "9" * 5000,
     A_WEEK),
    ("X-Amz-Date", "x", NOT_ISO.format("x")),
    ("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256",
     "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256' (only AWS4-HMAC-SHA256 for now). "),
    ("X-Amz-Credential", "a%2Fb", SPLIT.format("a/b")),
])  # fmt: skip
def test_what_is_wrong_with_a_presigned_url_is_told(name: str, value: str, message: str) -> None:
    sent = sent_by_botocore(botocore.auth.SigV4QueryAuth, body=b"")
    pairs = [p for p in sent.query.split(b"&") if not p.startswith(name.encode() + b"=")]
    sent.query = b"&".join([*pairs, f"{name}={value}".encode()])
    assert sent.message(IncompleteSignatureException) == message


def test_a_parameter_of_a_presigned_url_may_be_given_once_only() -> None:
    sent = sent_by_botocore(botocore.auth.SigV4QueryAuth, body=b"")
    sent.query += b"&X-Amz-Expires=600000"
    assert sent.message(IncompleteSignatureException) == (
        "AWS query-string parameters must include 'X-Amz-Expires' only once. " + AGAIN
    )


# -------------------------------------------------------------------------------------------- time


def early(bound: str, now: str) -> str:
    return f"Signature not yet current: {SIGNED_AT} is still later than {bound} ({now} + 5 min.)"


def late(bound: str, counted: str) -> str:
    return f"Signature expired: {SIGNED_AT} is now earlier than {bound} ({counted}.)"


@pytest.mark.parametrize(("seconds", "message"), [
    (-301, early("20260101T001459Z", "20260101T000959Z")),
    (-300, None),
    (0, None),
    (300, None),
    (300.9, None),
    (301, late("20260101T001501Z", "20260101T002001Z - 5 min")),
    (86400 * 365, late("20270101T001000Z", "20270101T001500Z - 5 min")),
])  # fmt: skip
def test_clocks_may_differ_by_five_minutes(seconds: float, message: str | None) -> None:
    sent = sent_by_botocore()
    now = NOW + timedelta(seconds=seconds)
    if message is None:
        sent.verify(now=now)
        sent.verify(now=now.astimezone(timezone(timedelta(hours=-7))))
    else:
        assert sent.message(InvalidSignatureException, now) == message


@pytest.mark.parametrize(("expires", "seconds", "message"), [
    (60, -300, None),
    (60, -301, early("20260101T001459Z", "20260101T000959Z")),
    (60, 60, None),
    (60, 61, late("20260101T001501Z", "20260101T001601Z - 1 min")),
    (90, 91, late("20260101T001501Z", "20260101T001631Z - 90 sec")),
    (604800, 604800, None),
    (604800, 604801, late("20260101T001501Z", "20260108T001501Z - 10080 min")),
    (1, 1, None),
])  # fmt: skip
def test_a_presigned_url_is_good_until_it_expires(
    expires: int, seconds: int, message: str | None
) -> None:
    sent = sent_by_botocore(botocore.auth.SigV4QueryAuth, body=b"", expires=expires)
    now = NOW + timedelta(seconds=seconds)
    if message is None:
        sent.verify(now=now)
    else:
        assert sent.message(InvalidSignatureException, now) == message


def test_the_time_of_signing_cannot_be_changed() -> None:
    sent = sent_by_botocore()
    sent.set(b"x-amz-date", b"20260101T001600Z")
    assert sent.message(InvalidSignatureException) == MISMATCH
    sent.set(b"x-amz-date", b"00010101T000000Z")
    assert str(sent.message(InvalidSignatureException)).startswith("Signature expired: 00010101T")
    presigned = sent_by_botocore(botocore.auth.SigV4QueryAuth, body=b"", expires=60)
    presigned.query = presigned.query.replace(b"X-Amz-Expires=60", b"X-Amz-Expires=61")
    assert presigned.message(InvalidSignatureException) == MISMATCH


def test_a_signature_of_another_scope_is_not_valid() -> None:
    sent = sent_by_botocore()
    for other in (b"us-east-1", b"eu-west-2"):
        value = dict(sent.fields)[b"authorization"]
        sent.set(b"authorization", value.replace(b"eu-west-1", other))
        assert sent.message(InvalidSignatureException) == MISMATCH


def test_secrets_of_a_signature_are_not_shown() -> None:
    signed = sent_by_botocore(token="a-session-token").read()
    assert "a-session-token" not in repr(signed)
    assert signed.signature not in repr(signed)
    assert replace(signed, region="x").scope == "20260101/x/lambda/aws4_request"
