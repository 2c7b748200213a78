"""What is late runs unless a newer occurrence of its job was claimed; what is passed over has a record of why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import event

from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.rules.guards import SkipReason
from ocs.rules.misfire import CatchUp
from ocs.spec import Job
from ocs.store import (
    Claimed,
    LateOccurrence,
    Queued,
    Rejected,
    Store,
    claim,
    finish,
    occurrences,
    queries,
    skip_superseded,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTES = [NOW - timedelta(minutes=minutes) for minutes in range(60, 0, -1)]
*OLDER, NEWEST = MINUTES
INSTEAD = "Missed: a newer occurrence, of 2026-11-24 11:59:00 UTC, runs instead."


def job(name: str = "load", **document: Any) -> Job:
    return Job.model_validate({"id": name, "run": "true", "schedule": "* * * * *", **document})


def late(a_job: Job, at: datetime, flow_run: UUID | None = None) -> LateOccurrence:
    return LateOccurrence(flow_run or uuid4(), a_job, Dispatch(DispatchKind.SCHEDULED, at))


async def claims(store: Store, a_job: Job, at: datetime, flow_run: UUID | None = None, entry: int | None = None) -> Any:
    occurrence = Dispatch(DispatchKind.SCHEDULED, at)
    return await claim(store, a_job, occurrence, flow_run_id=flow_run or uuid4(), owner="worker", now=NOW, entry=entry)


async def ends(store: Store, a_job: Job, claimed: Claimed) -> None:
    await finish(store, a_job, claimed.context, DispatchResult(RunStatus.OK), children=(), now=NOW)


async def test_a_late_occurrence_runs_as_long_as_no_newer_one_was_claimed(store: Store) -> None:
    for at in (OLDER[0], OLDER[5], NEWEST):
        claimed = await claims(store, job(), at)
        assert isinstance(claimed, Claimed)
        await ends(store, job(), claimed)
    superseded = await claims(store, job(), OLDER[6])
    assert isinstance(superseded, Rejected)
    assert (superseded.skip.reason, superseded.skip.why) == (SkipReason.MISSED, INSTEAD)


async def test_only_a_newer_occurrence_of_the_same_job_that_was_claimed_counts(store: Store) -> None:
    """Not a skipped one, not a run by hand, not another job's."""
    held = await claims(store, job(), OLDER[0])
    assert isinstance(await claims(store, job(), NEWEST), Rejected)  # an earlier run is still running
    await ends(store, job(), held)
    await claim(store, job(), Dispatch(DispatchKind.MANUAL, NOW), flow_run_id=uuid4(), owner="worker", now=NOW)
    await claims(store, job("other"), NEWEST)
    beside = job(limits={"overlap": "allow"})
    assert isinstance(await claims(store, beside, OLDER[1]), Claimed)


async def test_one_that_waits_for_its_turn_counts_too_and_says_so(store: Store) -> None:
    queued = job(limits={"overlap": "queue"})
    await claim(store, queued, Dispatch(DispatchKind.MANUAL, NOW), flow_run_id=uuid4(), owner="worker", now=NOW)
    assert isinstance(await claims(store, queued, NEWEST), Queued)
    superseded = await claims(store, queued, OLDER[0])
    assert isinstance(superseded, Rejected)
    assert superseded.skip.why == "Missed: a newer occurrence, of 2026-11-24 11:59:00 UTC, waits for its turn instead."


async def test_an_hour_of_occurrences_is_passed_over_once_the_newest_was_claimed(store: Store) -> None:
    left = [late(job(), at) for at in OLDER]
    assert await skip_superseded(store, left, NOW) == {}
    claimed = await claims(store, job(), NEWEST)
    assert await skip_superseded(store, left, NOW) == {each.flow_run_id: INSTEAD for each in left}
    await ends(store, job(), claimed)
    runs = await queries.runs(store)
    assert sorted(run.scheduled_for for run in runs) == MINUTES
    assert {run.status for run in runs if run.scheduled_for != NEWEST} == {RunStatus.SKIPPED}
    assert {run.skip_reason for run in runs} == {SkipReason.MISSED, None}


async def test_whoever_takes_what_was_passed_over_runs_nothing(store: Store) -> None:
    each = late(job(), OLDER[0])
    claimed = await claims(store, job(), NEWEST)
    await skip_superseded(store, [each], NOW)
    await ends(store, job(), claimed)
    taken = await claims(store, job(), OLDER[0], each.flow_run_id, entry=1)
    assert isinstance(taken, Rejected)
    assert taken.status is RunStatus.SKIPPED
    assert await skip_superseded(store, [each], NOW) == {each.flow_run_id: INSTEAD}, "Prefect is told again"
    assert len(await queries.runs(store)) == 2


async def test_what_was_claimed_meanwhile_is_not_passed_over(store: Store) -> None:
    beside = job(limits={"overlap": "allow"})
    each = late(beside, OLDER[0])
    assert isinstance(await claims(store, beside, OLDER[0], each.flow_run_id), Claimed)
    await claims(store, beside, NEWEST)
    assert await skip_superseded(store, [each], NOW) == {}


async def test_a_dispatch_that_made_up_for_an_occurrence_ends_with_it(store: Store) -> None:
    (made,) = await occurrences.dispatch_missed(store, "load", CatchUp((OLDER[0],)), NOW)
    await claims(store, job(), NEWEST)
    each = LateOccurrence(uuid4(), job(), Dispatch(DispatchKind.SCHEDULED, OLDER[0], made.id))
    assert await skip_superseded(store, [each], NOW) == {each.flow_run_id: INSTEAD}
    assert not await queries.queue(store)


async def test_passing_over_many_jobs_is_one_transaction_and_few_statements(store: Store) -> None:
    jobs = [job(f"job-{number}") for number in range(10)]
    for each in jobs:
        await claims(store, each, NEWEST)
    left = [late(each, at) for each in jobs for at in OLDER[:20]]
    counted: list[str] = []
    event.listen(store.engine.sync_engine, "before_cursor_execute", lambda *given: counted.append(given[2]))
    assert len(await skip_superseded(store, left, NOW)) == 200
    assert len([statement for statement in counted if statement.startswith("BEGIN IMMEDIATE")]) <= 1
    assert len(counted) < 60
