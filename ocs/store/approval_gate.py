"""The approval gate inside the claim transaction: finding what was asked before, and asking.

A run that waits for a decision has its row already; the decision lets that same row go on, or ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules import approval_text
from ocs.rules.approval import ApprovalStatus, OnTimeout, Recorded, changed_parts, spec_digest, what_runs
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchContext, DispatchKind, RunStatus
from ocs.spec import Job
from ocs.store.approvals import notify, said_of, time_out
from ocs.store.audit import record
from ocs.store.leases import dispatch_behind
from ocs.store.tables import Approval, AuditEvent, DispatchRow, Run


@dataclass(frozen=True, slots=True)
class ApprovalContext:
    """What a request needs that the store does not know: the job as it is rolled out, and the run's page in the UI."""

    deployed: Job | None = None
    page: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """A person has to decide. `number` counts how often it was asked; `form` is the text above the form.

    `notifies` says that the job's target hears of it.
    """

    approval_id: UUID
    run_id: UUID
    number: int
    form: str
    notifies: bool = False


@dataclass(frozen=True, slots=True)
class Declined:
    """It was decided that the run does not go on."""

    context: DispatchContext
    why: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A run that waits, and the newest request for it."""

    run: Run
    approval: Approval

    @property
    def recorded(self) -> Recorded:
        found = self.approval
        return Recorded(found.status, found.spec_digest, said_of(found), found.over_budget)


async def asked_before(
    session: AsyncSession, dispatch_id: UUID | None, flow_run_id: UUID, now: datetime
) -> Asked | None:
    """The request of this flow run, or of an earlier one of its dispatch; one whose time is over is decided."""
    mine = col(Run.flow_run_id) == flow_run_id
    same = or_(mine, col(Run.dispatch_id) == dispatch_id) if dispatch_id else mine
    waiting = select(Run).where(Run.status == RunStatus.WAITING_APPROVAL, same)
    run = (await session.scalars(waiting.limit(1))).first()
    if run is None:
        return None
    newest = select(Approval).where(Approval.run_id == run.id).order_by(col(Approval.requested_at).desc()).limit(1)
    found = (await session.scalars(newest.with_for_update())).one()
    if found.status is ApprovalStatus.PENDING and found.expires_at <= now:
        time_out(session, found, now)
    return Asked(run, found)


async def carried_over(session: AsyncSession, dispatch: Dispatch) -> Recorded | None:
    """The approval of a run that was snoozed: the same attempt once more needs no other."""
    snoozed = await session.get(Run, dispatch.retry_of) if dispatch.retry_of else None
    if snoozed is None or dispatch.kind is not DispatchKind.RETRY or snoozed.attempt != dispatch.attempt:
        return None
    approved = select(Approval).where(Approval.run_id == snoozed.id, Approval.status == ApprovalStatus.APPROVED)
    found = (await session.scalars(approved.order_by(col(Approval.requested_at).desc()).limit(1))).first()
    if found is None:  # it may have been carried over to that run, too
        return await carried_over(session, dispatch_behind(snoozed))
    return Recorded(found.status, found.spec_digest, said_of(found), found.over_budget)


async def pending_of_job(session: AsyncSession, job_id: str) -> int:
    """How many runs of a job wait for a decision."""
    waiting = and_(col(Approval.job_id) == job_id, col(Approval.status) == ApprovalStatus.PENDING)
    return (await session.scalars(select(func.count()).where(waiting))).one()


async def waits_with_key(session: AsyncSession, key: str, besides: UUID | None) -> bool:
    """Whether another run waits for a decision with the same key."""
    same = and_(col(Run.idempotency_key) == key, col(Run.status) == RunStatus.WAITING_APPROVAL, col(Run.id) != besides)
    return (await session.scalars(select(func.count()).where(same))).one() > 0


async def ask(
    session: AsyncSession,
    job: Job,
    dispatch: Dispatch,
    run: Run,
    asked: Asked | None,
    shown: ApprovalContext,
    now: datetime,
    over: str | None = None,
) -> ApprovalRequested:
    """Have `run` wait for a decision about exactly this job; what was asked for another spec is withdrawn.

    `over` says why what it may cost does not fit; an approval from before that was known does not count.
    """
    run.status, run.owner, run.lease_until = RunStatus.WAITING_APPROVAL, None, None
    digest = spec_digest(job)
    before = asked.approval if asked else None
    is_same = before is not None and before.spec_digest == digest and (before.over_budget or over is None)
    if before is not None and before.status is ApprovalStatus.PENDING and is_same:
        before.asked += 1
        before.flow_run_id = run.flow_run_id
        return _asks(before, shown, notifies=False)
    if asked is not None:
        drop(asked, "What would run was changed, so it was asked for anew.", now)
    request = await _request(session, job, dispatch, run, shown, now)
    if over is not None:
        request.over_budget, request.why = True, f"{request.why}. {over}"
    session.add(request)
    record(
        session,
        "approval-asked",
        by=Attribution("scheduler", "gate", now),
        job_id=job.id,
        run_id=run.id,
        after={"approval": str(request.id), "spec": digest},
    )
    notifies = notify(session, request, approval_text.message(request_of(request, shown.page)), "asked", now)
    return _asks(request, shown, notifies=notifies)


async def _request(
    session: AsyncSession, job: Job, dispatch: Dispatch, run: Run, shown: ApprovalContext, now: datetime
) -> Approval:
    parent = await session.get(Run, dispatch.source_run) if dispatch.source_run else None
    why = approval_text.cause(
        dispatch, asked_by=await _asker(session, dispatch), parent_job=parent.job_id if parent else None
    )
    deliver = job.deliver
    return Approval(
        job_id=job.id,
        run_id=run.id,
        dispatch_id=dispatch.id,
        flow_run_id=run.flow_run_id,
        kind=dispatch.kind,
        parent_run=dispatch.source_run,
        spec_digest=spec_digest(job),
        deployed_digest=spec_digest(shown.deployed) if shown.deployed else None,
        what=what_runs(job),
        why=why,
        changed=changed_parts(job, shown.deployed) if shown.deployed else [],
        targets=list(deliver.to or deliver.on_failure) if deliver else [],
        requested_at=now,
        timeout_s=job.approval.timeout.total_seconds(),
        on_timeout=OnTimeout(job.approval.on_timeout),
        expires_at=now + job.approval.timeout,
    )


async def _asker(session: AsyncSession, dispatch: Dispatch) -> str | None:
    """Who asked for a dispatch: the audit trail has it, written in the same instant."""
    row = await session.get(DispatchRow, dispatch.id) if dispatch.id else None
    if row is None:
        return None
    asked = select(AuditEvent.actor).where(
        AuditEvent.job_id == row.job_id, AuditEvent.at == row.created_at, col(AuditEvent.action).in_(("run", "retry"))
    )
    return (await session.scalars(asked.limit(1))).first()


def drop(asked: Asked, why: str, now: datetime) -> None:
    """The run ends without a decision, so nobody is to be asked for one any more."""
    if asked.approval.status is ApprovalStatus.PENDING:
        asked.approval.status, asked.approval.decided_at, asked.approval.reason = ApprovalStatus.WITHDRAWN, now, why


def _asks(request: Approval, shown: ApprovalContext, *, notifies: bool) -> ApprovalRequested:
    text = approval_text.form(request_of(request, shown.page))
    return ApprovalRequested(request.id, request.run_id, request.asked, text, notifies)


def request_of(request: Approval, page: str | None) -> approval_text.Request:
    """The row as its texts need it."""
    return approval_text.Request(
        id=str(request.id),
        job_id=request.job_id,
        what=request.what,
        why=request.why,
        changed=tuple(request.changed),
        expires_at=request.expires_at,
        on_timeout=request.on_timeout,
        page=page,
    )
