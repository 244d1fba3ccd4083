"""Text files of log groups: what lands in which file, and that no name leads out of the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.arns import Scope
from lambda_home.logs import LogStore, LogText
from lambda_home.logs.chunks import Run
from lambda_home.logs.text_files import TextFiles

SCOPE = Scope("123456789012", "us-east-1")
GROUP = "/aws/lambda/hello"
AT_MS = 1_700_000_000_250  # 2023-11-14T22:13:20.250Z


def lines(*messages: str) -> list[tuple[str, Run]]:
    return [("stream", Run(AT_MS, messages))]


def messages(path: Path) -> list[str]:
    return [line.split("] ", 1)[1] for line in path.read_text("utf-8").splitlines()]


def test_a_line_has_its_time_and_stream(tmp_path: Path) -> None:
    TextFiles(tmp_path, 1000).append(SCOPE, GROUP, lines("hello", "", "again"))
    path = tmp_path / "123456789012/us-east-1/aws/lambda/hello.log"
    begin = "2023-11-14T22:13:20.250Z [stream] "
    assert path.read_text("utf-8") == f"{begin}hello\n{begin}\n{begin}again\n"


def test_a_file_over_its_size_starts_anew_and_one_old_one_is_kept(tmp_path: Path) -> None:
    files = TextFiles(tmp_path, 200)
    path = files.path(SCOPE, GROUP)
    for letter in "abc":
        files.append(SCOPE, GROUP, lines(letter * 200))
        files.append(SCOPE, GROUP, lines(f"after {letter}"))
    # Each long line filled its file together with what stood before it.
    assert messages(path) == ["after c"]
    assert messages(path.with_suffix(".log.1")) == ["after b", "c" * 200]
    assert sorted(p.name for p in path.parent.iterdir()) == ["hello.log", "hello.log.1"]


def test_characters_of_any_kind_are_written(tmp_path: Path) -> None:
    files = TextFiles(tmp_path, 1000)
    files.append(SCOPE, GROUP, lines("päng \U0001f4a5 \udcff"))
    written = files.path(SCOPE, GROUP).read_bytes()
    assert written.endswith("päng \U0001f4a5 ".encode() + b"\xff\n")


def test_what_is_cleared_is_out_of_sight_at_once_and_removed_by_and_by(tmp_path: Path) -> None:
    files = TextFiles(tmp_path, 1000)
    other = Scope("999999999999", "us-east-1")
    for scope in (SCOPE, other):
        files.append(scope, GROUP, lines("x"))
    files.clear(SCOPE.account)
    assert not files.path(SCOPE, GROUP).exists()
    assert messages(files.path(other, GROUP)) == ["x"]
    files.append(SCOPE, GROUP, lines("again"))
    files.clear(None)
    assert not files.path(SCOPE, GROUP).exists()
    assert len(list(tmp_path.iterdir())) == 3
    files.tidy()
    assert list(tmp_path.iterdir()) == []
    files.clear(None)
    TextFiles(tmp_path / "none", 1000).clear(None)


ODD = ["", "/", "..", "../../etc/passwd", "/../..", "a/../../b", ".../...", "a\0b", "a b", "~root"]


@pytest.mark.parametrize("group", ODD)
def test_odd_names_are_written_inside_the_folder(tmp_path: Path, group: str) -> None:
    files = TextFiles(tmp_path, 1000)
    files.append(SCOPE, group, lines("x"))
    path = files.path(SCOPE, group)
    assert messages(path) == ["x"]
    assert path.resolve().is_relative_to(tmp_path / "123456789012/us-east-1")


@given(group=st.text(alphabet=st.sampled_from("./\\.~a\0\n -#:") | st.characters(), max_size=30))
def test_no_name_leads_out_of_the_folder_of_its_scope(group: str) -> None:
    path = Path(os.path.normpath(TextFiles(Path("/store"), 1).path(SCOPE, group)))
    assert path.is_relative_to("/store/123456789012/us-east-1")
    assert path.name.endswith(".log")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_text_files_that_cannot_be_written_cost_nothing_in_the_store(tmp_path: Path) -> None:
    files = TextFiles(tmp_path / "text", 1000)
    full = files.path(SCOPE, GROUP)
    full.parent.mkdir(parents=True)
    full.symlink_to("/dev/full")
    store = LogStore(tmp_path / "logs.db", text=files)
    for group in (GROUP, "g" * 512, "fine"):
        store.append(LogText(SCOPE, group, "s", AT_MS / 1000, f"to {group}".encode()))
    store.flush()
    assert [e.message for e in store.events(SCOPE, GROUP).events] == [f"to {GROUP}"]
    assert messages(files.path(SCOPE, "fine")) == ["to fine"]
    assert store.dropped == 0
    store.close()
