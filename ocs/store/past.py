"""What is on record of a job in a span of time, for those who ask why it ran or did not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.rules.approval import ApprovalStatus
from ocs.rules.dispatch import DispatchKind
from ocs.rules.shell_result import without_labels
from ocs.rules.why import Attempt, Gap, InLine, Past, Switched
from ocs.store.engine import Store
from ocs.store.occurrences import CAUGHT_UP
from ocs.store.outbox import OPEN
from ocs.store.tables import Approval, AuditEvent, DispatchRow, DispatchStatus, Mark, Run

MOST = 5000
DECLINED = (ApprovalStatus.REJECTED, ApprovalStatus.TIMED_OUT)
MISSED = "occurrences-missed"


async def past_between(store: Store, job_id: str, since: datetime, until: datetime) -> Past:
    """All that concerns occurrences due in the span, ends included; of very many runs the newest."""
    async with store.reading() as session:
        mark = await session.get(Mark, CAUGHT_UP)
        first = (await session.scalars(select(func.min(Run.started_at)).where(Run.job_id == job_id))).one()
        events = list(await session.scalars(_events(job_id)))
        return Past(
            await _attempts(session, job_id, since, until),
            await _in_line(session, job_id, since, until),
            [gap for event in events if event.action == MISSED and (gap := _gap(event.after or {}))],
            list(_switches(events)),
            first,
            mark.at if mark else None,
        )


async def _attempts(session: AsyncSession, job_id: str, since: datetime, until: datetime) -> list[Attempt]:
    """The last attempt at each, dated by when the first was due."""
    of_job = select(Run).where(Run.job_id == job_id, col(Run.scheduled_for) >= since)
    runs = list(await session.scalars(of_job.order_by(col(Run.scheduled_for).desc()).limit(MOST)))
    by_id = {run.id: run for run in runs}
    last: dict[UUID, Run] = {}
    for run in sorted(runs, key=lambda each: (each.started_at, each.attempt)):
        last[_first_of(run, by_id).id] = run
    ids = [run.id for run in runs]
    decisions = await _decisions(session, ids)
    return [
        _attempt(by_id[first], run, decisions)
        for first, run in last.items()
        if since <= by_id[first].scheduled_for <= until
    ]


def _first_of(run: Run, by_id: Mapping[UUID, Run]) -> Run:
    seen = {run.id}
    while run.retry_of is not None and run.retry_of not in seen and (before := by_id.get(run.retry_of)):
        run = before
        seen.add(run.id)
    return run


def _attempt(first: Run, run: Run, decisions: Mapping[UUID, Approval]) -> Attempt:
    decision = decisions.get(run.id) or decisions.get(first.id)
    return Attempt(
        run.id,
        first.scheduled_for,
        DispatchKind(first.kind),
        run.status,
        run.started_at,
        run.attempt,
        run.skip_reason,
        _first_words(run.error or run.summary),
        decision.decided_by if decision else None,
        decision is not None and decision.status in DECLINED,
        first.parent_run,
    )


def _first_words(text: str) -> str:
    return without_labels(text.strip()).partition("\n")[0]


async def _decisions(session: AsyncSession, run_ids: Sequence[UUID]) -> dict[UUID, Approval]:
    found: dict[UUID, Approval] = {}
    for start in range(0, len(run_ids), 500):
        some = select(Approval).where(col(Approval.run_id).in_(run_ids[start : start + 500]))
        found |= {row.run_id: row for row in await session.scalars(some)}
    return found


async def _in_line(session: AsyncSession, job_id: str, since: datetime, until: datetime) -> list[InLine]:
    wanted = (*OPEN, DispatchStatus.CANCELLED)
    rows = select(DispatchRow).where(DispatchRow.job_id == job_id, col(DispatchRow.status).in_(wanted))
    span = rows.where(col(DispatchRow.scheduled_for) >= since, col(DispatchRow.scheduled_for) <= until)
    return [
        InLine(row.scheduled_for, row.status is DispatchStatus.CANCELLED, _waits(row), row.source_run)
        for row in await session.scalars(span.order_by(col(DispatchRow.scheduled_for).desc()).limit(MOST))
    ]


def _waits(row: DispatchRow) -> str:
    if row.waits_for is not None and row.status is DispatchStatus.QUEUED:
        return f"It waits for {'its pool ' + row.pool if row.pool else 'an earlier run'} to have room."
    sent = "has been sent, and waits for a worker" if row.status is DispatchStatus.PUBLISHED else "is to be sent"
    return f"It {sent} ({row.kind})."


def _events(job_id: str) -> Any:
    told = select(AuditEvent).where(AuditEvent.job_id == job_id)
    of_note = told.where(or_(col(AuditEvent.action) == MISSED, col(AuditEvent.action).startswith("job-")))
    return of_note.order_by(col(AuditEvent.at)).limit(MOST)


def _switches(events: Sequence[AuditEvent]) -> Iterator[Switched]:
    for event in events:
        after = event.after or {}
        if "enabled" in after:
            yield Switched(event.at, bool(after["enabled"]), event.actor)
        elif event.action == "job-enabled":
            yield Switched(event.at, True, event.actor)


def _gap(after: Mapping[str, Any]) -> Gap | None:
    try:
        first, last = (datetime.fromisoformat(after[key]) for key in ("first", "last"))
        return Gap(first, last, int(after["dispatched"]))
    except (KeyError, TypeError, ValueError):
        return None
