"""Claim: take a dispatch for execution, or record why not. One transaction, so guards see what they change (W25)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules import guards, idempotency
from ocs.rules.dispatch import Dispatch, DispatchContext, DispatchKind, RunStatus
from ocs.rules.guards import Skip, Snapshot, Wait
from ocs.spec import Job
from ocs.store.engine import Store
from ocs.store.outbox import backlog
from ocs.store.running import is_running
from ocs.store.tables import DispatchRow, DispatchStatus, IdempotencyKey, JobState, KeyStatus, Run
from ocs.store.waiting import free_slots, locks, running_of_job

LEASE = timedelta(seconds=60)
"""How long a run counts as alive after its last sign of life."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The dispatch is ours to execute."""

    context: DispatchContext


@dataclass(frozen=True, slots=True)
class Rejected:
    """A guard stood against it; the run's record says why (W37)."""

    run_id: UUID
    skip: Skip


@dataclass(frozen=True, slots=True)
class Deferred:
    """It waits for its turn, and goes on in a flow run of its own."""

    dispatch_id: UUID
    wait: Wait


async def claim(
    store: Store, job: Job, dispatch: Dispatch, *, flow_run_id: UUID, owner: str, now: datetime
) -> Claimed | Rejected | Deferred:
    """Ask the guards, and write the run's row, its idempotency key and the dispatch's end, all at once.

    A flow run that was here before is a further attempt: a person pressed Retry, or its worker died.
    """
    async with store.transaction(lock=locks(job.id, job.limits.pool)) as session:
        dispatch = await _as_further_attempt(session, dispatch, flow_run_id, now)
        key = idempotency.key_for(job.id, dispatch, flow_run_id)
        snapshot = await _snapshot(session, job, dispatch, key, now)
        verdict = guards.decide(job, dispatch, snapshot, now)
        if isinstance(verdict, Wait):
            return Deferred(await _wait(session, job, dispatch, verdict, flow_run_id, now), verdict)
        run = _run_row(job, dispatch, flow_run_id, now)
        session.add(run)
        await _end_dispatch(session, dispatch, flow_run_id)
        if isinstance(verdict, Skip):
            run.status, run.skip_reason = RunStatus.SKIPPED, verdict.reason
            run.summary, run.finished_at = verdict.why, now
            return Rejected(run.id, verdict)
        run.owner, run.lease_until, run.idempotency_key = owner, now + LEASE, key
        await session.flush()
        await _claim_key(session, key, job, run.id, now)
        return Claimed(DispatchContext(run.id, job.id, flow_run_id, dispatch, key, now))


async def renew_leases(store: Store, run_ids: list[UUID], now: datetime) -> None:
    """Say that these runs are alive."""
    async with store.transaction() as session:
        for run in await session.scalars(select(Run).where(col(Run.id).in_(run_ids), is_running())):
            run.lease_until = now + LEASE


async def record_process(store: Store, run_id: UUID, pid: int, started_at: float) -> None:
    """Remember which process (group) a run is, by id and start time."""
    async with store.transaction() as session:
        run = await session.get_one(Run, run_id)
        run.pid, run.pid_started_at = pid, started_at


async def dispatch_of(store: Store, dispatch_id: UUID) -> Dispatch | None:
    """The dispatch of that id, None when it is not one of ours."""
    async with store.reading() as session:
        row = await session.get(DispatchRow, dispatch_id)
    if row is None:
        return None
    return Dispatch(row.kind, row.scheduled_for, row.id, row.source_run, row.retry_of, row.attempt)


async def _as_further_attempt(session: AsyncSession, dispatch: Dispatch, flow_run_id: UUID, now: datetime) -> Dispatch:
    newest_first = select(Run).where(Run.flow_run_id == flow_run_id).order_by(col(Run.attempt).desc())
    previous = (await session.scalars(newest_first.limit(1))).first()
    if previous is None:
        return dispatch
    if not previous.status.final:
        previous.status, previous.finished_at = RunStatus.CRASHED, now
        previous.error = "Its worker ended before it did."
    return replace(
        dispatch,
        id=None,
        kind=DispatchKind.RETRY,
        retry_of=previous.id,
        attempt=previous.attempt + 1,
        source_run=previous.parent_run,
    )


async def _snapshot(session: AsyncSession, job: Job, dispatch: Dispatch, key: str, now: datetime) -> Snapshot:
    ledger = await session.get(IdempotencyKey, key)
    row = await session.get(DispatchRow, dispatch.id) if dispatch.id else None
    state = await session.get(JobState, job.id)
    pool = job.limits.pool
    return Snapshot(
        running=await running_of_job(session, job.id, now, besides=dispatch.id),
        pool_free=await free_slots(session, pool, now, besides=dispatch.id) if pool else 1,
        queued=await backlog(session, job.id, besides=dispatch.id),
        has_waited=row is not None and row.waiting_since is not None,
        key_claimed=ledger is not None and ledger.status is KeyStatus.CLAIMED and ledger.expires_at > now,
        withdrawn=row is not None and row.status is DispatchStatus.CANCELLED,
        consecutive_errors=state.consecutive_errors if state else 0,
        last_finished_at=state.last_finished_at if state else None,
    )


async def _wait(
    session: AsyncSession, job: Job, dispatch: Dispatch, wait: Wait, flow_run_id: UUID, now: datetime
) -> UUID:
    """Put the dispatch in line; one that nobody has written yet (the schedule's, a person's) is written now."""
    row = await session.get(DispatchRow, dispatch.id) if dispatch.id else None
    if row is None:
        row = DispatchRow(
            job_id=job.id,
            kind=dispatch.kind,
            scheduled_for=dispatch.scheduled_for,
            attempt=dispatch.attempt,
            source_run=dispatch.source_run,
            retry_of=dispatch.retry_of,
            # An occurrence runs the job as it is then; a person may have changed it for this run.
            parameters=None if dispatch.kind is DispatchKind.SCHEDULED else {"job": job.document()},
            created_at=now,
        )
        session.add(row)
    row.status, row.waits_for, row.pool = DispatchStatus.WAITING, wait.waits_for, job.limits.pool
    row.waiting_since, row.flow_run_id = row.waiting_since or now, flow_run_id
    return row.id


def _run_row(job: Job, dispatch: Dispatch, flow_run_id: UUID, now: datetime) -> Run:
    return Run(
        job_id=job.id,
        pool=job.limits.pool,
        kind=dispatch.kind,
        status=RunStatus.RUNNING,
        attempt=dispatch.attempt,
        flow_run_id=flow_run_id,
        dispatch_id=dispatch.id,
        parent_run=dispatch.source_run,
        retry_of=dispatch.retry_of,
        scheduled_for=dispatch.scheduled_for,
        started_at=now,
    )


async def _end_dispatch(session: AsyncSession, dispatch: Dispatch, flow_run_id: UUID) -> None:
    row = await session.get(DispatchRow, dispatch.id) if dispatch.id else None
    if row is not None and row.status is not DispatchStatus.CANCELLED:
        # The run can begin before whoever published it has marked it.
        row.status, row.flow_run_id = DispatchStatus.DONE, flow_run_id


async def _claim_key(session: AsyncSession, key: str, job: Job, run_id: UUID, now: datetime) -> None:
    ledger = await session.get(IdempotencyKey, key)
    if ledger is None:
        ledger = IdempotencyKey(key=key, job_id=job.id, run_id=run_id, status=KeyStatus.CLAIMED)
        session.add(ledger)
    ledger.run_id, ledger.status = run_id, KeyStatus.CLAIMED
    ledger.claimed_at, ledger.expires_at = now, idempotency.expires_at(job, now)
    ledger.released_at = ledger.result_hash = None
