"""Tracing: a trace for each run, over OpenTelemetry, where OTEL_... asks for it; otherwise nothing of it is imported.

A run's trace has the run's own id, and its outermost span an id that follows from it. So whoever knows a run can add to
its trace or link to it, in whatever process and however much later: no context travels with dispatches and deliveries.

Spans say which job, how it ended and how long it took: no command, no prompt, no output, no error's words.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from ocs.otel import Attributes, Exported, Traces

ADDRESSES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXTRA = "pip install 'prefect-openclaw[otel]'"

_run: ContextVar[UUID | None] = ContextVar("_run", default=None)
_around: ContextVar[Exported | None] = ContextVar("_around", default=None)


@dataclass(frozen=True, slots=True)
class Span:
    """Something that takes time; where nobody traces, nothing is behind it."""

    _exported: Exported | None = None

    def say(self, attributes: Attributes) -> None:
        """What is known of it by now."""
        if self._exported is not None:
            self._exported.say(attributes)

    def fail(self, how: str) -> None:
        """It did not end well: a word for how, such as timeout."""
        if self._exported is not None:
            self._exported.fail(how)


NOTHING = Span()


@contextmanager
def run(
    run_id: UUID, name: str, attributes: Attributes, *, began: datetime, after: tuple[UUID | None, ...] = ()
) -> Generator[Span]:
    """The outermost span of a run, linked to those that it came from. What happens within becomes part of its trace."""
    traces = _traces()
    if traces is None:
        yield NOTHING
        return
    exported = traces.of_run(run_id, name, attributes, began=began, after=[each for each in after if each])
    with _within(run_id, exported), exported.ending():
        yield Span(exported)


@contextmanager
def span(name: str, attributes: Attributes | None = None, *, calls: bool = False) -> Generator[Span]:
    """A part of the run that goes on here; what happens within is part of it. `calls` says that somebody else works.

    Outside of any run there is nothing to be part of.
    """
    traces, run_id = _traces(), _run.get()
    if traces is None or run_id is None:
        yield NOTHING
        return
    exported = traces.part(run_id, name, attributes or {}, within=_around.get(), calls=calls)
    with _within(run_id, exported), exported.ending():
        yield Span(exported)


@contextmanager
def call(name: str, attributes: Attributes, *, of: UUID | None = None) -> Generator[Span]:
    """A call of something else, for the run that goes on here, or for the run `of`; it has no parts."""
    traces, run_id = _traces(), of or _run.get()
    if traces is None or run_id is None:
        yield NOTHING
        return
    exported = traces.part(run_id, name, attributes, within=None if of else _around.get(), calls=True)
    with exported.ending():
        yield Span(exported)


def past(name: str, began: datetime) -> None:
    """A part that has gone on since then, and ends now."""
    traces, run_id = _traces(), _run.get()
    if traces is not None and run_id is not None:
        with traces.part(run_id, name, {}, within=_around.get(), began=began).ending():
            pass


@contextmanager
def _within(run_id: UUID, exported: Exported) -> Generator[None]:
    run_before, around_before = _run.set(run_id), _around.set(exported)
    try:
        yield
    finally:
        _run.reset(run_before)
        _around.reset(around_before)


@cache
def _traces() -> Traces | None:
    """Where spans go; None where nobody wants them, or what sends them is not installed."""
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if is_off or os.environ.get("OTEL_TRACES_EXPORTER") == "none" or not any(map(os.environ.get, ADDRESSES)):
        return None
    try:
        from ocs.otel import exporting

        return exporting()
    except Exception as failed:  # nothing for a run to fail of
        said = f"not installed: {EXTRA}" if isinstance(failed, ImportError) else repr(failed)
        logging.getLogger(__name__).warning("OTEL_... asks for traces, and there are none: %s", said)
        return None
