"""Lines of extensions in the output of an environment."""

from __future__ import annotations

import pytest

from lambda_home.scheduler.extension_lines import ExtensionLines

FENCE = b"\x1eFENCE r1\x1e\n"


@pytest.mark.parametrize(
    ("written", "rest", "lines"),
    [
        (b"a\nb\n", b"a\nb\n", []),
        (b"\x1eEXT 0\x1eone\n", b"", [b"one"]),
        (b"a\n\x1eEXT 0\x1eone\nb\n\x1eEXT 12\x1etwo\n", b"a\nb\n", [b"one", b"two"]),
        (b"a \x1eEXT 0\x1eone\nb\n", b"a b\n", [b"one"]),
        (b"\x1eEXT+ 0\x1elong \x0a\x1eEXT+ 1\x1eother \n\x1eEXT 0\x1eline\n", b"", [b"long line"]),
        (b"\x1eEXT 0\x1e\n", b"", [b""]),
        (FENCE, FENCE, []),
        (b"\x1eEXTRA\nline\n", b"\x1eEXTRA\nline\n", []),
        (b"\x1eEXT x\x1eforged\nnext\n", b"\x1eEXT x\x1eforged\nnext\n", []),
        (b"\x1eEXT 0\x1e\xff\n", b"", [b"\xff"]),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_they_are_told_from_the_functions_however_output_is_cut(
    written: bytes, rest: bytes, lines: list[bytes], size: int
) -> None:
    taken = ExtensionLines()
    kept, found = b"", []
    for at in range(0, len(written), size):
        passed, more = taken.split(written[at : at + size])
        kept += passed
        found += more
    assert kept + taken.rest() == rest
    assert found == lines


def test_what_only_looks_like_a_mark_is_not_held_back_for_ever() -> None:
    taken = ExtensionLines()
    passed, _ = taken.split(b"\x1eEXT 0\x1e" + b"x" * 20_000)
    assert len(passed) > 10_000
