"""What people do in Prefect's UI or through its API. It names nobody; the audit trail keeps that it was done."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.store.audit import record
from ocs.store.tables import AuditEvent, Run

SOMEBODY = "somebody"
PREFECT = "prefect"
ACTIONS = {DispatchKind.MANUAL: "run", DispatchKind.RETRY: "retry"}


def note_start(session: AsyncSession, run: Run, dispatch: Dispatch, now: datetime) -> None:
    """Somebody there started a run without a dispatch, or pressed Retry."""
    action = ACTIONS.get(dispatch.kind)
    if dispatch.id is None and action is not None:
        record(session, action, by=Attribution(SOMEBODY, PREFECT, now), job_id=run.job_id, run_id=run.id)


async def note_cancel(session: AsyncSession, run: Run, now: datetime) -> None:
    """Somebody cancelled a run there; `ocs` would have recorded who."""
    told = (
        select(func.count())
        .select_from(AuditEvent)
        .where(AuditEvent.action == "cancel", AuditEvent.job_id == run.job_id, col(AuditEvent.at) >= run.started_at)
    )
    if (await session.scalars(told)).one() == 0:
        record(session, "cancel", by=Attribution(SOMEBODY, PREFECT, now), job_id=run.job_id, run_id=run.id)
