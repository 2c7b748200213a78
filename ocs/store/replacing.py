"""Replacing (`overlap: replace`): a newer run of a job takes the place of queued and running ones.

The claim's transaction withdraws the queued ones. The running one is told to end after it, and the newer one is queued
until it has: nothing of the older run is left when the newer begins.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch
from ocs.rules.guards import SkipReason, WaitsFor
from ocs.spec import Job
from ocs.store import trackers
from ocs.store.audit import record
from ocs.store.outbox import OPEN
from ocs.store.running import is_running
from ocs.store.superseded import run_row, skip
from ocs.store.tables import AuditEvent, DispatchRow, DispatchStatus, Run

REPLACED = "A newer run of the job took its place."
SOURCE = "overlap"


async def withdraw_waiting(session: AsyncSession, job: Job, now: datetime, *, besides: UUID | None) -> None:
    """Withdraw dispatches that are queued for an earlier run of the job, or were released and have not begun."""
    queued = select(DispatchRow).where(
        DispatchRow.job_id == job.id, DispatchRow.waits_for == WaitsFor.OVERLAP, col(DispatchRow.status).in_(OPEN)
    )
    for row in list(await session.scalars(queued)):
        if row.id == besides:
            continue
        # One that was published has a flow run to come, which will say so itself.
        if row.status is not DispatchStatus.PUBLISHED and row.flow_run_id is not None:
            dispatch = Dispatch(
                row.kind, row.scheduled_for, row.id, row.source_run, row.retry_of, row.attempt, row.replays
            )
            session.add(skip(run_row(job, dispatch, row.flow_run_id, now), SkipReason.OVERLAP, REPLACED, now))
        row.status = DispatchStatus.CANCELLED
        await trackers.note_dispatches(session, [row], now)
    await session.flush()


async def to_be_ended(session: AsyncSession, job: Job, now: datetime) -> tuple[UUID, ...]:
    """The flow runs of the job's runs that have not ended; the audit trail says why they are cancelled."""
    if job.limits.overlap != "replace":
        return ()
    running = list(await session.scalars(select(Run).where(Run.job_id == job.id, is_running())))
    for run in running:
        if not await was_replaced(session, run.id):
            record(session, "cancel", by=Attribution("scheduler", SOURCE, now), job_id=job.id, run_id=run.id)
    return tuple(run.flow_run_id for run in running)


async def was_replaced(session: AsyncSession, run_id: UUID) -> bool:
    """Whether a run ends because of a newer one."""
    told = select(func.count()).where(
        AuditEvent.run_id == run_id, AuditEvent.action == "cancel", AuditEvent.source == SOURCE
    )
    return (await session.scalars(told)).one() > 0
