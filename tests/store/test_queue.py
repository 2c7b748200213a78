"""Whose turn it is: pools and queued overlaps, on both databases and under concurrency."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from ocs.errors import NotFound, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.rules.guards import SkipReason, WaitsFor
from ocs.spec import Job
from ocs.store import (
    Claimed,
    Outcome,
    Queued,
    Rejected,
    Store,
    audit,
    claim,
    dispatch_of,
    enqueue,
    finish,
    mark_published,
    open_store,
    pending_dispatches,
    pools,
    queries,
    release_all_waiting,
    set_slots,
    withdraw,
    withdraw_one,
)
from ocs.timing import timing

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OK = DispatchResult(RunStatus.OK, exit_code=0)


def pooled(name: str, **limits: Any) -> Job:
    return Job.model_validate({"id": name, "run": "true", "limits": {"pool": "database", **limits}})


def queued(name: str = "load", **limits: Any) -> Job:
    return Job.model_validate({"id": name, "run": "true", "limits": {"overlap": "queue", **limits}})


def occurrence(minutes: int = 0) -> Dispatch:
    return Dispatch(DispatchKind.SCHEDULED, NOW + timedelta(minutes=minutes))


async def asked(store: Store, job: Job, dispatch: Dispatch, *, now: datetime = NOW) -> Claimed | Queued | Rejected:
    return await claim(store, job, dispatch, flow_run_id=uuid4(), owner="worker", now=now)


async def claimed(store: Store, job: Job, dispatch: Dispatch, *, now: datetime = NOW) -> Claimed:
    result = await asked(store, job, dispatch, now=now)
    assert isinstance(result, Claimed), result
    return result


async def deferred(store: Store, job: Job, dispatch: Dispatch, *, now: datetime = NOW) -> Queued:
    result = await asked(store, job, dispatch, now=now)
    assert isinstance(result, Queued), result
    return result


async def ended(store: Store, job: Job, run: Claimed, result: DispatchResult = OK, *, now: datetime = NOW) -> Outcome:
    return await finish(store, job, run.context, result, children=(), now=now, spread=0)


async def gone_on(store: Store, waited: Queued) -> Dispatch:
    """The dispatch as its next flow run finds it."""
    dispatch = await dispatch_of(store, waited.dispatch_id)
    assert dispatch is not None
    return dispatch


async def test_a_pool_has_one_slot_and_whoever_frees_it_lets_the_next_go_on(store: Store) -> None:
    first = await claimed(store, pooled("a"), occurrence())
    waits = await deferred(store, pooled("b"), occurrence())
    assert (waits.wait.waits_for, "database" in waits.wait.why) == (WaitsFor.POOL, True)
    assert await pending_dispatches(store, created_before=NOW, limit=9) == []
    outcome = await ended(store, pooled("a"), first)
    assert [(pending.id, pending.publication) for pending in outcome.released] == [(waits.dispatch_id, 1)]
    run = await claimed(store, pooled("b"), await gone_on(store, waits))
    (row,) = [row for row in await queries.runs(store) if row.id == run.context.run_id]
    assert (row.kind, row.scheduled_for, row.pool) == (DispatchKind.SCHEDULED, NOW, "database")


async def test_more_slots_let_more_run_and_raising_them_lets_the_waiting_go_on(store: Store) -> None:
    await claimed(store, pooled("a"), occurrence())
    waits = [await deferred(store, pooled(name), occurrence()) for name in ("b", "c", "d")]
    await set_slots(store, "database", 3, by=Attribution("ann", "cli", NOW))
    gone = await release_all_waiting(store, NOW)
    assert {pending.id for pending in gone} == {wait.dispatch_id for wait in waits[:2]}
    assert await release_all_waiting(store, NOW) == []
    (pool,) = await pools(store)
    assert (pool.name, pool.slots, pool.running, pool.waiting) == ("database", 3, 1, 1)


async def test_a_slot_is_kept_for_whoever_was_let_go_on(store: Store) -> None:
    first = await claimed(store, pooled("a"), occurrence())
    waits = await deferred(store, pooled("b"), occurrence())
    await ended(store, pooled("a"), first)
    late = await deferred(store, pooled("c"), occurrence())
    run = await claimed(store, pooled("b"), await gone_on(store, waits))
    outcome = await ended(store, pooled("b"), run)
    assert [pending.id for pending in outcome.released] == [late.dispatch_id]
    # It never comes: its flow run was deleted. The slot is not lost.
    await claimed(store, pooled("d"), occurrence(5), now=NOW + timing().slot_kept + timedelta(seconds=1))


async def test_a_run_that_died_blocks_its_pool_until_it_is_ended(store: Store) -> None:
    dead = await claimed(store, pooled("a"), occurrence())
    waits = await deferred(store, pooled("b"), occurrence())
    later = NOW + timing().lease + timedelta(seconds=1)
    assert await release_all_waiting(store, later) == []
    outcome = await ended(store, pooled("a"), dead, DispatchResult(RunStatus.CRASHED))
    assert [pending.id for pending in outcome.released] == [waits.dispatch_id]


async def test_a_flow_run_that_has_put_its_occasion_in_line_does_not_do_so_twice(store: Store) -> None:
    """Its worker died before it could say that it waits, and the flow run was begun again."""
    await claimed(store, pooled("a"), occurrence())
    by_hand = Dispatch(DispatchKind.MANUAL, NOW)
    flow_run = uuid4()
    first = await claim(store, pooled("b"), by_hand, flow_run_id=flow_run, owner="w", now=NOW)
    again = await claim(store, pooled("b"), by_hand, flow_run_id=flow_run, owner="v", now=NOW)
    assert isinstance(first, Queued)
    assert isinstance(again, Queued)
    assert again.dispatch_id == first.dispatch_id
    assert len(await queries.queue(store)) == 1


async def test_an_overlap_is_queued_and_runs_in_order_however_late(store: Store) -> None:
    job = queued()
    run = await claimed(store, job, occurrence())
    lines = [await deferred(store, job, occurrence(minute)) for minute in (2, 1)]
    assert {line.wait.waits_for for line in lines} == {WaitsFor.OVERLAP}
    later = NOW + timedelta(days=3)  # long after its grace: it was there in time
    order: list[datetime] = []
    for _ in range(2):
        (pending,) = (await ended(store, job, run, now=later)).released
        order.append(pending.scheduled_for)
        dispatch = await dispatch_of(store, pending.id)
        assert dispatch is not None
        run = await claimed(store, job, dispatch, now=later)
    assert order == [NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)]
    assert (await ended(store, job, run, now=later)).released == ()


@pytest.mark.parametrize("limits", [{"overlap": "queue"}, {"pool": "database"}], ids=["overlap", "pool"])
async def test_children_wait_and_go_on_as_any_other(store: Store, limits: dict[str, str]) -> None:
    """The reference never let queued overlaps of a child go on (W33)."""
    parent = Job.model_validate({"id": "parent", "run": "true", "limits": {"overlap": "allow"}})
    child = Job.model_validate({"id": "child", "run": "true", "after": {"job": "parent"}, "limits": limits})
    dispatches: list[Dispatch] = []
    for minute in range(2):
        run = await claimed(store, parent, occurrence(minute))
        outcome = await finish(store, parent, run.context, OK, children=(child,), now=NOW)
        (pending,) = outcome.consequences
        dispatches.append(await dispatch_of(store, pending.id) or occurrence())
    first = await claimed(store, child, dispatches[0])
    waits = await deferred(store, child, dispatches[1])
    assert [pending.id for pending in (await ended(store, child, first)).released] == [waits.dispatch_id]
    second = await claimed(store, child, await gone_on(store, waits))
    dispatch = second.context.dispatch
    assert (dispatch.kind, dispatch.source_run) == (DispatchKind.CHAIN, dispatches[1].source_run)
    assert dispatches[0].source_run != dispatches[1].source_run


async def test_only_so_many_wait(store: Store) -> None:
    job = queued(max_queued=2)
    await claimed(store, job, occurrence())
    await deferred(store, job, occurrence(1))
    await deferred(store, job, occurrence(2))
    rejected = await asked(store, job, occurrence(3))
    assert isinstance(rejected, Rejected)
    assert rejected.skip.reason is SkipReason.BACKLOG


async def test_the_same_occurrence_waits_and_runs_once(store: Store) -> None:
    job = queued()
    run = await claimed(store, job, occurrence())
    waits = [await deferred(store, job, occurrence(1)) for _ in range(2)]
    await ended(store, job, run)
    second = await claimed(store, job, await gone_on(store, waits[0]))
    await ended(store, job, second)
    rejected = await asked(store, job, await gone_on(store, waits[1]))
    assert isinstance(rejected, Rejected)
    assert rejected.skip.reason is SkipReason.DUPLICATE


async def test_a_manual_run_keeps_its_values_and_its_dispatch_while_it_waits(store: Store) -> None:
    job = queued()
    run = await claimed(store, job, occurrence())
    sent = await enqueue(store, job.id, by=Attribution("ann", "cli", NOW), parameters={"job": {"id": "load"}})
    dispatch = await dispatch_of(store, sent.id)
    assert dispatch is not None
    waits = await deferred(store, job, dispatch)
    assert waits.dispatch_id == sent.id
    await mark_published(store, sent, uuid4(), NOW)  # said late, of the turn before
    (pending,) = (await ended(store, job, run)).released
    assert (pending.id, pending.publication, pending.parameters) == (sent.id, 1, {"job": {"id": "load"}})
    await mark_published(store, sent, uuid4(), NOW)
    assert [row.publication for row in await pending_dispatches(store, created_before=NOW, limit=9)] == [1]


async def test_what_waits_can_be_withdrawn(store: Store) -> None:
    job = queued()
    run = await claimed(store, job, occurrence())
    waits = [await deferred(store, job, occurrence(minute)) for minute in (1, 2, 3)]
    chosen = await queries.dispatch_by_prefix(store, str(waits[0].dispatch_id)[:13])
    await withdraw_one(store, chosen.id, by=Attribution("ann", "cli", NOW))
    with pytest.raises(Refused, match="does not wait any more"):
        await withdraw_one(store, chosen.id, by=Attribution("ann", "cli", NOW))
    with pytest.raises(NotFound, match="No waiting dispatch"):
        await queries.dispatch_by_prefix(store, str(chosen.id))
    assert [row.id for row in await queries.queue(store, job=job.id)] == [wait.dispatch_id for wait in waits[1:]]
    await withdraw(store, job.id, by=Attribution("ann", "cli", NOW))
    assert (await ended(store, job, run)).released == ()


async def test_a_pool_is_never_overfull_however_many_ask_at_once(store: Store, store_url: str) -> None:
    """Two stores are two processes to the database."""
    await set_slots(store, "database", 3, by=Attribution("ann", "cli", NOW))
    others = [store, open_store(store_url)]
    jobs = [pooled(f"job-{number}") for number in range(24)]
    asked_at_once = (asked(others[number % 2], job, occurrence()) for number, job in enumerate(jobs))
    results = await asyncio.gather(*asked_at_once)
    running = {result.context.job_id: result for result in results if isinstance(result, Claimed)}
    assert (len(running), sum(isinstance(result, Queued) for result in results)) == (3, 21)
    done = 0
    while running:
        job_id, run = running.popitem()
        for pending in (await ended(store, pooled(job_id), run)).released:
            dispatch = await dispatch_of(store, pending.id)
            assert dispatch is not None
            running[pending.job_id] = await claimed(store, pooled(pending.job_id), dispatch)
        done += 1
        assert len(running) <= 3
    assert done == 24
    await others[1].close()


async def test_a_dispatch_that_is_done_is_never_put_in_line_again(store: Store) -> None:
    """Two flow runs for one dispatch, and no room when the second comes: its run has been, it must not wait for one."""
    asked_for = await enqueue(store, "load", by=Attribution("ann", "cli", NOW))
    dispatch = await dispatch_of(store, asked_for.id)
    assert dispatch is not None
    await claimed(store, queued(), dispatch)
    again = await asked(store, queued(), dispatch)
    assert isinstance(again, Rejected)
    assert again.skip.reason is SkipReason.DUPLICATE
    assert await queries.open_dispatches(store) == []


def replacing(**limits: Any) -> Job:
    return Job.model_validate({"id": "load", "run": "true", "limits": {"overlap": "replace", **limits}})


async def test_a_newer_run_ends_the_older_one_and_begins_after_it(store: Store) -> None:
    job = replacing(pool="database")
    await set_slots(store, "database", 1, by=Attribution("ann", "cli", NOW))
    older = await claimed(store, job, occurrence())
    newer = await deferred(store, job, occurrence(1))
    assert newer.ends == (older.context.flow_run_id,)
    outcome = await ended(store, job, older, DispatchResult(RunStatus.CANCELLED, error="Cancelled; all ended."))
    assert outcome.why.endswith("A newer run of the job took its place.")
    assert [each.id for each in outcome.released] == [newer.dispatch_id]
    assert isinstance(await asked(store, job, await gone_on(store, newer)), Claimed)
    (event,) = [event for event in await audit.events(store) if event.action == "cancel"]
    assert (event.run_id, event.actor, event.source) == (older.context.run_id, "scheduler", "overlap")


async def test_of_those_that_wait_the_newest_replaces_the_others(store: Store) -> None:
    job = replacing(max_queued=1)
    older = await claimed(store, job, occurrence())
    waited = await deferred(store, job, occurrence(1))
    newest = await deferred(store, job, occurrence(2))
    assert newest.ends == (older.context.flow_run_id,)
    outcome = await ended(store, job, older)
    assert [each.id for each in outcome.released] == [newest.dispatch_id]
    skipped = [run for run in await queries.runs(store) if run.status is RunStatus.SKIPPED]
    assert [(run.scheduled_for, run.skip_reason) for run in skipped] == [
        (occurrence(1).scheduled_for, SkipReason.OVERLAP)
    ]
    latest = await claimed(store, job, occurrence(3))
    assert {run.dispatch_id for run in await queries.runs(store) if run.status is RunStatus.SKIPPED} == {
        waited.dispatch_id,
        newest.dispatch_id,
    }, "what was released and not published yet has its record, too"
    overtaken = await asked(store, job, await gone_on(store, newest))
    assert isinstance(overtaken, Rejected)
    assert overtaken.skip.reason is SkipReason.WITHDRAWN
    assert not isinstance(await asked(store, job, await gone_on(store, waited)), Claimed)
    await ended(store, job, latest)


async def test_the_same_occurrence_again_ends_nothing(store: Store) -> None:
    job = replacing()
    await claimed(store, job, occurrence())
    twice = await asked(store, job, occurrence())
    assert isinstance(twice, Rejected)
    assert twice.skip.reason is SkipReason.DUPLICATE


async def test_a_start_that_died_before_it_told_the_older_run_tells_it_again(store: Store) -> None:
    job, flow_run = replacing(), uuid4()
    older = await claimed(store, job, occurrence())
    for _ in range(2):
        queued_ = await claim(store, job, occurrence(1), flow_run_id=flow_run, owner="worker", now=NOW)
        assert isinstance(queued_, Queued)
        assert queued_.ends == (older.context.flow_run_id,)
    await ended(store, job, older)
    begun = await claimed(store, job, await gone_on(store, queued_))
    late = await claim(store, job, occurrence(1), flow_run_id=flow_run, owner="worker", now=NOW)
    assert not isinstance(late, Queued) or late.ends == ()
    await ended(store, job, begun)
