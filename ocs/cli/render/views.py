"""Jobs and runs as other programs see them: the fixed keys of the command line's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ocs.cli.render.output import tell
from ocs.rules.dispatch import DispatchKind
from ocs.rules.shell_result import without_labels
from ocs.rules.wording import local, utc
from ocs.service.records import Status, as_json, run_records

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

    from ocs.spec import Job, Times
    from ocs.store import Store
    from ocs.store.tables import JobState, Run


TEXT = {"type": "string"}
MAYBE_TEXT = {"type": ["string", "null"]}
MOMENT = {"type": "string", "format": "date-time"}
MAYBE_MOMENT = {"type": ["string", "null"], "format": "date-time"}
RUN_KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "id": (TEXT, "The run's id."),
    "job": (TEXT, "The job's id."),
    "status": ({"enum": [str(status) for status in Status]}, "How it stands."),
    "kind": ({"enum": [str(kind) for kind in DispatchKind]}, "Why it ran."),
    "attempt": ({"type": "integer", "minimum": 1}, "1 for the first."),
    "scheduled_for": (MOMENT, "The instant it was meant for."),
    "started_at": (MOMENT, "When it was claimed."),
    "finished_at": (MAYBE_MOMENT, "When it ended."),
    "duration_s": ({"type": ["number", "null"]}, "Seconds between the two."),
    "exit_code": ({"type": ["integer", "null"]}, "The shell's exit status."),
    "folder": (MAYBE_TEXT, "The folder its command started in."),
    "summary": (TEXT, "What it said, cut to size."),
    "error": (MAYBE_TEXT, "What went wrong, in a sentence."),
    "notes": ({"type": "array", "items": TEXT}, "What else a person should know, such as processes it had left."),
    "flow_run_id": (TEXT, "The run in Prefect."),
    "retry_of": (MAYBE_TEXT, "The run this is a further attempt of."),
    "parent_run": (MAYBE_TEXT, "The run that caused it."),
    "children": ({"type": "array", "items": TEXT}, "Runs of other jobs that followed."),
    "deliveries": ({"type": "array", "items": {"type": "object"}}, "Messages about it, and how each stands."),
}


def run_schema() -> dict[str, Any]:
    """The JSON Schema of a run as `--json` shows it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run of prefect-openclaw",
        "type": "object",
        "properties": {key: {**kind, "description": meaning} for key, (kind, meaning) in RUN_KEYS.items()},
        "required": list(RUN_KEYS),
    }


def job_view(
    job: Job, state: JobState | None, now: datetime, deployed: DeploymentResponse | None = None
) -> dict[str, Any]:
    """A job and how it stands; what its deployment adds where a server was asked."""
    paused = job.enabled and deployed is not None and not is_over(job, now) and _is_paused(deployed)
    upcoming = next_run(job, now) if not paused else None
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


def next_run(job: Job, now: datetime) -> datetime | None:
    """When a job runs next by itself. Where that cannot be said, the job is named and the others are shown."""

    from ocs.rules.occurrences import next_occurrence

    if job.schedule is None or not job.enabled:
        return None
    try:
        return next_occurrence(job.schedule, now)
    except Exception as failed:
        tell(f"{job.id}: when it runs next cannot be computed: {failed}", style="yellow")
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


async def run_views(store: Store, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Runs with what followed them."""
    return [as_json(record) for record in await run_records(store, runs)]


def said(view: Mapping[str, Any]) -> str:
    """What a run has to say for itself: what went wrong, else what it printed."""
    return without_labels(str(view["error"] or view["summary"]))
