"""Claim: take a dispatch for execution, or record why not. One transaction, so guards see what they change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, func, select

from ocs.rules import guards, idempotency, misfire, restored
from ocs.rules.budgets import Over
from ocs.rules.dispatch import Dispatch, DispatchContext, DispatchKind, RunStatus
from ocs.rules.guards import Ask, Forbid, Refuse, Skip, SkipReason, Snapshot, Verdict, Wait, WaitsFor
from ocs.spec import Job
from ocs.store import spending, trackers
from ocs.store.approval_gate import (
    ApprovalContext,
    ApprovalRequested,
    Asked,
    Declined,
    ask,
    asked_before,
    carried_over,
    drop,
    pending_of_job,
    waits_with_key,
)
from ocs.store.clock import database_clock
from ocs.store.engine import Store
from ocs.store.leases import context_of, dispatch_behind
from ocs.store.outbox import backlog
from ocs.store.queue import free_slots, locks, newest_running, running_of_job
from ocs.store.replacing import to_be_ended, withdraw_waiting
from ocs.store.restored import restored_from
from ocs.store.superseded import newer_claimed, run_row, skip
from ocs.store.tables import DispatchRow, DispatchStatus, IdempotencyKey, JobState, KeyStatus, Run
from ocs.store.ui_actions import note_start
from ocs.timing import timing


@dataclass(frozen=True, slots=True)
class Claimed:
    """The dispatch is ours to execute."""

    context: DispatchContext


@dataclass(frozen=True, slots=True)
class Rejected:
    """A guard stands against it; the run's record says why. The flow run ends with `status`."""

    run_id: UUID
    skip: Skip
    status: RunStatus = RunStatus.SKIPPED


@dataclass(frozen=True, slots=True)
class Queued:
    """It is queued; when it is released, publish makes another flow run for it. The flow runs `ends` end before."""

    dispatch_id: UUID
    wait: Wait
    ends: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Forbidden:
    """It may not run as it is; the run's record says why. Nothing follows from it."""

    run_id: UUID
    why: str


Claim = Claimed | Rejected | Queued | ApprovalRequested | Declined | Forbidden
NO_CONTEXT = ApprovalContext()


async def claim(
    store: Store,
    job: Job,
    dispatch: Dispatch,
    *,
    flow_run_id: UUID,
    owner: str,
    now: datetime,
    shown: ApprovalContext = NO_CONTEXT,
    entry: int | None = None,
    against: str | None = None,
) -> Claim:
    """Ask the guards, and write the run's row, its idempotency key and the dispatch's end, all at once.

    A flow run that is entered again goes on where it was, or is a further attempt: a person pressed Retry. `shown` is
    for people who approve it. `entry` counts the entries of the flow run, this one included, where that is known: two
    workers that took the same entry have the same count. `against` says why the run may not be at all, before any
    guard is asked.
    """
    async with store.transaction(lock=(*locks(job.id, job.limits.pool), *spending.lock_of(job))) as session:
        if (queued := await _queued_before(session, job, dispatch, flow_run_id, now)) is not None:
            return queued
        asked = await asked_before(session, dispatch.id, flow_run_id, now)
        previous = await _newest_run(session, flow_run_id) if asked is None else None
        if (had := await _claimed_before(session, previous, flow_run_id, owner, entry)) is not None:
            return had
        if previous is not None:
            dispatch = _further_attempt(dispatch, previous, now)
            await spending.settle(session, previous.id)
        if asked is not None:
            dispatch = dispatch_behind(asked.run)
        key = idempotency.key_for(job.id, dispatch, flow_run_id)
        snapshot = await _snapshot(session, job, dispatch, key, asked, now)
        verdict, ends = await _decided(session, job, dispatch, snapshot, now, against)
        if isinstance(verdict, Wait):
            return Queued(await _queue(session, job, dispatch, verdict, asked, flow_run_id, now), verdict, ends)
        run = _going_on_from(asked, flow_run_id, now) if asked else run_row(job, dispatch, flow_run_id, now)
        session.add(run)
        if asked is None:
            note_start(session, run, dispatch, now)
        await _end_dispatch(session, dispatch, flow_run_id)
        if isinstance(verdict, Ask):
            run.idempotency_key = key
            return await ask(session, job, dispatch, run, asked, shown, now, verdict.over)
        if isinstance(verdict, Refuse):
            return Declined(DispatchContext(run.id, job.id, flow_run_id, dispatch, key, now), verdict.why)
        if isinstance(verdict, Skip | Forbid):
            closed = _closed(run, asked, verdict, now)
            await spending.note_over(session, job, run, snapshot.costs, now)
            await trackers.note_run(session, run, now)
            return closed
        run.status, run.owner, run.idempotency_key = RunStatus.RUNNING, owner, key
        run.lease_until = await database_clock(session) + timing().lease
        await session.flush()
        await _claim_key(session, key, job, run.id, now)
        await spending.reserve(session, job, run, snapshot.costs, now)
        return Claimed(DispatchContext(run.id, job.id, flow_run_id, dispatch, key, now))


async def _decided(
    session: AsyncSession, job: Job, dispatch: Dispatch, snapshot: Snapshot, now: datetime, against: str | None
) -> tuple[Verdict | Forbid, tuple[UUID, ...]]:
    """What the guards say, and the flow runs that have to end because of it."""
    verdict = Forbid(against) if against else guards.decide(job, dispatch, snapshot, now)
    if not isinstance(verdict, Wait) or verdict.waits_for is not WaitsFor.OVERLAP or job.limits.overlap != "replace":
        return verdict, ()
    await withdraw_waiting(session, job, now, besides=dispatch.id)
    ends = await to_be_ended(session, job, now)
    queued = await backlog(session, job.id, besides=dispatch.id)
    return guards.decide(job, dispatch, replace(snapshot, running=len(ends), queued=queued), now), ends


@dataclass(frozen=True, slots=True)
class Dispatched:
    """A dispatch as it is written: of which job, how often published, and with which values where it has its own."""

    dispatch: Dispatch
    job_id: str
    publication: int
    parameters: dict[str, Any] | None


async def dispatched(store: Store, dispatch_id: UUID) -> Dispatched | None:
    """What is written of that dispatch, None when it is not one of ours."""
    async with store.reading() as session:
        row = await session.get(DispatchRow, dispatch_id)
    if row is None:
        return None
    dispatch = Dispatch(row.kind, row.scheduled_for, row.id, row.source_run, row.retry_of, row.attempt, row.replays)
    return Dispatched(dispatch, row.job_id, row.publication, row.parameters)


async def dispatch_of(store: Store, dispatch_id: UUID) -> Dispatch | None:
    """The dispatch of that id, None when it is not one of ours."""
    found = await dispatched(store, dispatch_id)
    return found.dispatch if found else None


async def _queued_before(
    session: AsyncSession, job: Job, dispatch: Dispatch, flow_run_id: UUID, now: datetime
) -> Queued | None:
    """The dispatch that this flow run has already queued: its worker died before it could say so."""
    row = await session.get(DispatchRow, flow_run_id) if dispatch.id is None else None
    if row is None or row.waits_for is None:
        return None
    waits = row.status is DispatchStatus.QUEUED and row.waits_for is WaitsFor.OVERLAP
    ends = await to_be_ended(session, job, now) if waits else ()
    return Queued(row.id, Wait(row.waits_for, "It is queued already, and goes on in a run of its own."), ends)


async def _newest_run(session: AsyncSession, flow_run_id: UUID) -> Run | None:
    newest_first = select(Run).where(Run.flow_run_id == flow_run_id).order_by(col(Run.attempt).desc())
    return (await session.scalars(newest_first.limit(1))).first()


async def _claimed_before(
    session: AsyncSession, previous: Run | None, flow_run_id: UUID, owner: str, entry: int | None
) -> Claimed | Rejected | None:
    """Return the run already claimed for this flow-run entry, or None."""
    if previous is None:
        return None
    if previous.status is RunStatus.RUNNING and await _is_executed(session, previous):
        return _going_on(previous, owner)
    if previous.status.final and await _had_its_run(session, flow_run_id, entry):
        had = Skip(SkipReason.DUPLICATE, previous.error or "Another worker has run it; nothing runs twice.")
        return Rejected(previous.id, had, previous.status)
    return None


async def _had_its_run(session: AsyncSession, flow_run_id: UUID, entry: int | None) -> bool:
    """Each entry of a flow run has one run at most."""
    if entry is None:
        return False
    return (await session.scalars(select(func.count()).where(Run.flow_run_id == flow_run_id))).one() >= entry


async def _is_executed(session: AsyncSession, run: Run) -> bool:
    return run.lease_until is not None and run.lease_until > await database_clock(session)


def _going_on(run: Run, owner: str) -> Claimed | Rejected:
    """This process has claimed it, and lost the answer; or another has, and this one came too late."""
    if run.owner == owner:
        return Claimed(context_of(run))
    return Rejected(run.id, Skip(SkipReason.DUPLICATE, f"It is already being executed, by {run.owner}."))


def _further_attempt(dispatch: Dispatch, previous: Run, now: datetime) -> Dispatch:
    if not previous.status.final:
        previous.status, previous.finished_at, previous.lease_until = RunStatus.CRASHED, now, None
        previous.error = "Its worker ended before it did."
    return replace(
        dispatch,
        id=None,
        kind=DispatchKind.RETRY,
        retry_of=previous.id,
        attempt=previous.attempt + 1,
        source_run=previous.parent_run,
    )


async def _snapshot(
    session: AsyncSession, job: Job, dispatch: Dispatch, key: str, asked: Asked | None, now: datetime
) -> Snapshot:
    ledger = await session.get(IdempotencyKey, key)
    row = await session.get(DispatchRow, dispatch.id) if dispatch.id else None
    state = await session.get(JobState, job.id)
    pool = job.limits.pool
    due = dispatch.scheduled_for
    is_late = dispatch.kind is DispatchKind.SCHEDULED and job.schedule and misfire.is_late(job.schedule, due, now)
    running = await running_of_job(session, job.id, now, besides=dispatch.id)
    recorded = asked.recorded if asked else await carried_over(session, dispatch)
    costs = await spending.weighed(session, job, recorded, now)
    is_asked = job.approval.required or isinstance(costs, Over)
    return Snapshot(
        running=running,
        in_the_way=await newest_running(session, job.id) if running else None,
        pool_free=await free_slots(session, pool, now, besides=dispatch.id) if pool else 1,
        queued=await backlog(session, job.id, besides=dispatch.id),
        has_waited=asked is not None or (row is not None and row.waiting_since is not None),
        key_claimed=(ledger is not None and ledger.status is KeyStatus.CLAIMED and ledger.expires_at > now)
        or await waits_with_key(session, key, besides=asked.run.id if asked else None),
        asked=recorded,
        pending_approvals=await pending_of_job(session, job.id) if is_asked else 0,
        costs=costs,
        newer=await newer_claimed(session, job.id, due) if is_late else None,
        unknown=restored.why_unknown(
            job, dispatch, await restored_from(session), asked.approval.decided_at if asked else None
        ),
        withdrawn=row is not None and row.status is DispatchStatus.CANCELLED,
        become_a_run=asked is None and row is not None and row.status is DispatchStatus.DONE,
        consecutive_errors=state.consecutive_errors if state else 0,
        last_finished_at=state.last_finished_at if state else None,
    )


async def _queue(
    session: AsyncSession,
    job: Job,
    dispatch: Dispatch,
    wait: Wait,
    asked: Asked | None,
    flow_run_id: UUID,
    now: datetime,
) -> UUID:
    """Queue the dispatch, and write it first when nobody has (it is the schedule's, or a person's).

    An approved run keeps its decision: it runs later as exactly what was approved.
    """
    row = await session.get(DispatchRow, dispatch.id) if dispatch.id else None
    if row is None:
        row = DispatchRow(
            id=flow_run_id,  # entered again, the flow run finds what it wrote
            job_id=job.id,
            kind=dispatch.kind,
            scheduled_for=dispatch.scheduled_for,
            attempt=dispatch.attempt,
            replays=dispatch.replays,
            source_run=dispatch.source_run,
            retry_of=dispatch.retry_of,
            # An occurrence runs the job as it is then; a person may have changed it for this run.
            parameters=None if dispatch.kind is DispatchKind.SCHEDULED else {"job": job.document()},
            created_at=now,
        )
        session.add(row)
    if asked is not None:
        await session.flush()
        asked.run.dispatch_id, row.parameters = row.id, {"job": job.document()}
    row.status, row.waits_for, row.pool = DispatchStatus.QUEUED, wait.waits_for, job.limits.pool
    row.waiting_since, row.flow_run_id = row.waiting_since or now, flow_run_id
    return row.id


def _closed(run: Run, asked: Asked | None, verdict: Skip | Forbid, now: datetime) -> Rejected | Forbidden:
    """The record of a run that does not run."""
    if asked is not None:
        drop(asked, verdict.why, now)
    if isinstance(verdict, Forbid):
        run.status, run.summary, run.error, run.finished_at = RunStatus.ERROR, verdict.why, verdict.why, now
        return Forbidden(run.id, verdict.why)
    skip(run, verdict.reason, verdict.why, now)
    run.in_its_way = verdict.in_its_way
    return Rejected(run.id, verdict)


def _going_on_from(asked: Asked, flow_run_id: UUID, now: datetime) -> Run:
    """The row that waited for a decision; an earlier flow run of its dispatch may have made it."""
    asked.run.flow_run_id, asked.run.started_at = flow_run_id, now
    return asked.run


async def _end_dispatch(session: AsyncSession, dispatch: Dispatch, flow_run_id: UUID) -> None:
    row = await session.get(DispatchRow, dispatch.id) if dispatch.id else None
    if row is not None and row.status is not DispatchStatus.CANCELLED:
        # The run can begin before the process that published it has marked it.
        row.status, row.flow_run_id = DispatchStatus.DONE, flow_run_id


async def _claim_key(session: AsyncSession, key: str, job: Job, run_id: UUID, now: datetime) -> None:
    ledger = await session.get(IdempotencyKey, key)
    if ledger is None:
        ledger = IdempotencyKey(key=key, job_id=job.id, run_id=run_id, status=KeyStatus.CLAIMED)
        session.add(ledger)
    ledger.run_id, ledger.status = run_id, KeyStatus.CLAIMED
    ledger.claimed_at, ledger.expires_at = now, idempotency.expires_at(job, now)
    ledger.released_at = ledger.result_hash = None
