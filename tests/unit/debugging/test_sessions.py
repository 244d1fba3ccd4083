"""What a session makes of a function's versions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lambda_home.arns import LATEST, FunctionRef, Scope
from lambda_home.debugging.sessions import Session, Sessions
from lambda_home.functions import READY, Code, FunctionVersion, Layer
from lambda_home.invoker.provisioning import plans
from lambda_home.scheduler.variables import DEBUGGER, fits_spare, variables

REF = FunctionRef(Scope("000000000000", "us-east-1"), "fn")
DEBUGPY = Layer("arn:aws:lambda:us-east-1:000000000000:layer:d:1", "d" * 64, 1)
VERSION = FunctionVersion(
    scope=REF.scope,
    name="fn",
    version=LATEST,
    runtime="python3.12",
    handler="app.handler",
    role="",
    code=Code("c" * 64, "", 1),
    revision_id="r",
    last_modified="",
    run_key="key",
    status=READY,
    environment={"MINE": "1"},
)


def sessions(family: str = "python") -> Sessions:
    found = Sessions()
    layers = (DEBUGPY,) if family == "python" else ()
    found.put(REF, Session("s1", REF, family, layers, "127.0.0.1"))
    return found


def test_the_latest_version_runs_with_a_debugger_and_room_for_it() -> None:
    debugged = sessions().of(VERSION)
    assert debugged.run_key != VERSION.run_key
    assert debugged.memory_mb == VERSION.memory_mb + 256
    assert debugged.layers == (DEBUGPY,)
    assert debugged.environment == {"MINE": "1", DEBUGGER: "127.0.0.1:0"}
    assert DEBUGPY.key in debugged.code_keys
    assert DEBUGPY.key in sessions().code_keys()
    assert fits_spare(debugged)
    assert variables(debugged, stream="s")[DEBUGGER] == "127.0.0.1:0"


def test_node_needs_neither_a_layer_nor_memory() -> None:
    version = replace(VERSION, runtime="nodejs22.x")
    debugged = sessions("nodejs").of(version)
    assert (debugged.layers, debugged.memory_mb) == ((), version.memory_mb)


@pytest.mark.parametrize(
    "other",
    [
        replace(VERSION, version="1"),
        replace(VERSION, name="other"),
        replace(VERSION, runtime="nodejs22.x"),
        replace(VERSION, scope=Scope("111111111111", "us-east-1")),
        replace(VERSION, package_type="Image", runtime=""),
    ],
    ids=["published", "another function", "another family", "another account", "image"],
)
def test_others_run_as_they_are(other: FunctionVersion) -> None:
    assert sessions().of(other) is other


def test_an_ended_session_changes_nothing() -> None:
    found = sessions()
    found.put(REF, None)
    assert found.of(VERSION) is VERSION
    assert not found.code_keys()


def test_one_environment_is_planned_with_time_to_load_a_debugger() -> None:
    plan = plans([sessions().of(VERSION)], {}, {}, 10)[LATEST]
    assert (plan.minimum, plan.maximum, plan.slots) == (1, 1, 1)
    assert (plan.init_s or 0) > 10
    assert plans([VERSION], {}, {}, 10)[LATEST].maximum is None
