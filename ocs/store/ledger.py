"""The idempotency ledger as people see it: look, release, prune. The claim transaction claims keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, or_
from sqlmodel import col, select

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.shortened import SEVERAL, begins, the_one
from ocs.store.tables import IdempotencyKey, KeyStatus


async def keys(store: Store, *, job: str | None = None, limit: int = 100) -> list[IdempotencyKey]:
    """The ledger, newest first."""
    wanted = select(IdempotencyKey).order_by(col(IdempotencyKey.claimed_at).desc()).limit(limit)
    if job is not None:
        wanted = wanted.where(IdempotencyKey.job_id == job)
    async with store.reading() as session:
        return list(await session.scalars(wanted))


async def key_by_prefix(store: Store, prefix: str) -> IdempotencyKey:
    """The ledger's row whose key begins so.

    Raises:
        NotFound: none does, or several do.
    """
    async with store.reading() as session:
        found = list(
            await session.scalars(select(IdempotencyKey).where(begins(col(IdempotencyKey.key), prefix)).limit(SEVERAL))
        )
    return the_one(found, prefix, "idempotency key", by=lambda row: row.key, hint="See all: ocs idem list")


async def release_key(store: Store, key: str, *, by: Attribution) -> IdempotencyKey:
    """Release a claimed key, so that its scope may run again; audited.

    Raises:
        Refused: it is not claimed.
    """
    async with store.transaction() as session:
        ledger = await session.get_one(IdempotencyKey, key)
        if ledger.status is not KeyStatus.CLAIMED:
            raise Refused(f"The key {key} is already released.")
        ledger.status, ledger.released_at = KeyStatus.RELEASED, by.now
        record(
            session,
            "key-released",
            job_id=ledger.job_id,
            run_id=ledger.run_id,
            by=by,
            before={"key": key, "status": KeyStatus.CLAIMED},
            after={"key": key, "status": KeyStatus.RELEASED},
        )
        return ledger


async def prune_keys(store: Store, *, now: datetime) -> int:
    """Delete keys that no longer block anything, released or expired; returns how many."""
    past = or_(col(IdempotencyKey.expires_at) <= now, col(IdempotencyKey.status) == KeyStatus.RELEASED)
    async with store.transaction() as session:
        gone = await session.execute(delete(IdempotencyKey).where(past))
        return int(getattr(gone, "rowcount", 0))
