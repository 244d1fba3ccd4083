from __future__ import annotations

import pytest

from lambda_home.packager.ignoring import ALWAYS, IgnoreRules


@pytest.mark.parametrize(
    ("lines", "path", "is_folder", "is_ignored"),
    [
        (["*.log"], "a.log", False, True),
        (["*.log"], "deep/down/a.log", False, True),
        (["*.log"], "a.logs", False, False),
        (["/a.txt"], "a.txt", False, True),
        (["/a.txt"], "b/a.txt", False, False),
        (["docs/a.txt"], "docs/a.txt", False, True),
        (["docs/a.txt"], "x/docs/a.txt", False, False),
        (["build/"], "build", True, True),
        (["build/"], "x/build", True, True),
        (["build/"], "build", False, False),
        (["/build/"], "x/build", True, False),
        (["**/cache"], "cache", True, True),
        (["**/cache"], "a/b/cache", False, True),
        (["a/**/z"], "a/z", False, True),
        (["a/**/z"], "a/b/c/z", False, True),
        (["a/**"], "a/b", False, True),
        (["a/**"], "a", True, False),
        (["a*z"], "a/z", False, False),
        (["a**z"], "abz", False, True),
        (["?.py"], "a.py", False, True),
        (["?.py"], "ab.py", False, False),
        (["[ab].py"], "a.py", False, True),
        (["[!ab].py"], "a.py", False, False),
        (["[!ab].py"], "c.py", False, True),
        (["[a-c]x"], "bx", False, True),
        (["[^a]x"], "/x", False, False),
        (["[z-a]"], "[z-a]", False, True),
        (["["], "[", False, True),
        (["*.py", "!keep.py"], "keep.py", False, False),
        (["!keep.py", "*.py"], "keep.py", False, True),
        (["# *.py", "", "   "], "# *.py", False, False),
        ([r"\#x"], "#x", False, True),
        ([r"\!x"], "!x", False, True),
        (["a.txt   "], "a.txt", False, True),
        (["a.txt\r"], "a.txt", False, True),
        ([r"a\*"], "a*", False, True),
        ([r"a\*"], "ab", False, False),
        (["a.b"], "axb", False, False),
        (["/"], "a", True, False),
        ([*ALWAYS], "pkg/__pycache__", True, True),
        ([*ALWAYS], "a.pyc", False, True),
        ([*ALWAYS], ".git", True, True),
        ([*ALWAYS], "lambda-home.toml", False, True),
        ([*ALWAYS], "conf/lambda-home.toml", False, False),
        ([*ALWAYS, "!a.pyc"], "a.pyc", False, False),
    ],
)
def test_lines_leave_out_what_gitignore_would(
    lines: list[str], path: str, *, is_folder: bool, is_ignored: bool
) -> None:
    assert IgnoreRules(lines).ignores(path, is_folder=is_folder) is is_ignored
