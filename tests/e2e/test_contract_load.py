"""Load: rows 1, 2, 3, 8 and 10 of the forty tests to survive (figures are the benchmark's matter).

Which test holds which row is told in test_contract_faults.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from functions_under_test import NODE, create, fresh_name, invoke
from live import LiveServer
from raw_http import connect, dial, invocations, resident_mb

from lambda_home.arns import FunctionRef, Scope
from lambda_home.functions import READY, Code
from lambda_home.registry.changes import NewFunction
from lambda_home.registry.database import Database
from lambda_home.registry.functions import FunctionRegistry

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

ECHO = "def handler(event, context):\n    return event\n"
HELD = """
import time
def handler(event, context):
    begun = time.monotonic()  # one clock for the whole machine
    time.sleep(event["seconds"])
    return begun, time.monotonic()
"""
NODE_ECHO = "let calls = 0; exports.handler = async (event) => [event, ++calls];"
STREAM = """
const piece = Buffer.alloc(1 << 20, "x");
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  for (let n = 0; n < event.megabytes; n++) {
    if (!stream.write(piece)) await new Promise((go) => stream.once("drain", go));
  }
  stream.end();
});
"""
MB = 1 << 20


@pytest.fixture
def client(server: LiveServer) -> LambdaClient:
    return server.client(max_pool_connections=64)


def hammer(server: LiveServer, name: str, clients: int, calls: int) -> Counter[object]:
    """So many calls by each of so many clients, each on one connection; what came back."""

    def one(who: int) -> Counter[object]:
        seen: Counter[object] = Counter()
        with closing(connect(server)) as connection:
            for number in range(calls):
                event = json.dumps([who, number])
                connection.request("POST", invocations(name), event)
                answer = connection.getresponse()
                right = json.loads(answer.read()) == [who, number]
                seen[answer.status, answer.headers["X-Amz-Function-Error"], right] += 1
        return seen

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(one, range(clients)), Counter[object]())


def test_row_1_two_thousand_warm_calls_by_64_clients_all_succeed_and_memory_stays(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, ECHO, Timeout=60)
    client.put_function_scaling_config(  # two cores: more environments would be mere waiting
        FunctionName=name,
        Qualifier="$LATEST",
        FunctionScalingConfig={"MaxExecutionEnvironments": 8},
    )
    assert hammer(server, name, clients=64, calls=16) == {(200, None, True): 1024}
    before = resident_mb(server)
    assert hammer(server, name, clients=64, calls=32) == {(200, None, True): 2048}
    assert resident_mb(server) < before * 1.1


def test_row_2_fifty_cold_functions_at_once_all_answer_and_none_waits_for_another(
    server: LiveServer, client: LambdaClient
) -> None:
    # Containers take a core longer than processes do: fewer show the same.
    count = 50 if server.facts["sandbox"].startswith("process") else 16
    overlapping = 0
    for seconds in (1, 8):  # the first is too short where environments start slowly
        with ThreadPoolExecutor(8) as pool:
            names = list(pool.map(lambda _: create(client, HELD, Timeout=60), range(count)))
        call = partial(invoke, client, event={"seconds": seconds})
        with ThreadPoolExecutor(count) as pool:
            answers = list(pool.map(call, names))
        assert [(a.status, a.error) for a in answers] == [(200, None)] * count
        spans = [a.payload for a in answers]
        overlapping = max(sum(b <= at < e for b, e in spans) for at, _ in spans)
        if overlapping >= 4:
            break
    assert overlapping >= 4, "they ran one after the other"


def test_row_3_twenty_parallel_calls_of_one_cold_node_function_all_succeed(
    client: LambdaClient,
) -> None:
    name = create(client, NODE_ECHO, Runtime=NODE, Timeout=60)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: invoke(client, name, n), range(20)))
    assert [(a.status, a.error) for a in answers] == [(200, None)] * 20
    assert [a.payload[0] for a in answers] == list(range(20))


def events_of(client: LambdaClient, name: str, megabytes: int) -> Iterator[Any]:
    payload = json.dumps({"megabytes": megabytes})
    answer = client.invoke_with_response_stream(FunctionName=name, Payload=payload)
    with closing(answer["EventStream"]) as stream:
        yield from stream


def test_row_8_a_stream_over_200_mb_ends_with_an_error_in_its_last_event(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, STREAM, Runtime=NODE, Timeout=60, MemorySize=256)
    before = resident_mb(server)
    size, most = 0, 0.0
    last: Any = None
    for number, last in enumerate(events_of(client, name, 201)):
        size += len(last.get("PayloadChunk", {}).get("Payload", b""))
        if number % 100 == 0:
            most = max(most, resident_mb(server))
    assert last["InvokeComplete"]["ErrorCode"] == "Function.ResponseSizeTooLarge"
    assert 200 * MB - 2 * MB <= size <= 200 * MB
    assert most - before < 50
    pieces = [
        e["PayloadChunk"]["Payload"] for e in events_of(client, name, 1) if "PayloadChunk" in e
    ]
    assert sum(map(len, pieces)) == MB, "the function does not serve any more"


def test_row_8_a_reader_that_does_not_read_holds_the_function_back_and_fills_no_memory(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, STREAM, Runtime=NODE, Timeout=60, MemorySize=256)
    assert len(list(events_of(client, name, 1))) > 1  # what a first stream needs is not counted
    before = resident_mb(server)
    body = json.dumps({"megabytes": 120}).encode()
    path = f"/2021-11-15/functions/{name}/response-streaming-invocations"
    with dial(server, receive_buffer=64 * 1024) as reader:
        reader.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        most, size = 0.0, len(reader.recv(1))
        end = time.monotonic() + 1.5  # time enough to buffer all of it, if anybody did
        while time.monotonic() < end:
            most = max(most, resident_mb(server))
            time.sleep(0.05)
        while piece := reader.recv(1 * MB):
            size += len(piece)
        most = max(most, resident_mb(server))
    assert size > 120 * MB
    assert most - before < 50


# -------------------------------------------------------------------------------- many functions

HERE = Scope("000000000000", "us-east-1")
_COPIES = """
INSERT INTO {table} ({columns})
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 999)
SELECT {values} FROM {table}, number WHERE {key} = 1
"""


def thousand_functions_of_ten_versions(path: Path) -> None:
    """The first by the registry, the others as its copies: each would take twenty commits."""
    database = Database.open(path)
    registry = FunctionRegistry(database, lambda _: None)
    ref = FunctionRef(HERE, "many-0000")
    values = NewFunction(runtime="python3.11", handler="index.handler", role="arn:aws:iam::r")
    registry.create(ref, Code("0" * 64, "sha", 100), values)
    for number in range(11):
        latest = registry.get(ref)
        registry.settle(HERE, ref.name, latest.version, latest.run_key, READY)
        if number:
            registry.publish(ref)
        if number < 10:
            registry.update_configuration(ref, {"description": str(number)})
    changed = {
        "functions": {"id": "id + n", "name": "printf('many-%04d', n)"},
        "versions": {
            "function_id": "function_id + n",
            "run_key": "run_key || '-' || n",
            "revision_id": "substr(revision_id, 1, 32) || printf('%04d', n)",
        },
    }
    with database.write() as connection:
        for table, key in (("functions", "id"), ("versions", "function_id")):
            told = connection.exec_driver_sql(f"SELECT * FROM {table} LIMIT 0")
            columns = list(told.keys())
            copied = [changed[table].get(column, column) for column in columns]
            connection.exec_driver_sql(
                _COPIES.format(
                    table=table, key=key, columns=", ".join(columns), values=", ".join(copied)
                )
            )
    database.close()


@pytest.mark.process
def test_row_10_a_thousand_functions_are_listed_once_each_while_others_come_and_go(
    tmp_path: Path,
) -> None:
    thousand_functions_of_ten_versions(tmp_path / "lhome.db")
    stay = {f"many-{number:04}" for number in range(1000)}
    with LiveServer("--sandbox", "process", "--data-dir", str(tmp_path)) as server:
        api = server.client()
        versions = api.list_versions_by_function(FunctionName="many-0999")["Versions"]
        assert [v["Version"] for v in versions] == ["$LATEST", *map(str, range(1, 11))]
        seen: list[str] = []
        passing: list[str] = []
        for number, page in enumerate(api.get_paginator("list_functions").paginate()):
            seen += [f["FunctionName"] for f in page["Functions"]]
            if number % 3:
                continue
            if passing:
                api.delete_function(FunctionName=passing.pop())
            places = (seen[0], seen[-1], "zzz")  # before, at and behind the page's end
            passing += [create(api, ECHO, fresh_name(f"{place}-passing")) for place in places]
        assert Counter(name for name in seen if name in stay) == Counter(stay)
        assert seen == sorted(seen)
        assert max(Counter(seen).values()) == 1
        every: Counter[str] = Counter()
        for page in itertools.islice(
            api.get_paginator("list_functions").paginate(FunctionVersion="ALL"), 40
        ):
            every.update(f["FunctionName"] for f in page["Functions"])
        assert {every[name] for name in stay & set(list(every)[:-1])} == {11}
