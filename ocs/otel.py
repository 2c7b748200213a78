"""Spans as OpenTelemetry has them. The only module that imports its SDK, which only the extra `otel` brings.

A provider of our own, not the process's: Prefect makes spans too, for the global one, which name parameters.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from importlib.metadata import version
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

CONVENTIONS = "https://opentelemetry.io/schemas/1.37.0"
"""The version of the semantic conventions that our attributes are of, those for GenAI included."""
NANOSECONDS = 1_000_000_000
Attributes = Mapping[str, str | int | float | bool | None]
"""None stands for what is not known, and is left out."""
_outermost: ContextVar[UUID | None] = ContextVar("_outermost", default=None)


class Exported:
    """A span that is on its way."""

    def __init__(self, span: trace.Span) -> None:
        self.span = span

    def say(self, attributes: Attributes) -> None:
        """Attributes whose value is known."""
        self.span.set_attributes({name: value for name, value in attributes.items() if value is not None})

    def fail(self, how: str) -> None:
        """The span is an error; its words are nobody's business."""
        self.span.set_status(StatusCode.ERROR)
        self.span.set_attribute("error.type", how)

    @contextmanager
    def ending(self) -> Generator[None]:
        """Ends with what is done meanwhile. An exception is named by its kind alone; to need no more is none."""
        try:
            yield
        except GeneratorExit:
            raise
        except BaseException as failed:
            self.fail(type(failed).__name__)
            raise
        finally:
            self.span.end()


class Traces:
    """Makes the spans of runs."""

    def __init__(self, processor: SpanProcessor) -> None:
        named = os.environ.get("OTEL_SERVICE_NAME") or "ocs"
        described = Resource.create({"service.name": named, "service.version": version("prefect-openclaw")})
        self._provider = TracerProvider(resource=described, id_generator=_Ids())
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("ocs", version("prefect-openclaw"), schema_url=CONVENTIONS)

    def of_run(
        self, run_id: UUID, name: str, attributes: Attributes, *, began: datetime, after: Sequence[UUID]
    ) -> Exported:
        """The outermost span of a run."""
        links = [Link(self._place(each)) for each in after]
        before = _outermost.set(run_id)
        try:
            span = self._tracer.start_span(name, Context(), links=links, start_time=_nanoseconds(began))
        finally:
            _outermost.reset(before)
        exported = Exported(span)
        exported.say(attributes)
        return exported

    def part(
        self,
        run_id: UUID,
        name: str,
        attributes: Attributes,
        *,
        within: Exported | None = None,
        calls: bool = False,
        began: datetime | None = None,
    ) -> Exported:
        """A span within another one, or right below the run's outermost, which may be of another process."""
        around = within.span if within else NonRecordingSpan(self._place(run_id))
        kind = SpanKind.CLIENT if calls else SpanKind.INTERNAL
        start = _nanoseconds(began) if began else None
        span = self._tracer.start_span(name, trace.set_span_in_context(around, Context()), kind, start_time=start)
        exported = Exported(span)
        exported.say(attributes)
        return exported

    def _place(self, run_id: UUID) -> SpanContext:
        """Where a run's outermost span is, whoever makes it. Whether it is kept follows from its id as well."""
        sampled = self._provider.sampler.should_sample(None, run_id.int, "run").decision.is_sampled()
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return SpanContext(run_id.int, _span_id(run_id), is_remote=True, trace_flags=flags)


class _Ids(RandomIdGenerator):
    """A run's trace and its outermost span are called after it."""

    def generate_trace_id(self) -> int:
        run_id = _outermost.get()
        return super().generate_trace_id() if run_id is None else run_id.int

    def generate_span_id(self) -> int:
        run_id = _outermost.get()
        return super().generate_span_id() if run_id is None else _span_id(run_id)


def exporting() -> Traces:
    """Sends spans to where OTEL_EXPORTER_OTLP_... says, beside the runs, and what is left when the process ends."""
    return Traces(BatchSpanProcessor(OTLPSpanExporter()))


def _span_id(run_id: UUID) -> int:
    return int.from_bytes(hashlib.sha256(run_id.bytes).digest()[:8]) or 1


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * NANOSECONDS)
