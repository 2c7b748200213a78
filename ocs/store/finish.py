"""Finish: a run's result and every consequence of it, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules import delivery, idempotency, outcome, triggers
from ocs.rules.dispatch import DispatchContext, DispatchKind, DispatchResult, IdempotencyAction, RunStatus
from ocs.rules.replay import after_crash
from ocs.rules.retry import Again, GiveUp, Snooze, next_attempt, same_attempt
from ocs.rules.triggers import Answer
from ocs.spec import Agent, Job, Main
from ocs.store import deliveries, inbox, incidents, spending, trackers
from ocs.store.costs import note_use
from ocs.store.engine import Store
from ocs.store.leases import Lease, last_heartbeat_of
from ocs.store.outbox import OPEN, PendingDispatch, backlog, pending
from ocs.store.queue import locks, release_waiting
from ocs.store.replacing import REPLACED, was_replaced
from ocs.store.tables import DispatchRow, IdempotencyKey, JobState, KeyStatus, Run
from ocs.store.ui_actions import note_cancel

FAILED = (RunStatus.ERROR, RunStatus.TIMEOUT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run ended, in a sentence, and what follows from it.

    `released` are dispatches that were queued for this run's end, and the job that follows a tracker whose last member
    it was; `targets` hear of it. `stale` says that somebody else
    had ended the run meanwhile, and nothing was written.
    """

    status: RunStatus
    why: str
    consequences: tuple[PendingDispatch, ...] = ()
    released: tuple[PendingDispatch, ...] = ()
    targets: tuple[str, ...] = ()
    stale: bool = False


async def finish(
    store: Store,
    job: Job,
    context: DispatchContext,
    result: DispatchResult,
    *,
    children: Sequence[Job],
    answers: Mapping[str, Answer] | None = None,
    now: datetime,
    spread: float = 0,
    link: str | None = None,
    last_heartbeat: datetime | None = None,
) -> Outcome:
    """Record the result, the key's fate, the job's state, a retry, a replay or the children, and the notification.

    Children fire only when nothing of the job's own follows; a cancelled run has no consequences. `answers` says
    of those with a condition whether the output fulfils it, evaluated before this. `spread` in
    [-1, 1] varies the retry's delay; `link` is the run's page, which the notification names. Recovery gives the lease
    that it saw as `last_heartbeat`: a later one stands against ending the run.
    """
    family = (*locks(job.id, job.limits.pool), *(f"job:{child.id}" for child in children))
    async with store.transaction(lock=family) as session:
        run = await session.get(Run, context.run_id)
        if run is None or run.status.final or last_heartbeat not in (None, last_heartbeat_of(run)):
            return _stale(run)
        following = await _following(session, job, context, result, spread)
        rows, notes = await _consequences(session, job, context, result, following, children, answers or {}, now)
        if result.status is RunStatus.CANCELLED and await was_replaced(session, run.id):
            notes.append(REPLACED)
        why = outcome.sentence(result, now - run.started_at, following, job.retry.max, notes)
        _write(run, result, why, notes, now)
        await note_use(session, run, result.used)
        await spending.settle(session, run.id)
        if result.status is RunStatus.CANCELLED and not result.declined:
            await note_cancel(session, run, now)
        await _resolve_key(session, context.idempotency_key, result, now)
        if isinstance(job.run.work, Agent | Main):
            await inbox.note_outcome(session, run.id, result, now)
        is_final = isinstance(following, GiveUp) and result.retry_in is None
        await _update_state(session, job.id, run, now, failed=is_final and run.status in FAILED)
        session.add_all(rows)
        message = delivery.of_run(job, result, why, link) if _is_told(job, following) else None
        belongs = message is not None and delivery.belongs_to_incident(job, result)
        if message is not None and not belongs:
            _notify(session, run, message, now)
        ended = incidents.Ended(run, is_final and belongs, message, link)
        told = await incidents.of_end(session, job, ended, now)
        await session.flush()
        closing = await trackers.note_run(session, run, now) if isinstance(job.run.work, Agent) else []
        released = [*closing, *await release_waiting(session, job.id, run.pool, now)]
        return Outcome(
            result.status,
            why,
            tuple(pending(row) for row in rows),
            tuple(pending(row) for row in released),
            targets=(*(message.targets if message and not belongs else ()), *told),
        )


async def close_run(store: Store, lease: Lease, status: RunStatus, *, why: str, now: datetime) -> Outcome:
    """End a run that its owner has lost and that has no consequences: it was cancelled, or its job is unknown.

    Its key stays claimed: what must run once has run.
    """
    job_id = lease.context.job_id
    async with store.reading() as session:
        found = await session.get(Run, lease.context.run_id)
    async with store.transaction(lock=locks(job_id, found.pool if found else None)) as session:
        run = await session.get(Run, lease.context.run_id)
        if run is None or run.status is not RunStatus.RUNNING or last_heartbeat_of(run) != lease.until:
            return _stale(run)
        run.status, run.finished_at, run.lease_until = status, now, None
        run.summary = run.error = why
        await spending.settle(session, run.id)
        await session.flush()
        closing = await trackers.note_run(session, run, now)
        released = [*closing, *await release_waiting(session, job_id, run.pool, now)]
        return Outcome(status, why, released=tuple(pending(row) for row in released))


def _stale(run: Run | None) -> Outcome:
    if run is None:
        return Outcome(RunStatus.CRASHED, "The run's record is gone; its result was not used.", stale=True)
    return Outcome(run.status, run.error or "The run had been ended before.", stale=True)


async def _following(
    session: AsyncSession, job: Job, context: DispatchContext, result: DispatchResult, spread: float
) -> Again | Snooze | GiveUp:
    dispatch = context.dispatch
    free = job.limits.max_queued - await backlog(session, job.id)
    if result.status is RunStatus.CRASHED:
        return after_crash(job.run, attempt=dispatch.attempt, replays=dispatch.replays, queue_free=free)
    if result.retry_in is not None:
        falls_together = _is_one_of_many(job, context) and await _waits_for_retry(session, job.id)
        return same_attempt(result.retry_in, attempt=dispatch.attempt, queue_free=free, another_waits=falls_together)
    return next_attempt(
        job.retry,
        attempt=dispatch.attempt,
        status=result.status,
        retryable=result.retryable,
        queue_free=free,
        spread=spread,
    )


def _is_one_of_many(job: Job, context: DispatchContext) -> bool:
    """An occurrence whose job wants missed ones to fall together."""
    coalesces = job.schedule is not None and job.schedule.misfire != "all"
    return coalesces and context.dispatch.kind is DispatchKind.SCHEDULED


async def _waits_for_retry(session: AsyncSession, job_id: str) -> bool:
    waiting = select(DispatchRow.id).where(
        DispatchRow.job_id == job_id, DispatchRow.kind == DispatchKind.RETRY, col(DispatchRow.status).in_(OPEN)
    )
    return (await session.scalars(waiting.limit(1))).first() is not None


async def _consequences(
    session: AsyncSession,
    job: Job,
    context: DispatchContext,
    result: DispatchResult,
    following: Again | Snooze | GiveUp,
    children: Sequence[Job],
    answers: Mapping[str, Answer],
    now: datetime,
) -> tuple[list[DispatchRow], list[str]]:
    if isinstance(following, Again | Snooze):
        return [_again_row(job, context, result, following, now)], []
    if result.skip_children:
        return [], []
    fired = triggers.children_to_fire(children, result.ended_as, answers, job.limits.max_fanout)
    rows: list[DispatchRow] = []
    notes = list(fired.notes)
    for child in fired.jobs:
        if await backlog(session, child.id) >= child.limits.max_queued:
            notes.append(f"{child.id} did not run: its queue is full.")
        else:
            rows.append(_child_row(child, context.run_id, now))
    return rows, notes


def _again_row(
    job: Job, context: DispatchContext, result: DispatchResult, again: Again | Snooze, now: datetime
) -> DispatchRow:
    crashed = result.status is RunStatus.CRASHED
    return DispatchRow(
        job_id=job.id,
        kind=DispatchKind.REPLAY if crashed else DispatchKind.RETRY,
        scheduled_for=now + again.delay,
        attempt=again.attempt,
        replays=context.dispatch.replays + 1 if crashed else 0,
        source_run=context.dispatch.source_run,
        retry_of=context.run_id,
        # The same job as this attempt ran, even if it was changed for this run or edited since.
        parameters={"job": job.document()},
        created_at=now,
    )


def _child_row(child: Job, parent_run: UUID, now: datetime) -> DispatchRow:
    delay = child.after.delay if child.after else None
    return DispatchRow(
        job_id=child.id,
        kind=DispatchKind.CHAIN,
        scheduled_for=now + delay if delay else now,
        source_run=parent_run,
        created_at=now,
    )


def _is_told(job: Job, following: Again | Snooze | GiveUp) -> bool:
    """A snooze is nothing to notify anybody of; of a task people hear once, when nothing more of it follows."""
    is_task = isinstance(job.run.work, Agent) and job.run.work.session == "task"
    return isinstance(following, GiveUp) or (isinstance(following, Again) and not is_task)


def _notify(session: AsyncSession, run: Run, notification: delivery.Notification, now: datetime) -> None:
    deliveries.enqueue(
        session,
        job_id=run.job_id,
        run_id=run.id,
        targets=notification.targets,
        subject=notification.subject,
        body=notification.body,
        images=notification.images,
        kind=notification.kind,
        dedup=f"run:{run.id}",
        now=now,
    )


def _write(run: Run, result: DispatchResult, why: str, notes: Sequence[str], now: datetime) -> None:
    run.status, run.finished_at, run.lease_until = result.status, now, None
    run.summary = "\n\n".join([result.summary, *notes]) if result.summary else why
    run.error = None if result.status is RunStatus.OK else why
    run.exit_code, run.signal = result.exit_code, result.signal
    run.stdout, run.stdout_bytes, run.stdout_path = (
        result.stdout.text,
        result.stdout.bytes,
        result.stdout.path,
    )
    run.stderr, run.stderr_bytes, run.stderr_path = (
        result.stderr.text,
        result.stderr.bytes,
        result.stderr.path,
    )
    run.folder, run.notes = result.folder, [*result.notes, *notes]
    run.session_key, run.finding = result.session_key or run.session_key, result.finding
    run.cut_off, run.model_failed = result.cut_off, result.model_failed


async def _resolve_key(session: AsyncSession, key: str, result: DispatchResult, now: datetime) -> None:
    ledger = await session.get(IdempotencyKey, key)
    if ledger is None:
        return
    if result.idempotency_action is IdempotencyAction.KEEP:
        ledger.result_hash = idempotency.result_hash(result.content)
    elif result.idempotency_action is IdempotencyAction.RELEASE:
        ledger.status, ledger.released_at = KeyStatus.RELEASED, now


async def _update_state(session: AsyncSession, job_id: str, run: Run, now: datetime, *, failed: bool) -> None:
    """Errors in a row count final failures: an attempt that is retried or snoozed is none."""
    state = await session.get(JobState, job_id)
    if state is None:
        state = JobState(job_id=job_id, last_run_id=run.id, last_status=run.status, last_finished_at=now)
        session.add(state)
    state.last_run_id, state.last_status, state.last_finished_at = run.id, run.status, now
    if run.status is RunStatus.OK:
        state.consecutive_errors, state.last_ok_at = 0, now
    elif failed:
        state.consecutive_errors += 1
