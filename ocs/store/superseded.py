"""Superseded: records late occurrences as missed whose job has claimed a newer one, many at once and without a flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules import misfire
from ocs.rules.dispatch import Dispatch, DispatchKind, RunStatus
from ocs.rules.guards import SkipReason
from ocs.rules.misfire import Newer
from ocs.spec import Job
from ocs.store.engine import Store
from ocs.store.outbox import OPEN
from ocs.store.tables import DispatchRow, DispatchStatus, Run

STANDS = {
    RunStatus.WAITING_APPROVAL: "waits for approval instead",
    RunStatus.CANCELLED: "came instead and was cancelled",
}


@dataclass(frozen=True, slots=True)
class LateOccurrence:
    """A flow run of an occurrence that is late and has not begun."""

    flow_run_id: UUID
    job: Job
    dispatch: Dispatch


async def newer_claimed(session: AsyncSession, job_id: str, due: datetime) -> Newer | None:
    """The newest occurrence after `due` that was claimed or is queued."""
    runs = (
        select(Run.scheduled_for, Run.status)
        .where(Run.job_id == job_id, Run.kind == DispatchKind.SCHEDULED, Run.status != RunStatus.SKIPPED)
        # Nothing starts before its time: the index of starts keeps this from reading a long history.
        .where(col(Run.started_at) > due, col(Run.scheduled_for) > due)
        .order_by(col(Run.scheduled_for).desc())
    )
    for newest, status in await session.execute(runs.limit(1)):
        return Newer(newest, STANDS.get(RunStatus(status), "runs instead"))
    queued = (
        select(DispatchRow.scheduled_for)
        .where(DispatchRow.job_id == job_id, DispatchRow.kind == DispatchKind.SCHEDULED)
        .where(col(DispatchRow.status).in_(OPEN), col(DispatchRow.waiting_since).is_not(None))
        .where(col(DispatchRow.scheduled_for) > due)
        .order_by(col(DispatchRow.scheduled_for).desc())
    )
    waits = (await session.scalars(queued.limit(1))).first()
    return Newer(waits, "waits for its turn instead") if waits is not None else None


async def skip_superseded(store: Store, late: Sequence[LateOccurrence], now: datetime) -> dict[UUID, str]:
    """Record those that are missed, as `claim` would; returns why, by flow run. `claim` decides about all others.

    A worker that takes such a flow run all the same finds that this entry has its record, and runs nothing.
    """
    passed: dict[UUID, str] = {}
    async with store.transaction(lock=sorted({f"job:{each.job.id}" for each in late})) as session:
        known = await _records(session, late)
        queued = await _queued(session, late)
        newest: dict[str, Newer | None] = {}
        for each in sorted(late, key=lambda each: each.dispatch.scheduled_for):
            if (record := known.get(each.flow_run_id)) is not None:
                if record.skip_reason is SkipReason.MISSED:
                    passed[each.flow_run_id] = record.summary  # Prefect does not know it yet
                continue
            job, due = each.job, each.dispatch.scheduled_for
            if job.schedule is None or not job.enabled or each.flow_run_id in queued:
                continue
            if job.id not in newest:
                newest[job.id] = await newer_claimed(session, job.id, due)
            newer = newest[job.id]
            why = misfire.missed(job.schedule, due, now, newer if newer is not None and newer.due > due else None)
            if why is not None and await _end_dispatch(session, each):
                session.add(_record(each, why, now))
                passed[each.flow_run_id] = why
    return passed


def run_row(job: Job, dispatch: Dispatch, flow_run_id: UUID, now: datetime) -> Run:
    """The record of an attempt, or of why there is none."""
    return Run(
        job_id=job.id,
        pool=job.limits.pool,
        kind=dispatch.kind,
        status=RunStatus.RUNNING,
        attempt=dispatch.attempt,
        replays=dispatch.replays,
        flow_run_id=flow_run_id,
        dispatch_id=dispatch.id,
        parent_run=dispatch.source_run,
        retry_of=dispatch.retry_of,
        scheduled_for=dispatch.scheduled_for,
        started_at=now,
    )


def skip(run: Run, reason: SkipReason, why: str, now: datetime) -> Run:
    """Record that nothing was run, and why."""
    run.status, run.skip_reason, run.summary, run.finished_at = RunStatus.SKIPPED, reason, why, now
    return run


def _record(each: LateOccurrence, why: str, now: datetime) -> Run:
    return skip(run_row(each.job, each.dispatch, each.flow_run_id, now), SkipReason.MISSED, why, now)


async def _records(session: AsyncSession, late: Sequence[LateOccurrence]) -> dict[UUID, Run]:
    of_them = col(Run.flow_run_id).in_([each.flow_run_id for each in late])
    return {run.flow_run_id: run for run in await session.scalars(select(Run).where(of_them))}


async def _queued(session: AsyncSession, late: Sequence[LateOccurrence]) -> set[UUID]:
    """The flow runs among them that have queued their dispatch."""
    of_them = col(DispatchRow.id).in_([each.flow_run_id for each in late])
    return set(await session.scalars(select(DispatchRow.id).where(of_them)))


async def _end_dispatch(session: AsyncSession, each: LateOccurrence) -> bool:
    """End the dispatch of an occurrence that catch-up dispatched. False when it was queued or is not open any more."""
    if each.dispatch.id is None:
        return True
    row = await session.get(DispatchRow, each.dispatch.id)
    if row is None or row.status not in OPEN or row.waiting_since is not None:
        return False
    row.status, row.flow_run_id = DispatchStatus.DONE, each.flow_run_id
    return True
