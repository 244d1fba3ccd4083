"""Section `registry`: the control plane with 1,000 functions of 10 versions each on disk.

The data directory is filled before the server starts; then one caller on one keep-alive connection
pages through it, reads functions and makes new ones. Ratios are to an exchange with the floor on
such a connection: the same for reads on each machine, and for creations where its disk is as quick.
"""

from __future__ import annotations

import base64
import json
import statistics
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from live import ROLE, LiveServer, zip_of
from sqlalchemy import insert, select, update

from bench.figures import Effort, Figure, Outcome, Row, percentile, ratio
from bench.servers import (
    Answer,
    Caller,
    best_sandbox,
    function_images_as_before,
    runtime_of,
    sandboxes,
    settle,
)
from bench.yardsticks import floor
from lambda_home.arns import FunctionRef, Scope
from lambda_home.functions import READY, FunctionVersion
from lambda_home.packager.archive import code_of
from lambda_home.packager.store import CodeStore
from lambda_home.registry.changes import NewFunction
from lambda_home.registry.database import Database
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.registry.rows import encode, fingerprint
from lambda_home.registry.tables import FUNCTIONS, VERSIONS

_FUNCTIONS = 1000
_VERSIONS = 10
_PAGE = 50
_READS = 1000
_PAGES = 220
_CREATIONS = 200
_EXCHANGES = 1000
_OK, _CREATED = 200, 201
_SCOPE = Scope("000000000000", "us-east-1")
_PATH = "/2015-03-31/functions"


def registry(effort: Effort, outcome: Outcome) -> None:
    """Pages and single functions on the best sandbox, creations on each."""
    with floor() as url, Caller(url) as caller:
        base = statistics.median(caller.invoke("ping").seconds for _ in range(_EXCHANGES))
    measuring = _Measuring(effort, outcome, base)
    for sandbox in sandboxes():
        runtime = runtime_of(sandbox, "python")
        with _serving_full(sandbox, runtime) as caller:
            if sandbox == best_sandbox():
                measuring.reads(caller)
            measuring.creations(caller, sandbox, runtime)


@dataclass(frozen=True, slots=True)
class _Measuring:
    effort: Effort
    outcome: Outcome
    base_s: float

    def reads(self, caller: Caller) -> None:
        """Every page of both lists, and functions one by one."""
        pages = self.effort.count(_PAGES)
        full = f"of {_FUNCTIONS} functions x {_VERSIONS} versions"
        self._row(
            "list",
            f"ListFunctions: a page {full}",
            _pages(caller, f"{_PATH}/?", pages),
            _holds("Functions", _PAGE),
        )
        self._row(
            "list.all",
            f"ListFunctions, FunctionVersion=ALL: a page {full}",
            _pages(caller, f"{_PATH}/?FunctionVersion=ALL&", pages),
            _holds("Functions", _PAGE),
        )
        names = [name_of(number) for number in range(self.effort.count(_READS))]
        self._row(
            "versions",
            f"ListVersionsByFunction {full}",
            [caller.request("GET", f"{_PATH}/{name}/versions") for name in names],
            _holds("Versions", _VERSIONS + 1),
        )
        self._row(
            "get",
            f"GetFunction, one {full}",
            [caller.request("GET", f"{_PATH}/{name}") for name in names],
            lambda answer: "Configuration" in json.loads(answer.body),
        )

    def creations(self, caller: Caller, sandbox: str, runtime: str) -> None:
        """One CreateFunction after the other: the server prepares their code meanwhile."""
        bodies = [_creation(n, runtime) for n in range(self.effort.count(_CREATIONS))]
        self._row(
            f"create.{sandbox}",
            f"CreateFunction, a ZIP of 1 kB, beside {_FUNCTIONS} x {_VERSIONS}, {sandbox}",
            [caller.request("POST", _PATH, body) for body in bodies],
            lambda answer: answer.status == _CREATED,
        )

    def _row(
        self, key: str, label: str, answers: Sequence[Answer], right: Callable[[Answer], bool]
    ) -> None:
        seconds = [answer.seconds for answer in answers]
        middle = statistics.median(seconds)
        self.outcome.add(
            Row(
                f"registry.{key}",
                label,
                len(answers),
                sum(not right(answer) for answer in answers),
                (
                    Figure("p50", middle * 1000, "ms"),
                    Figure("p95", percentile(seconds, 95) * 1000, "ms"),
                    Figure("p99", percentile(seconds, 99) * 1000, "ms"),
                    ratio("of floor p50", middle, self.base_s),
                ),
            )
        )


def _pages(caller: Caller, path: str, count: int) -> list[Answer]:
    """That many full pages, from the first one again after the last."""
    answers: list[Answer] = []
    marker = ""
    while len(answers) < count:
        answers.append(caller.request("GET", f"{path}Marker={marker}"))
        marker = json.loads(answers[-1].body).get("NextMarker") or ""
    return answers


def _holds(member: str, count: int) -> Callable[[Answer], bool]:
    return lambda answer: (
        answer.status == _OK and len(json.loads(answer.body).get(member, ())) == count
    )


def _creation(number: int, runtime: str) -> bytes:
    name = f"new-{number:04d}"
    code = base64.b64encode(_package(name)).decode()
    settings = {"FunctionName": name, "Runtime": runtime, "Role": ROLE, "Code": {"ZipFile": code}}
    return json.dumps(settings | {"Handler": "lambda_function.handler"}).encode()


# --------------------------------------------------------------------------------- what is on disk


@contextmanager
def _serving_full(sandbox: str, runtime: str) -> Iterator[Caller]:
    """A connection to a server whose data directory has all functions from the start."""
    with (
        function_images_as_before(),
        tempfile.TemporaryDirectory(prefix="lambda-home-bench-") as folder,
    ):
        data = Path(folder) / "data"
        fill(data, runtime, _FUNCTIONS, _VERSIONS)
        with (
            LiveServer("--sandbox", sandbox, "--data-dir", str(data)) as server,
            Caller(server.url) as caller,
        ):
            settle(caller)
            yield caller


def fill(data: Path, runtime: str, functions: int, versions: int) -> None:
    """Make a data directory of active functions with numbered versions beside `$LATEST`.

    The registry makes the first; the rest are its rows under other names, with code of their own,
    written in one transaction: 11,000 operations would take minutes.
    """
    store = CodeStore(data / "code")
    database = Database.open(data / "lhome.db")
    try:
        first = _first(FunctionRegistry(database, lambda _: None), store, runtime)
        others = [_like(first, name_of(number), store) for number in range(1, functions)]
        with database.write() as connection:
            connection.execute(insert(FUNCTIONS), [_key(other.name) for other in others])
            connection.execute(update(FUNCTIONS).values(last_version=versions))
            named = connection.execute(select(FUNCTIONS.c.name, FUNCTIONS.c.id))
            ids = {row.name: row.id for row in named}
            rows = [_row(other, ids, number) for other in others for number in range(versions + 1)]
            rows += [_row(first, ids, number) for number in range(1, versions + 1)]
            connection.execute(insert(VERSIONS), rows)
    finally:
        database.close()


def name_of(number: int) -> str:
    """The name of a function, in the order of pages."""
    return f"kept-{number:04d}"


def _first(functions: FunctionRegistry, store: CodeStore, runtime: str) -> FunctionVersion:
    ref = FunctionRef(_SCOPE, name_of(0))
    values = NewFunction(
        runtime=runtime,
        handler="lambda_function.handler",
        role=ROLE,
        description="release 0",
        environment={"STAGE": "production", "TABLE": "orders"},
    )
    made = functions.create(ref, store.put(_package(ref.name)), values)
    functions.settle(_SCOPE, ref.name, made.version, made.run_key, READY)
    return functions.get(ref)


def _like(first: FunctionVersion, name: str, store: CodeStore) -> FunctionVersion:
    package = _package(name)
    code = code_of(package)
    store.path(code.key).write_bytes(package)  # not flushed one by one, as `put` does
    return replace(first, name=name, code=code)


def _key(name: str) -> dict[str, Any]:
    return {"account": _SCOPE.account, "region": _SCOPE.region, "name": name, "last_version": 0}


def _row(latest: FunctionVersion, ids: dict[str, int], number: int) -> dict[str, Any]:
    version = replace(
        latest,
        description=f"release {number}",
        revision_id=str(uuid.uuid4()),
        run_key=uuid.uuid4().hex,
    )
    own = {
        "function_id": ids[latest.name],
        "number": number,
        "fingerprint": fingerprint(version),
    }
    return encode(version) | own


def _package(name: str) -> bytes:
    """A ZIP of about 1 kB; no two have the same content."""
    noise = "".join(uuid.uuid5(uuid.NAMESPACE_OID, f"{name}.{part}").hex for part in range(50))
    source = "def handler(event, context):\n    return {'message': 'pong'}\n"
    return zip_of({"lambda_function.py": f"{source}# {noise}\n"})
