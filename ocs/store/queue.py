"""Waiting for a turn: dispatches that found their pool full or an earlier run of their job still running.

A dispatch that waits keeps its row; each time it is let go on, publish makes a new flow run for it. Whoever frees a
slot lets the next ones go on in the same transaction, and what a killed run left unfreed the worker's upkeep finds.
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
    """How many runs of a job execute or were just let go on; the dispatch `besides` is not counted."""
    running = await _count(session, col(Run.job_id) == job_id, is_running())
    coming = and_(col(DispatchRow.job_id) == job_id, col(DispatchRow.waits_for) == WaitsFor.OVERLAP)
    return running + await _count(session, coming, _was_released(now), col(DispatchRow.id) != besides)


async def newest_running(session: AsyncSession, job_id: str) -> UUID | None:
    """The run of a job that began last, of those that have not ended."""
    running = select(Run.id).where(Run.job_id == job_id, is_running())
    return (await session.scalars(running.order_by(col(Run.started_at).desc()).limit(1))).first()


async def free_slots(session: AsyncSession, pool: str, now: datetime, *, besides: UUID | None = None) -> int:
    """How many slots of a pool neither a run has nor a dispatch that was just let go on, `besides` not counted."""
    running = await _count(session, col(Run.pool) == pool, is_running())
    coming = and_(col(DispatchRow.pool) == pool, col(DispatchRow.waits_for) == WaitsFor.POOL)
    kept = await _count(session, coming, _was_released(now), col(DispatchRow.id) != besides)
    return await slots_of(session, pool) - running - kept


async def release_waiting(session: AsyncSession, job_id: str, pool: str | None, now: datetime) -> list[DispatchRow]:
    """Let go on, in the order they came, whoever waits for this job or pool and now has room.

    The caller holds the locks of the job and of the pool.
    """
    concerned = or_(
        and_(col(DispatchRow.job_id) == job_id, col(DispatchRow.waits_for) == WaitsFor.OVERLAP),
        and_(col(DispatchRow.pool) == pool, col(DispatchRow.waits_for) == WaitsFor.POOL),
    )
    in_order = (
        select(DispatchRow)
        .where(DispatchRow.status == DispatchStatus.WAITING, concerned)
        .order_by(col(DispatchRow.scheduled_for), col(DispatchRow.created_at))
        .with_for_update(skip_locked=True)  # one that is being withdrawn just now
    )
    gone: list[DispatchRow] = []
    full: set[WaitsFor | None] = set()  # what one finds full is full for all behind it, however many they are
    for row in list(await session.scalars(in_order)):
        if row.waits_for in full:
            continue
        if not await _has_room(session, row, now):
            full.add(row.waits_for)
        else:
            row.status, row.released_at, row.turn = DispatchStatus.PENDING, now, row.turn + 1
            await session.flush()
            gone.append(row)
    return gone


async def release_all_waiting(store: Store, now: datetime) -> list[PendingDispatch]:
    """The same for every job and pool: what runs that died did not do."""
    async with store.reading() as session:
        waiting = select(DispatchRow.job_id, DispatchRow.pool).where(DispatchRow.status == DispatchStatus.WAITING)
        concerned = (await session.execute(waiting.distinct())).all()
    gone: list[PendingDispatch] = []
    for job_id, pool in concerned:
        async with store.transaction(lock=locks(job_id, pool)) as session:
            gone += [pending(row) for row in await release_waiting(session, job_id, pool, now)]
    return gone


def locks(job_id: str, pool: str | None) -> tuple[str, ...]:
    """What a transaction locks that asks or changes whose turn it is."""
    return (f"job:{job_id}", *((f"pool:{pool}",) if pool else ()))


async def _has_room(session: AsyncSession, row: DispatchRow, now: datetime) -> bool:
    if row.waits_for is WaitsFor.POOL and row.pool is not None:
        return await free_slots(session, row.pool, now) > 0
    return await running_of_job(session, row.job_id, now) == 0


def _was_released(now: datetime) -> ColumnElement[bool]:
    return and_(col(DispatchRow.status).in_(ON_THEIR_WAY), col(DispatchRow.released_at) > now - timing().slot_kept)


async def _count(session: AsyncSession, *conditions: ColumnElement[bool]) -> int:
    return (await session.scalars(select(func.count()).where(*conditions))).one()
