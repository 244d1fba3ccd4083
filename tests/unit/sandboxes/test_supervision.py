"""The supervisor of external extensions, run by each shell that there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lambda_home.sandboxes.supervision import supervised

PREFIX = "/2020-01-01/lambda-home/supervisor/"
# Without bash the script needs curl or wget.
SHELLS = ["bash", "sh"] if shutil.which("curl") or shutil.which("wget") else ["bash"]


class Platform:
    """Answers the supervisor: its calls, and what it is not to be answered yet."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.may_end = threading.Event()
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                what = self.path.removeprefix(PREFIX)
                if what == "ending":
                    platform.may_end.wait(20)
                platform.calls.append(what)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.api = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def platform() -> Iterator[Platform]:
    made = Platform()
    yield made
    made.may_end.set()
    made.server.shutdown()
    made.server.server_close()


Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(params=SHELLS)
def run(request: pytest.FixtureRequest, platform: Platform, tmp_path: Path) -> Run:
    """Runs a shell command as the runtime, beside the files of `extensions`."""
    shell: str = request.param
    folder = tmp_path / "extensions"
    folder.mkdir()

    def start(command: str, **files: str | bytes) -> subprocess.CompletedProcess[bytes]:
        for name, text in files.items():
            path = folder / name
            path.write_bytes(text.encode() if isinstance(text, str) else text)
            path.chmod(0o755)
        words = supervised(["/bin/sh", "-c", command], sorted(files), str(folder))
        if shell == "sh":  # as where there is no bash
            words[2] = 'exec /bin/sh -c "$@"'
        variables = {
            "PATH": "/usr/bin:/bin",
            "AWS_LAMBDA_RUNTIME_API": platform.api,
            "_HANDLER": "index.handler",
            "LAMBDA_TASK_ROOT": "/var/task",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "MINE": "mine",
        }
        return subprocess.run(
            words, check=False, capture_output=True, env=variables, timeout=20, cwd=tmp_path
        )

    return start


def of_extensions(done: subprocess.CompletedProcess[bytes]) -> list[bytes]:
    return [found[1] for found in re.finditer(rb"\x1eEXT 0\x1e([^\n]*)\n", done.stdout)]


def test_a_command_without_extensions_is_left_alone() -> None:
    assert supervised(["/b", "x"], ()) == ["/b", "x"]


def test_extensions_run_beside_the_runtime_and_their_lines_are_marked(
    run: Run, platform: Platform
) -> None:
    done = run("sleep 0.4; echo of the runtime", one="#!/bin/sh\necho a\necho b >&2\nprintf c")
    assert of_extensions(done) == [b"a", b"b", b"c"]
    assert b"of the runtime\n" in done.stdout
    assert sorted(platform.calls) == ["exit/0/0", "exit/runtime/0", "registered"]


def test_an_extension_sees_the_functions_variables_but_not_the_runtimes(run: Run) -> None:
    done = run("sleep 0.4; pwd; env", one="#!/bin/sh\nenv\npwd")
    seen = of_extensions(done)
    names = {line.split(b"=")[0] for line in seen}
    assert {b"MINE", b"AWS_LAMBDA_FUNCTION_NAME", b"AWS_LAMBDA_RUNTIME_API"} <= names
    assert not names & {b"_HANDLER", b"LAMBDA_TASK_ROOT", b"AWS_EXECUTION_ENV"}
    assert seen[-1] == b"/"
    assert b"_HANDLER=index.handler" in done.stdout


@pytest.mark.parametrize(
    ("command", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
def test_how_the_runtime_ended_is_told_and_passed_on(
    run: Run, platform: Platform, command: str, code: int
) -> None:
    done = run(command, one="#!/bin/sh\nsleep 0.1")
    assert done.returncode == code
    assert f"exit/runtime/{code}" in platform.calls


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_how_an_extension_ended_is_told(
    run: Run, platform: Platform, script: str, code: int
) -> None:
    run("sleep 0.5", one=f"#!/bin/sh\n{script}")
    assert f"exit/0/{code}" in platform.calls


FOREIGN = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(40)


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (b"#!/bin/sh\n", 0o644, "PermissionDenied"),
        (b"#!/no/such/interpreter\n", 0o755, "NoSuchFile"),
        (b"echo no interpreter\n", 0o755, "ExecFormatError"),
        (b"", 0o755, "ExecFormatError"),
        (FOREIGN, 0o755, "ExecFormatError"),
    ],
)
def test_what_cannot_be_started_is_told(
    platform: Platform, tmp_path: Path, content: bytes, mode: int, reason: str
) -> None:
    folder = tmp_path / "extensions"
    folder.mkdir()
    (folder / "one").write_bytes(content)
    (folder / "one").chmod(mode)
    words = supervised(["/bin/sleep", "0.4"], ["one"], str(folder))
    variables = {"PATH": "/usr/bin:/bin", "AWS_LAMBDA_RUNTIME_API": platform.api}
    subprocess.run(words, check=True, env=variables, timeout=20)
    assert f"launch-error/0/{reason}" in platform.calls


def test_the_runtime_is_asked_to_end_then_killed(
    run: Run, platform: Platform, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)

    def let_end() -> None:
        ready.read_text()
        platform.may_end.set()

    threading.Thread(target=let_end, daemon=True).start()
    script = 'trap "echo asked" TERM; echo >ready; while :; do sleep 0.05; done'
    done = run(script, one="#!/bin/sh\nsleep 0.1")
    assert b"asked\n" in done.stdout
    assert done.returncode == 137


def test_a_long_line_comes_in_pieces_that_fit_into_a_pipe(run: Run) -> None:
    # Seven thousand bytes, some of them not UTF-8.
    script = "#!/bin/sh\ni=0; while [ $i -lt 700 ]; do printf '12345678\\303\\n' | tr -d '\\n'"
    done = run("sleep 1.5", one=f"{script}; printf x; i=$((i + 1)); done; echo")
    pieces = re.findall(rb"\x1eEXT(\+?) 0\x1e([^\n]*)\n", done.stdout)
    assert b"".join(piece for _, piece in pieces) == b"12345678\xc3x" * 700
    assert [plus for plus, _ in pieces] == [b"+", b"+", b""]
    assert all(len(piece) <= 3000 for _, piece in pieces)
