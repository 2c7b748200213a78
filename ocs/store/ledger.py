"""The idempotency ledger as people see it: look, release, prune. Claiming is part of the claim transaction."""

from __future__ import annotations

import difflib
from datetime import datetime

from sqlalchemy import delete, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import NotFound, Refused
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.tables import IdempotencyKey, KeyStatus, Run


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
    begins = select(IdempotencyKey).where(col(IdempotencyKey.key).startswith(prefix.lower())).limit(2)
    async with store.reading() as session:
        found = list(await session.scalars(begins))
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFound(f'"{prefix}" is not enough to tell a key.', hint="Give more of it.")
    known = [row.key for row in await keys(store)]
    nearest = difflib.get_close_matches(prefix, known, n=1)
    hint = f"Nearest: {nearest[0]}." if nearest else "See all: ocs idem list"
    raise NotFound(f'No idempotency key begins with "{prefix}".', hint=hint)


async def release_key(store: Store, key: str, *, actor: str, source: str, now: datetime) -> IdempotencyKey:
    """Free a claimed key, so that its occasion may run again; audited.

    Raises:
        Refused: it is not claimed.
    """
    async with store.transaction() as session:
        ledger = await session.get_one(IdempotencyKey, key)
        if ledger.status is not KeyStatus.CLAIMED:
            raise Refused(f"The key {key} is already released.")
        ledger.status, ledger.released_at = KeyStatus.RELEASED, now
        record(
            session,
            "key-released",
            job_id=ledger.job_id,
            run_id=ledger.run_id,
            actor=actor,
            source=source,
            now=now,
            before={"key": key, "status": KeyStatus.CLAIMED},
            after={"key": key, "status": KeyStatus.RELEASED},
        )
        return ledger


async def release_key_of(session: AsyncSession, run: Run, now: datetime) -> None:
    """Free the key of a run that came to nothing, as part of the transaction that ends it."""
    ledger = await session.get(IdempotencyKey, run.idempotency_key) if run.idempotency_key else None
    if ledger is not None and ledger.run_id == run.id and ledger.status is KeyStatus.CLAIMED:
        ledger.status, ledger.released_at = KeyStatus.RELEASED, now


async def prune_keys(store: Store, *, now: datetime) -> int:
    """Delete keys that no longer block anything, released or expired; returns how many."""
    past = or_(col(IdempotencyKey.expires_at) <= now, col(IdempotencyKey.status) == KeyStatus.RELEASED)
    async with store.transaction() as session:
        gone = await session.execute(delete(IdempotencyKey).where(past))
        return int(getattr(gone, "rowcount", 0))
