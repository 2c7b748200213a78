"""When a flow run is to start: its scheduled time, spread by the job's jitter."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.schemas.objects import FlowRun

from ocs.timing import timing
from tasks.adapter.reading import document_in, instant

LONGEST_SLEEP = 1.0
"""The clock may be set while we sleep: it is asked at least this often."""


def due(flow_run: FlowRun) -> datetime:
    """The instant before which the run must not start."""
    # A run that is resumed has waited out its jitter.
    scheduled = _scheduled(flow_run)
    return _spread(flow_run, scheduled) if flow_run.auto_scheduled and flow_run.run_count == 0 else scheduled


def late_from(flow_run: FlowRun) -> datetime | None:
    """From when on a newer occurrence supersedes one that has not begun; None when none ever does."""
    if flow_run.run_count or not (flow_run.auto_scheduled or _is_caught_up(flow_run)):
        return None
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        schedule: Any = document_in(flow_run.parameters)["schedule"]
        if schedule.get("misfire") == "all" or flow_run.expected_start_time is None:
            return None
        scheduled = instant(flow_run.expected_start_time)
        patience = min(timing().punctual, _duration(schedule, "grace", timing().punctual))
        return scheduled + _duration(schedule, "jitter", timedelta(0)) + patience
    return None


def _is_caught_up(flow_run: FlowRun) -> bool:
    """An occurrence dispatched by catch-up. One that was queued and released has a key that counts its releases."""
    from ocs.rules.dispatch import DispatchKind
    from tasks.adapter.naming import kind_tag

    return kind_tag(DispatchKind.SCHEDULED) in flow_run.tags and ":" not in (flow_run.idempotency_key or "")


def _scheduled(flow_run: FlowRun) -> datetime:
    state = flow_run.state
    at = (state.state_details.scheduled_time if state else None) or flow_run.expected_start_time
    return instant(at) if at else datetime.now(UTC)


def _spread(flow_run: FlowRun, scheduled: datetime) -> datetime:
    """To wait out the jitter here costs no slot. Under a worker of Prefect's `prepare` waits it out."""
    from ocs.rules import jitter

    # Read without parsing the whole job: prepare says what is wrong with a broken one.
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        document = document_in(flow_run.parameters)
        spread = _duration(document["schedule"], "jitter", timedelta(0))
        return jitter.starts_at(document["id"], scheduled, spread)
    return scheduled


def _duration(schedule: Any, name: str, otherwise: timedelta) -> timedelta:
    from ocs.spec import parse_duration

    return parse_duration(schedule[name]) if name in schedule else otherwise


async def sleep_until(moment: datetime) -> None:
    """Return at that moment or just after it, never before: the clock is asked again after every sleep."""
    while (remaining := (moment - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(min(remaining, LONGEST_SLEEP))
