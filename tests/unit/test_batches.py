from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from lambda_home import batches
from lambda_home.batches import Batches


def test_everything_is_done_in_order_by_another_thread() -> None:
    done: list[int] = []
    threads: set[int] = set()

    def work(batch: Sequence[int]) -> None:
        done.extend(batch)
        threads.add(threading.get_ident())

    made = Batches("test", work, 0.001)
    for number in range(2000):
        made.add(number)
    made.close()
    assert done == list(range(2000))
    assert threading.get_ident() not in threads
    assert made.dropped == 0


def test_what_comes_while_too_much_waits_is_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "_MOST_WAITING", 3)
    done: list[int] = []
    made = Batches("test", done.extend, 60.0)
    for number in range(5):
        made.add(number)
    made.close()
    assert (done, made.dropped) == ([0, 1, 2], 2)
    made.add(9)  # too late
    assert made.dropped == 3


def test_one_that_nobody_used_has_no_thread_and_can_be_closed() -> None:
    before = threading.active_count()
    done: list[int] = []
    made = Batches("test", done.extend, 0.001)
    assert threading.active_count() == before
    made.close()
