"""The log store: what lands in which file, and that nothing ends its writer."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.arns import Scope
from lambda_home.logs import LogEvent, LogStore

SCOPE = Scope("123456789012", "us-east-1")
GROUP = "/aws/lambda/hello"
AT = 1_700_000_000.25  # 2023-11-14T22:13:20.250Z


def event(message: str, group: str = GROUP, scope: Scope = SCOPE) -> LogEvent:
    return LogEvent(scope, group, "stream", AT, message)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    made = LogStore(tmp_path / "logs", 1_000_000)
    yield made
    made.close()


def messages(path: Path) -> list[str]:
    return [line.split("] ", 1)[1] for line in path.read_text("utf-8").splitlines()]


def test_a_line_has_its_time_and_stream(store: LogStore, tmp_path: Path) -> None:
    store.append(event("hello"))
    store.flush()
    path = tmp_path / "logs/123456789012/us-east-1/aws/lambda/hello.log"
    assert path.read_text("utf-8") == "2023-11-14T22:13:20.250Z [stream] hello\n"
    assert store.path(SCOPE, GROUP) == path


def test_groups_accounts_and_regions_have_files_of_their_own(store: LogStore) -> None:
    scopes = [SCOPE, Scope("999999999999", "us-east-1"), Scope("123456789012", "eu-west-1")]
    for number, scope in enumerate(scopes):
        store.append(event(f"{number}", scope=scope))
        store.append(event(f"other {number}", "custom", scope))
    store.flush()
    for number, scope in enumerate(scopes):
        assert messages(store.path(scope, GROUP)) == [f"{number}"]
        assert messages(store.path(scope, "custom")) == [f"other {number}"]


def test_lines_keep_their_order_over_flushes(store: LogStore) -> None:
    for number in range(500):
        store.append(event(f"{number}"))
        if number % 100 == 0:
            store.flush()
    store.flush()
    assert messages(store.path(SCOPE, GROUP)) == [f"{number}" for number in range(500)]


def test_close_writes_everything_and_ends_the_writer(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = LogStore(tmp_path, 1_000_000)
    for number in range(10_000):
        store.append(event(f"{number}"))
    store.close()
    assert len(messages(store.path(SCOPE, GROUP))) == 10_000
    assert set(threading.enumerate()) <= before


def test_a_file_over_its_size_starts_anew_and_one_old_one_is_kept(tmp_path: Path) -> None:
    store = LogStore(tmp_path, 200)
    path = store.path(SCOPE, GROUP)
    for letter in "abc":
        store.append(event(letter * 200))
        store.flush()
        store.append(event(f"after {letter}"))
        store.flush()
    store.close()
    # Each long line filled its file together with what stood before it.
    assert messages(path) == ["after c"]
    assert messages(path.with_suffix(".log.1")) == ["after b", "c" * 200]
    assert sorted(p.name for p in path.parent.iterdir()) == ["hello.log", "hello.log.1"]


def test_characters_of_any_kind_are_written(store: LogStore) -> None:
    store.append(event("päng \U0001f4a5 \udcff"))
    store.flush()
    written = store.path(SCOPE, GROUP).read_bytes()
    assert written.endswith("päng \U0001f4a5 ".encode() + b"\xff\n")


ODD = ["", "/", "..", "../../etc/passwd", "/../..", "a/../../b", ".../...", "a\0b", "a b", "~root"]


@pytest.mark.parametrize("group", ODD)
def test_odd_names_are_written_inside_the_store(
    store: LogStore, tmp_path: Path, group: str
) -> None:
    store.append(event("x", group))
    store.flush()
    assert store.dropped == 0
    path = store.path(SCOPE, group)
    assert messages(path) == ["x"]
    assert path.resolve().is_relative_to(tmp_path / "logs/123456789012/us-east-1")


@given(group=st.text(alphabet=st.sampled_from("./\\.~a\0\n -#:") | st.characters(), max_size=30))
def test_no_name_leads_out_of_the_folder_of_its_scope(group: str) -> None:
    store = LogStore.__new__(LogStore)  # only its path is asked for: no thread is needed
    store._root = Path("/store")  # noqa: SLF001
    path = Path(os.path.normpath(store.path(SCOPE, group)))
    assert path.is_relative_to("/store/123456789012/us-east-1")
    assert path.name.endswith(".log")


def test_a_disk_that_refuses_costs_only_the_lines_of_that_time(
    store: LogStore, tmp_path: Path
) -> None:
    blocked = tmp_path / "logs"
    blocked.write_text("a file where the store's folder should be")
    store.append(event("lost"))
    store.flush()
    assert store.dropped == 1
    blocked.unlink()
    store.append(event("kept"))
    store.flush()
    assert messages(store.path(SCOPE, GROUP)) == ["kept"]
    assert store.dropped == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_does_not_end_the_writer(store: LogStore) -> None:
    full = store.path(SCOPE, "full")
    full.parent.mkdir(parents=True)
    full.symlink_to("/dev/full")
    store.append(event("lost", "full"))
    store.flush()
    store.append(event("kept"))
    store.flush()
    assert messages(store.path(SCOPE, GROUP)) == ["kept"]
    assert store.dropped == 1


def test_a_name_too_long_for_the_file_system_does_not_end_the_writer(store: LogStore) -> None:
    store.append(event("x", "g" * 512))
    store.flush()
    store.append(event("kept"))
    store.flush()
    assert messages(store.path(SCOPE, GROUP)) == ["kept"]


def test_a_full_queue_drops_lines_and_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lambda_home.logs._QUEUE_LIMIT", 0)
    store = LogStore(tmp_path, 1000)
    store.append(event("dropped"))
    store.append(event("dropped"))
    assert store.dropped == 2
    store.close()
    assert not store.path(SCOPE, GROUP).exists()
