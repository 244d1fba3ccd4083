"""Filter patterns of CloudWatch Logs: the tables of AWS's page, and what holds for all texts."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.logs.chunks import Run, chunks_of, may_have, needle
from lambda_home.logs.filter_regex import Regex
from lambda_home.logs.filters import BadFilterPattern, parse_pattern

TRAIL = json.dumps(
    {
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"],
        "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": None,
        "user": {"id": 12, "email": "John.Doe@example.com", "admin": True},
        "latency": 1.5,
        "code": "400",
        "odd-key.with dots": "x",
        "account": 123456789012,
    }
)
ACCESS = '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'
TERMS = [
    ("", "anything", True),
    ("  ", "", True),
    ("ERROR", "[ERROR 400] BAD", True),
    ("ERROR", "[error 400]", False),
    ("ERROR ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", True),
    ("ERROR ARGUMENTS", "[ERROR 400] BAD REQUEST", False),
    ("?ERROR ?ARGUMENTS", "MISSING ARGUMENTS", True),
    ("?ERROR ?ARGUMENTS", "ERROR only", True),
    ("?ERROR ?ARGUMENTS", "neither", False),
    ("?ERROR WARN", "WARN", True),
    ("?ERROR WARN", "ERROR", False),
    ("ERROR -ARGUMENTS", "[ERROR 400] BAD REQUEST", True),
    ("ERROR -ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", False),
    ("-ERROR", "fine", True),
    ('"INTERNAL SERVER ERROR"', "[ERROR 500] INTERNAL SERVER ERROR", True),
    ('"INTERNAL SERVER ERROR"', "SERVER INTERNAL ERROR", False),
    ('ERROR -"exit 1"', "ERROR exit 1", False),
    ('ERROR -"exit 1"', "ERROR exit 2", True),
    ('"a \\"quoted\\" text"', 'here is a "quoted" text', True),
    ("päng", "es machte päng", True),
    ("%AUTHORIZED%", "UNAUTHORIZED", True),
    ("%4[0-9]{2}%", "status 404", True),
    ("%^4[0-9]{2}%", "status 404", False),
    ("%gr[ae]y|blue%", "dark blue", True),
    (r"%10\.10\.0\.1%", "10010a0a1", False),
    ("ERROR -%5[0-9]+%", "ERROR 503", False),
    ("?%a{2}% ?b_c", "xaax", True),
    ("?ERROR -INFO", "WARN", True),
    ("?ERROR -INFO", "INFO ERROR", False),
    ('" "', "everything", True),
    ('"" ERROR', "INFO", False),
    (r"%\x28\x29%", "call()", True),
    (r"%[\x21\x22]%", "oh!", True),
    (r"%\s\w\D%", "a b!", True),
    ("%^a{,2}b%", "aab", True),
    ("%^a{,2}b%", "aaab", False),
    ("%a{2,}b%", "ab", False),
    ("%}$%", '{"Message": Success}', True),
    ("%}$%", "{'Hello'} is not at the end", False),
    ("%at$%", "cat\n", True),
    ("%at$%", "cat\n\n", False),
    ("%[[|-]%", "a|b", True),
    ("%[+--]%", "a,b", True),
    ("%^starting|^shutting down%", "skipping starting", False),
]
JSON = [
    ('{ $.eventType = "UpdateTrail" }', True),
    ("{ $.eventType = UpdateTrail }", True),
    ('{$.eventType="Update*"}', True),
    ('{ $.eventType = "*Trail" }', True),
    ('{ $.eventType = "*dateT*" }', True),
    ('{ $.eventType = "Trail*" }', False),
    ('{ $.eventType != "UpdateTrail" }', False),
    ("{ $.sourceIPAddress != 123.123.* }", True),
    ("{ $.sourceIPAddress = 111.111.* }", True),
    ('{ $.missing != "x" }', False),
    ('{ $.arrayKey[0] = "value" }', True),
    ('{ $.arrayKey[1] = "value" }', False),
    ('{ $.arrayKey[7] = "value" }', False),
    ('{ $.arrayKey[*] = "another value" }', True),
    ("{ $.objectList[1].id = 2 }", True),
    ("{ $.objectList[*].id = 2 && $.objectList[*].id = 1 }", True),
    ("{ $.objectList[*].id = 3 }", False),
    ("{ $.SomeObject IS NULL }", True),
    ("{ $.SomeOtherObject IS NULL }", False),
    ("{ $.SomeOtherObject NOT EXISTS }", True),
    ("{ $.SomeObject NOT EXISTS }", False),
    ("{ $.user.admin IS TRUE }", True),
    ("{ $.user.admin IS FALSE }", False),
    ("{ $.user.admin = true }", True),
    ("{ $.user.id > 11 }", True),
    ("{ $.user.id >= 12 && $.user.id <= 12 }", True),
    ("{ $.user.id < 12 }", False),
    ("{ $.latency = 1.5 }", True),
    ("{ $.latency = 15e-1 }", True),
    ("{ $.latency > -3 }", True),
    ("{ $.code = 400 }", True),
    ('{ $.user.id = "12" }', True),
    ("{ $.eventType > 3 }", False),
    ("{ ($.user.id = 1) || ($.eventType = UpdateTrail) }", True),
    ("{ $.user.id = 1 && $.user.id = 2 || $.user.id = 12 }", True),
    ("{ $.user.id = 12 && ($.user.id = 2 || $.code = 1) }", False),
    ("{ $.user.email = %@example% }", True),
    ("{ $.user.email != %^Jane% }", True),
    ("{ $['odd-key.with dots'] = x }", True),
    ('{ $.["odd-key.with dots"] = "x" }', True),
    ('{ $.user["id"] = 12 }', True),
    ("{ $.user = 12 }", False),
    ('{ $.user.email = "$.a = ) && }" }', False),
    (r"{ $.* = %111\.111\.111\.1[0-9]{1,2}% }", True),
    ('{ $.* = "another value" }', False),
    ("{ $.user.* = 12 }", True),
    ("{ $.user[*] = 12 }", True),
    ('{ $.arrayKey.* = "value" }', True),
    ("{ $.objectList[*].id = 2 && $.* = UpdateTrail && $.user.* IS TRUE }", True),
    ("{ $.latency = * }", True),
    ("{ $.missing = * }", False),
    ("{ $.account = 1234567890* }", True),
    ("{ $.account = %^12345678901{1}2$% }", True),
    ("{ $.account = 123456789012 }", True),
    ("{ $.account > 123456789011 }", True),
    ("{ $.user.id=12&&$.code=400 }", True),
]
FIELDS = [
    ("[ip, env, user, time, request, status, bytes]", True),
    ("[ip, env, user, time, request, status]", True),
    ("[ip, env, user, time, request, rest = 404*]", True),
    ("[ip, env, user, time, request, rest = 404]", False),
    ('[ip, env, user, rest = "*GET*1534"]', True),
    ("[ip = 127.0.0.1, rest]", True),
    ("[ip = 127.0.0.1]", False),
    ("[line = 127.0.0.1*]", True),
    ("[a, b, c, d, e, f, g, h]", False),
    ("[]", True),
    ("[ ]", True),
    ("[ip, env, user, time, request, status_code = 4*, bytes]", True),
    ("[ip, env, user, time, request, status_code = 404, bytes > 1000]", True),
    ("[ip, env, user, time, request, status_code = 404, bytes > 2000]", False),
    ("[ip, env, user, time, request = *html*, status_code = 4*, bytes]", True),
    ("[..., status_code = 4*, bytes]", True),
    ("[..., status_code = 5*, bytes]", False),
    ("[ip, ...]", True),
    ("[...]", True),
    ("[ip = 127.0.0.1, ..., size < 2000]", True),
    ("[ip, env, user = frank, ...]", True),
    ("[ip, env, user != frank, ...]", False),
    ("[..., s = 404 || s = 410, b]", True),
    ("[..., s >= 400 && s < 500, b]", True),
    ("[..., s >= 400 && s != 404, b]", False),
    ("[..., (s = 404) || (s = 410), b]", True),
    ('[ip, env, user, time = "*Oct*", ...]', True),
    ("[ip = %127[.0-9]+%, ...]", True),
    ("[..., s = 404 && (s = 1 || s = 404), b]", True),
    ("[..., s = 1 && (s = 2 || s = 404), b]", False),
    ("[..., (s = 1 && s = 2) || s = 404, b]", True),
    ("[..., s=1||s=404, b]", True),
]
LINES = [
    "INFO 09/25/2014 12:00:00 GET /service/resource/67 1200",
    "INFO 09/25/2014 12:00:01 POST /service/resource/67/part/111 1310",
    "WARNING 09/25/2014 12:00:02 Invalid user request",
    "ERROR 09/25/2014 12:00:02 Failed to process request",
    "2026-11-21T16:00:00.000Z\t7f0a-11\tINFO\tsome words",
]
LINES_FOUND = [
    ("[w1=ERROR, w2]", [3]),
    ("[w1=ERROR || w1=%WARN%, w2]", [2, 3]),
    ("[w1=ERROR || W1=WARNING, w2]", [2, 3]),
    ("[w1!=ERROR && w1!=WARNING, w2]", [0, 1, 4]),
    ("[w1 = ERROR && (w1 != FOO || w1 = WARNING), w2]", [3]),
    ("[logLevel, date, time, method, url=%/service/resource/[0-9]+$%, response_time]", [0]),
    ("[level, date, time, method, url=%/resource/[0-9]+/part/[0-9]+$%, response_time]", [1]),
    ('[timestamp=*Z, request_id="*-*", event]', [4]),
    ("[level = IN*]", [0, 1]),
    ("[level = INFO]", []),
]
MALFORMED = [
    '"no end',
    "ERROR %no end",
    "a:b",
    "9f3f-11",
    "-",
    "? ERROR",
    "%(a)%",
    "%a!%",
    "%a**%",
    "%[a%",
    "%a% %b% %c%",
    "{",
    "{}",
    "{ $.a }",
    "{ $.a = }",
    "{ = 3 }",
    "{ $.a = 3",
    "{ $.a = 3 } x",
    "{ a = 3 }",
    "{ $.a > x }",
    "{ $.a & 3 }",
    "{ $.a = 1 & $.b = 2 }",
    "{ $.a = 1 && }",
    "{ ($.a = 1 }",
    "{ $.a IS MAYBE }",
    "{ $.a NOT }",
    "{ $.a = < 3 }",
    "{ $.a < %x% }",
    "[",
    "[a",
    "[a] b",
    "[a, ]",
    "[a=1 AND a=2]",
    "[a==1]",
    "[a=1 && || a=2]",
    "[(a=1]",
    "[a=1 b]",
    "[a = %x% || a = %y% || a = %z%]",
    "{ $.a[*].* = 1 }",
    "{ $.a[*] = 1 || $.b[*] = 1 || $.c[*] = 1 || $.d[*] = 1 }",
    "{ $..a = 1 }",
    "{ $.a[-1] = 1 }",
    "{ $.a EXISTS }",
    "{ $.a IS NOT NULL }",
    "{ $.a == 1 }",
    "{ !($.a = 1) }",
    "{ $.a > 0 AND $.a < 2 }",
    '{ "a": [1] }',
    '{ $.a > "x" }',
    r"%\x2%",
    r"%\b%",
    r"%\1%",
    "%caf\u00e9%",
    "%a{%",
    "%a{,}%",
    "[a =]",
    "[a b]",
    "[= 3]",
    "[a < b]",
    "[..., a, ...]",
    "[(a = 1, b]",
    "x" * 1025,
]


@pytest.mark.parametrize(("pattern", "message", "found"), TERMS)
def test_terms_are_found_as_aws_says(pattern: str, message: str, found: object) -> None:
    assert parse_pattern(pattern).matches(message) is found


@pytest.mark.parametrize(("pattern", "found"), JSON)
def test_conditions_on_json_hold_as_aws_says(pattern: str, found: object) -> None:
    assert parse_pattern(pattern).matches(TRAIL) is found
    assert not parse_pattern(pattern).matches(f"INFO {TRAIL}")


@pytest.mark.parametrize(("pattern", "found"), FIELDS)
def test_fields_are_compared_as_aws_says(pattern: str, found: object) -> None:
    assert parse_pattern(pattern).matches(ACCESS) is found


@pytest.mark.parametrize(("pattern", "found"), LINES_FOUND)
def test_the_last_name_stands_for_the_rest_of_the_line(pattern: str, found: list[int]) -> None:
    parsed = parse_pattern(pattern)
    assert [number for number, line in enumerate(LINES) if parsed.matches(line)] == found


@pytest.mark.parametrize("pattern", MALFORMED)
def test_a_malformed_pattern_is_refused_in_one_line(pattern: str) -> None:
    with pytest.raises(BadFilterPattern) as raised:
        parse_pattern(pattern)
    assert str(raised.value).startswith("Invalid ")
    assert "\n" not in str(raised.value)
    assert "\x00" not in str(raised.value)


@pytest.mark.parametrize(
    ("pattern", "character"),
    [("?Status: timeout", ":"), ("a/b", "/"), ("ERR*", "*"), ("call(", "("), ("a--b", "-")],
)
def test_the_character_that_needs_quotation_marks_is_named(pattern: str, character: str) -> None:
    with pytest.raises(BadFilterPattern) as raised:
        parse_pattern(pattern)
    assert str(raised.value) == f"Invalid character(s) in term '{character}'"


@given(
    st.text(alphabet=st.sampled_from('{}[]()"%$.ab1 =!<>&|*?-,\\') | st.characters(), max_size=40)
)
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    try:
        parsed = parse_pattern(pattern)
    except BadFilterPattern:
        return
    for message in ("", TRAIL, ACCESS, pattern):
        assert parsed.matches(message) in (True, False)


PATTERNS = [*(row[0] for row in TERMS), *(row[0] for row in JSON), *(row[0] for row in FIELDS)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_chunk_with_a_match_is_never_passed_over(pattern: str) -> None:
    parsed = parse_pattern(pattern)
    needles = [needle(text) for text in parsed.needles]
    for message in (TRAIL, ACCESS, *(row[1] for row in TERMS)):
        (chunk,) = chunks_of([Run(0, (message,))])
        assert may_have(chunk.data, needles) or not parsed.matches(message)


def test_a_json_message_that_spells_a_text_with_escapes_is_found() -> None:
    parsed = parse_pattern('{ $.level = "ERROR" }')
    message = '{"level": "\\u0045RROR"}'
    (chunk,) = chunks_of([Run(0, (message,))])
    assert parsed.matches(message)
    assert may_have(chunk.data, [needle(text) for text in parsed.needles])


ITEMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\.", "[a-c1]"])
TIMES = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,}", "{0,2}"])
ROWS = st.lists(st.tuples(ITEMS, TIMES).map("".join), min_size=1, max_size=5).map("".join)
ENDS = st.tuples(st.sampled_from(["", "^"]), ROWS, st.sampled_from(["", "$"])).map("".join)


@given(
    expression=st.lists(ENDS, min_size=1, max_size=3).map("|".join),
    text=st.text(alphabet="abc1.\n", max_size=12),
)
def test_the_engine_for_long_texts_finds_what_pythons_finds(expression: str, text: str) -> None:
    expected = re.search(expression, text, re.DOTALL) is not None
    rows = Regex(expression)._rows  # noqa: SLF001  the engine that short texts do not need
    assert any(row.found_in(text) for row in rows) is expected


@pytest.mark.parametrize(
    ("expression", "needle"),
    [
        ("timeout", "timeout"),
        ("a.*timeout[0-9]+", "timeout"),
        ("^Task timed out$", ""),
        ("error|failed", ""),
        ("abcd?", ""),
        ("abcde?", "abcd"),
        ("error+", "erro"),
        ("[abcd]efgh", "efgh"),
        (r"\dabcd\w", "abcd"),
        (r"10\.10\.0\.1", ""),
        ("12345", ""),
        ("abc", ""),
    ],
)
def test_a_word_of_an_expression_tells_where_it_can_be(expression: str, needle: str) -> None:
    assert Regex(expression).needle == needle


def test_no_message_takes_for_ever_to_part_into_fields() -> None:
    pattern = parse_pattern("[..., last = x]")
    for message in ("[ " * 50_000, '" ' * 50_001, '"\\" ' * 50_000):
        assert not pattern.matches(message)


def test_no_expression_takes_for_ever() -> None:
    assert not Regex(".*.*.*.*.*x+x+x+y").found_in("x" * 20_000)
    assert not Regex("a?" * 60 + "a" * 60).found_in("a" * 59)
