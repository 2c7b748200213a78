"""The outbox: dispatches written with what caused them, and published as flow runs afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchKind
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.readable import readable
from ocs.store.tables import DispatchRow, DispatchStatus, Run

OPEN = (DispatchStatus.PENDING, DispatchStatus.QUEUED, DispatchStatus.PUBLISHED)
"""A dispatch that has not become a run yet counts against `limits.max_queued`."""


@dataclass(frozen=True, slots=True)
class PendingDispatch:
    """An outbox row as publish needs it. `parameters` replace the deployment's own for this run.

    `publication` counts how often it was released or published again; each gets a flow run of its own.
    """

    id: UUID
    job_id: str
    kind: DispatchKind
    scheduled_for: datetime
    source_run: UUID | None = None
    retry_of: UUID | None = None
    attempt: int = 1
    parameters: dict[str, Any] | None = None
    publication: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """A dispatch that has a flow run and is no run yet: since when it could be one, and when it was published."""

    id: UUID
    flow_run_id: UUID
    ready_at: datetime
    sent_at: datetime


async def enqueue(
    store: Store,
    job_id: str,
    *,
    by: Attribution,
    max_queued: int = 25,
    parameters: Mapping[str, Any] | None = None,
    after: Run | None = None,
) -> PendingDispatch:
    """Write a dispatch that a person asks for, due now: a manual one, or the next attempt `after` an ended run.

    Raises:
        Refused: `max_queued` dispatches of the job have not become runs yet.
    """
    async with store.transaction(lock=(f"job:{job_id}",)) as session:
        waiting = await backlog(session, job_id)
        if waiting >= max_queued:
            raise Refused(
                f'{waiting} runs of "{job_id}" are waiting already, and limits.max_queued is {max_queued}.',
                hint=f"See them: ocs runs list --job {job_id}   Withdraw them: ocs jobs cancel {job_id}",
            )
        row = DispatchRow(
            job_id=job_id,
            kind=DispatchKind.RETRY if after else DispatchKind.MANUAL,
            scheduled_for=by.now,
            attempt=after.attempt + 1 if after else 1,
            source_run=after.parent_run if after else None,
            retry_of=after.id if after else None,
            created_at=by.now,
            parameters=dict(parameters) if parameters else None,
        )
        session.add(row)
        asked = {"parameters": dict(parameters)} if parameters else None
        action, run_id = ("retry", after.id) if after else ("run", None)
        record(session, action, job_id=job_id, run_id=run_id, by=by, after=asked)
        return pending(row)


async def pending_dispatches(store: Store, *, created_before: datetime, limit: int) -> list[PendingDispatch]:
    """Dispatches to publish, oldest first; younger rows the process that wrote them publishes."""
    waiting = (
        select(DispatchRow)
        .where(DispatchRow.status == DispatchStatus.PENDING, col(DispatchRow.created_at) <= created_before)
        .order_by(col(DispatchRow.scheduled_for), col(DispatchRow.created_at))
        .limit(limit)
    )
    async with store.reading() as session:
        return [pending(row) for row in await readable(session, DispatchRow, waiting)]


async def published_dispatches(store: Store, *, before: datetime) -> list[Sent]:
    """Dispatches that were due and published before then and have become no run, each with its flow run."""
    sent = (
        select(DispatchRow)
        .where(DispatchRow.status == DispatchStatus.PUBLISHED)
        .where(col(DispatchRow.published_at) < before, col(DispatchRow.scheduled_for) < before)
        .order_by(col(DispatchRow.scheduled_for))
    )
    async with store.reading() as session:
        rows = await readable(session, DispatchRow, sent)
    return [
        Sent(row.id, row.flow_run_id, _ready(row), row.published_at)
        for row in rows
        if row.flow_run_id is not None and row.published_at is not None
    ]


def _ready(row: DispatchRow) -> datetime:
    """Since when it can run: it is due, written and released."""
    return max(row.scheduled_for, row.created_at, row.released_at or row.created_at)


async def send_again(store: Store, sent: Sent) -> None:
    """Have publish make another flow run for it, unless it has become a run or was withdrawn meanwhile."""
    async with store.transaction() as session:
        row = await session.get_one(DispatchRow, sent.id, with_for_update=True)
        if row.status is DispatchStatus.PUBLISHED and row.flow_run_id == sent.flow_run_id:
            row.status, row.publication = DispatchStatus.PENDING, row.publication + 1


async def mark_published(store: Store, dispatch: PendingDispatch, flow_run_id: UUID, now: datetime) -> None:
    """Note that Prefect has the flow run. Harmless when that has begun already, or its dispatch is queued again."""
    async with store.transaction() as session:
        row = await session.get_one(DispatchRow, dispatch.id)
        if row.publication != dispatch.publication:
            return
        row.flow_run_id, row.published_at = flow_run_id, now
        if row.status is DispatchStatus.PENDING:
            row.status = DispatchStatus.PUBLISHED


async def backlog(session: AsyncSession, job_id: str, *, besides: UUID | None = None) -> int:
    """How many dispatches of the job have not become runs yet; `besides` does not count."""
    of_job = (col(DispatchRow.job_id) == job_id, col(DispatchRow.status).in_(OPEN))
    waiting = select(func.count()).where(*of_job, col(DispatchRow.id) != besides)
    return (await session.scalars(waiting)).one()


def pending(row: DispatchRow) -> PendingDispatch:
    """The row as a value that outlives its session."""
    return PendingDispatch(
        row.id,
        row.job_id,
        row.kind,
        row.scheduled_for,
        row.source_run,
        row.retry_of,
        row.attempt,
        row.parameters,
        row.publication,
    )
