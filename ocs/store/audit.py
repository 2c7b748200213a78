"""The audit trail: who did what, from where, before and after. Rows are only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ocs.store.tables import AuditEvent


def record(
    session: AsyncSession,
    action: str,
    *,
    actor: str,
    source: str,
    now: datetime,
    job_id: str | None = None,
    run_id: UUID | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add an event to the transaction that does what it tells."""
    session.add(
        AuditEvent(
            at=now,
            actor=actor,
            source=source,
            action=action,
            job_id=job_id,
            run_id=run_id,
            before=dict(before) if before else None,
            after=dict(after) if after else None,
        )
    )
