"""What an environment's subscribers are told of its life; nothing where there is no telemetry."""

from __future__ import annotations

from lambda_home.scheduler.environments import Environment, Pending
from lambda_home.scheduler.system_log import Report
from lambda_home.telemetry import records
from lambda_home.telemetry.hub import Telemetry

_PHASE = "init"


def init_start(environment: Environment, telemetry: Telemetry, now: float) -> None:
    """Its init phase has begun."""
    kind = _kind(environment)
    event = records.init_start(
        environment.version, environment.id, kind=kind, phase=_PHASE, now=now
    )
    telemetry.tell(event)


def runtime_ready(environment: Environment, error_type: str | None, now: float) -> None:
    """The runtime has asked for work, or will not."""
    if environment.telemetry is not None:
        kind = _kind(environment)
        environment.telemetry.tell(
            records.init_runtime_done(kind=kind, phase=_PHASE, error_type=error_type, now=now)
        )


def init_over(environment: Environment, init_ms: float, error_type: str | None, now: float) -> None:
    """The init phase is over; each extension is written down, in the log and for subscribers."""
    for name, state, events, wrong in environment.extensions.standings():
        if line := environment.system.extension(name, state, events, wrong, now):
            environment.log.platform(line)
        if environment.telemetry is not None:
            environment.telemetry.tell(records.extension(name, state, events, wrong, now))
    if environment.telemetry is not None:
        kind = _kind(environment)
        environment.telemetry.tell(
            records.init_report(init_ms, kind=kind, phase=_PHASE, error_type=error_type, now=now)
        )
        environment.telemetry.close_subscriptions()


def started(environment: Environment, pending: Pending, now: float) -> None:
    """An invocation was delivered."""
    if environment.telemetry is not None:
        invocation = pending.invocation
        version = environment.version.version
        environment.telemetry.tell(
            records.start(invocation.request_id, version, invocation.trace_id, now)
        )


def ended(
    environment: Environment, pending: Pending, report: Report, produced: int, now: float
) -> None:
    """An invocation is over, and its log is whole. The report waits for the extensions."""
    telemetry = environment.telemetry
    if telemetry is None:
        return
    good = report.status == "success"
    done = records.Done(
        report.request_id,
        report.status,
        None if good else report.error_type,
        report.duration_ms,
        produced,
        pending.invocation.trace_id,
    )
    telemetry.tell(records.runtime_done(done, now))
    if not good:
        message = "Process exited before completing request"
        telemetry.tell(records.fault(report.request_id, message, now))
    telemetry.tell(records.end(report.request_id, now))

    def reported(later: float) -> None:
        spans = [records.span("extensionOverhead", now, max(0.0, later - now) * 1000)]
        telemetry.tell(records.report(done, report.metrics, spans, later))

    if environment.slots == 1 and environment.extensions.behind and not environment.ending:
        environment.to_report = reported
    else:
        reported(now)


def extensions_done(environment: Environment, now: float) -> None:
    """All extensions have asked for more, or the environment ends: the report is complete."""
    reported, environment.to_report = environment.to_report, None
    if reported is not None:
        reported(now)


def restore_begun(environment: Environment, now: float) -> None:
    """SnapStart restores the environment."""
    if environment.telemetry is not None:
        environment.telemetry.tell(records.restore_start(environment.version, environment.id, now))


def restore_ended(environment: Environment, restore_ms: float, error_type: str, now: float) -> None:
    """It is restored, or with an error it is not."""
    if environment.telemetry is not None:
        why = error_type or None
        environment.telemetry.tell(records.restore_runtime_done(why, now))
        environment.telemetry.tell(records.restore_report(restore_ms, why, now))


def _kind(environment: Environment) -> str:
    return records.initialization_type(
        provisioned=environment.provisioned, snap_start=environment.version.is_snap_started
    )
