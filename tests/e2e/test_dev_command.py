"""`lambda-home dev`: from a folder to a function that follows it, and nothing left in the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from debuggers import InspectorClient
from functions_under_test import fresh_name
from live import LiveServer
from observing import until
from polling import is_gone

pytestmark = pytest.mark.process


class Dev:
    """The command in a process of its own; `text` is what it has said so far."""

    def __init__(self, *words: str) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LAMBDA_HOME_", "AWS_", "PYTHON"))
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lambda_home", "dev", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.text = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.text += line

    def says(self, words: str) -> None:
        until(
            lambda: words in self.text or self.process.poll() is not None,
            f"{words!r} was not said, but:\n{self.text}",
        )
        assert words in self.text, self.text

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(30)
        self._reader.join(10)
        return code


@contextmanager
def dev(*words: str) -> Iterator[Dev]:
    running = Dev(*words)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.end()


def folder(tmp_path: Path, value: object) -> Path:
    made = tmp_path / fresh_name("dev")
    made.mkdir()
    write(made, value)
    return made


def write(made: Path, value: object) -> None:
    source = f"def handler(event, context):\n    print('seen', event)\n    return {value!r}\n"
    (made / "lambda_function.py").write_text(source)


def test_a_server_of_its_own_follows_the_folder_and_goes_with_it(tmp_path: Path) -> None:
    place, event = folder(tmp_path, "first"), tmp_path / "event.json"
    event.write_text('{"a": 1}')
    flags = ("--sandbox", "process", "--port", "0", "--invoke", str(event))
    with dev(str(place), *flags) as running:
        running.says(f'{event} -> "first"')
        running.says("seen {'a': 1}")
        write(place, "second")
        running.says(f'{event} -> "second"')
        running.says("reloaded in")
        event.write_text('{"a": 2}')
        running.says("seen {'a': 2}")
        (place / "lambda_function.py").write_text("raise RuntimeError('broken')\n")
        running.says("Unhandled error: ")
        assert running.end() == 0, running.text
    assert "Traceback (most recent call last):\n" not in running.text.replace("\xa0", " ")


def test_a_server_that_runs_already_is_left_as_it_was(tmp_path: Path) -> None:
    place = folder(tmp_path, "first")
    variables = {"LAMBDA_HOME_FUNCTIONS__HOT_RELOAD_FOLDERS": json.dumps([str(tmp_path)])}
    with LiveServer("--sandbox", "process", "--ephemeral", environment=variables) as server:
        client = server.client()
        for how in (signal.SIGINT, signal.SIGTERM):
            with dev(str(place), "--endpoint-url", server.url) as running:
                running.says("Ctrl-C ends it")
                answer = client.invoke(FunctionName=place.name)
                assert answer["Payload"].read() == b'"first"'
                running.says("REPORT")
                assert running.end(how) == 0, running.text
            assert is_gone(client.get_function, FunctionName=place.name)


def test_a_server_that_reads_no_folders_says_how_to_allow_it(
    process_server: LiveServer, tmp_path: Path
) -> None:
    place = folder(tmp_path, 1)
    with dev(str(place), "--endpoint-url", process_server.url) as running:
        assert running.process.wait(30) == 1
        running.end()
    assert "hot_reload_folders" in running.text


@pytest.mark.slow
def test_a_debugger_listens_and_its_launch_json_is_printed(tmp_path: Path) -> None:
    place = tmp_path / fresh_name("dev")
    place.mkdir()
    (place / "index.js").write_text("exports.handler = async () => 'called';\n")
    event = tmp_path / "event.json"
    event.write_text("{}")
    flags = ("--sandbox", "process", "--port", "0", "--debug", "--invoke", str(event))
    with dev(str(place), *flags) as running:
        running.says("A debugger listens on 127.0.0.1:")
        running.says('"remoteRoot": "/var/task"')
        running.says(f'"localRoot": "{place}"')
        running.says("as soon as a debugger is attached")
        assert '-> "called"' not in running.text
        port = int(running.text.partition("listens on 127.0.0.1:")[2].partition(":")[0])
        with InspectorClient(port) as debugger:
            debugger.ask("Runtime.enable")
            running.says('-> "called"')
        assert running.end() == 0, running.text


def test_wrong_use_is_told_in_one_line(tmp_path: Path) -> None:
    place = folder(tmp_path, 1)
    with dev(str(place / "lambda_function.py")) as running:
        assert running.process.wait(30) == 2
        running.end()
    assert "is not a folder" in running.text
