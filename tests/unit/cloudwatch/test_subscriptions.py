"""Subscription filters: kept, followed, and what functions get of the lines."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes import HERE, until

from lambda_home.arns import FunctionRef, Scope
from lambda_home.cloudwatch.live_tail import Tailed, update
from lambda_home.cloudwatch.loops import Loops
from lambda_home.cloudwatch.patterns import pattern_of
from lambda_home.cloudwatch.subscriptions import Subscriptions, split
from lambda_home.errors import (
    InvalidParameterException,
    LimitExceededException,
    ResourceNotFoundException,
)
from lambda_home.invocations import InvocationRequest, InvocationResult, InvocationType
from lambda_home.logs.events import Follower, LiveEvent
from lambda_home.registry.database import Database
from lambda_home.registry.resources import ResourceKind, Resources

ARN = f"arn:aws:lambda:{HERE.region}:{HERE.account}:function:f"


class FakeLogs:
    def __init__(self) -> None:
        self.followers: list[tuple[frozenset[str], Follower]] = []

    def follow(
        self, scope: Scope, groups: Collection[str], follower: Follower
    ) -> Callable[[], None]:
        assert scope == HERE
        entry = (frozenset(groups), follower)
        self.followers.append(entry)
        return lambda: self.followers.remove(entry)

    def write(self, group: str, *messages: str, stream: str = "s", request: str = "") -> None:
        events = [event(message, group, stream, request) for message in messages]
        for groups, follower in self.followers:
            if group in groups:
                follower(events)


class FakeDoor:
    def __init__(self) -> None:
        self.got: list[tuple[FunctionRef, dict[str, Any]]] = []
        self.requests: list[str] = []

    async def invoke(self, ref: FunctionRef, request: InvocationRequest) -> InvocationResult:
        assert request.invocation_type is InvocationType.EVENT
        if ref.name == "gone":
            raise ResourceNotFoundException("gone")
        self.requests.append(request.request_id)
        packed = json.loads(request.payload)["awslogs"]["data"]
        self.got.append((ref, json.loads(gzip.decompress(base64.b64decode(packed)))))
        return InvocationResult("id", b"", "$LATEST", status=202)


def event(message: str, group: str = "g", stream: str = "s", request: str = "") -> LiveEvent:
    return LiveEvent(HERE, group, stream, 1_000, 1_001, message, request)


def given(name: str, pattern: str = "", arn: str = ARN) -> dict[str, Any]:
    return {
        "filterName": name,
        "logGroupName": "g",
        "filterPattern": pattern,
        "destinationArn": arn,
        "distribution": "ByLogStream",
        "applyOnTransformedLogs": False,
        "creationTime": 5,
    }


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Resources]:
    database = Database.open(tmp_path / "lhome.db")
    yield Resources(database)
    database.close()


def exists(ref: FunctionRef) -> None:
    if ref.name != "f":
        raise ResourceNotFoundException("gone")


def has_got(door: FakeDoor, times: int) -> bool:
    return len(door.got) == times


def messages(got: Sequence[tuple[FunctionRef, dict[str, Any]]]) -> list[list[str]]:
    return [[line["message"] for line in data["logEvents"]] for _, data in got]


def test_filters_are_kept_and_at_most_two_a_group(resources: Resources) -> None:
    book = Subscriptions(FakeLogs(), resources, FakeDoor(), exists)
    book.put(HERE, "g", given("b"))
    book.put(HERE, "g", given("a"))
    with pytest.raises(LimitExceededException, match=r"^Resource limit exceeded\.$"):
        book.put(HERE, "g", given("c"))
    book.put(HERE, "g", {**given("a", "ERROR"), "creationTime": 9})
    found = book.of_group(HERE, "g")
    assert [(each["filterName"], each["filterPattern"]) for each in found] == [
        ("a", "ERROR"),
        ("b", ""),
    ]
    assert found[0]["creationTime"] == 5
    book.delete(HERE, "g", "a")
    with pytest.raises(ResourceNotFoundException, match="subscription filter does not exist"):
        book.delete(HERE, "g", "a")
    book.forget(HERE, "g")
    assert book.of_group(HERE, "g") == []


@pytest.mark.parametrize(
    ("arn", "found"),
    [(ARN, True), (f"{ARN}-gone", False), (ARN.replace(HERE.account, "999999999999"), False)],
)
def test_a_function_can_be_called_that_is_there(
    resources: Resources, arn: str, *, found: bool
) -> None:
    assert Subscriptions(FakeLogs(), resources, FakeDoor(), exists).can_call(HERE, arn) is found


def test_functions_get_the_lines_that_match(resources: Resources) -> None:
    async def main() -> None:
        logs, door = FakeLogs(), FakeDoor()
        Subscriptions(FakeLogs(), resources, door, exists).put(HERE, "g", given("kept", "ERROR"))
        async with Subscriptions(logs, resources, door, exists) as book:
            book.put(HERE, "g", given("lost", "", f"{ARN[:-1]}gone"))
            logs.write("g", "all well", "ERROR 1", "ERROR 2")
            logs.write("g", "ERROR 3", stream="other")
            logs.write("elsewhere", "ERROR 4")
            await until(lambda: len(door.got) == 2)
            book.delete(HERE, "g", "kept")
            book.delete(HERE, "g", "lost")
            assert not logs.followers
        assert messages(door.got) == [["ERROR 1", "ERROR 2"], ["ERROR 3"]]
        ref, data = door.got[0]
        assert ref == FunctionRef(HERE, "f")
        lines = data.pop("logEvents")
        assert data == {
            "messageType": "DATA_MESSAGE",
            "owner": HERE.account,
            "logGroup": "g",
            "logStream": "s",
            "subscriptionFilters": ["kept"],
        }
        assert len({line["id"] for line in lines}) == 2
        assert all(len(line["id"]) == 56 and line["timestamp"] == 1_000 for line in lines)

    asyncio.run(main())


def test_a_function_that_logs_what_it_is_told_of_its_own_log_is_called_no_more_one_day(
    resources: Resources,
) -> None:
    own = "/aws/lambda/f"

    async def main() -> None:
        logs, door = FakeLogs(), FakeDoor()
        async with Subscriptions(logs, resources, door, exists) as book:
            book.put(HERE, own, given("all"))
            logs.write(own, "an environment starts")  # no request's: it tells of the function
            logs.write(own, "somebody called", request="theirs")
            for times in range(1, 17):
                await until(partial(has_got, door, times))
                logs.write(own, "again", request=door.requests[-1])
            logs.write(own, "somebody else called", request="others")
            await until(lambda: len(door.got) == 17)
            assert messages(door.got)[:2] == [["somebody called"], ["again"]]
            assert messages(door.got)[15:] == [["again"], ["somebody else called"]]
            assert len(set(door.requests)) == 17

    asyncio.run(main())


@pytest.mark.parametrize(
    ("group", "request_id", "ends"),
    [
        ("/aws/lambda/f", "", True),
        ("/aws/lambda/g", "", False),
        ("/aws/lambda/f", "theirs", False),
        ("/aws/lambda/f", "15th", False),
        ("/aws/lambda/f", "16th", True),
        ("elsewhere", "16th", True),
    ],
)
def test_what_comes_of_many_deliveries_is_delivered_no_more(
    group: str, request_id: str, *, ends: bool
) -> None:
    loops = Loops()
    loops.remember("15th", 15)
    loops.remember("16th", 16)
    assert loops.ends(event("m", group, request=request_id), FunctionRef(HERE, "f")) is ends


def test_of_very_many_deliveries_the_latest_are_remembered() -> None:
    loops = Loops(most=2)
    for number in range(4):
        loops.remember(str(number), 9)
    assert [loops.before(event("m", request=str(number))) for number in range(4)] == [0, 0, 9, 9]


def test_a_server_that_ends_follows_nothing(resources: Resources) -> None:
    async def main() -> None:
        logs = FakeLogs()
        async with Subscriptions(logs, resources, FakeDoor(), exists) as book:
            book.put(HERE, "g", given("a"))
            assert len(logs.followers) == 1
        assert not logs.followers

    asyncio.run(main())


def test_filters_that_a_reset_took_away_are_forgotten(resources: Resources) -> None:
    logs = FakeLogs()
    book = Subscriptions(logs, resources, FakeDoor(), exists)
    book.put(HERE, "g", given("a"))
    resources.change(HERE, ResourceKind.LOG_SUBSCRIPTIONS, "g", lambda _: None)
    assert len(logs.followers) == 1
    book.reload()
    assert not logs.followers


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [([1, 1], [[1, 1]]), ([3, 2, 2], [[3], [2, 2]]), ([9], []), ([1, 9, 2], [[1], [2]])],
)
def test_what_is_too_long_is_sent_in_pieces(sizes: list[int], pieces: list[list[int]]) -> None:
    def pack(events: Sequence[int]) -> bytes:
        return b"".join(b"%d" % size * size for size in events)

    assert list(split(pack, sizes, 4)) == [pack(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (Tailed(HERE, ("g",), frozenset(), (), None), ["a x", "b y"]),
        (Tailed(HERE, ("g",), frozenset({"s1"}), (), None), ["a x"]),
        (Tailed(HERE, ("g",), frozenset(), ("s2", "t"), None), ["b y"]),
        (Tailed(HERE, ("g",), frozenset(), (), pattern_of("y")), ["b y"]),
    ],
)
def test_a_live_tail_shows_what_was_asked_for(shown: Tailed, wanted: list[str]) -> None:
    events = [event("a x", stream="s1"), event("b y", stream="s2")]
    assert [each.message for each in events if shown.shows(each)] == wanted


def document(message: bytes) -> Any:
    return json.loads(message[message.index(b"{") : message.rindex(b"}") + 1])


@pytest.mark.parametrize(
    ("written", "shown", "sampled"), [(0, 0, False), (500, 500, False), (1_001, 500, True)]
)
def test_a_second_of_a_live_tail_has_at_most_500_events(
    written: int, shown: int, *, sampled: bool
) -> None:
    tail = Tailed(HERE, ("g",), frozenset(), (), None)
    found = document(update(tail, [event(str(number)) for number in range(written)]))
    assert found["sessionMetadata"] == {"sampled": sampled}
    numbers = [int(each["message"]) for each in found["sessionResults"]]
    assert len(set(numbers)) == shown
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("length", "lost", "shown", "sampled"),
    [(1, True, 3, True), (1_048_550, False, 3, False), (1_048_576, False, 2, True)],
)
def test_an_update_is_no_longer_than_clients_take(
    length: int, shown: int, *, lost: bool, sampled: bool
) -> None:
    tail = Tailed(HERE, ("g",), frozenset(), (), None)
    found = document(update(tail, [event("x" * length)] * 3, lost=lost))
    assert found["sessionMetadata"] == {"sampled": sampled}
    assert len(found["sessionResults"]) == shown


def test_a_pattern_that_is_none_is_refused() -> None:
    assert pattern_of("  ") is None
    with pytest.raises(InvalidParameterException):
        pattern_of("{ $.a = ")
