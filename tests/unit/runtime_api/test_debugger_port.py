"""Where a debugger listens: said by an environment that is to be debugged, and by no other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import VERSION, invocation
from unit.runtime_api.test_app import World, play

from lambda_home.functions import FunctionVersion
from lambda_home.scheduler.environments import Debugger
from lambda_home.scheduler.variables import DEBUGGER

DEBUGGED = replace(VERSION, environment={DEBUGGER: "127.0.0.1:0"})


@pytest.mark.parametrize(
    ("version", "port", "heard"),
    [
        (DEBUGGED, "40001", 40001),
        (DEBUGGED, "65535", 65535),
        (DEBUGGED, "65536", None),
        (DEBUGGED, "0", None),
        (DEBUGGED, "-1", None),
        (DEBUGGED, "many", None),
        (DEBUGGED, "9" * 400, None),
        (VERSION, "40001", None),
    ],
)
def test_only_a_port_of_an_environment_that_is_debugged_counts(
    version: FunctionVersion, port: str, heard: int | None
) -> None:
    async def scene(world: World) -> None:
        world.run(invocation("r1", version))
        (spec,) = await world.environments()
        environment = world.scheduler.environment_at(spec.host)
        assert environment is not None
        told = {"Lambda_Home_Debugger_Port": port, "Lambda_Home_Task_Root": "/var/task"}
        answered = await world.post(spec.host, "lambda-home/debugger", **told)
        assert answered.status == 202
        found = environment.debugger
        assert (found.port if isinstance(found, Debugger) else None) == heard
        if found is not None:
            assert found.task_root == "/var/task"

    play(scene)


def test_an_unknown_host_has_no_debugger() -> None:
    async def scene(world: World) -> None:
        answered = await world.post("nobody", "lambda-home/debugger", Lambda_Home_Debugger_Port="1")
        assert answered.status == 403

    play(scene)
