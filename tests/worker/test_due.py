"""When a run is to start: its scheduled time, spread by the job's jitter the first time it starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun
from prefect.states import Scheduled

from ocs.rules.jitter import offset
from ocs.worker.due import due

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
JOB = {"id": "spread", "schedule": {"every": "1h", "jitter": "10m"}}


def flow_run(*, begun: int = 0, by_schedule: bool = True) -> FlowRun:
    state = Scheduled(scheduled_time=NOW)
    return FlowRun(flow_id=uuid4(), state=state, parameters={"job": JOB}, auto_scheduled=by_schedule, run_count=begun)


def test_only_what_the_schedule_made_is_spread_and_only_once() -> None:
    spread = offset("spread", NOW, timedelta(minutes=10))
    assert spread > timedelta(0)
    assert due(flow_run()) == NOW + spread
    assert due(flow_run(by_schedule=False)) == NOW
    # Resumed after somebody has approved it, it has waited long enough.
    assert due(flow_run(begun=1)) == NOW
