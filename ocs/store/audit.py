"""The audit trail: who did what, from where, before and after. Rows are only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules.attribution import Attribution
from ocs.store.engine import Store
from ocs.store.tables import AuditEvent


def record(
    session: AsyncSession,
    action: str,
    *,
    by: Attribution,
    job_id: str | None = None,
    run_id: UUID | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add an event to the transaction that does what it records."""
    session.add(
        AuditEvent(
            at=by.now,
            actor=by.actor,
            source=by.source,
            action=action,
            job_id=job_id,
            run_id=run_id,
            before=dict(before) if before else None,
            after=dict(after) if after else None,
        )
    )


async def append(store: Store, action: str, **what: Any) -> None:
    """Add an event for something that was not done in the store; the keywords are those of `record`."""
    async with store.transaction() as session:
        record(session, action, **what)


async def events(
    store: Store, *, job: str | None = None, since: datetime | None = None, limit: int = 100
) -> list[AuditEvent]:
    """What was done, newest first."""
    wanted = select(AuditEvent).order_by(col(AuditEvent.at).desc(), col(AuditEvent.id)).limit(limit)
    if job is not None:
        wanted = wanted.where(AuditEvent.job_id == job)
    if since is not None:
        wanted = wanted.where(col(AuditEvent.at) >= since)
    async with store.reading() as session:
        return list(await session.scalars(wanted))
