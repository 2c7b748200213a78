"""The queue: dispatches that found their pool full or an earlier run of their job still running.

A queued dispatch keeps its row; publish makes a new flow run for it after each release. The transaction that frees a
slot releases the next ones, and periodic maintenance those that a killed run would have released.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules.guards import WaitsFor
from ocs.store.engine import Store
from ocs.store.outbox import PendingDispatch, pending
from ocs.store.pools import slots_of
from ocs.store.running import is_running
from ocs.store.tables import DispatchRow, DispatchStatus, Run
from ocs.timing import timing

ON_THEIR_WAY = (DispatchStatus.PENDING, DispatchStatus.PUBLISHED)


async def running_of_job(session: AsyncSession, job_id: str, now: datetime, *, besides: UUID | None = None) -> int:
    """How many runs of a job execute or were just released; the dispatch `besides` does not count."""
    running = await _count(session, col(Run.job_id) == job_id, is_running())
    coming = and_(col(DispatchRow.job_id) == job_id, col(DispatchRow.waits_for) == WaitsFor.OVERLAP)
    return running + await _count(session, coming, _was_released(now), col(DispatchRow.id) != besides)


async def newest_running(session: AsyncSession, job_id: str) -> UUID | None:
    """The run of a job that began last, of those that have not ended."""
    running = select(Run.id).where(Run.job_id == job_id, is_running())
    return (await session.scalars(running.order_by(col(Run.started_at).desc()).limit(1))).first()


async def free_slots(session: AsyncSession, pool: str, now: datetime, *, besides: UUID | None = None) -> int:
    """How many slots of a pool no run has and no dispatch that was just released; `besides` does not count."""
    running = await _count(session, col(Run.pool) == pool, is_running())
    coming = and_(col(DispatchRow.pool) == pool, col(DispatchRow.waits_for) == WaitsFor.POOL)
    kept = await _count(session, coming, _was_released(now), col(DispatchRow.id) != besides)
    return await slots_of(session, pool) - running - kept


async def release_waiting(session: AsyncSession, job_id: str, pool: str | None, now: datetime) -> list[DispatchRow]:
    """Release queued dispatches of this job or pool, first in first out, while there is room.

    The caller holds the locks of the job and of the pool.
    """
    concerned = or_(
        and_(col(DispatchRow.job_id) == job_id, col(DispatchRow.waits_for) == WaitsFor.OVERLAP),
        and_(col(DispatchRow.pool) == pool, col(DispatchRow.waits_for) == WaitsFor.POOL),
    )
    in_order = (
        select(DispatchRow)
        .where(DispatchRow.status == DispatchStatus.QUEUED, concerned)
        .order_by(col(DispatchRow.scheduled_for), col(DispatchRow.created_at))
        .with_for_update(skip_locked=True)  # somebody may just be withdrawing one
    )
    released: list[DispatchRow] = []
    full: set[WaitsFor | None] = set()  # what one finds full is full for all behind it
    for row in list(await session.scalars(in_order)):
        if row.waits_for in full:
            continue
        if not await _has_room(session, row, now):
            full.add(row.waits_for)
        else:
            row.status, row.released_at, row.publication = DispatchStatus.PENDING, now, row.publication + 1
            await session.flush()
            released.append(row)
    return released


async def release_all_waiting(store: Store, now: datetime) -> list[PendingDispatch]:
    """The same for every job and pool, in the place of runs that died."""
    async with store.reading() as session:
        waiting = select(DispatchRow.job_id, DispatchRow.pool).where(DispatchRow.status == DispatchStatus.QUEUED)
        concerned = (await session.execute(waiting.distinct())).all()
    released: list[PendingDispatch] = []
    for job_id, pool in concerned:
        async with store.transaction(lock=locks(job_id, pool)) as session:
            released += [pending(row) for row in await release_waiting(session, job_id, pool, now)]
    return released


def locks(job_id: str, pool: str | None) -> tuple[str, ...]:
    """What a transaction locks that asks for a slot or frees one."""
    return (f"job:{job_id}", *((f"pool:{pool}",) if pool else ()))


async def _has_room(session: AsyncSession, row: DispatchRow, now: datetime) -> bool:
    if row.waits_for is WaitsFor.POOL and row.pool is not None:
        return await free_slots(session, row.pool, now) > 0
    return await running_of_job(session, row.job_id, now) == 0


def _was_released(now: datetime) -> ColumnElement[bool]:
    return and_(col(DispatchRow.status).in_(ON_THEIR_WAY), col(DispatchRow.released_at) > now - timing().slot_kept)


async def _count(session: AsyncSession, *conditions: ColumnElement[bool]) -> int:
    return (await session.scalars(select(func.count()).where(*conditions))).one()
