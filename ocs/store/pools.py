"""Pools: slots that runs of several jobs share. A pool without a set number has one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules.attribution import Attribution
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.running import is_running
from ocs.store.tables import DispatchRow, DispatchStatus, Pool, Run

SLOTS = 1


@dataclass(frozen=True, slots=True)
class PoolUse:
    """A pool, and how much of it is in use."""

    name: str
    slots: int
    running: int
    waiting: int


async def slots_of(session: AsyncSession, name: str) -> int:
    """How many runs may execute in a pool at the same time."""
    pool = await session.get(Pool, name)
    return pool.slots if pool else SLOTS


async def set_slots(store: Store, name: str, slots: int, *, by: Attribution) -> None:
    """Give a pool its number of slots; audited. Runs that are above a lower number go on."""
    async with store.transaction(lock=(f"pool:{name}",)) as session:
        before = await slots_of(session, name)
        await session.merge(Pool(name=name, slots=slots))
        record(
            session,
            "pool-set",
            by=by,
            before={"pool": name, "slots": before},
            after={"pool": name, "slots": slots},
        )


async def pools(store: Store) -> list[PoolUse]:
    """The pools that were set or are in use, by name."""
    async with store.reading() as session:
        slots = {pool.name: pool.slots for pool in await session.scalars(select(Pool))}
        executing = select(Run.pool).where(col(Run.pool).is_not(None), is_running())
        running = Counter(await session.scalars(executing))
        queued = select(DispatchRow.pool).where(
            col(DispatchRow.pool).is_not(None), DispatchRow.status == DispatchStatus.QUEUED
        )
        waiting = Counter(await session.scalars(queued))
    names = sorted({*slots, *(name for name in (*running, *waiting) if name)})
    return [PoolUse(name, slots.get(name, SLOTS), running[name], waiting[name]) for name in names]
