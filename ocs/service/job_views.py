"""Jobs as whoever asks sees them: what stands in the document, and how they stand."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ocs.rules.wording import local, utc
from ocs.service.listener import Listener

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

    from ocs.spec import Job, Times
    from ocs.store.tables import JobState


def job_view(
    job: Job,
    state: JobState | None,
    now: datetime,
    deployed: DeploymentResponse | None = None,
    *,
    listener: Listener,
) -> dict[str, Any]:
    """A job and how it stands; what its deployment adds where a server was asked."""
    paused = job.enabled and deployed is not None and not is_over(job, now) and _is_paused(deployed)
    upcoming = next_run(job, now, listener) if not paused else None
    return {
        "id": job.id,
        "name": job.name or job.id,
        "enabled": job.enabled,
        "kind": job.run.strategy,
        "schedule": schedule_text(job),
        "parent": job.after.job if job.after else None,
        "next_run": utc(upcoming),
        "last_status": str(state.last_status) if state else None,
        "last_run": utc(state.last_finished_at) if state else None,
        "deployment_id": str(deployed.id) if deployed else None,
        "paused_in_ui": paused,
        "over": is_over(job, now),
    }


def next_run(job: Job, now: datetime, listener: Listener) -> datetime | None:
    """When a job runs next by itself. Where that cannot be said, the job is named and the others are shown."""

    from ocs.rules.occurrences import next_occurrence

    if job.schedule is None or not job.enabled:
        return None
    try:
        return next_occurrence(job.schedule, now)
    except Exception as failed:
        listener.warn(f"{job.id}: when it runs next cannot be computed: {failed}")
        return None


def is_over(job: Job, now: datetime) -> bool:
    """Whether it is a one-shot that has had its moment; that is paused then, which nobody has done."""
    moment = job.schedule.moment if job.schedule else None
    return moment is not None and moment <= now


def _is_paused(deployed: DeploymentResponse) -> bool:
    from deployments.drift import is_paused

    return is_paused(deployed)


def schedule_text(job: Job) -> str | None:
    """When it runs, in a few words."""
    schedule = job.schedule
    if schedule is None:
        return f"after {job.after.job} ({job.after.on})" if job.after else None
    if schedule.moment is not None:
        return f"at {local(schedule.moment)}"
    return ", ".join(_times_text(times) for times in schedule.each)


def _times_text(times: Times) -> str:
    from ocs.spec import format_duration

    if times.every is not None:
        return f"every {format_duration(times.every)}"
    zone = "" if times.timezone == "UTC" else f" {times.timezone}"
    return f"{times.cron or times.rrule}{zone}"
