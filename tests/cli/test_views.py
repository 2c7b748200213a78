"""How jobs and runs are seen by other programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.responses import DeploymentResponse

from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.service.job_views import job_view
from ocs.service.listener import Deaf
from ocs.spec import Job
from ocs.store.tables import Run

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PAUSED = DeploymentResponse.model_construct(id=uuid4(), paused=True, schedules=[])


@pytest.mark.parametrize(
    ("at", "over", "paused"), [("2026-11-24T11:00:00Z", True, False), ("2026-11-24T13:00:00Z", False, True)]
)
def test_a_one_shot_that_is_over_was_paused_by_nobody(at: str, over: bool, paused: bool) -> None:
    view = job_view(
        Job.model_validate({"id": "once", "run": "true", "schedule": {"at": at}}), None, NOW, PAUSED, listener=Deaf()
    )
    assert (view["over"], view["paused_in_ui"]) == (over, paused)


@pytest.mark.parametrize(("status", "took"), [(RunStatus.ERROR, 6.0), (RunStatus.CRASHED, None)])
def test_how_long_a_crashed_run_took_is_not_known(status: RunStatus, took: float | None) -> None:
    """Known is when somebody found that its worker had died."""
    run = Run(job_id="a", kind=DispatchKind.MANUAL, status=status, flow_run_id=uuid4(), scheduled_for=NOW)
    run.started_at, run.finished_at = NOW, NOW + timedelta(seconds=6)
    duration = run.duration
    assert (duration.total_seconds() if duration else None) == took
