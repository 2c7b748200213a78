"""A store that comes out of a backup: what it is told before anybody works with it, and what it keeps of that."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules.approval import ApprovalStatus, OnTimeout
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import RunStatus
from ocs.rules.restored import Restored
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.tables import Approval, DispatchRow, DispatchStatus, Mark, Run

BACKED_UP, LOST = "restored:backed-up", "restored:lost"


async def settle(store: Store, restored: Restored, by: Attribution, made_by: UUID | None) -> None:
    """Make a restored store one that a scheduler can go on with, before it does.

    What was sent to Prefect is sent again: Prefect's part of the backup is a moment older and may lack it, and sending
    twice is harmless. A request that nobody has answered is not approved by the mere time that has gone by. The run
    that made the backup, `made_by`, has ended well, or there would be none.
    """
    async with store.transaction() as session:
        published = update(DispatchRow).where(col(DispatchRow.status) == DispatchStatus.PUBLISHED)
        await session.execute(published.values(status=DispatchStatus.PENDING))
        asked = update(Approval).where(col(Approval.status) == ApprovalStatus.PENDING)
        await session.execute(asked.values(on_timeout=OnTimeout.REJECT))
        if made_by is not None and (run := await session.get(Run, made_by)) is not None and not run.status.final:
            run.status, run.finished_at, run.lease_until = RunStatus.OK, restored.backed_up_at, None
            run.summary = "It made the backup that was restored."
        for name, at in ((BACKED_UP, restored.backed_up_at), (LOST, restored.lost_at)):
            await session.merge(Mark(name=name, at=at))
        after = {"backed_up_at": restored.backed_up_at.isoformat(), "lost_at": restored.lost_at.isoformat()}
        record(session, "restored", by=by, after=after)


async def restored_from(session: AsyncSession) -> Restored | None:
    """What the store came out of; None when it never did, or when nothing can have run after the backup."""
    marks = await session.scalars(select(Mark).where(col(Mark.name).in_((BACKED_UP, LOST))))
    at: dict[str, datetime] = {mark.name: mark.at for mark in marks}
    if len(at) < 2 or at[LOST] <= at[BACKED_UP]:
        return None
    return Restored(at[BACKED_UP], at[LOST])
