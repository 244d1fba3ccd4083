"""The audit log: a line for each deed, ours alone, bounded, and never in the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import HandTurnedClock

from lambda_home.access.audit import AuditLog, Deed, Outcome
from lambda_home.access.callers import Caller
from lambda_home.access.roles import Role
from lambda_home.arns import Scope

ANN = "arn:aws:iam::000000000000:user/ann"
CALLER = Caller(Scope("000000000000", "us-east-1"), ANN, Role.VIEWER, "AKIA1")
DEED = Deed(ANN, "AKIA1", "10.0.0.1", "DeleteFunction", "arn:fn", Outcome.ALLOWED, "", "id-1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "audit.log"


@pytest.fixture
def clock() -> HandTurnedClock:
    return HandTurnedClock(1_700_000_000.5)


@pytest.fixture
def log(path: Path, clock: HandTurnedClock) -> Iterator[AuditLog]:
    made = AuditLog(path, 1_000_000, clock)
    yield made
    made.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_deed_is_one_line_with_everything_that_is_known(log: AuditLog, path: Path) -> None:
    log.record(DEED)
    log.changed(CALLER, "10.0.0.2", "secrets:write", "/api/admin/secrets", 201)
    log.changed(CALLER, "10.0.0.2", "secrets:write", "/api/admin/secrets", 404)
    log.denied(CALLER, "keys:write", "/api/admin/keys")
    log.flush()
    found = lines(path)
    assert found[0] == {
        "time": "2023-11-14T22:13:20.500Z",
        "principal": ANN,
        "key_id": "AKIA1",
        "source_ip": "10.0.0.1",
        "action": "DeleteFunction",
        "resource": "arn:fn",
        "outcome": "allowed",
        "request_id": "id-1",
    }
    assert [(line["outcome"], line.get("error_code")) for line in found[1:]] == [
        ("allowed", None),
        ("failed", "404"),
        ("denied", "AccessDeniedException"),
    ]
    assert log.recent(2) == [found[3], found[2]]


def test_the_file_is_ours_alone_also_if_it_was_not(log: AuditLog, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("")
    path.chmod(0o644)
    log.record(DEED)
    log.flush()
    assert path.stat().st_mode & 0o777 == 0o600


def test_nobody_writes_lines_of_their_own_into_it(log: AuditLog, path: Path) -> None:
    evil = 'x"}\n{"principal": "forged"}\r\u2028' + "y" * 5000
    log.record(Deed(ANN, "", "", "GetFunction", evil, Outcome.ALLOWED))
    log.flush()
    (line,) = lines(path)
    assert line["resource"] == evil[:1024]


def test_it_goes_on_after_a_restart_and_begins_anew_at_its_limit(
    path: Path, clock: HandTurnedClock
) -> None:
    for number in range(55):
        made = AuditLog(path, 2000, clock)
        made.record(Deed(ANN, "", "", "Action", str(number), Outcome.ALLOWED))
        made.close()
    older = path.with_name("audit.log.1")
    assert path.stat().st_size <= 2000 < older.stat().st_size + 200
    assert older.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == ["audit.log", "audit.log.1"]
    numbers = [int(line["resource"]) for line in [*lines(older), *lines(path)]]
    assert numbers == list(range(numbers[0], 55))
    made = AuditLog(path, 2000, clock)
    assert [int(line["resource"]) for line in made.recent(12)] == numbers[-12:][::-1]
    made.close()


def test_denials_are_limited_and_those_left_out_are_counted(
    log: AuditLog, path: Path, clock: HandTurnedClock
) -> None:
    for _ in range(150):
        log.denied(CALLER, "keys:write", "x")
    log.record(DEED)
    clock.turn(1)
    for _ in range(15):
        log.denied(CALLER, "keys:write", "x")
    log.flush()
    found = lines(path)
    assert len([line for line in found if line["outcome"] == "denied"]) == 110
    assert [line["denials_left_out"] for line in found if "denials_left_out" in line] == [50]
    assert log.dropped == 0


def test_a_full_disk_is_counted_and_ends_nothing(
    log: AuditLog, path: Path, clock: HandTurnedClock
) -> None:
    del clock
    path.mkdir(parents=True)
    log.record(DEED)
    log.flush()
    assert log.dropped == 1
    path.rmdir()
    log.record(DEED)
    log.flush()
    assert len(lines(path)) == 1


KILLED = """
import os, sys, time
from pathlib import Path
from lambda_home.access.audit import AuditLog, Deed, Outcome
from lambda_home.clock import SystemClock
log = AuditLog(Path(sys.argv[1]), 1_000_000, SystemClock())
log.record(Deed("arn", "", "", "Action", "kept", Outcome.ALLOWED))
file, until = Path(sys.argv[1]), time.monotonic() + 20
while not (file.exists() and file.stat().st_size) and time.monotonic() < until:
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""


def test_a_kill_loses_only_what_was_just_recorded(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], check=False, env=environment, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert [line["resource"] for line in lines(path)] == ["kept"]
