"""Occurrences that never became runs: which of them have a record, and the dispatches of catch-up."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import delete, union
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchKind
from ocs.rules.misfire import CatchUp
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.outbox import PendingDispatch, pending
from ocs.store.tables import DispatchRow, Mark, Run

CAUGHT_UP = "caught-up"
BEHIND = "behind:"
DIGEST = 32


@dataclass(frozen=True, slots=True)
class Behind:
    """Jobs with a mark of their own."""

    marks: Mapping[str, datetime]

    def since(self, job_id: str) -> datetime | None:
        """From when on catch-up has to look at a job; None of one that is as far as the others."""
        return self.marks.get(_own_mark(job_id))


async def caught_up_until(store: Store) -> datetime | None:
    """Up to which instant catch-up has looked; None in a new store."""
    async with store.reading() as session:
        mark = await session.get(Mark, CAUGHT_UP)
        return mark.at if mark else None


async def behind(store: Store) -> Behind:
    """The jobs at which catch-up has failed, and from when on it has to look at them."""
    async with store.reading() as session:
        marks = await session.scalars(select(Mark).where(col(Mark.name).startswith(BEHIND)))
        return Behind({mark.name: mark.at for mark in marks})


async def mark_caught_up(store: Store, until: datetime, failed: Mapping[str, datetime] = MappingProxyType({})) -> None:
    """Note it, and since when those jobs that failed are behind. An earlier time than the one noted changes nothing."""
    async with store.transaction(lock=(CAUGHT_UP,)) as session:
        for name, at in {CAUGHT_UP: until, **{_own_mark(job_id): since for job_id, since in failed.items()}}.items():
            mark = await session.get(Mark, name)
            if mark is None:
                session.add(Mark(name=name, at=at))
            else:
                mark.at = max(mark.at, at)


async def mark_caught_up_again(store: Store, job_id: str) -> None:
    """Note that a job that was behind is as far as the others."""
    async with store.transaction(lock=(CAUGHT_UP,)) as session:
        await session.execute(delete(Mark).where(col(Mark.name) == _own_mark(job_id)))


def _own_mark(job_id: str) -> str:
    """An id may be longer than the name of a mark."""
    return BEHIND + hashlib.sha256(job_id.encode()).hexdigest()[:DIGEST]


async def recorded(store: Store, job_id: str, since: datetime) -> set[datetime]:
    """The occurrences of a job that have a run or a dispatch."""
    async with store.reading() as session:
        return await _recorded(session, job_id, since)


async def dispatch_missed(store: Store, job_id: str, chosen: CatchUp, now: datetime) -> list[PendingDispatch]:
    """Dispatch what was chosen and is still without a record, and note in the audit trail what is past already."""
    if not (chosen.dispatched or chosen.left_out):
        return []
    missed = sorted((*chosen.dispatched, *chosen.left_out))
    async with store.transaction(lock=(f"job:{job_id}",)) as session:
        known = await _recorded(session, job_id, missed[0])
        rows = [_row(job_id, instant, now) for instant in chosen.dispatched if instant not in known]
        session.add_all(rows)
        if missed[0] <= now:
            _note_missed(session, job_id, missed, len(rows), now)
        return [pending(row) for row in rows]


def _note_missed(
    session: AsyncSession, job_id: str, missed: Sequence[datetime], dispatched: int, now: datetime
) -> None:
    span = {"missed": len(missed), "first": missed[0].isoformat(), "last": missed[-1].isoformat()}
    after = {**span, "dispatched": dispatched}
    record(session, "occurrences-missed", job_id=job_id, by=Attribution("scheduler", "catch-up", now), after=after)


def _row(job_id: str, instant: datetime, now: datetime) -> DispatchRow:
    return DispatchRow(job_id=job_id, kind=DispatchKind.SCHEDULED, scheduled_for=instant, created_at=now)


async def _recorded(session: AsyncSession, job_id: str, since: datetime) -> set[datetime]:
    runs = select(Run.scheduled_for).where(Run.job_id == job_id, col(Run.scheduled_for) >= since)
    dispatches = select(DispatchRow.scheduled_for).where(
        DispatchRow.job_id == job_id, col(DispatchRow.scheduled_for) >= since
    )
    return set(await session.scalars(union(runs, dispatches)))
