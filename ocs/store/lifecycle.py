"""A job's past as its lifecycle sees it, and which jobs it has removed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules.attribution import Attribution
from ocs.rules.lifecycle import Past
from ocs.spec import Job
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.outbox import backlog
from ocs.store.running import is_unfinished
from ocs.store.tables import JobState, Run


async def past_of(store: Store, job: Job, *, since: datetime) -> Past:
    """What happened to the job since it was rolled out: an earlier job of the same id is not concerned."""
    async with store.reading() as session:
        state = await session.get(JobState, job.id)
        busy = await backlog(session, job.id) > 0 or await _exists(session, job, is_unfinished())
        moment = job.schedule.moment if job.schedule else None
        had = moment is not None and await _exists(session, job, Run.scheduled_for == moment)
    if state is None or state.last_finished_at < since:
        return Past(busy=busy, had_its_moment=had)
    return Past(busy=busy, had_its_moment=had, last_status=state.last_status, last_finished_at=state.last_finished_at)


async def note_retired(store: Store, job_id: str, version: str | None, *, why: str, now: datetime) -> None:
    """Note that the job was removed by its lifecycle; audited."""
    async with store.transaction() as session:
        state = await session.get(JobState, job_id)
        if state is not None:
            state.retired_version = version
        after = {"version": version, "why": why}
        record(session, "job-removed", job_id=job_id, by=Attribution("scheduler", "lifecycle", now), after=after)


async def retired(store: Store) -> dict[str, str]:
    """What was rolled out of each job that its lifecycle has removed."""
    async with store.reading() as session:
        gone = select(JobState.job_id, JobState.retired_version).where(col(JobState.retired_version).is_not(None))
        return {job_id: version for job_id, version in await session.execute(gone) if version}


async def _exists(session: AsyncSession, job: Job, condition: object) -> bool:
    found = select(Run.id).where(Run.job_id == job.id, condition).limit(1)  # pyright: ignore[reportArgumentType]
    return (await session.scalars(found)).first() is not None
