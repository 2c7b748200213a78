"""Abandoning: giving up a dispatch that can never become a run. Who handed over a task hears that it was one."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import select

from ocs.errors import InvalidJob
from ocs.rules.attribution import Attribution
from ocs.rules.delivery import LONGEST_NAME
from ocs.rules.plain_text import one_line
from ocs.spec import parse_stored
from ocs.store import deliveries, trackers
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.outbox import OPEN
from ocs.store.tables import DispatchRow, DispatchStatus
from ocs.store.tables_tasks import Task
from ocs.store.tables_teams import Tracker

KIND = "task"
"""What the delivery reports."""


async def abandon(store: Store, dispatch_id: UUID, *, why: str, now: datetime) -> None:
    """Give up a dispatch that can never become a run, and say so in the audit trail."""
    async with store.transaction() as session:
        row = await session.get_one(DispatchRow, dispatch_id, with_for_update=True)
        if row.status not in OPEN:
            return
        row.status = DispatchStatus.CANCELLED
        record(
            session,
            "dispatch-abandoned",
            job_id=row.job_id,
            by=Attribution("scheduler", "publish", now),
            after={"dispatch": str(dispatch_id), "why": why},
        )
        await _tell_of_task(session, row, why, now)
        await _tell_of_tracker(session, row, why, now)
        await trackers.note_dispatches(session, [row], now)


async def _tell_of_task(session: AsyncSession, row: DispatchRow, why: str, now: datetime) -> None:
    """No run ends, so nothing else would ever be said of it."""
    task = await _task_of(session, row)
    if task is None or row.parameters is None:
        return
    try:
        job = parse_stored(row.parameters["job"])
    except InvalidJob:  # of another version, which knew whom to tell
        return
    if job.deliver is None or job.deliver.when == "never":
        return
    began = "It is not tried again" if row.retry_of is not None else "It never began"
    deliveries.enqueue(
        session,
        job_id=row.job_id,
        run_id=None,
        targets=job.deliver.of_failures,
        subject=f"{one_line(job.name or task.label, LONGEST_NAME)}: withdrawn",
        body=f"{began}: {why}.\n\nSee: ocs dispatch show {task.label}",
        kind=KIND,
        now=now,
        dedup=f"abandoned:{row.id}",
    )


async def _tell_of_tracker(session: AsyncSession, row: DispatchRow, why: str, now: datetime) -> None:
    """Who heard that this job comes next hears that it does not."""
    followed = (await session.scalars(select(Tracker).where(Tracker.then_dispatch == row.id))).first()
    if followed is None:
        return
    deliveries.enqueue(
        session,
        job_id=row.job_id,
        run_id=None,
        targets=followed.targets,
        subject=f"{followed.name}: {row.job_id} did not run",
        body=f"It was to run when all members had ended: {why}.\n\nSee: ocs tasks show {followed.name}",
        kind=KIND,
        now=now,
        dedup=f"abandoned:{row.id}",
    )


async def _task_of(session: AsyncSession, row: DispatchRow) -> Task | None:
    """The task that a dispatch is, or of which it is a further attempt."""
    first = await trackers.first_dispatch(session, row.id, row.retry_of)
    return await session.get(Task, first) if first is not None else None
