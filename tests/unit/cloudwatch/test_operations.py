"""Operations on groups, streams and events: rules of AWS's pages, each tried on a real store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import HERE

from lambda_home.arns import Scope
from lambda_home.cloudwatch import events, groups, streams, subscription_filters, tags
from lambda_home.cloudwatch.identifiers import group_arn, token_of
from lambda_home.cloudwatch.operations import LogsBackend, LogsCall, perform
from lambda_home.errors import ApiError, LimitExceededException
from lambda_home.logs import LogStore

MODULES = (events, groups, streams, subscription_filters, tags)  # their import registers them
NOW = 1_795_000_000_000
ALLOWED_DAYS = {
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
}
FAR = "9" * 56
TOKEN_OF_ELSEWHERE = token_of("groups", "g")


class Book:
    """Subscription filters that cannot be had: each call of a test ends before."""

    def can_call(self, caller: Scope, arn: str) -> bool:
        return arn.endswith(":f") and caller == HERE

    def put(self, *_: object) -> None:
        raise LimitExceededException("Resource limit exceeded.")

    def forget(self, *_: object) -> None:
        pass


class Api:
    def __init__(self, store: LogStore, scope: Scope = HERE) -> None:
        self.store = store
        self.scope = scope
        book: Any = Book()
        self.backend = LogsBackend(store, book, threading.Lock())

    def __call__(self, operation: str, **params: Any) -> Any:
        return perform(operation, self.backend, LogsCall(self.scope, params, NOW))

    def refused(self, operation: str, **params: Any) -> tuple[str, str]:
        with pytest.raises(ApiError) as error:
            self(operation, **params)
        return error.value.code, error.value.message or ""

    def put(self, stream: str, *moments: int) -> None:
        events = [{"timestamp": at, "message": str(at)} for at in moments]
        self("PutLogEvents", logGroupName="g", logStreamName=stream, logEvents=events)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogStore]:
    store = LogStore(tmp_path_factory.mktemp("logs") / "logs.db")
    yield store
    store.close()


@pytest.fixture
def api(store: LogStore) -> Api:
    store.clear(None)
    found = Api(store)
    found("CreateLogGroup", logGroupName="g")
    return found


def names(answer: Any) -> list[str]:
    return [each["logStreamName"] for each in answer["logStreams"]]


def texts(answer: Any) -> list[int]:
    return [int(each["message"]) - NOW for each in answer["events"]]


@pytest.mark.parametrize("days", [*sorted(ALLOWED_DAYS), 0, 2, 4, 15, 100, 366, 3654, -1])
def test_only_these_lengths_of_retention_are_taken(api: Api, days: int) -> None:
    if days in ALLOWED_DAYS:
        api("PutRetentionPolicy", logGroupName="g", retentionInDays=days)
        [found] = api("DescribeLogGroups")["logGroups"]
        assert found["retentionInDays"] == days
    else:
        code, said = api.refused("PutRetentionPolicy", logGroupName="g", retentionInDays=days)
        assert code == "InvalidParameterException"
        assert f"Value '{days}' at 'retentionInDays'" in said


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"logGroupName": "aws/spans"}, "Log groups starting with AWS/ are reserved for AWS."),
        ({"logGroupName": "AWS/x"}, "Log groups starting with AWS/ are reserved for AWS."),
        ({"logGroupName": "x", "tags": {"aws:mine": "1"}}, "Tag keys that begin with aws:"),
    ],
)
def test_what_is_awss_own_cannot_be_made(api: Api, params: Any, said: str) -> None:
    code, message = api.refused("CreateLogGroup", **params)
    assert (code, message[: len(said)]) == ("InvalidParameterException", said)
    api("CreateLogGroup", logGroupName="/aws/x")
    assert len(api("DescribeLogGroups")["logGroups"]) == 2


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, ["cheap", "g", "least"]),
        ({"logGroupClass": "STANDARD"}, ["g"]),
        ({"logGroupClass": "INFREQUENT_ACCESS"}, ["cheap", "least"]),
        ({"logGroupClass": "ESSENTIALS"}, ["cheap", "least"]),
        ({"logGroupClass": "DELIVERY"}, []),
        ({"logGroupNamePattern": "ea"}, ["cheap", "least"]),
        ({"logGroupNamePattern": "EA"}, []),
        ({"logGroupNamePrefix": "ch"}, ["cheap"]),
        ({"logGroupNamePrefix": "_"}, []),
        ({"logGroupIdentifiers": ["least", group_arn(HERE, "g"), "nope"]}, ["least", "g"]),
    ],
)
def test_groups_are_found_by_class_prefix_part_and_identifier(
    api: Api, params: Any, found: list[str]
) -> None:
    api("CreateLogGroup", logGroupName="cheap", logGroupClass="INFREQUENT_ACCESS")
    api("CreateLogGroup", logGroupName="least", logGroupClass="ESSENTIALS")
    answer = api("DescribeLogGroups", **params)
    assert [each["logGroupName"] for each in answer["logGroups"]] == found


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("DescribeLogGroups", {"logGroupIdentifiers": ["g"], "logGroupNamePrefix": "g"}),
        ("DescribeLogGroups", {"logGroupIdentifiers": ["g"], "logGroupClass": "STANDARD"}),
        ("DescribeLogGroups", {"logGroupNamePrefix": "g", "logGroupNamePattern": "g"}),
        ("DescribeLogGroups", {"nextToken": token_of("other", "g")}),
        ("DescribeLogStreams", {"logGroupName": "g", "nextToken": TOKEN_OF_ELSEWHERE}),
        (
            "DescribeLogStreams",
            {"logGroupName": "g", "nextToken": token_of("streams-name-up", "x a")},
        ),
        (
            "DescribeLogStreams",
            {"logGroupName": "g", "orderBy": "LastEventTime", "logStreamNamePrefix": "a"},
        ),
        ("FilterLogEvents", {"logGroupName": "g", "nextToken": TOKEN_OF_ELSEWHERE}),
        ("FilterLogEvents", {"logGroupName": "g", "nextToken": token_of("oldest", FAR)}),
        ("FilterLogEvents", {"logGroupName": "g", "nextToken": token_of("newest", FAR)}),
        ("FilterLogEvents", {"logGroupName": "g", "nextToken": token_of("oldest", "x")}),
        (
            "GetLogEvents",
            {"logGroupName": "g", "logStreamName": "s", "nextToken": f"f/{FAR}/s"},
        ),
        (
            "GetLogEvents",
            {"logGroupName": "g", "logStreamName": "s", "nextToken": f"b/{FAR}/s"},
        ),
        (
            "FilterLogEvents",
            {"logGroupName": "g", "logStreamNames": ["a"], "logStreamNamePrefix": "a"},
        ),
        (
            "FilterLogEvents",
            {"logGroupName": "g", "startFromHead": False, "startTime": 1_704_067_199_999},
        ),
        ("FilterLogEvents", {"logGroupName": "g", "filterPattern": "a/b"}),
    ],
)
def test_parameters_that_exclude_each_other_or_mean_nothing(
    api: Api, operation: str, params: Any
) -> None:
    api("CreateLogStream", logGroupName="g", logStreamName="s")
    code, said = api.refused(operation, **params)
    assert code == "InvalidParameterException"
    assert len(said.splitlines()) == 1


def test_groups_by_what_no_group_has(api: Api) -> None:
    assert api("ListLogGroups", fieldIndexNames=["f"])["logGroups"] == []
    assert api("ListLogGroups", dataSources=[{"name": "d"}])["logGroups"] == []
    assert len(api("ListLogGroups")["logGroups"]) == 1


@pytest.mark.parametrize(
    ("order", "first", "rest"),
    [
        ({}, ["a", "b"], ["c", "d"]),
        ({"descending": True}, ["d", "c"], ["b", "a"]),
        ({"orderBy": "LastEventTime"}, ["d", "b"], ["c", "a"]),
        ({"orderBy": "LastEventTime", "descending": True}, ["a", "c"], ["b", "d"]),
    ],
)
def test_pages_of_streams_go_on_though_the_last_stream_is_gone(
    api: Api, order: Any, first: list[str], rest: list[str]
) -> None:
    for stream, moments in {"a": [NOW], "b": [NOW - 9], "c": [NOW - 9, NOW - 5], "d": []}.items():
        api("CreateLogStream", logGroupName="g", logStreamName=stream)
        if moments:
            api.put(stream, *moments)
    page = api("DescribeLogStreams", logGroupName="g", limit=2, **order)
    assert names(page) == first
    api("DeleteLogStream", logGroupName="g", logStreamName=first[-1])
    more = {"logGroupName": "g", "nextToken": page["nextToken"], **order}
    last = api("DescribeLogStreams", **more)
    assert (names(last), last["nextToken"]) == (rest, None)
    other = {**more, "descending": not order.get("descending", False)}
    assert api.refused("DescribeLogStreams", **other)[1] == "The specified nextToken is invalid."


@pytest.mark.parametrize("again", [{}, {"startFromHead": True}, {"startFromHead": False}])
@pytest.mark.parametrize("newest_first", [True, False])
def test_a_token_knows_which_events_come_first(api: Api, again: Any, *, newest_first: bool) -> None:
    api("CreateLogStream", logGroupName="g", logStreamName="s")
    api.put("s", *range(NOW, NOW + 6))
    found, page = [], api("FilterLogEvents", logGroupName="g", limit=4, startFromHead=newest_first)
    while True:
        found += texts(page)
        if page["nextToken"] is None:
            break
        page = api(
            "FilterLogEvents", logGroupName="g", limit=4, nextToken=page["nextToken"], **again
        )
    assert found == ([0, 1, 2, 3, 4, 5] if newest_first else [5, 4, 3, 2, 1, 0])


def test_streams_are_interleaved_by_time_and_then_by_ingestion(api: Api) -> None:
    for stream in ("b", "a"):
        api("CreateLogStream", logGroupName="g", logStreamName=stream)
        api.put(stream, NOW - 4, NOW - 2)
    for interleaved in (True, False):
        found = api("FilterLogEvents", logGroupName="g", interleaved=interleaved)["events"]
        assert [(each["logStreamName"], each["timestamp"] - NOW) for each in found] == [
            *[("b", -4), ("a", -4)],
            *[("b", -2), ("a", -2)],
        ]


def test_the_same_names_in_other_accounts_and_regions_are_others(api: Api) -> None:
    api("CreateLogStream", logGroupName="g", logStreamName="s")
    api.put("s", NOW)
    missing = ("ResourceNotFoundException", "The specified log group does not exist.")
    for scope in (Scope("111111111111", HERE.region), Scope(HERE.account, "eu-west-1")):
        other = Api(api.store, scope)
        assert other.refused("FilterLogEvents", logGroupName="g") == missing
        assert other.refused("DeleteLogGroup", logGroupName="g") == missing
        assert other.refused("FilterLogEvents", logGroupIdentifier=group_arn(HERE, "g")) == missing
        other("CreateLogGroup", logGroupName="g")
        assert texts(other("FilterLogEvents", logGroupName="g")) == []
    assert texts(api("FilterLogEvents", logGroupName="g")) == [0]


FUNCTION = f"arn:aws:lambda:{HERE.region}:{HERE.account}:function:f"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, "LimitExceededException"),
        ({"fieldSelectionCriteria": ""}, "LimitExceededException"),
        ({"fieldSelectionCriteria": '@aws.region = "x"'}, "InvalidParameterException"),
        ({"emitSystemFields": ["@aws.account"]}, "InvalidParameterException"),
        ({"logGroupName": "nope"}, "ResourceNotFoundException"),
        ({"filterPattern": "{"}, "InvalidParameterException"),
        ({"destinationArn": f"{FUNCTION}-gone"}, "InvalidParameterException"),
        ({"destinationArn": "f"}, "InvalidParameterException"),
        ({"roleArn": "r"}, "InvalidParameterException"),
    ],
)
def test_a_subscription_that_cannot_be_kept_is_refused(api: Api, params: Any, code: str) -> None:
    given = {
        "logGroupName": "g",
        "filterName": "n",
        "filterPattern": "",
        "destinationArn": FUNCTION,
        **params,
    }
    assert api.refused("PutSubscriptionFilter", **given)[0] == code
