"""Withdrawing: dispatches that somebody takes back before they have become runs."""

from __future__ import annotations

from uuid import UUID

from sqlmodel import col, select

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.store import trackers
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.outbox import OPEN
from ocs.store.tables import DispatchRow, DispatchStatus


async def withdraw(store: Store, job_id: str, *, by: Attribution) -> list[UUID]:
    """Withdraw every dispatch of a job that is no run yet; returns the flow runs that publish already made for them."""
    async with store.transaction(lock=(f"job:{job_id}",)) as session:
        waiting = select(DispatchRow).where(DispatchRow.job_id == job_id, col(DispatchRow.status).in_(OPEN))
        rows = list(await session.scalars(waiting))
        for row in rows:
            row.status = DispatchStatus.CANCELLED
        if rows:
            count = {"withdrawn": len(rows)}
            record(session, "withdraw", job_id=job_id, by=by, after=count)
            await trackers.note_dispatches(session, rows, by.now)
    return [row.flow_run_id for row in rows if row.flow_run_id]


async def withdraw_one(store: Store, dispatch_id: UUID, *, by: Attribution) -> UUID | None:
    """Withdraw a dispatch that is no run yet; returns its flow run, if it has one.

    Raises:
        Refused: it has become a run, or was withdrawn before.
    """
    async with store.transaction() as session:
        row = await session.get_one(DispatchRow, dispatch_id, with_for_update=True)
        if row.status not in OPEN:
            raise Refused(f"The dispatch {str(dispatch_id)[:8]} of {row.job_id} does not wait any more: {row.status}.")
        row.status = DispatchStatus.CANCELLED
        one = {"dispatch": str(dispatch_id)}
        record(session, "withdraw", job_id=row.job_id, by=by, after=one)
        await trackers.note_dispatches(session, [row], by.now)
        return row.flow_run_id
