"""What is counted for those who watch, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.store import Store, figures
from ocs.store.tables import DispatchRow, DispatchStatus, JobState, Run
from ocs.store.tables_delivery import Delivery
from ocs.store.tables_incidents import IncidentRow

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_run(status: RunStatus, finished: datetime | None) -> Run:
    return Run(
        job_id="load",
        kind=DispatchKind.SCHEDULED,
        status=status,
        flow_run_id=uuid4(),
        scheduled_for=NOW - MINUTE,
        started_at=NOW - MINUTE,
        finished_at=finished,
        lease_until=NOW,
    )


async def test_an_empty_store_has_nothing_and_no_age(store: Store) -> None:
    assert await figures.figures(store, now=NOW, most_jobs=10) == figures.Figures(at=NOW)


async def test_everything_is_counted_and_the_oldest_has_an_age(store: Store) -> None:
    def dispatch(status: DispatchStatus, minutes: int, released: datetime | None = None) -> DispatchRow:
        made = NOW - minutes * MINUTE
        kind = DispatchKind.RETRY
        return DispatchRow(
            job_id="load", kind=kind, status=status, scheduled_for=NOW, created_at=made, released_at=released
        )

    def state(job: str, ended: datetime) -> JobState:
        ok = RunStatus.OK
        return JobState(job_id=job, last_run_id=uuid4(), last_status=ok, last_finished_at=ended, last_ok_at=ended)

    rows = [
        dispatch(DispatchStatus.PENDING, 9, released=NOW - MINUTE),
        dispatch(DispatchStatus.PENDING, 3),
        dispatch(DispatchStatus.QUEUED, 5),
        dispatch(DispatchStatus.DONE, 500),
        a_run(RunStatus.RUNNING, None),
        Delivery(
            job_id="load", kind="run", target="ops", subject="", body="", next_attempt_at=NOW, created_at=NOW - MINUTE
        ),
        IncidentRow(job_id="load", opened_at=NOW, troubles=["quiet", "late"], told_at=NOW),
        IncidentRow(job_id="counted", opened_at=NOW, failures=1),
        IncidentRow(job_id="over", opened_at=NOW, troubles=["late"], told_at=NOW, closed_at=NOW),
        *(state(job, NOW) for job in ("load", "other", "third")),
        state("gone", NOW - 2 * figures.LATELY),
    ]
    async with store.transaction() as session:
        session.add_all(rows)
    found = await figures.figures(store, now=NOW, most_jobs=2)
    assert found.queue == {"pending": 2, "waiting": 1}
    assert (found.queue_oldest, found.outbox_oldest, found.delivery_oldest) == (540, 180, 60)
    assert (found.running, found.leases_run_out, found.deliveries) == (1, 1, {"pending": 1})
    assert found.incidents == {"quiet": 1, "late": 1}
    assert found.jobs == dict.fromkeys(("load", "other"), figures.JobFigures(NOW, 0))


async def test_runs_are_named_from_a_moment_on_the_oldest_first(store: Store) -> None:
    ended = [a_run(RunStatus.OK, NOW + number * MINUTE) for number in range(4)]
    async with store.transaction() as session:
        session.add_all([a_run(RunStatus.RUNNING, None), *ended])
    found = await figures.ended_since(store, NOW, most=2)
    assert [run.finished_at for run in found] == [NOW + MINUTE, NOW + 2 * MINUTE]
    assert found[0].outcome == "ok"


@pytest.mark.parametrize("times", [1, 2])
async def test_a_ping_is_noted_and_never_goes_back(store: Store, times: int) -> None:
    assert await figures.pinged_at(store) is None
    for number in range(times):
        await figures.note_ping(store, NOW - number * MINUTE)
    assert await figures.pinged_at(store) == NOW
