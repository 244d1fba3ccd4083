"""The installed wheel works without the checkout: all that it needs travels inside."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from functions_under_test import NODE, create, invoke
from live import LiveServer

pytestmark = [pytest.mark.process, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent.parent


def _run(*words: str | Path, cwd: Path) -> None:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_server_from_the_wheel_runs_in_an_empty_folder(tmp_path: Path) -> None:
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path)
    _run(*build, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    venv, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    _run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    pip = (sys.executable, "-m", "pip", "--python", venv / "bin" / "python")
    _run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # Dependencies come from the environment that runs the tests; lambda_home itself does not.
    site = next(venv.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    command = (str(venv / "bin" / "lambda-home"),)
    with LiveServer("--sandbox", "process", command=command, cwd=empty) as server:
        assert server.data_dir == empty / "data"
        client = server.client()
        python = create(client, "def handler(event, context):\n    return __file__\n")
        assert invoke(client, python).payload == "/var/task/lambda_function.py"
        node = create(client, "exports.handler = async () => __filename", Runtime=NODE)
        assert invoke(client, node).payload == "/var/task/index.js"
    code = "import lambda_home; print(lambda_home.__file__)"
    shown = subprocess.run(
        [str(venv / "bin" / "python"), "-c", code], check=True, capture_output=True, text=True
    )
    assert shown.stdout.startswith(str(venv))
