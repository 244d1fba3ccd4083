from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from unit.registry.world import World, ref

UPDATE_FOR_EVER = """
import sys
from pathlib import Path
from lambda_home.arns import FunctionRef, Scope
from lambda_home.functions import Code
from lambda_home.registry.database import Database
from lambda_home.registry.functions import FunctionRegistry

database = Database.open(Path(sys.argv[1]))
registry = FunctionRegistry(database, lambda change: None)
ref = FunctionRef(Scope("000000000000", "us-east-1"), "fn")
number = registry.get(ref).code.size
while True:
    number += 1
    registry.update_configuration(ref, {"description": str(number), "timeout_s": number})
    registry.update_code(ref, Code("k", str(number), number), publish=True)
    print(number, flush=True)
"""


def kill_after(path: Path, lines: int) -> int:
    """Start the loop, kill it after some rounds; the last round that it said was done."""
    process = subprocess.Popen(
        [sys.executable, "-c", UPDATE_FOR_EVER, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    with process.stdout as output:
        for _ in range(lines):
            output.readline()
        process.kill()
        said = output.read().split()
    process.wait()
    return len(said) + lines


def test_a_killed_server_leaves_each_function_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    first = World(path)
    first.active(size=0)
    first.close()
    acknowledged = 0
    for lines in (1, 5):
        acknowledged += kill_after(path, lines)
        world = World(path)
        latest, *versions = world.registry.list_versions(ref()).items
        number = latest.timeout_s
        assert latest.description == str(number)
        assert (latest.code.sha256, latest.code.size) in [(str(n), n) for n in (number, number - 1)]
        assert latest.status.busy
        shown = [(v.version, v.description, v.timeout_s, v.code.size) for v in versions]
        published = latest.code.size
        assert shown == [(str(n), str(n), n, n) for n in range(1, published + 1)][:49]
        assert published >= acknowledged
        with world.database.read() as connection:
            counter = connection.exec_driver_sql("SELECT last_version FROM functions").scalar_one()
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert counter == published
        acknowledged = published
        world.close()
