"""Tests that cannot run here are skipped, unless it is said that they must run."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import needs
import pytest

CI = (needs.ROOT / ".ci" / "run").read_text()


def pytest_without_tools(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=needs.ROOT,
        env={**os.environ, "RECIPE_TOOLS": "/nonexistent", "REQUIRE_SANDBOXES": "", **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_what_is_not_here_is_skipped_with_what_to_do() -> None:
    done = pytest_without_tools("tests/recipes/test_deployment_tools.py", "-k", "cdk",
                                REQUIRE_TOOLS="")  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert "make recipe-tools" in done.stdout


@pytest.mark.parametrize(
    ("required", "told"),
    [("cdk", "make recipe-tools"), ("sam,nothing", "REQUIRE_TOOLS know no nothing")],
)
def test_what_is_required_and_not_here_fails_before_the_first_test(
    required: str, told: str
) -> None:
    done = pytest_without_tools("tests/test_needs.py", "-n", "1", REQUIRE_TOOLS=required)
    assert done.returncode not in {0, 5}
    assert told in done.stderr
    assert "passed" not in done.stdout


def test_continuous_integration_requires_all_that_tests_are_skipped_for() -> None:
    required = re.findall(r"^(?:export REQUIRE_\w+|recipe_tools)=([\w,]+)", CI, re.MULTILINE)
    assert set(",".join(required).split(",")) == set(needs.CHECKS)
