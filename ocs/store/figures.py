"""Figures: what is counted for those who watch the scheduler, and what stands against its being well.

Every question is bounded: counts come from indexes, and of jobs and runs at most so many are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from ocs.rules.approval import ApprovalStatus
from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.store.clock import database_clock
from ocs.store.engine import Store
from ocs.store.occurrences import CAUGHT_UP
from ocs.store.outbox import OPEN
from ocs.store.tables import Approval, DispatchRow, DispatchStatus, JobState, Mark, Run
from ocs.store.tables_delivery import Delivery, DeliveryStatus
from ocs.store.tables_incidents import IncidentRow

MOST_INCIDENTS = 1000
PINGED = "pinged"
LATELY = timedelta(days=40)
"""A job that has not run for longer may be gone; nothing is said of it any more."""


@dataclass(frozen=True, slots=True)
class JobFigures:
    """A job's last success and its failures in a row."""

    last_ok_at: datetime | None
    failures_in_a_row: int


@dataclass(frozen=True, slots=True)
class Figures:
    """How everything stands at `at`. Ages are those of the oldest, in seconds; None where there is none."""

    at: datetime
    queue: Mapping[str, int] = field(default_factory=dict[str, int])
    queue_oldest: float | None = None
    outbox_oldest: float | None = None
    running: int = 0
    leases_run_out: int = 0
    deliveries: Mapping[str, int] = field(default_factory=dict[str, int])
    delivery_oldest: float | None = None
    approvals: int = 0
    incidents: Mapping[str, int] = field(default_factory=dict[str, int])
    jobs: Mapping[str, JobFigures] = field(default_factory=dict[str, JobFigures])


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended, as it is counted."""

    id: UUID
    job_id: str
    outcome: str
    is_first_of_schedule: bool
    scheduled_for: datetime
    started_at: datetime
    finished_at: datetime
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    cost: int | None = None


async def figures(store: Store, *, now: datetime, most_jobs: int) -> Figures:
    """Count everything once."""
    async with store.reading() as session:
        clock = await database_clock(session)
        is_running = col(Run.status) == RunStatus.RUNNING
        is_unsent = col(DispatchRow.status) == DispatchStatus.PENDING
        is_pending = col(Delivery.status) == DeliveryStatus.PENDING
        ready = func.coalesce(DispatchRow.released_at, DispatchRow.created_at)
        return Figures(
            at=now,
            queue=await _by_status(session, DispatchRow.status, col(DispatchRow.status).in_(OPEN)),
            queue_oldest=_age(now, await _least(session, DispatchRow.created_at, col(DispatchRow.status).in_(OPEN))),
            outbox_oldest=_age(now, await _least(session, ready, is_unsent)),
            running=await _count(session, Run.id, is_running),
            leases_run_out=await _count(session, Run.id, is_running, col(Run.lease_until) < clock),
            deliveries=await _by_status(session, Delivery.status),
            delivery_oldest=_age(now, await _least(session, Delivery.created_at, is_pending)),
            approvals=await _count(session, Approval.id, col(Approval.status) == ApprovalStatus.PENDING),
            incidents=await _incidents(session),
            jobs=await _jobs(session, now, most_jobs),
        )


async def ended_since(store: Store, since: datetime, *, most: int) -> list[EndedRun]:
    """Runs that ended after that moment, the oldest first."""
    columns: list[Any] = [Run.id, Run.job_id, Run.status, Run.kind, Run.scheduled_for, Run.started_at, Run.finished_at]
    columns += [Run.tokens_in, Run.tokens_out, Run.tokens_cached, Run.cost]
    ended = select(*columns).where(col(Run.finished_at) > since).order_by(col(Run.finished_at)).limit(most)
    async with store.reading() as session:
        return [
            EndedRun(
                row.id,
                row.job_id,
                str(row.status),
                row.kind is DispatchKind.SCHEDULED,
                row.scheduled_for,
                row.started_at,
                row.finished_at,
                row.tokens_in,
                row.tokens_out,
                row.tokens_cached,
                row.cost,
            )
            for row in await session.execute(ended)
        ]


async def standing_against(store: Store, *, now: datetime, overdue: timedelta) -> list[str]:
    """What of the store's records says that the scheduler is not well, in words."""
    async with store.reading() as session:
        looked = await session.get(Mark, CAUGHT_UP)
        ready = func.coalesce(DispatchRow.released_at, DispatchRow.created_at)
        unsent = await _least(session, ready, col(DispatchRow.status) == DispatchStatus.PENDING)
    found: list[str] = []
    if looked is None or now - looked.at > 2 * overdue:
        found.append("nobody has looked for missed occurrences lately")
    if unsent is not None and now - unsent > overdue:
        found.append("a dispatch waits to be sent to Prefect")
    return found


async def note_ping(store: Store, now: datetime) -> None:
    """Note that the outside was told that all is well."""
    async with store.transaction(lock=(PINGED,)) as session:
        mark = await session.get(Mark, PINGED)
        if mark is None:
            session.add(Mark(name=PINGED, at=now))
        else:
            mark.at = max(mark.at, now)


async def pinged_at(store: Store) -> datetime | None:
    """When the outside was told last; None when it never was."""
    async with store.reading() as session:
        mark = await session.get(Mark, PINGED)
        return mark.at if mark else None


async def _by_status(session: AsyncSession, status: Any, *which: ColumnElement[bool]) -> dict[str, int]:
    counted = await session.execute(select(status, func.count()).where(*which).group_by(status))
    return {str(row[0]): row[1] for row in counted}


async def _count(session: AsyncSession, column: Any, *which: ColumnElement[bool]) -> int:
    return (await session.scalars(select(func.count(column)).where(*which))).one()


async def _least(session: AsyncSession, moment: Any, *which: ColumnElement[bool]) -> datetime | None:
    return (await session.scalars(select(func.min(moment)).where(*which))).one()


async def _incidents(session: AsyncSession) -> dict[str, int]:
    is_told = (col(IncidentRow.closed_at).is_(None), col(IncidentRow.told_at).is_not(None))
    counted: dict[str, int] = {}
    for row in await session.scalars(select(IncidentRow).where(*is_told).limit(MOST_INCIDENTS)):
        for trouble in row.troubles:
            counted[trouble] = counted.get(trouble, 0) + 1
    return counted


async def _jobs(session: AsyncSession, now: datetime, most: int) -> dict[str, JobFigures]:
    lately = select(JobState).where(col(JobState.last_finished_at) > now - LATELY)
    states = await session.scalars(lately.order_by(col(JobState.job_id)).limit(most))
    return {state.job_id: JobFigures(state.last_ok_at, state.consecutive_errors) for state in states}


def _age(now: datetime, moment: datetime | None) -> float | None:
    return max(0.0, (now - moment).total_seconds()) if moment is not None else None
