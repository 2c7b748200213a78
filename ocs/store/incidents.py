"""Incidents: opened and closed with the end of a run or a look, in one transaction with what is told of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules import incident as rule
from ocs.rules.delivery import Notification
from ocs.rules.dispatch import RunStatus
from ocs.rules.expectation import AHEAD, Deadline, Seen
from ocs.rules.incident import Incident, Trouble
from ocs.spec import Job
from ocs.store import deliveries
from ocs.store.engine import Store
from ocs.store.tables import JobState, Run
from ocs.store.tables_incidents import IncidentRow, Watched

AT_ONCE = 500
MOST = 1000
NEW = timedelta(minutes=10)
"""An incident younger than this may be of a job that was rolled out after somebody has asked which there are."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run's end as an incident sees it: `message` says a failure, `link` is the run's page."""

    run: Run
    is_failure: bool
    message: Notification | None
    link: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a watched job went by, and what it found.

    `quiet_from` is when it began to count as quiet. `is_told_again` says that its incident is to be repeated.
    """

    seen: Seen
    quiet_from: datetime | None = None
    deadline: Deadline | None = None
    is_told_again: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self.quiet_from is None and self.deadline is None and not self.is_told_again


async def of_end(session: AsyncSession, job: Job, ended: Ended, now: datetime) -> tuple[str, ...]:
    """What an end that was final makes of the job's incident: a failure goes into it, a success closes it.

    Returns the targets that hear of it.
    """
    row = await _open(session, job.id)
    if ended.run.status is RunStatus.OK:
        return await _close(session, job, row, ended, now) if row is not None else ()
    if not ended.is_failure or ended.message is None or job.deliver is None:
        return ()
    known, is_told = rule.failed(_incident(row) if row else None, job.deliver, ended.run.error or "", now)
    row = _written(session, job.id, row, known)
    if not is_told:
        return ()
    return await _tell(session, row, rule.of_failure(ended.message, known.failures), ended.run.id, now)


async def look(store: Store, job: Job, found: Look, now: datetime) -> bool:
    """Write what a look at a job found, and tell it. False when nothing was told.

    When something has succeeded, or somebody else has looked, since the look began, the next one finds it.
    """
    async with store.transaction(lock=(f"job:{job.id}",)) as session:
        watched = await session.get(Watched, job.id)
        if watched is None or await _seen(session, watched) != found.seen:
            return False
        missed = found.deadline
        if missed is not None:
            watched.deadlines_until = missed.at
            missed = None if await _has_succeeded(session, job.id, missed) else missed
        row = await _open(session, job.id)
        signs = rule.signs(job, found.seen, is_quiet=found.quiet_from is not None, missed=missed)
        known, new = rule.seen(_incident(row) if row else None, signs, now)
        if new:
            row = _written(session, job.id, row, known)
            if _is_over(found.seen, missed) and len(signs) == 1:
                row.closed_at = now
            return bool(await _tell(session, row, rule.of_signs(job, new), None, now))
        again = rule.repeated(known, job.deliver, now) if row is not None and job.deliver else None
        if again is None:
            return False
        row = _written(session, job.id, row, again)
        return bool(await _tell(session, row, rule.of_repetition(job, again, now), None, now))


def _is_over(seen: Seen, missed: Deadline | None) -> bool:
    """A success came after the deadline, and before anybody looked."""
    return missed is not None and seen.last_ok_at is not None and seen.last_ok_at > missed.at


async def watch(store: Store, job_ids: Collection[str], now: datetime) -> dict[str, Seen]:
    """What is known of each of these jobs; those that were not watched before count from now on.

    So do those of which a clock that was ahead has written something.
    """
    async with store.reading() as session:
        rows = {row.job_id: row for row in await session.scalars(select(Watched))}
        if rows.keys() >= set(job_ids):
            seen = await _all_seen(session, [rows[job_id] for job_id in job_ids])
            if not any(each.is_ahead(now) for each in seen.values()):
                return seen
    async with store.transaction(lock=("watched",)) as session:
        await _set_right(session, now)
        rows = {row.job_id: row for row in await session.scalars(select(Watched))}
        new = [Watched(job_id=job_id, since=now) for job_id in job_ids if job_id not in rows]
        session.add_all(new)
        rows |= {row.job_id: row for row in new}
        return await _all_seen(session, [rows[job_id] for job_id in job_ids])


async def _set_right(session: AsyncSession, now: datetime) -> None:
    """What a clock has written that was ahead counts from now on."""
    limit = now + AHEAD
    await session.execute(update(Watched).where(col(Watched.since) > limit).values(since=now))
    await session.execute(update(Watched).where(col(Watched.deadlines_until) > limit).values(deadlines_until=now))
    await session.execute(update(JobState).where(col(JobState.last_ok_at) > limit).values(last_ok_at=now))


async def watch_no_others(store: Store, job_ids: Collection[str], now: datetime) -> None:
    """Forget jobs that are not watched any more, and end their incidents without a word: nobody expects anything."""
    async with store.reading() as session:
        watched = set(await session.scalars(select(Watched.job_id))) - set(job_ids)
        rows = await session.scalars(select(IncidentRow).where(_is_open(), col(IncidentRow.opened_at) < now - NEW))
        left = {row.job_id for row in rows} - set(job_ids)
    if not watched and not left:
        return
    async with store.transaction(lock=("watched", *(f"job:{job_id}" for job_id in sorted(left)))) as session:
        await session.execute(delete(Watched).where(col(Watched.job_id).in_(watched)))
        for job_id in left:
            if (row := await _open(session, job_id)) is not None:
                row.closed_at = now


async def told_incidents(store: Store) -> dict[str, Incident]:
    """The open incidents that somebody was told of, by job."""
    return {row.job_id: _incident(row) for row in await open_incidents(store)}


async def open_incidents(store: Store, *, job: str | None = None) -> list[IncidentRow]:
    """Incidents that somebody was told of and that go on, oldest first."""
    wanted = select(IncidentRow).where(_is_open(), col(IncidentRow.told_at).is_not(None))
    if job is not None:
        wanted = wanted.where(IncidentRow.job_id == job)
    async with store.reading() as session:
        return list(await session.scalars(wanted.order_by(col(IncidentRow.opened_at)).limit(MOST)))


async def prune_incidents(store: Store, *, before: datetime) -> int:
    """Delete those that ended before that moment; returns how many."""
    old = delete(IncidentRow).where(col(IncidentRow.closed_at) < before)
    async with store.transaction() as session:
        return int(getattr(await session.execute(old), "rowcount", 0))


async def _close(session: AsyncSession, job: Job, row: IncidentRow, ended: Ended, now: datetime) -> tuple[str, ...]:
    row.closed_at, row.closed_by = now, ended.run.id
    known = _incident(row)
    if not rule.tells_recovery(known, job.deliver):
        return ()
    row.times_told += 1
    return await _tell(session, row, rule.of_recovery(job, known, now, ended.link), ended.run.id, now)


async def _tell(
    session: AsyncSession, row: IncidentRow, told: Notification | None, run_id: UUID | None, now: datetime
) -> tuple[str, ...]:
    if told is None:
        return ()
    deliveries.enqueue(
        session,
        job_id=row.job_id,
        run_id=run_id,
        targets=told.targets,
        subject=told.subject,
        body=told.body,
        images=told.images,
        kind=told.kind,
        dedup=f"incident:{row.id}:{row.times_told}",
        now=now,
    )
    return told.targets


def _written(session: AsyncSession, job_id: str, row: IncidentRow | None, known: Incident) -> IncidentRow:
    row = row or IncidentRow(job_id=job_id, opened_at=known.opened_at)
    row.failures, row.troubles, row.why = known.failures, [str(trouble) for trouble in known.troubles], known.why
    row.told_at, row.times_told = known.told_at, known.times_told
    session.add(row)
    return row


def _incident(row: IncidentRow) -> Incident:
    troubles = tuple(map(Trouble, row.troubles))
    return Incident(row.opened_at, row.failures, troubles, row.told_at, row.times_told, row.why)


async def _open(session: AsyncSession, job_id: str) -> IncidentRow | None:
    return (await session.scalars(select(IncidentRow).where(IncidentRow.job_id == job_id, _is_open()))).first()


def _is_open() -> ColumnElement[bool]:
    return col(IncidentRow.closed_at).is_(None)


async def _all_seen(session: AsyncSession, rows: Sequence[Watched]) -> dict[str, Seen]:
    ended_well: dict[str, datetime | None] = {}
    ids = [row.job_id for row in rows]
    for start in range(0, len(ids), AT_ONCE):
        some = select(JobState).where(col(JobState.job_id).in_(ids[start : start + AT_ONCE]))
        ended_well |= {state.job_id: state.last_ok_at for state in await session.scalars(some)}
    return {row.job_id: Seen(row.since, ended_well.get(row.job_id), row.deadlines_until) for row in rows}


async def _seen(session: AsyncSession, watched: Watched) -> Seen:
    state = await session.get(JobState, watched.job_id)
    return Seen(watched.since, state.last_ok_at if state else None, watched.deadlines_until)


async def _has_succeeded(session: AsyncSession, job_id: str, deadline: Deadline) -> bool:
    """Whether a run went well from when it was due until the deadline."""
    ended_well = select(Run.id).where(Run.job_id == job_id, Run.status == RunStatus.OK)
    in_time = col(Run.finished_at).between(deadline.due, deadline.at)
    return (await session.scalars(ended_well.where(in_time).limit(1))).first() is not None
