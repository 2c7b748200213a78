"""Approvals: decide one, once; withdraw one; and what people and periodic maintenance ask about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import NotFound
from ocs.rules import approval_text
from ocs.rules.approval import TIMEOUT, ApprovalStatus, OnTimeout, checked_name, checked_reason, sentence
from ocs.rules.approval_text import Notice
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import RunStatus
from ocs.store import deliveries, trackers
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.outbox import OPEN
from ocs.store.queue import locks
from ocs.store.shortened import that_begin, the_one
from ocs.store.tables import Approval, DispatchRow, Run


@dataclass(frozen=True, slots=True)
class Decided:
    """How an approval stands, and whether it was this decision that counted: the first does."""

    approval: Approval
    counted: bool


@dataclass(frozen=True, slots=True)
class AtGate:
    """A run that waits at the gate, its newest request, and whether its decision is known.

    `is_queued` says that it was approved and is queued now.
    """

    approval: Approval
    flow_run_id: UUID
    is_queued: bool

    @property
    def is_decided(self) -> bool:
        return self.approval.status is not ApprovalStatus.PENDING


async def decide(
    store: Store,
    approval_id: UUID,
    *,
    approve: bool,
    by: Attribution,
    reason: str | None = None,
    login: str | None = None,
) -> Decided:
    """Record what a person decided, unless somebody or the time has decided before.

    `by` is who decided, from where and when. `login` is who typed it, where that is known.

    Raises:
        Refused: the name is empty or too long, or the reason too long; control characters in either.
    """
    by, why = replace(by, actor=checked_name(by.actor)), checked_reason(reason)
    async with store.transaction() as session:
        found = await session.get_one(Approval, approval_id, with_for_update=True)
        if found.status is not ApprovalStatus.PENDING:
            return Decided(found, counted=False)
        if found.expires_at <= by.now:
            time_out(session, found, by.now)
            return Decided(found, counted=False)
        found.reason = why
        status = ApprovalStatus.APPROVED if approve else ApprovalStatus.REJECTED
        _decide(session, found, status, by, login=login)
        return Decided(found, counted=True)


async def expire(store: Store, approval_id: UUID, now: datetime) -> Decided:
    """Do what the job says happens when nobody decides, if nobody has and the time is over."""
    async with store.transaction() as session:
        found = await session.get_one(Approval, approval_id, with_for_update=True)
        if found.status is not ApprovalStatus.PENDING or found.expires_at > now:
            return Decided(found, counted=False)
        time_out(session, found, now)
        return Decided(found, counted=True)


def time_out(session: AsyncSession, found: Approval, now: datetime) -> None:
    """The decision of the clock, in the transaction that found it due."""
    approves = found.on_timeout is OnTimeout.APPROVE
    status = ApprovalStatus.APPROVED if approves else ApprovalStatus.TIMED_OUT
    _decide(session, found, status, Attribution(TIMEOUT, TIMEOUT, now))


async def withdraw_approval(store: Store, approval_id: UUID, *, why: str, by: Attribution) -> Approval:
    """End a run that waits at the gate: it was cancelled, or its job changed. Nothing follows from it."""
    async with store.reading() as session:
        found = await session.get_one(Approval, approval_id)
    async with store.transaction(lock=locks(found.job_id, None)) as session:
        found = await session.get_one(Approval, approval_id, with_for_update=True)
        run = await session.get(Run, found.run_id, with_for_update=True)
        before = found.status
        if run is None or run.status is not RunStatus.WAITING_APPROVAL:
            return found
        run.status, run.finished_at, run.lease_until = RunStatus.CANCELLED, by.now, None
        run.summary = run.error = why
        await trackers.note_run(session, run, by.now)
        if before is ApprovalStatus.PENDING:
            found.status, found.reason, found.decided_at = ApprovalStatus.WITHDRAWN, why, by.now
            notify(session, found, approval_text.decided(found.job_id, found.status, said_of(found)), "decided", by.now)
        record(
            session,
            "approval-withdrawn",
            by=by,
            job_id=found.job_id,
            run_id=found.run_id,
            before={"approval": str(found.id), "status": before},
            after={"approval": str(found.id), "status": found.status, "why": why},
        )
        return found


async def at_the_gate(store: Store, *, flow_run_ids: Sequence[UUID] | None = None) -> list[AtGate]:
    """Every run that waits at the gate, or those of these flow runs, oldest request first."""
    wanted = (
        select(Approval, Run, DispatchRow.status)
        .join(Run, col(Run.id) == col(Approval.run_id))
        .outerjoin(DispatchRow, col(DispatchRow.id) == col(Run.dispatch_id))
        .where(Run.status == RunStatus.WAITING_APPROVAL)
        .order_by(col(Approval.requested_at))
    )
    if flow_run_ids is not None:
        wanted = wanted.where(col(Run.flow_run_id).in_(flow_run_ids))
    newest: dict[UUID, AtGate] = {}
    async with store.reading() as session:
        for approval, run, dispatch in (await session.execute(wanted)).all():
            newest[run.id] = AtGate(approval, run.flow_run_id, is_queued=dispatch in OPEN)
    return list(newest.values())


async def approvals(
    store: Store, *, job: str | None = None, pending_only: bool = False, limit: int = 100
) -> list[Approval]:
    """Requests, the newest `limit` of them, oldest first."""
    wanted = select(Approval).order_by(col(Approval.requested_at).desc()).limit(limit)
    if job is not None:
        wanted = wanted.where(Approval.job_id == job)
    if pending_only:
        wanted = wanted.where(Approval.status == ApprovalStatus.PENDING)
    async with store.reading() as session:
        return list(reversed(list(await session.scalars(wanted))))


async def approval_by(store: Store, given: str) -> Approval:
    """The approval whose id begins so or its run's, or the only pending one of the job of that id, else its newest.

    Raises:
        NotFound: there is none, or there are several; they are named.
    """
    async with store.reading() as session:
        found = list(await session.scalars(select(Approval).order_by(col(Approval.requested_at))))
    of_job = [each for each in found if each.job_id == given]
    waiting = [each for each in of_job if each.status is ApprovalStatus.PENDING]
    if len(waiting) == 1:
        return waiting[0]
    if waiting:
        ids = ", ".join(str(each.id)[:8] for each in waiting)
        raise NotFound(f"{len(waiting)} runs of {given} wait for approval: {ids}.", hint="Name one of them.")
    if of_job:
        return of_job[-1]
    begun = that_begin(found, given, by=lambda each: each.id) or _of_runs(found, given)
    if not begun:
        raise NotFound(f'No approval and no waiting job "{given}".', hint="See what waits: ocs approvals list")
    return the_one(begun, given, "approval", by=lambda each: each.id, hint="See what waits: ocs approvals list")


def _of_runs(found: Sequence[Approval], given: str) -> list[Approval]:
    """The newest approval of each run that has such an id, of its own, its dispatch or its flow run."""
    of_run = that_begin(found, given, by=lambda each: each.run_id)
    of_flow_run = that_begin(found, given, by=lambda each: each.flow_run_id)
    of_dispatch = that_begin(found, given, by=lambda each: each.dispatch_id)
    return list({each.run_id: each for each in found if each in [*of_run, *of_flow_run, *of_dispatch]}.values())


async def approvals_of_run(store: Store, run_id: UUID) -> list[Approval]:
    """What was asked for a run, oldest first."""
    wanted = select(Approval).where(Approval.run_id == run_id).order_by(col(Approval.requested_at))
    async with store.reading() as session:
        return list(await session.scalars(wanted))


def notify(session: AsyncSession, request: Approval, message: Notice, what: str, now: datetime) -> bool:
    """Write a message to the job's targets, in the transaction it tells of; returns whether there is one to tell."""
    if not request.targets:
        return False
    deliveries.enqueue(
        session,
        job_id=request.job_id,
        run_id=request.run_id,
        targets=request.targets,
        subject=message.subject,
        body=message.body,
        kind="approval",
        now=now,
        dedup=f"approval:{request.id}:{what}",
    )
    return True


def said_of(found: Approval) -> str:
    """How it stands, in a sentence."""
    return sentence(
        found.status,
        by=found.decided_by,
        decided_from=found.decided_from,
        reason=found.reason,
        timeout=timedelta(seconds=found.timeout_s),
    )


def _decide(
    session: AsyncSession,
    found: Approval,
    status: ApprovalStatus,
    by: Attribution,
    *,
    login: str | None = None,
) -> None:
    before = found.status
    found.status, found.decided_by, found.decided_from, found.decided_at = status, by.actor, by.source, by.now
    notify(session, found, approval_text.decided(found.job_id, status, said_of(found)), "decided", by.now)
    typed = {"login": login} if login and login != by.actor else {}
    record(
        session,
        f"approval-{status.replace('_', '-')}",
        by=by,
        job_id=found.job_id,
        run_id=found.run_id,
        before={"approval": str(found.id), "status": before},
        after={"approval": str(found.id), "status": status, "reason": found.reason, **typed},
    )
