"""What is on record of a job: its occurrences with their last attempts, what waits, who switched it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from ocs.rules.approval import ApprovalStatus, OnTimeout
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.rules.misfire import CatchUp
from ocs.rules.why import Gap, Switched
from ocs.store import Store, audit
from ocs.store.occurrences import dispatch_missed, mark_caught_up
from ocs.store.past import past_between
from ocs.store.tables import Approval, DispatchRow, Run

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANN = Attribution("ann", "cli", NOW - HOUR)


def run(number: int, due: datetime, status: RunStatus, **more: Any) -> Run:
    usual = {"kind": DispatchKind.SCHEDULED, "flow_run_id": uuid4(), "started_at": due, "job_id": "tidy"}
    return Run(id=UUID(int=number), scheduled_for=due, status=status, **{**usual, **more})


async def test_an_occurrence_is_told_by_its_last_attempt_and_dated_by_when_it_was_due(store: Store) -> None:
    due = NOW - 3 * HOUR
    rows = [
        run(1, due, RunStatus.ERROR),
        run(2, due + HOUR, RunStatus.ERROR, kind=DispatchKind.RETRY, retry_of=UUID(int=1), attempt=2),
        # The last attempt came after the span that is asked for.
        run(
            3,
            NOW,
            RunStatus.OK,
            kind=DispatchKind.RETRY,
            retry_of=UUID(int=2),
            attempt=3,
            summary="stdout:\ndone\n.",
        ),
        run(4, due - HOUR, RunStatus.OK),
        run(5, due, RunStatus.OK, job_id="other"),
    ]
    async with store.transaction() as session:
        session.add_all(rows)
    past = await past_between(store, "tidy", due, due + HOUR)
    (told,) = past.attempts
    assert (told.run_id, told.due, told.kind, told.status) == (UUID(int=3), due, DispatchKind.SCHEDULED, RunStatus.OK)
    assert (told.attempt, told.said) == (3, "done")
    assert past.begins == due - HOUR


async def test_who_decided_against_a_run_is_known(store: Store) -> None:
    async with store.transaction() as session:
        session.add(run(1, NOW, RunStatus.CANCELLED, error="not today"))
        session.add(
            Approval(
                job_id="tidy",
                run_id=UUID(int=1),
                flow_run_id=uuid4(),
                kind=DispatchKind.SCHEDULED,
                spec_digest="x",
                what="tidy",
                why="due",
                changed=[],
                requested_at=NOW,
                timeout_s=60,
                on_timeout=OnTimeout.REJECT,
                expires_at=NOW + HOUR,
                status=ApprovalStatus.REJECTED,
                decided_by="bob",
            )
        )
    (told,) = (await past_between(store, "tidy", NOW, NOW)).attempts
    assert (told.decided_by, told.is_declined, told.said) == ("bob", True, "not today")


async def test_what_waits_what_was_missed_and_who_switched_it(store: Store) -> None:
    await dispatch_missed(store, "tidy", CatchUp((NOW - HOUR,), (NOW - 3 * HOUR, NOW - 2 * HOUR)), NOW)
    await audit.append(store, "job-disabled", job_id="tidy", by=ANN, before={"enabled": True}, after={"enabled": False})
    await audit.append(store, "job-enabled", job_id="other", by=ANN, after={"enabled": True})
    await mark_caught_up(store, NOW)
    async with store.transaction() as session:
        row = DispatchRow(job_id="tidy", kind=DispatchKind.MANUAL, scheduled_for=NOW + HOUR, created_at=NOW)
        session.add(row)
    past = await past_between(store, "tidy", NOW - HOUR, NOW)
    assert [(each.due, each.is_withdrawn) for each in past.in_line] == [(NOW - HOUR, False)]
    assert past.gaps == [Gap(NOW - 3 * HOUR, NOW - HOUR, 1)]
    assert past.switches == [Switched(NOW - HOUR, False, "ann")]
    assert past.looked_until == NOW
