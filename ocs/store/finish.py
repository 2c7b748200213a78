"""Finish: a run's result and every consequence of it, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ocs.rules import delivery, idempotency, outcome, triggers
from ocs.rules.dispatch import DispatchContext, DispatchKind, DispatchResult, IdempotencyAction, RunStatus
from ocs.rules.retry import Again, GiveUp, next_attempt
from ocs.spec import Job
from ocs.store import deliveries
from ocs.store.engine import Store
from ocs.store.outbox import PendingDispatch, backlog, pending
from ocs.store.tables import DispatchRow, IdempotencyKey, JobState, KeyStatus, Run
from ocs.store.waiting import let_go_on, locks

FAILED = (RunStatus.ERROR, RunStatus.TIMEOUT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run ended, in a sentence, and what follows from it.

    `let_go` are dispatches that had waited for this run's end, `tells` the target that hears of it. `stale` says that
    the run had been ended by somebody else meanwhile, and nothing was written.
    """

    status: RunStatus
    why: str
    consequences: tuple[PendingDispatch, ...] = ()
    let_go: tuple[PendingDispatch, ...] = ()
    tells: str | None = None
    stale: bool = False


async def finish(
    store: Store,
    job: Job,
    context: DispatchContext,
    result: DispatchResult,
    *,
    children: Sequence[Job],
    now: datetime,
    spread: float,
    link: str | None = None,
) -> Outcome:
    """Record the result, the key's fate, the job's state, a retry or the children to fire, and whom to tell.

    Children fire only when no retry follows (W14); a cancelled run has no consequences. `spread` in [-1, 1]
    varies the retry's delay; `link` is the run's page, told with the result.
    """
    family = (*locks(job.id, job.limits.pool), *(f"job:{child.id}" for child in children))
    async with store.transaction(lock=family) as session:
        run = await session.get(Run, context.run_id)
        if run is None or run.status is not RunStatus.RUNNING:
            ended = run.status if run else RunStatus.CRASHED
            return Outcome(ended, "The run had already been ended elsewhere; its result was not used.", stale=True)
        following = await _retry(session, job, context, result, spread)
        rows, notes = await _consequences(session, job, context, result, following, children, now)
        why = outcome.sentence(result, now - run.started_at, following, job.retry.max, notes)
        _write(run, result, why, now)
        await _settle_key(session, context.idempotency_key, result, now)
        if not result.skip_job_update:
            await _update_state(session, job.id, run, following, now)
        session.add_all(rows)
        letter = delivery.of_run(job, result, why, link)
        if letter is not None:
            _tell(session, run, letter, now)
        await session.flush()
        let_go = await let_go_on(session, job.id, run.pool, now)
        return Outcome(
            result.status,
            why,
            tuple(pending(row) for row in rows),
            tuple(pending(row) for row in let_go),
            tells=letter.target if letter else None,
        )


async def _retry(
    session: AsyncSession, job: Job, context: DispatchContext, result: DispatchResult, spread: float
) -> Again | GiveUp:
    return next_attempt(
        job.retry,
        attempt=context.dispatch.attempt,
        status=result.status,
        queue_free=job.limits.max_queued - await backlog(session, job.id),
        spread=spread,
    )


async def _consequences(
    session: AsyncSession,
    job: Job,
    context: DispatchContext,
    result: DispatchResult,
    following: Again | GiveUp,
    children: Sequence[Job],
    now: datetime,
) -> tuple[list[DispatchRow], list[str]]:
    if isinstance(following, Again):
        return [_retry_row(job, context, following, now)], []
    if result.skip_children:
        return [], []
    fired = triggers.children_to_fire(children, result.status, result.content, job.limits.max_fanout)
    rows: list[DispatchRow] = []
    notes = list(fired.notes)
    for child in fired.jobs:
        if await backlog(session, child.id) >= child.limits.max_queued:
            notes.append(f"{child.id} did not run: its queue is full.")
        else:
            rows.append(_child_row(child, context.run_id, now))
    return rows, notes


def _retry_row(job: Job, context: DispatchContext, again: Again, now: datetime) -> DispatchRow:
    return DispatchRow(
        job_id=job.id,
        kind=DispatchKind.RETRY,
        scheduled_for=now + again.delay,
        attempt=again.attempt,
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


def _tell(session: AsyncSession, run: Run, letter: delivery.Letter, now: datetime) -> None:
    deliveries.enqueue(
        session,
        job_id=run.job_id,
        run_id=run.id,
        target=letter.target,
        subject=letter.subject,
        body=letter.body,
        images=letter.images,
        kind="run",
        dedup=f"run:{run.id}",
        now=now,
    )


def _write(run: Run, result: DispatchResult, why: str, now: datetime) -> None:
    run.status, run.finished_at, run.lease_until = result.status, now, None
    run.summary = result.summary or why
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


async def _settle_key(session: AsyncSession, key: str, result: DispatchResult, now: datetime) -> None:
    ledger = await session.get(IdempotencyKey, key)
    if ledger is None:
        return
    if result.idempotency_action is IdempotencyAction.KEEP:
        ledger.result_hash = idempotency.result_hash(result.content)
    elif result.idempotency_action is IdempotencyAction.RELEASE:
        ledger.status, ledger.released_at = KeyStatus.RELEASED, now


async def _update_state(session: AsyncSession, job_id: str, run: Run, following: Again | GiveUp, now: datetime) -> None:
    """Errors in a row count final failures: one that is retried is not final yet (B-2.5)."""
    state = await session.get(JobState, job_id)
    if state is None:
        state = JobState(job_id=job_id, last_run_id=run.id, last_status=run.status, last_finished_at=now)
        session.add(state)
    state.last_run_id, state.last_status, state.last_finished_at = run.id, run.status, now
    if run.status is RunStatus.OK:
        state.consecutive_errors = 0
    elif run.status in FAILED and isinstance(following, GiveUp):
        state.consecutive_errors += 1
