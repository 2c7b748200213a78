"""Deliveries: each is written in the transaction that causes it, one sender at a time takes it, none sends it twice.

A sender takes a delivery for a short while (a lease) in a transaction, sends its parts, and notes each one that was
acknowledged. Should it die, another goes on after the last noted part when the lease is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, exists, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.rules.delivery import printable
from ocs.rules.wording import seconds, utc
from ocs.store.audit import record
from ocs.store.clock import database_clock
from ocs.store.engine import Store
from ocs.store.tables import Run
from ocs.store.tables_delivery import Delivery, DeliveryStatus
from ocs.timing import timing

LONGEST_ERROR = 500
LOCK = "deliveries"


@dataclass(frozen=True, slots=True)
class Sending:
    """A delivery that a sender has taken. `attempt` counts since the last time a person asked for it."""

    id: UUID
    job_id: str
    run_id: UUID | None
    kind: str
    target: str
    subject: str
    body: str
    images: tuple[str, ...]
    created_at: datetime
    parts: int
    parts_sent: int
    attempts: int
    attempt: int
    how_it_went: Mapping[str, object] = field(default_factory=dict[str, object])
    """Of its run, for programs: status, exit code, attempt, times; empty where the run is not on record."""


def enqueue(
    session: AsyncSession,
    *,
    job_id: str,
    run_id: UUID | None,
    targets: Sequence[str],
    subject: str,
    body: str,
    kind: str,
    now: datetime,
    images: Sequence[str] = (),
    dedup: str | None = None,
) -> None:
    """Add a delivery to each target to the transaction that does what it reports; senders take them after the commit.

    `kind` says in a word what it reports (run, approval, crash). Of several to a target with the same `dedup` one is
    sent.
    """
    session.add_all(
        Delivery(
            job_id=job_id,
            run_id=run_id,
            kind=kind,
            target=target,
            subject=printable(subject),
            body=printable(body),
            images=list(images),
            dedup=dedup,
            next_attempt_at=now,
            created_at=now,
        )
        for target in targets
    )


async def take_due(store: Store, *, now: datetime, limit: int, run_id: UUID | None = None) -> list[Sending]:
    """Take deliveries that are due and that nobody sends, oldest first; of one run alone if it is named.

    Of those with the same `dedup` and target it deletes all but one.
    """
    taken: list[Delivery] = []
    async with store.transaction(lock=(LOCK,)) as session:
        clock = await database_clock(session)
        oldest_first = select(Delivery).order_by(col(Delivery.created_at), col(Delivery.id)).limit(limit)
        due = oldest_first.where(_is_due(now), _is_free(clock))
        if run_id is not None:
            due = due.where(Delivery.run_id == run_id)
        for row in list(await session.scalars(due.with_for_update(skip_locked=True))):
            if await _is_repetition(session, row):
                await session.delete(row)
                continue
            row.attempts, row.lease_until = row.attempts + 1, clock + timing().delivery_lease
            await session.flush()
            taken.append(row)
        return [_sending(row, await session.get(Run, row.run_id) if row.run_id else None) for row in taken]


async def note_part(store: Store, sending: Sending, *, sent: int, parts: int) -> bool:
    """Note that so many of its parts were acknowledged. False when it is no longer ours to send."""
    async with store.transaction() as session:
        row = await _ours(session, sending)
        if row is None:
            return False
        row.parts, row.parts_sent = parts, sent
        row.lease_until = await database_clock(session) + timing().delivery_lease
        return True


async def mark_sent(store: Store, sending: Sending, *, now: datetime) -> None:
    """All of it was acknowledged."""
    async with store.transaction() as session:
        row = await _ours(session, sending)
        if row is not None:
            row.status, row.ended_at = DeliveryStatus.SENT, now
            row.lease_until = row.last_error = None


async def mark_failed(store: Store, sending: Sending, *, error: str, again_at: datetime | None, now: datetime) -> None:
    """It could not be sent: try again at that moment, or never (a dead letter)."""
    async with store.transaction() as session:
        row = await _ours(session, sending)
        if row is None:
            return
        row.last_error, row.lease_until = printable(error)[:LONGEST_ERROR], None
        if again_at is None:
            row.status, row.ended_at = DeliveryStatus.FAILED, now
        else:
            row.next_attempt_at = again_at


async def try_again(store: Store, delivery_id: UUID, *, by: Attribution) -> Delivery:
    """Send a dead letter again, or a pending delivery at once, without its acknowledged parts. Audited.

    Raises:
        Refused: it was sent or withdrawn.
    """
    async with store.transaction() as session:
        row = await session.get_one(Delivery, delivery_id, with_for_update=True)
        if row.status not in (DeliveryStatus.PENDING, DeliveryStatus.FAILED):
            raise Refused(
                f"The delivery {str(row.id)[:8]} of {row.job_id} was {row.status}; there is nothing to retry."
            )
        _audit(session, "delivery-retried", row, by)
        row.status, row.ended_at, row.next_attempt_at = DeliveryStatus.PENDING, None, by.now
        row.attempts_before = row.attempts
        return row


async def withdraw_delivery(store: Store, delivery_id: UUID, *, by: Attribution) -> Delivery:
    """Give up a pending delivery or a dead letter. Audited.

    Raises:
        Refused: it was sent or withdrawn.
    """
    async with store.transaction() as session:
        row = await session.get_one(Delivery, delivery_id, with_for_update=True)
        if row.status not in (DeliveryStatus.PENDING, DeliveryStatus.FAILED):
            raise Refused(f"The delivery {str(row.id)[:8]} of {row.job_id} does not wait any more: {row.status}.")
        _audit(session, "delivery-withdrawn", row, by)
        row.status, row.ended_at = DeliveryStatus.WITHDRAWN, by.now
        return row


async def of_runs(store: Store, run_ids: Sequence[UUID]) -> dict[UUID, list[Delivery]]:
    """The deliveries of each of these runs, oldest first."""
    wanted = select(Delivery).where(col(Delivery.run_id).in_(run_ids)).order_by(col(Delivery.created_at))
    found: dict[UUID, list[Delivery]] = {}
    async with store.reading() as session:
        for row in await session.scalars(wanted):
            if row.run_id is not None:
                found.setdefault(row.run_id, []).append(row)
    return found


async def unsent(store: Store, *, job: str | None = None) -> list[Delivery]:
    """Pending deliveries and dead letters, oldest first."""
    open_ = (DeliveryStatus.PENDING, DeliveryStatus.FAILED)
    wanted = select(Delivery).where(col(Delivery.status).in_(open_)).order_by(col(Delivery.created_at))
    if job is not None:
        wanted = wanted.where(Delivery.job_id == job)
    async with store.reading() as session:
        return list(await session.scalars(wanted))


async def prune_deliveries(store: Store, *, before: datetime) -> int:
    """Delete what was sent or withdrawn before that moment; returns how many."""
    past = (DeliveryStatus.SENT, DeliveryStatus.WITHDRAWN)
    old = delete(Delivery).where(col(Delivery.status).in_(past), col(Delivery.ended_at) < before)
    async with store.transaction() as session:
        return int(getattr(await session.execute(old), "rowcount", 0))


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(col(Delivery.status) == DeliveryStatus.PENDING, col(Delivery.next_attempt_at) <= now)


def _is_free(clock: datetime) -> ColumnElement[bool]:
    """Nobody sends it, by the clock that gives the leases."""
    return or_(col(Delivery.lease_until).is_(None), col(Delivery.lease_until) <= clock)


async def _is_repetition(session: AsyncSession, row: Delivery) -> bool:
    """Whether another row reports the same, and was begun or written before this one."""
    if row.dedup is None or row.attempts:
        return False
    other = aliased(Delivery)
    earlier = or_(
        col(other.attempts) > 0,
        col(other.created_at) < row.created_at,
        and_(col(other.created_at) == row.created_at, col(other.id) < row.id),
    )
    same = exists().where(
        col(other.dedup) == row.dedup, col(other.target) == row.target, col(other.id) != row.id, earlier
    )
    return bool((await session.scalars(select(same))).one())


async def _ours(session: AsyncSession, sending: Sending) -> Delivery | None:
    row = await session.get(Delivery, sending.id, with_for_update=True)
    still = row is not None and row.status is DeliveryStatus.PENDING and row.attempts == sending.attempts
    return row if still else None


def _audit(session: AsyncSession, action: str, row: Delivery, by: Attribution) -> None:
    before = {"delivery": str(row.id), "target": row.target, "status": str(row.status), "attempts": row.attempts}
    record(session, action, job_id=row.job_id, run_id=row.run_id, by=by, before=before)


def _sending(row: Delivery, run: Run | None) -> Sending:
    return Sending(
        row.id,
        row.job_id,
        row.run_id,
        row.kind,
        row.target,
        row.subject,
        row.body,
        tuple(row.images),
        row.created_at,
        row.parts,
        row.parts_sent,
        row.attempts,
        row.attempts - row.attempts_before,
        _how_it_went(run) if run is not None else {},
    )


def _how_it_went(run: Run) -> dict[str, object]:
    return {
        "status": str(run.status),
        "exit_code": run.exit_code,
        "attempt": run.attempt,
        "scheduled_for": utc(run.scheduled_for),
        "started_at": utc(run.started_at),
        "finished_at": utc(run.finished_at),
        "duration_s": seconds(run.duration),
        "flow_run": str(run.flow_run_id),
    }
