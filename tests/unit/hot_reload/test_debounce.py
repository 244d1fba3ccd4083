"""When changes are taken, by a clock that is turned by hand."""

from __future__ import annotations

import pytest

from lambda_home.hot_reload.debounce import Debounce


@pytest.mark.parametrize(
    ("changes_at", "due_at"),
    [
        ([], None),
        ([10.0], 10.1),
        ([10.0, 10.05], 10.15),
        ([10.0, 10.0, 10.0], 10.1),
        # A build writes without a pause: taken after a second all the same.
        ([10.0 + n * 0.05 for n in range(40)], 11.0),
    ],
)
def test_changes_are_due_when_it_is_quiet_but_never_late(
    changes_at: list[float], due_at: float | None
) -> None:
    debounce = Debounce(quiet_s=0.1, longest_s=1.0)
    for at in changes_at:
        debounce.note(set(), at)
    assert debounce.due_at == (None if due_at is None else pytest.approx(due_at))


def test_what_is_taken_is_all_since_the_last_time() -> None:
    debounce = Debounce(quiet_s=0.1, longest_s=1.0)
    debounce.note({"a"}, 1.0)
    debounce.note({"b", "a"}, 1.05)
    assert debounce.take() == ({"a", "b"}, 1.0)
    assert debounce.due_at is None
    debounce.note({"c"}, 2.0)
    assert debounce.due_at == pytest.approx(2.1)
    assert debounce.take() == ({"c"}, 2.0)
