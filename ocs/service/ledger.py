"""The idempotency ledger: which occasions have had their run, and letting one run again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from ocs.rules.attribution import Attribution
from ocs.service import session

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables import IdempotencyKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What keeps an occasion from running twice, and until when."""

    key: str
    job: str
    status: str
    run: UUID
    claimed_at: datetime
    released_at: datetime | None
    expires_at: datetime
    result_hash: str | None


async def keys(store: Store, job: str | None, *, limit: int) -> list[Key]:
    """The newest keys, of a job or of all.

    Raises:
        NotFound: no such job is in the catalogue, or has ever run.
    """
    from ocs.store import ledger

    chosen = await session.pick_ever_run(store, job) if job else None
    return [_record(row) for row in await ledger.keys(store, job=chosen, limit=limit)]


async def key(store: Store, given: str) -> Key:
    """The key that begins so.

    Raises:
        NotFound: none does, or several do.
    """
    from ocs.store import ledger

    return _record(await ledger.key_by_prefix(store, given))


async def release(store: Store, given: str, *, by: Attribution) -> Key:
    """Release a claimed key, so that its occasion may run again.

    Raises:
        NotFound: none begins so, or several do.
        Refused: it is released already.
    """
    from ocs.store import ledger

    chosen = await ledger.key_by_prefix(store, given)
    return _record(await ledger.release_key(store, chosen.key, by=by))


async def prune(store: Store) -> int:
    """Delete the keys that block nothing any more; returns how many."""
    from ocs.store import ledger

    return await ledger.prune_keys(store, now=session.now())


def _record(row: IdempotencyKey) -> Key:
    return Key(
        key=row.key,
        job=row.job_id,
        status=row.status,
        run=row.run_id,
        claimed_at=row.claimed_at,
        released_at=row.released_at,
        expires_at=row.expires_at,
        result_hash=row.result_hash,
    )
