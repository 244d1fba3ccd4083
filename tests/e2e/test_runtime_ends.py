"""The ends of runtimes, by the clock of a server and by its setting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from functions_under_test import create, fresh_name, invoke
from live import ROLE, LiveServer, zip_of

from lambda_home.runtimes import Runtime, catalogue
from lambda_home.testing.server import Clock, LocalServer, ServerOptions

pytestmark = pytest.mark.process

OLD = "python3.7"
ECHO = "def handler(event, context):\n    return event\n"


def next_to_end(now: datetime) -> tuple[Runtime, datetime]:
    """The runtime whose functions can be created for the shortest time from now on."""
    ends = [
        (datetime.combine(found.block_create, datetime.min.time(), UTC), found)
        for found in catalogue().values()
        if found.block_create and found.block_create > now.date()
    ]
    end, found = min(ends, key=lambda one: one[0])
    return found, end


def test_a_runtime_ends_on_its_day_and_its_functions_go_on() -> None:
    with LocalServer(ServerOptions("process")) as server:
        clock, aws = Clock(server), server.client("lambda")
        found, end = next_to_end(datetime.fromtimestamp(clock.now(), UTC))

        def make(name: str, runtime: str = found.id) -> None:
            aws.create_function(
                FunctionName=name,
                Runtime=runtime,
                Handler="index.handler",
                Role=ROLE,
                Code={"ZipFile": zip_of({"index.js": "exports.handler = async (e) => e;"})},
            )

        refused = r"runtime parameter of {} is no longer supported for creating or updating"
        with pytest.raises(ClientError, match=refused.format(OLD)):
            make("too-late", OLD)
        make("before")
        clock.advance((end - timedelta(seconds=60)).timestamp() - clock.now())
        make("shortly-before")
        clock.advance(60)
        with pytest.raises(ClientError, match=refused.format(found.id)):
            make("after")
        aws.update_function_configuration(FunctionName="before", MemorySize=256)
        assert aws.get_function_configuration(FunctionName="before")["MemorySize"] == 256


def test_a_setting_allows_what_aws_no_longer_takes() -> None:
    setting = {"LAMBDA_HOME_FUNCTIONS__ALLOW_DEPRECATED_RUNTIMES": "true"}
    flags = ("--sandbox", "process", "--ephemeral")
    with LiveServer(*flags, environment=setting) as server:
        aws = server.client()
        name = create(aws, ECHO, fresh_name(), Runtime=OLD)
        assert invoke(aws, name, {"n": 1}).payload == {"n": 1}
        with pytest.raises(ClientError, match=r"Value Python3\.7 at 'runtime' failed to satisfy"):
            create(aws, ECHO, fresh_name(), Runtime="Python3.7")
