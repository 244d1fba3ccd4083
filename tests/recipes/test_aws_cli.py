"""docs/recipes/aws-cli.md: the commands of the page, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lambda_home.testing.server import LocalServer

pytestmark = pytest.mark.process

PAGE = Path(__file__).parents[2] / "docs" / "recipes" / "aws-cli.md"
_BIN = Path(sys.executable).parent


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def test_the_commands_of_the_page_work(home: LocalServer, tmp_path: Path) -> None:
    script = "set -e\n" + "\n".join(blocks(PAGE, "sh"))
    search_path = f"{_BIN}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={"PATH": search_path, "HOME": str(tmp_path), "LANG": "C.UTF-8", **home.environment()},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '{"hello": "you"}' in done.stdout
    assert '{"hello": "new you"}' in done.stdout
