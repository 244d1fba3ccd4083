"""Makes the record of an environment that is about to start, with its log."""

from __future__ import annotations

from datetime import UTC, datetime

from lambda_home.functions import FunctionVersion
from lambda_home.logs import LogText
from lambda_home.scheduler.environment_log import AnyLog, EnvironmentLog
from lambda_home.scheduler.environments import Environment
from lambda_home.scheduler.events import Start
from lambda_home.scheduler.machinery import Machinery
from lambda_home.scheduler.output_limit import limited
from lambda_home.scheduler.shared_log import SharedEnvironmentLog
from lambda_home.scheduler.spares import new_host
from lambda_home.scheduler.system_log import system_log_of
from lambda_home.scheduler.variables import log_group_of
from lambda_home.telemetry.records import Category


def new_environment(
    start: Start, version: FunctionVersion, made_of: Machinery
) -> tuple[Environment, str]:
    """The environment that the pool asks for, and the name of its log stream."""
    now = datetime.fromtimestamp(made_of.clock.now(), UTC)
    stream = f"{now:%Y/%m/%d}/[{version.version}]{start.environment}"
    group, scope = log_group_of(version), version.scope
    system = system_log_of(version)

    def emit(text: bytes, request_id: str) -> None:
        made_of.logs.append(LogText(scope, group, stream, made_of.clock.now(), text, request_id))

    def sift(text: bytes) -> bytes | None:
        # Levels hold for the log alone: subscribers are told everything.
        if environment.telemetry is not None:
            environment.telemetry.lines(text, Category.FUNCTION)
        return system.sift(text)

    kind = EnvironmentLog if start.slots == 1 else SharedEnvironmentLog
    log: AnyLog = kind(*limited(emit, sift, made_of.most_logged_mb))
    environment = Environment(
        id=start.environment,
        sandbox_id=start.environment,
        host=new_host(),
        version=version,
        log=log,
        system=system,
        slots=start.slots,
        provisioned=start.provisioned,
        meter=made_of.metrics.meter(version),
        asked_at=made_of.clock.monotonic(),
    )
    return environment, stream
