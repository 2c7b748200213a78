"""What another scheduler leaves to us: the keys of what it has run, and dispatches that are queued there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchKind
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.outbox import PendingDispatch, pending
from ocs.store.tables import DispatchRow, IdempotencyKey, KeyStatus


@dataclass(frozen=True, slots=True)
class CarriedKey:
    """What has run over there, by the key that it has here."""

    key: str
    job_id: str
    run_id: UUID
    claimed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class CarriedDispatch:
    """A dispatch that has become no run over there. Its id is made from its id there, so that it is carried once."""

    id: UUID
    job_id: str
    kind: DispatchKind
    scheduled_for: datetime
    source_run: UUID | None = None
    retry_of: UUID | None = None
    attempt: int = 1


async def carry_keys(store: Store, keys: Sequence[CarriedKey], *, by: Attribution) -> int:
    """Claim the keys of what has run; returns how many are new. Keys that are known here stay as they are."""
    async with store.transaction(lock=(by.source,)) as session:
        new = [each for each in keys if await session.get(IdempotencyKey, each.key) is None]
        session.add_all(
            IdempotencyKey(
                key=each.key,
                job_id=each.job_id,
                run_id=each.run_id,
                status=KeyStatus.CLAIMED,
                claimed_at=each.claimed_at,
                expires_at=each.expires_at,
            )
            for each in new
        )
        if new:
            record(session, "keys-carried-over", by=by, after={"keys": len(new)})
    return len(new)


async def carry_dispatches(
    store: Store, dispatches: Sequence[CarriedDispatch], *, by: Attribution
) -> list[PendingDispatch]:
    """Write them to the outbox; returns those that are new."""
    async with store.transaction(lock=(by.source,)) as session:
        new = [each for each in dispatches if await session.get(DispatchRow, each.id) is None]
        rows = [
            DispatchRow(
                id=each.id,
                job_id=each.job_id,
                kind=each.kind,
                scheduled_for=each.scheduled_for,
                source_run=each.source_run,
                retry_of=each.retry_of,
                attempt=each.attempt,
                created_at=by.now,
            )
            for each in new
        ]
        session.add_all(rows)
        for row in rows:
            carried = {"dispatch": str(row.id), "kind": str(row.kind)}
            record(session, "dispatch-carried-over", job_id=row.job_id, by=by, after=carried)
        return [pending(row) for row in rows]
