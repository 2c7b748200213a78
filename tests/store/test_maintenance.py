"""Occurrences that are made up for, a job's past, and what retention deletes; on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.rules.lifecycle import Past
from ocs.rules.misfire import CatchUp
from ocs.spec import Job
from ocs.store import (
    Claimed,
    Store,
    claim,
    dispatch_of,
    enqueue,
    finish,
    ledger,
    lifecycle,
    occurrences,
    queries,
    withdraw,
)
from ocs.store import retention as kept

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOURS = tuple(NOW - timedelta(hours=hour) for hour in (3, 2, 1))
OK = DispatchResult(RunStatus.OK, content="done", exit_code=0)


def job(name: str = "load", **document: Any) -> Job:
    return Job.model_validate({"id": name, "run": "true", **document})


async def begun(store: Store, a_job: Job, dispatch: Dispatch, now: datetime = NOW) -> Claimed:
    result = await claim(store, a_job, dispatch, flow_run_id=uuid4(), owner="w", now=now)
    assert isinstance(result, Claimed), result
    return result


async def ran(store: Store, a_job: Job, at: datetime = NOW) -> UUID:
    claimed = await begun(store, a_job, Dispatch(DispatchKind.SCHEDULED, at), at)
    await finish(store, a_job, claimed.context, OK, children=(), now=at)
    return claimed.context.run_id


async def test_the_time_until_which_nothing_was_lost_never_goes_back(store: Store) -> None:
    assert await occurrences.caught_up_until(store) is None
    for moment in (HOURS[1], HOURS[2], HOURS[0]):
        await occurrences.mark_caught_up(store, moment)
    assert await occurrences.caught_up_until(store) == HOURS[2]


async def test_a_missed_occurrence_is_dispatched_once_and_runs_under_its_own_key(store: Store) -> None:
    chosen = CatchUp(HOURS[2:], HOURS[:2])
    rounds = await asyncio.gather(*(occurrences.dispatch_missed(store, "load", chosen, NOW) for _ in range(4)))
    (row,) = [row for rows in rounds for row in rows]
    assert (row.kind, row.scheduled_for) == (DispatchKind.SCHEDULED, HOURS[2])
    assert await occurrences.recorded(store, "load", HOURS[0]) == {HOURS[2]}
    dispatch = await dispatch_of(store, row.id)
    assert dispatch is not None
    claimed = await begun(store, job(), dispatch)
    # Prefect had made a run for the same occurrence after all.
    twin = Dispatch(DispatchKind.SCHEDULED, HOURS[2])
    second = await claim(store, job(limits={"overlap": "allow"}), twin, flow_run_id=uuid4(), owner="w", now=NOW)
    assert not isinstance(second, Claimed)
    assert await occurrences.recorded(store, "load", HOURS[0]) == {HOURS[2]}
    assert claimed.context.dispatch.scheduled_for == HOURS[2]


async def test_a_job_is_busy_while_a_run_executes_or_waits(store: Store) -> None:
    once = job(schedule={"at": NOW.isoformat()})
    assert await lifecycle.past_of(store, once, since=NOW) == Past()
    claimed = await begun(store, once, Dispatch(DispatchKind.SCHEDULED, NOW))
    assert (await lifecycle.past_of(store, once, since=NOW)).busy
    await finish(store, once, claimed.context, OK, children=(), now=NOW)
    past = await lifecycle.past_of(store, once, since=NOW)
    assert past == Past(had_its_moment=True, last_status=RunStatus.OK, last_finished_at=NOW)
    await enqueue(store, "load", by=Attribution("ann", "cli", NOW))
    assert (await lifecycle.past_of(store, once, since=NOW)).busy


async def test_the_past_of_an_earlier_job_of_the_same_id_does_not_count(store: Store) -> None:
    await ran(store, job(), HOURS[0])
    assert (await lifecycle.past_of(store, job(), since=NOW)).last_status is None


async def test_what_was_retired_is_remembered_by_its_version(store: Store) -> None:
    await ran(store, job())
    assert await lifecycle.retired(store) == {}
    await lifecycle.note_retired(store, "load", "abc", why="done", now=NOW)
    assert await lifecycle.retired(store) == {"load": "abc"}


async def test_the_newest_runs_of_each_job_are_kept_and_what_has_not_ended(store: Store) -> None:
    runs = [await ran(store, job(), NOW + timedelta(minutes=minute)) for minute in range(5)]
    others = [await ran(store, job("other"), NOW + timedelta(minutes=minute)) for minute in range(3)]
    running = await begun(store, job("busy"), Dispatch(DispatchKind.SCHEDULED, NOW))
    pruned = await kept.prune(store, {"load": 2, "busy": 1}, otherwise=100, now=NOW)
    assert pruned.runs == 3
    left = await kept.known_runs(store, [*runs, *others, running.context.run_id])
    assert left == {*runs[3:], *others, running.context.run_id}
    # A key outlives its run's record: the occurrence stays done.
    assert len(await ledger.keys(store)) == 9


async def test_what_catch_up_has_not_looked_at_yet_keeps_its_record(store: Store) -> None:
    """Its key may have expired by then: without the record it would be made up for."""
    runs = [await ran(store, job(), at) for at in HOURS]
    await occurrences.mark_caught_up(store, HOURS[1])
    much_later = NOW + timedelta(days=60)
    await kept.prune(store, {"load": 0}, otherwise=0, now=much_later)
    assert await kept.known_runs(store, runs) == {*runs[1:]}
    await occurrences.mark_caught_up(store, NOW)
    await kept.prune(store, {"load": 0}, otherwise=0, now=much_later)
    assert await kept.known_runs(store, runs) == set()


async def test_a_running_run_is_never_deleted_however_many_came_after_it(store: Store) -> None:
    free = job(limits={"overlap": "allow"})
    running = await begun(store, free, Dispatch(DispatchKind.SCHEDULED, HOURS[0]), HOURS[0])
    for minute in range(3):
        await ran(store, free, NOW + timedelta(minutes=minute))
    await kept.prune(store, {"load": 1}, otherwise=1, now=NOW)
    assert running.context.run_id in await kept.known_runs(store, [running.context.run_id])


async def test_old_dispatches_go_when_nothing_needs_them(store: Store) -> None:
    waits = await enqueue(store, "load", by=Attribution("ann", "cli", NOW))
    gone = await enqueue(store, "other", by=Attribution("ann", "cli", NOW))
    await withdraw(store, "other", by=Attribution("ann", "cli", NOW))
    used = await enqueue(store, "used", by=Attribution("ann", "cli", NOW))
    dispatch = await dispatch_of(store, used.id)
    assert dispatch is not None
    await begun(store, job("used"), dispatch)
    pruned = await kept.prune(store, {}, otherwise=100, now=NOW + timedelta(days=31))
    assert pruned.dispatches == 1
    assert await queries.dispatch(store, gone.id) is None
    assert {await queries.dispatch(store, row.id) is not None for row in (waits, used)} == {True}


async def test_a_job_that_could_not_be_looked_at_is_behind_until_it_was(store: Store) -> None:
    long = "l" * 64
    await occurrences.mark_caught_up(store, HOURS[2], {long: HOURS[0]})
    behind = await occurrences.behind(store)
    assert (behind.since(long), behind.since("load")) == (HOURS[0], None)
    assert await occurrences.caught_up_until(store) == HOURS[2]
    await occurrences.mark_caught_up_again(store, long)
    assert (await occurrences.behind(store)).since(long) is None
    assert await occurrences.caught_up_until(store) == HOURS[2]


def test_what_was_deleted_is_counted_of_every_sort() -> None:
    assert kept.Pruned(runs=1, keys=2, dispatches=4, approvals=8, deliveries=16, messages=32).total == 63
