"""A run whose worker is gone: ended once, with what follows from it, on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.rules.guards import SkipReason
from ocs.rules.misfire import CatchUp
from ocs.spec import Job
from ocs.store import (
    Claimed,
    Lease,
    Outcome,
    Rejected,
    Sent,
    Store,
    abandon,
    claim,
    close_run,
    dispatch_of,
    enqueue,
    finish,
    leases,
    ledger,
    mark_published,
    occurrences,
    pending_dispatches,
    published_dispatches,
    queries,
    record_process,
    renew_leases,
    retention,
    send_again,
)
from ocs.timing import timing
from tests.store.expiry import leases_run_out

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOW + timing().lease + timedelta(seconds=1)
CRASHED = DispatchResult(RunStatus.CRASHED, error="Its worker was cut off.")
AT_LEAST_ONCE = {"shell": "true", "guarantee": "at-least-once", "max_replays": 2}


def job(name: str = "load", **document: Any) -> Job:
    return Job.model_validate({"id": name, "run": "true", **document})


async def begun(
    store: Store, a_job: Job, dispatch: Dispatch | None = None, *, flow_run: UUID | None = None, owner: str = "a"
) -> Claimed:
    dispatch = dispatch or Dispatch(DispatchKind.SCHEDULED, NOW)
    result = await claim(store, a_job, dispatch, flow_run_id=flow_run or uuid4(), owner=owner, now=NOW)
    assert isinstance(result, Claimed), result
    return result


async def crash(store: Store, a_job: Job, lease: Lease, *children: Job) -> Outcome:
    return await finish(store, a_job, lease.context, CRASHED, children=children, now=LATER, last_heartbeat=lease.until)


async def test_a_lease_says_who_executes_what_and_as_which_process(store: Store) -> None:
    claimed = await begun(store, job(), owner="host:1")
    await record_process(store, claimed.context.run_id, 4711, 12.5)
    (lease,) = await leases(store)
    assert lease == Lease(claimed.context, "host:1", lease.until, False, 4711, 12.5)


async def test_leases_are_given_and_judged_by_the_clock_of_the_database(store: Store) -> None:
    """A second owner, whose clock is far ahead, cannot claim a live run."""
    flow_run = uuid4()
    await begun(store, job(), flow_run=flow_run)
    (lease,) = await leases(store)
    assert abs(lease.until - timing().lease - datetime.now(UTC)) < timing().lease
    ahead = datetime.now(UTC) + timedelta(days=1)
    at = Dispatch(DispatchKind.SCHEDULED, NOW)
    second = await claim(store, job(), at, flow_run_id=flow_run, owner="b", now=ahead)
    assert isinstance(second, Rejected)
    await leases_run_out(store)
    (lease,) = await leases(store)
    assert lease.has_run_out
    assert await renew_leases(store, [lease.context.run_id]) == {lease.context.run_id}
    assert [lease.has_run_out for lease in await leases(store)] == [False]


async def test_an_at_most_once_run_that_crashed_is_not_begun_again_and_its_failure_children_run(store: Store) -> None:
    await begun(store, job())
    (lease,) = await leases(store)
    told, silent = (job(on, after={"job": "load", "on": on}) for on in ("failure", "success"))
    outcome = await crash(store, job(), lease, told, silent)
    assert [(row.job_id, row.kind) for row in outcome.consequences] == [("failure", DispatchKind.CHAIN)]
    assert "at-most-once" in outcome.why
    (run,) = await queries.runs(store)
    assert (run.status, run.finished_at, run.lease_until) == (RunStatus.CRASHED, LATER, None)
    (key,) = await ledger.keys(store)
    assert key.status == "claimed"
    assert (await queries.job_states(store))["load"].consecutive_errors == 0


async def test_an_at_least_once_run_is_begun_again_so_often_and_then_fails_for_good(store: Store) -> None:
    careful = job(run=AT_LEAST_ONCE, retry={"max": 1})
    child = job("child", after={"job": "load", "on": "failure"})
    dispatch = Dispatch(DispatchKind.SCHEDULED, NOW)
    for replay in (1, 2):
        await begun(store, careful, dispatch)
        (lease,) = await leases(store)
        (row,) = (await crash(store, careful, lease, child)).consequences
        assert (row.job_id, row.kind, row.retry_of, row.attempt) == (
            "load",
            DispatchKind.REPLAY,
            lease.context.run_id,
            1,
        )
        again = await dispatch_of(store, row.id)
        assert again is not None
        assert again.replays == replay
        dispatch = again
    await begun(store, careful, dispatch)
    (lease,) = await leases(store)
    outcome = await crash(store, careful, lease, child)
    assert [row.job_id for row in outcome.consequences] == ["child"]
    assert "all 2 replays are used" in outcome.why


async def test_a_sign_of_life_stands_against_a_crash(store: Store) -> None:
    claimed = await begun(store, job())
    (lease,) = await leases(store)
    await renew_leases(store, [claimed.context.run_id])
    assert (await crash(store, job(), lease)).stale
    assert (await close_run(store, lease, RunStatus.CANCELLED, why="gone", now=LATER)).stale
    (run,) = await queries.runs(store)
    assert run.status is RunStatus.RUNNING


async def test_a_crash_is_recorded_once_however_many_workers_notice_it(store: Store) -> None:
    careful = job(run=AT_LEAST_ONCE)
    await begun(store, careful)
    (lease,) = await leases(store)
    outcomes = await asyncio.gather(*(crash(store, careful, lease) for _ in range(5)))
    assert sorted(outcome.stale for outcome in outcomes) == [False, True, True, True, True]
    assert len(await queries.open_dispatches(store)) == 1


async def test_a_result_that_comes_after_the_crash_was_recorded_is_not_used(store: Store) -> None:
    claimed = await begun(store, job())
    (lease,) = await leases(store)
    await crash(store, job(), lease)
    late = await finish(store, job(), claimed.context, DispatchResult(RunStatus.OK), children=(), now=LATER)
    assert (late.stale, late.status) == (True, RunStatus.CRASHED)


async def test_a_run_that_is_closed_has_no_consequences_and_frees_its_place(store: Store) -> None:
    await begun(store, job(retry={"max": 3}))
    (lease,) = await leases(store)
    outcome = await close_run(store, lease, RunStatus.CANCELLED, why="Deleted in the UI.", now=LATER)
    assert (outcome.status, outcome.consequences) == (RunStatus.CANCELLED, ())
    await begun(store, job(), Dispatch(DispatchKind.SCHEDULED, LATER))


@pytest.mark.parametrize("ends", ["crashed", "closed", "taken for dead by a Retry"])
async def test_an_occurrence_that_was_cut_off_is_not_had_again_though_its_record_is_gone(
    store: Store, ends: str
) -> None:
    """Its key stays, whatever prunes the run's row."""
    flow_run = uuid4()
    first = await begun(store, job(), flow_run=flow_run)
    (lease,) = await leases(store)
    if ends == "crashed":
        await crash(store, job(), lease)
    elif ends == "closed":
        await close_run(store, lease, RunStatus.CANCELLED, why="Deleted in the UI.", now=LATER)
    else:
        await leases_run_out(store)
        again = await begun(store, job(limits={"overlap": "allow"}), flow_run=flow_run)
        await finish(store, job(), again.context, DispatchResult(RunStatus.OK), children=(), now=LATER)
    await retention.prune(store, {"load": 0}, otherwise=0, now=LATER)
    assert await queries.runs(store) == []
    (row,) = await occurrences.dispatch_missed(store, "load", CatchUp((NOW,)), LATER)
    made_up = await dispatch_of(store, row.id)
    assert made_up is not None
    second = await claim(store, job(), made_up, flow_run_id=uuid4(), owner="b", now=LATER)
    assert isinstance(second, Rejected)
    assert second.skip.reason is SkipReason.DUPLICATE
    assert first.context.idempotency_key in [key.key for key in await ledger.keys(store)]


async def test_a_claim_whose_answer_was_lost_is_made_once(store: Store) -> None:
    flow_run = uuid4()
    first = await begun(store, job(), flow_run=flow_run)
    again = await begun(store, job(), flow_run=flow_run)
    assert again.context == first.context
    assert len(await queries.runs(store)) == 1


async def test_a_flow_run_that_another_process_executes_is_left_to_it(store: Store) -> None:
    flow_run = uuid4()
    first = await begun(store, job(), flow_run=flow_run)
    scheduled = Dispatch(DispatchKind.SCHEDULED, NOW)
    second = await claim(store, job(), scheduled, flow_run_id=flow_run, owner="b", now=NOW)
    assert isinstance(second, Rejected)
    assert second.skip.reason is SkipReason.DUPLICATE
    assert [run.id for run in await queries.runs(store)] == [first.context.run_id]


@pytest.mark.parametrize("became", ["a run", "nothing"])
async def test_a_dispatch_whose_flow_run_never_began_is_found_and_given_up(store: Store, became: str) -> None:
    row = await enqueue(store, "load", by=Attribution("ann", "cli", NOW))
    flow_run = uuid4()
    await mark_published(store, row, flow_run, NOW)
    assert await published_dispatches(store, before=NOW) == []
    assert await published_dispatches(store, before=LATER) == [Sent(row.id, flow_run, NOW, NOW)]
    if became == "a run":
        dispatch = await dispatch_of(store, row.id)
        await begun(store, job(), dispatch, flow_run=flow_run)
        assert await published_dispatches(store, before=LATER) == []
    await abandon(store, row.id, why="its flow run was deleted", now=LATER)
    found = await queries.dispatch(store, row.id)
    assert found is not None
    assert found.status == ("done" if became == "a run" else "cancelled")


@pytest.mark.parametrize("became", ["nothing", "a run", "withdrawn"])
async def test_a_dispatch_whose_flow_run_broke_is_sent_as_another_one_unless_it_has_become_a_run(
    store: Store, became: str
) -> None:
    row = await enqueue(store, "load", by=Attribution("ann", "cli", NOW))
    flow_run = uuid4()
    await mark_published(store, row, flow_run, NOW)
    (sent,) = await published_dispatches(store, before=LATER)
    if became == "a run":
        await begun(store, job(), await dispatch_of(store, row.id), flow_run=flow_run)
    if became == "withdrawn":
        await abandon(store, row.id, why="nobody wants it", now=NOW)
    for _ in range(2):  # two workers see it at the same time
        await send_again(store, sent)
    again = await pending_dispatches(store, created_before=NOW, limit=10)
    assert [(each.id, each.publication) for each in again] == ([(row.id, 1)] if became == "nothing" else [])


async def test_one_start_of_a_flow_run_has_one_run_and_another_start_is_a_further_attempt(store: Store) -> None:
    """Two workers that took the same flow run have the same count of starts; a Retry in the UI has a higher one."""
    load, flow_run = job(limits={"overlap": "allow"}), uuid4()

    async def begun(entry: int) -> Claimed | Rejected:
        at = Dispatch(DispatchKind.SCHEDULED, NOW)
        claimed = await claim(store, load, at, flow_run_id=flow_run, owner="worker", now=NOW, entry=entry)
        assert isinstance(claimed, Claimed | Rejected)
        return claimed

    first = await begun(1)
    assert isinstance(first, Claimed)
    await finish(store, load, first.context, DispatchResult(RunStatus.ERROR, error="It broke."), children=(), now=NOW)
    late = await begun(1)
    assert isinstance(late, Rejected)
    assert (late.run_id, late.status) == (first.context.run_id, RunStatus.ERROR)
    assert len(await queries.runs(store)) == 1
    again = await begun(2)
    assert isinstance(again, Claimed)
    assert again.context.dispatch.attempt == 2
