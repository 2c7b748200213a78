"""Tools that look at jobs and runs, and at what was and is to come. They change nothing."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ocs.mcp.answers import MOST_TEXT, Text, told
from ocs.mcp.arguments import JobId, Limit, RunId, SomeJobId, since
from ocs.mcp.caller import caller
from ocs.rules.wording import SHORT, first_line, utc
from ocs.service import explaining, messages, plainly, queue, reading, session
from ocs.service.incidents import incident_views
from ocs.service.job_views import job_view
from ocs.service.listener import Deaf
from ocs.service.records import Run, Status, approval_record, as_json
from ocs.service.story import story_of
from ocs.service.which_run import the_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from deployments.catalogue import Catalogue
    from ocs.spec import Job
    from ocs.store.tables import JobState

LINE = 300
"""Characters of what a run said that stand in a list."""
RUN_KEYS = ("id", "job", "status", "kind", "attempt", "scheduled_for", "started_at", "finished_at", "exit_code")
WAITING_KEYS = ("id", "job", "kind", "attempt", "scheduled_for", "waits_for", "pool", "waiting_since")
APPROVAL_KEYS = ("id", "job", "run", "why", "requested_at", "expires_at", "on_timeout", "ui_url")
DELIVERY_KEYS = ("id", "job", "run", "target", "subject", "status", "attempts", "error")
MESSAGE_KEYS = ("id", "from", "to", "kind", "priority", "created_at", "expires_at", "status", "reply_to")


async def list_jobs(
    tag: Annotated[str | None, Field(description="Only jobs with this tag.", max_length=200)] = None,
    include_disabled: Annotated[bool, Field(description="Disabled jobs too.")] = False,
    limit: Limit = 50,
) -> str:
    """List the scheduled jobs: what each is, when it runs next, and how it ended last."""
    found = await asyncio.to_thread(session.catalogue)
    wanted = [
        job
        for job in sorted(found.jobs.values(), key=lambda job: job.id)
        if (include_disabled or job.enabled) and (tag is None or tag in job.tags)
    ]
    views = await asyncio.to_thread(_job_facts, found, wanted[:limit], await _states())
    broken = [str(problem) for problem in found.problems]
    return told("jobs", {"jobs": views, "not_listed": len(wanted) - len(views), "problems_in_files": broken})


async def show_job(job: JobId) -> str:
    """Show one job: its document as it is written, how it stands, its last five runs, and what is wrong with it now."""
    found = await asyncio.to_thread(session.catalogue)
    chosen = session.job_of(found, job)
    (view,) = await asyncio.to_thread(_job_facts, found, [chosen], await _states())
    runs: list[Run] = []
    incident: dict[str, Any] | None = None
    if session.has_store():
        async with session.store() as store:
            runs = await reading.runs(store, job=chosen.id, status=[], since=None, limit=5)
            incident = next(iter(await incident_views(store, job=chosen.id)), None)
    facts = {"job": view, "incident": incident, "last_runs": [_run_facts(run) for run in runs]}
    text = await asyncio.to_thread(_document, found, chosen)
    return told(f"job {chosen.id}", facts, Text(f"document of {chosen.id}", text))


async def list_runs(
    job: SomeJobId = None,
    status: Annotated[list[Status] | None, Field(description="Only runs that stand so.", max_length=10)] = None,
    newer_than: Annotated[
        str | None, Field(description="Only newer ones: 2h, 7d, or a moment such as 2026-11-24T08:00.", max_length=100)
    ] = None,
    limit: Limit = 20,
) -> str:
    """List runs, newest first: what ran, why, and how it ended. A line of what each said; show_run has more."""
    async with session.store() as store:
        moment = since(newer_than) if newer_than is not None else None
        found = await reading.runs(store, job=job, status=status or [], since=moment, limit=limit)
    return told("runs", {"runs": [_run_facts(run) for run in found]})


async def show_run(
    run: RunId,
    output_bytes: Annotated[int, Field(ge=0, le=MOST_TEXT, description="How much of the end of its output.")] = 4000,
) -> str:
    """Tell the story of a run: why it ran, how it ended, what followed, and the end of what it printed."""
    async with session.store() as store:
        chosen = await the_run(store, run)
        story = await story_of(store, chosen)
        printed = [await reading.output(store, str(chosen.id), stream) for stream in ("stdout", "stderr")]
    facts = {key: value for key, value in story.items() if key not in ("summary", "deliveries", "messages", "children")}
    texts = [await asyncio.to_thread(_end_of, each, output_bytes) for each in printed if output_bytes]
    return told(f"run {str(chosen.id)[:SHORT]} of {chosen.job_id}", facts, *(text for text in texts if text.text))


async def why(
    job: JobId,
    newer_than: Annotated[
        str, Field(description="All that was due since: 2d, or a moment such as 2026-11-24T08:00.", max_length=100)
    ] = "1d",
    limit: Limit = 50,
) -> str:
    """Say of every occurrence of a job what became of it and why, also of those that were missed while all was down."""
    chosen = session.job_of(await asyncio.to_thread(session.catalogue), job)
    now = session.now()
    found = (await explaining.told_of([chosen], since(newer_than).astimezone(UTC), now, now))[chosen.id]
    newest = [explaining.line_view(line) for line in reversed(found)]
    facts = {"job": chosen.id, "enabled": chosen.enabled, "newest_first": newest[:limit]}
    return told(f"occurrences of {chosen.id}", {**facts, "not_listed": max(0, len(newest) - limit)})


async def list_queue(job: SomeJobId = None) -> str:
    """List what waits to become a run and for what, what waits for a person's approval, and what was not sent yet."""
    from ocs.service.reading import approvals

    async with session.store() as store:
        dispatches, unsent = await queue.waiting(store, job)
        asked = await approvals(store, job=job, everything=False, limit=100)
    facts = {
        "waiting": [_only(as_json(each), WAITING_KEYS) for each in dispatches],
        "for_approval": [_only(as_json(approval_record(each)), APPROVAL_KEYS) for each in asked],
        "not_sent": [_only(as_json(each), DELIVERY_KEYS) for each in unsent],
    }
    return told("queue", facts)


async def calendar(
    job: SomeJobId = None,
    days: Annotated[int, Field(ge=1, le=31, description="How far to look ahead.")] = 7,
    limit: Limit = 50,
) -> str:
    """List what is due: the next occurrences of one job's schedule or of all, soonest first."""
    found = await asyncio.to_thread(session.catalogue)
    jobs = [session.job_of(found, job)] if job is not None else list(found.jobs.values())
    until = session.now() + timedelta(days=days)
    coming = await asyncio.to_thread(_coming, found, jobs, until, limit)
    due = [{"at": utc(moment), "job": job_id} for moment, job_id in coming[:limit]]
    return told("calendar", {"until": utc(until), "due": due, "there_is_more": len(coming) > limit})


async def inbox(
    reader: Annotated[str | None, Field(description="Whose inbox; by default yours.", max_length=128)] = None,
    delivered: Annotated[bool, Field(description="What a turn was shown already, too.")] = False,
    limit: Limit = 20,
) -> str:
    """Read the messages that wait for a reader, in the order of their weight. Reading leaves them waiting."""
    from ocs.rules.messages import checked_name

    whose = checked_name("reader", reader if reader is not None else caller().name)
    async with session.store() as store:
        views = await messages.inbox(store, whose, delivered=delivered, everything=False, limit=limit)
    bodies = [Text(f"message {view['id'][:SHORT]}", f"{view['subject']}\n\n{view['body']}".strip()) for view in views]
    return told(f"inbox of {whose}", {"messages": [_only(view, MESSAGE_KEYS) for view in views]}, *bodies)


def _job_facts(found: Catalogue, jobs: Sequence[Job], states: Mapping[str, JobState]) -> list[dict[str, Any]]:
    paused = plainly.paused(found.name, [job.id for job in jobs])
    return [
        {
            **job_view(job, states.get(job.id), session.now(), listener=Deaf()),
            "description": first_line(job.description, LINE),
            "paused_in_ui": job.id in paused,
        }
        for job in jobs
    ]


async def _states() -> Mapping[str, JobState]:
    if not session.has_store():
        return {}
    from ocs.store import queries

    async with session.store() as store:
        return await queries.job_states(store)


def _document(found: Catalogue, job: Job) -> str:
    from deployments import catalogue
    from deployments.reading import read_text

    path = catalogue.path_of(found.project, job.id)
    return read_text(path, str(catalogue.JOBS / path.name))


def _run_facts(run: Run) -> dict[str, Any]:
    return {**_only(as_json(run), RUN_KEYS), "said": first_line(run.error or run.summary, LINE)}


def _end_of(output: reading.Output, most: int) -> Text:
    """The end of what a run printed; its file may be large, and the rest of it is not read."""
    with output.open() as everything:
        size = everything.seek(0, 2)
        everything.seek(max(0, size - most))
        end = everything.read(most).decode(errors="replace")
    part = f", the last {most} of {size} bytes" if size > most else ""
    return Text(f"{output.stream} of run {str(output.run_id)[:SHORT]}{part}", end)


def _coming(found: Catalogue, jobs: Sequence[Job], until: datetime, limit: int) -> list[tuple[datetime, str]]:
    """What is due, soonest first, and one more than asked for where there is more."""
    from ocs.rules.occurrences import occurrences

    now = session.now()
    paused = plainly.paused(found.name, [job.id for job in jobs])
    scheduled = [(job.id, job.schedule) for job in jobs if job.schedule and job.enabled and job.id not in paused]
    times = (
        [(moment, job_id) for moment in occurrences(schedule, now, limit + 1) if moment <= until]
        for job_id, schedule in scheduled
    )
    return heapq.nsmallest(limit + 1, (each for found_times in times for each in found_times))


def _only(view: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: view[key] for key in keys if view[key] is not None}
