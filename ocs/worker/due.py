"""When a flow run is to start: its scheduled time, spread by the job's jitter."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import FlowRun

LONGEST_SLEEP = 1.0
"""The clock may be set while we sleep: it is asked at least this often."""


def due(flow_run: FlowRun) -> datetime:
    """The instant before which the run must not start."""
    state = flow_run.state
    at = (state.state_details.scheduled_time if state else None) or flow_run.expected_start_time
    scheduled = datetime.fromtimestamp(at.timestamp(), UTC) if at else datetime.now(UTC)
    # What is resumed has waited out its jitter.
    return _spread(flow_run, scheduled) if flow_run.auto_scheduled and flow_run.run_count == 0 else scheduled


def _spread(flow_run: FlowRun, scheduled: datetime) -> datetime:
    """Waiting out the jitter here costs no slot. The flow waits it out itself under a stock worker."""
    from ocs.rules import jitter
    from ocs.spec import parse_duration

    # Read without parsing the whole job: a broken one is told where it runs.
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        document: Any = flow_run.parameters["job"]
        spread = parse_duration(document["schedule"]["jitter"])
        return scheduled + jitter.offset(document["id"], scheduled, spread)
    return scheduled


async def sleep_until(moment: datetime) -> None:
    """Return at that moment or just after it, never before: the clock is asked again after every sleep."""
    while (remaining := (moment - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(min(remaining, LONGEST_SLEEP))
