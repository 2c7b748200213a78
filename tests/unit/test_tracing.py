"""Traces of runs: sent where OTEL_... says, over the real protocol; without it nothing of OpenTelemetry is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ocs import otel, tracing
from tests.otlp import Collector, collecting

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        tracing._traces.cache_clear()
        yield collector
    tracing._traces.cache_clear()


def outermost(run_id: UUID, *after: UUID | None) -> None:
    with tracing.run(run_id, "run report", {"ocs.job.id": "report"}, began=NOW, after=after) as traced:
        tracing.past("prepare", NOW)
        with tracing.span("execute") as executing, tracing.call("POST /v1", {"server.port": 1}) as called:
            called.fail("503")
            executing.say({"process.exit.code": 3, "unknown": None})
        traced.fail("error")


def test_a_run_is_one_trace_of_its_own_id_however_much_later_a_part_is_sent(collector: Collector) -> None:
    run_id = uuid4()
    outermost(run_id)
    with tracing.call("deliver", {}, of=run_id):
        pass
    spans = {span.name: span for span in collector.spans(5)}
    assert {span.trace_id for span in spans.values()} == {run_id.bytes}
    root, execute = spans["run report"], spans["execute"]
    assert root.parent_span_id == b""
    assert [spans[name].parent_span_id for name in ("prepare", "execute", "deliver")] == [root.span_id] * 3
    assert spans["POST /v1"].parent_span_id == execute.span_id
    assert [(each.key, each.value.int_value) for each in execute.attributes] == [("process.exit.code", 3)]
    assert (spans["POST /v1"].kind, execute.kind) == (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL)
    assert root.status.code == spans["POST /v1"].status.code == 2
    assert root.start_time_unix_nano == spans["prepare"].start_time_unix_nano == NOW.timestamp() * 10**9


def test_what_follows_from_a_run_is_linked_to_it(collector: Collector) -> None:
    parent, child = uuid4(), uuid4()
    outermost(parent)
    outermost(child, parent, None)
    roots = {span.trace_id: span for span in collector.spans(8) if span.name == "run report"}
    (link,) = roots[child.bytes].links
    assert (link.trace_id, link.span_id) == (parent.bytes, roots[parent.bytes].span_id)
    assert not roots[parent.bytes].links


def test_an_error_is_named_by_its_kind_and_its_words_are_told_to_nobody(collector: Collector) -> None:
    with pytest.raises(ValueError, match="secret"), tracing.run(uuid4(), "run", {}, began=NOW):
        raise ValueError("a secret")
    (span,) = collector.spans(1)
    assert [(each.key, each.value.string_value) for each in span.attributes] == [("error.type", "ValueError")]
    assert b"secret" not in span.SerializeToString()


def test_outside_of_a_run_there_is_nothing_to_trace(collector: Collector) -> None:
    with tracing.span("nobody's") as span, tracing.call("nobody's", {}):
        assert span is tracing.NOTHING
    outermost(run_id := uuid4())
    assert {span.trace_id for span in collector.spans(4)} == {run_id.bytes}


def test_whether_a_run_is_kept_is_the_same_for_all_its_parts(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    kept, left_out = UUID(int=1 << 64 | 1), UUID(int=1 << 64 | (1 << 64) - 1)
    for run_id in (kept, left_out, kept):
        outermost(run_id)
        with tracing.call("deliver", {}, of=run_id):
            pass
    assert {span.trace_id for span in collector.spans(10)} == {kept.bytes}


def test_a_receiver_that_is_away_stops_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    tracing._traces.cache_clear()
    outermost(uuid4())
    tracing._traces.cache_clear()


@pytest.mark.parametrize("off", [{}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}], ids=str)
def test_off_costs_nothing_and_imports_nothing(off: dict[str, str]) -> None:
    program = (
        "import sys, uuid, datetime; from ocs import tracing; now = datetime.datetime.now(datetime.UTC)\n"
        "with tracing.run(uuid.uuid4(), 'run', {}, began=now), tracing.span('part'): pass\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    if off:
        env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", **off}
    said = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_conventions_are_of_one_version(collector: Collector) -> None:
    outermost(uuid4())
    collector.spans(4)
    assert collector.schemas == {otel.CONVENTIONS}
