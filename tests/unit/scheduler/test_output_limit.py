"""How much of what an invocation writes is kept, and what is said of the rest."""

from __future__ import annotations

import pytest

from lambda_home.scheduler.environment_log import Emit, EnvironmentLog, Sift
from lambda_home.scheduler.output_limit import limited
from lambda_home.scheduler.shared_log import SharedEnvironmentLog

MB = 1024 * 1024
NOTICE = (
    "[WARNING] lambda_home: this invocation logged more than 1 MB ([logs] max_invocation_mb): what"
    " follows is left out."
)
LINE = "x" * 99_999  # 100,000 bytes with its end


class Store:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def emit(self, text: bytes, request_id: str) -> None:
        self.lines += [(request_id, line) for line in text.decode().split("\n")]

    def of(self, request_id: str) -> list[str]:
        return [line for request, line in self.lines if request == request_id]


def both(store: Store, most_mb: int = 1) -> tuple[Emit, Sift]:
    return limited(store.emit, lambda text: text, most_mb)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (["a", "b"], ["a", "b"]),
        (["x" * (MB - 1)], ["x" * (MB - 1)]),
        (["x" * MB], [NOTICE]),
        (["x" * (MB - 1), ""], ["x" * (MB - 1), NOTICE]),
        (["a", "x" * MB, "b", "c"], ["a", NOTICE]),
        ([LINE] * 12, [*[LINE] * 10, NOTICE]),
    ],
    ids=["little", "just enough", "too long alone", "one byte more", "rest", "many"],
)
@pytest.mark.parametrize("together", [True, False])
def test_whole_lines_are_kept_up_to_the_limit_and_one_says_that_there_were_more(
    written: list[str], kept: list[str], *, together: bool
) -> None:
    store = Store()
    emit, sift = both(store)
    for text in ["\n".join(written)] if together else written:
        own = sift(text.encode())
        assert own is not None
        emit(own, "r1")
    assert store.of("r1") == kept


@pytest.mark.parametrize("kind", [EnvironmentLog, SharedEnvironmentLog])
def test_each_invocation_has_its_own_limit_and_the_platforms_lines_are_always_written(
    kind: type[EnvironmentLog | SharedEnvironmentLog],
) -> None:
    store = Store()
    log = kind(*both(store))
    shared = kind is SharedEnvironmentLog
    for request_id in ("r1", "r2"):
        begun = log.begin(request_id, f"START {request_id}", tail=True)
        mark = f"\x1eFROM {request_id}\x1e" if shared else ""
        for number in range(15):
            log.write(f"{mark}{number} {LINE}\n".encode())
        log.write(f"\x1eFENCE {request_id}\x1e\n".encode())
        log.finish(begun, [f"END {request_id}"], fence=True)
        found = store.of(request_id)
        assert found[0] == f"START {request_id}"
        assert [line.split()[0] for line in found[1:-2]] == [str(n) for n in range(10)]
        assert found[-2:] == [NOTICE, f"END {request_id}"]
        assert begun.last_4_kb().endswith(f"xxx\nEND {request_id}\n".encode())


def test_what_belongs_to_no_invocation_has_no_limit() -> None:
    store = Store()
    log = SharedEnvironmentLog(*both(store))
    for _ in range(15):
        log.write(f"{LINE}\n".encode())
    assert len(store.of("")) == 15


def test_without_a_limit_nothing_is_looked_at() -> None:
    store = Store()
    emit, sift = both(store, 0)
    assert emit == store.emit
    assert sift(b"a") == b"a"
