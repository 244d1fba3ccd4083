from __future__ import annotations

import pytest

from lambda_home.trace_headers import TraceContext, ids_of, is_unsampled, of_traceparent, under

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROOT = f"Root=1-{TRACE[:8]}-{TRACE[8:]}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", f"{ROOT};Parent={SPAN};Sampled=1"),
        (f" 00-{TRACE}-{SPAN}-00 ", f"{ROOT};Parent={SPAN};Sampled=0"),
        (f"00-{TRACE}-{SPAN}-03", f"{ROOT};Parent={SPAN};Sampled=1"),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", f"{ROOT};Parent={SPAN};Sampled=1"),
        (f"00-{TRACE}-{SPAN}-01-more", ""),
        (f"ff-{TRACE}-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{SPAN}-01", ""),
        (f"00-{TRACE}-{SPAN}", ""),
        ("", ""),
        ("garbage\r\nX: y", ""),
    ],
)
def test_a_traceparent_is_read_by_the_rules_of_w3c(given: str, expected: str) -> None:
    assert of_traceparent(given) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"{ROOT};Parent={SPAN};Sampled=1", (TRACE, SPAN)),
        (f"Sampled=1 ; parent={SPAN}; root=1-{TRACE[:8]}-{TRACE[8:]}", (TRACE, SPAN)),
        (f"Self=1-1-1;{ROOT}", (TRACE, "")),
        (f"{ROOT};Parent=short", (TRACE, "")),
        (f"Parent={SPAN}", ("", "")),
        ("Root=2-x-y", ("", "")),
        ("", ("", "")),
    ],
)
def test_the_ids_in_an_x_ray_header(header: str, expected: tuple[str, str]) -> None:
    assert ids_of(header) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [(f"{ROOT};Sampled=0", True), (f"{ROOT};Sampled=1", False), (f"{ROOT};Sampled=?", False),
     (ROOT, False), ("", False)],
)  # fmt: skip
def test_only_sampled_0_says_that_a_trace_is_not_kept(header: str, *, expected: bool) -> None:
    assert is_unsampled(header) is expected


def test_the_functions_header_is_under_its_run_and_keeps_other_members() -> None:
    context = TraceContext(TRACE, SPAN, "a" * 16, "b" * 16)
    given = f"Self=1-1-1; {ROOT};Parent={SPAN};Sampled=?;Lineage=a87bd80c:1"
    expected = f"{ROOT};Parent={'b' * 16};Sampled=1;Self=1-1-1;Lineage=a87bd80c:1"
    assert under(given, context) == expected
