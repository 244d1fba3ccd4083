"""OpenTelemetry traces of invocations, sent by OTLP over HTTP where a collector is configured.

A trace continues the caller's (`X-Amzn-Trace-Id`, or `traceparent` as one) and goes on in the
function, which finds its run's span as the parent in its own trace header:

    invoke                 from the admission to the outcome
      environment          a cold start: until the environment waits for its first invocation
        init               the init phase in it
      runtime              from the delivery to the answer

Spans are made and sent by a thread, from what an invocation left behind; a caller that says
`Sampled=0` gets none. OpenTelemetry is imported only here, and only where it is configured.
Names of attributes: https://opentelemetry.io/docs/specs/semconv/faas/
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lambda_home import __version__
from lambda_home.batches import Batches
from lambda_home.errors import ConfigurationError
from lambda_home.invocations import Ended
from lambda_home.trace_headers import TraceContext, ids_of, is_unsampled, under

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_SEND_EVERY_S = 0.5
_PATIENCE_S = 3
_PATH = "/v1/traces"
_NS = 1_000_000_000


class Tracing:
    """Keeps the trace contexts of invocations, and sends their spans."""

    wanted = True

    def __init__(self, endpoint: str) -> None:
        """Send to `endpoint`, an OTLP/HTTP base URL (the path /v1/traces is added).

        Raises ConfigurationError if OpenTelemetry is not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,
            )

            self._maker = _SpanMaker()
        except ImportError as error:
            raise ConfigurationError(
                "tracing.otlp_endpoint is set, but OpenTelemetry is not installed: install"
                " lambda-home[otel], or leave the setting empty."
            ) from error
        whole = endpoint.rstrip("/")
        whole = whole if whole.endswith(_PATH) else whole + _PATH
        self._exporter = OTLPSpanExporter(endpoint=whole, timeout=_PATIENCE_S)
        self._batches: Batches[tuple[Ended, float]] = Batches("tracing", self._send, _SEND_EVERY_S)

    @staticmethod
    def begin(callers: str, header: str) -> tuple[TraceContext | None, str]:
        """The context of an invocation, and the trace header that its function gets.

        `callers` is the header as it came, `header` what would be handed on without a trace. No
        context where the caller keeps no trace, or where `header` has no root of X-Ray's form.
        """
        trace_id, _ = ids_of(header)
        if not trace_id or is_unsampled(callers):
            return None, header
        _, parent_id = ids_of(callers)
        digits = os.urandom(16).hex()
        context = TraceContext(trace_id, parent_id, digits[:16], digits[16:])
        return context, under(header, context)

    def __call__(self, ended: Ended, now: float) -> None:
        """An invocation is over; `now` is seconds since the epoch."""
        if ended.invocation.trace is not None:
            self._batches.add((ended, now))

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        self._batches.close()
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _send(self, batch: Sequence[tuple[Ended, float]]) -> None:
        spans = [span for ended, now in batch for span in self._maker.spans(ended, now)]
        self._exporter.export(spans)


class _SpanMaker:
    """Makes the spans of an invocation after the fact."""

    def __init__(self) -> None:
        from opentelemetry import trace  # noqa: PLC0415  see the module
        from opentelemetry.sdk import trace as sdk  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

        self._api = trace
        self._span = sdk.ReadableSpan
        about = {"service.name": "lambda_home", "service.version": __version__}
        self._resource = Resource.create(about)
        self._scope = InstrumentationScope("lambda_home", __version__)

    def spans(self, ended: Ended, now: float) -> list[ReadableSpan]:
        """The spans of one invocation that ended `now`; its own times are monotonic."""
        context = ended.invocation.trace
        if context is None:
            return []
        failed = ended.error_type
        times = (ended.arrived_at, ended.ended_at)
        made = [self._make("invoke", context.span_id, context.parent_id, ended, now, times)]
        under_invoke = context.span_id
        if ended.cold:
            began = max(ended.arrived_at, ended.asked_at)
            ready = ended.ready_at if ended.ready_at is not None else ended.ended_at
            environment = os.urandom(8).hex()
            times = (began, ready)
            made.append(self._make("environment", environment, under_invoke, ended, now, times))
            if ended.ready_at is not None:
                times = (max(began, ready - ended.init_ms / 1000), ready)
                span_id = os.urandom(8).hex()
                made.append(self._make("init", span_id, environment, ended, now, times))
        if ended.ready_at is not None:
            times = (ended.delivered_at, ended.ended_at)
            span_id = context.runtime_id
            made.append(self._make("runtime", span_id, under_invoke, ended, now, times, failed))
        return made

    def _make(  # noqa: PLR0913, PLR0917  one parameter is one property of a span
        self,
        name: str,
        span_id: str,
        parent_id: str,
        ended: Ended,
        now: float,
        times: tuple[float, float],
        failed: str | None = None,
    ) -> ReadableSpan:
        api = self._api
        error = ended.error_type if name == "invoke" or ended.ready_at is None else failed
        attributes = _attributes(ended)
        if error is not None:
            attributes["error.type"] = error
        kind = api.SpanKind.SERVER if name == "invoke" else api.SpanKind.INTERNAL
        code = api.StatusCode.UNSET if error is None else api.StatusCode.ERROR
        return self._span(
            name=name,
            context=self._context(ended, span_id, remote=False),
            parent=self._context(ended, parent_id, remote=name == "invoke") if parent_id else None,
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            instrumentation_scope=self._scope,
            status=api.Status(code, error),
            start_time=_epoch_ns(times[0], ended, now),
            end_time=_epoch_ns(times[1], ended, now),
        )

    def _context(self, ended: Ended, span_id: str, *, remote: bool) -> Any:
        context = ended.invocation.trace
        trace_id = int(context.trace_id, 16) if context is not None else 0
        flags = self._api.TraceFlags(self._api.TraceFlags.SAMPLED)
        return self._api.SpanContext(
            trace_id, int(span_id, 16), is_remote=remote, trace_flags=flags
        )


def _attributes(ended: Ended) -> dict[str, str | bool | int | float]:
    invocation = ended.invocation
    version = invocation.function
    return {
        "faas.name": version.name,
        "faas.version": version.version,
        "faas.invocation_id": invocation.request_id,
        "faas.coldstart": ended.cold,
        "faas.instance": ended.container_id,
        "faas.max_memory": version.memory_mb * 1024 * 1024,
        "aws.lambda.invoked_arn": invocation.invoked_arn,
        "cloud.account.id": version.scope.account,
        "cloud.region": version.scope.region,
    }


def _epoch_ns(at: float, ended: Ended, now: float) -> int:
    return int((now - (ended.ended_at - at)) * _NS)
