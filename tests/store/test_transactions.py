"""Claim, finish and publish: what changes together, on both databases and under concurrency."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from ocs.errors import NotFound, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, IdempotencyAction, RunStatus
from ocs.rules.guards import SkipReason
from ocs.spec import Job
from ocs.store import (
    Claimed,
    Outcome,
    Rejected,
    Store,
    abandon,
    claim,
    dispatch_of,
    enqueue,
    finish,
    ledger,
    mark_published,
    open_store,
    pending_dispatches,
    queries,
    renew_leases,
    withdraw,
)
from ocs.timing import timing
from tests.store.expiry import leases_run_out

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OK = DispatchResult(RunStatus.OK, content="rows: 3", exit_code=0)
FAILED = DispatchResult(RunStatus.ERROR, error="Exited with code 3.", exit_code=3)


def job(name: str = "load", **document: Any) -> Job:
    return Job.model_validate({"id": name, "run": "true", **document})


def scheduled(at: datetime = NOW) -> Dispatch:
    return Dispatch(DispatchKind.SCHEDULED, at)


async def claimed(
    store: Store, a_job: Job, dispatch: Dispatch, *, now: datetime = NOW, flow_run: UUID | None = None
) -> Claimed:
    result = await claim(store, a_job, dispatch, flow_run_id=flow_run or uuid4(), owner="worker", now=now)
    assert isinstance(result, Claimed), result
    return result


async def rejected(store: Store, a_job: Job, dispatch: Dispatch, *, now: datetime = NOW) -> Rejected:
    result = await claim(store, a_job, dispatch, flow_run_id=uuid4(), owner="worker", now=now)
    assert isinstance(result, Rejected), result
    return result


async def finished(
    store: Store, a_job: Job, claim_: Claimed, result: DispatchResult, *children: Job, now: datetime = NOW
) -> Outcome:
    return await finish(store, a_job, claim_.context, result, children=children, now=now, spread=0)


async def test_a_claim_and_its_end_are_remembered(store: Store) -> None:
    first = await claimed(store, job(), scheduled())
    (run,) = await queries.runs(store)
    assert (run.status, run.kind, run.scheduled_for) == (RunStatus.RUNNING, DispatchKind.SCHEDULED, NOW)
    assert [key.run_id for key in await ledger.keys(store)] == [first.context.run_id]

    await finished(store, job(), first, OK, now=NOW + timedelta(seconds=2))
    (run,) = await queries.runs(store)
    assert (run.status, run.exit_code, run.finished_at) == (RunStatus.OK, 0, NOW + timedelta(seconds=2))
    state = (await queries.job_states(store))["load"]
    assert (state.last_status, state.consecutive_errors) == (RunStatus.OK, 0)


async def test_one_occurrence_has_one_run_whoever_asks_at_the_same_time(store: Store, store_url: str) -> None:
    """From several connections at once, as several workers would (W25)."""
    together = job(limits={"overlap": "allow"})
    others = [store, open_store(store_url), open_store(store_url)]
    results = await asyncio.gather(
        *(
            claim(others[number % 3], together, scheduled(), flow_run_id=uuid4(), owner=f"w{number}", now=NOW)
            for number in range(60)
        )
    )
    for other in others[1:]:
        await other.close()
    reasons = Counter("claimed" if isinstance(result, Claimed) else result.skip.reason for result in results)
    assert reasons == {"claimed": 1, SkipReason.DUPLICATE: 59}


async def test_overlap_lets_one_through_of_many_at_the_same_time(store: Store, store_url: str) -> None:
    second = open_store(store_url)
    results = await asyncio.gather(
        *(
            claim(
                (store, second)[number % 2],
                job(),
                scheduled(NOW - timedelta(seconds=number)),
                flow_run_id=uuid4(),
                owner="w",
                now=NOW,
            )
            for number in range(40)
        )
    )
    await second.close()
    assert sum(isinstance(result, Claimed) for result in results) == 1


async def test_a_rejected_dispatch_leaves_a_record_that_says_why(store: Store) -> None:
    at_work = await claimed(store, job(), scheduled())
    refused = await rejected(store, job(), scheduled(NOW + timedelta(seconds=1)))
    run = await queries.run_by_prefix(store, str(refused.run_id))
    assert (run.status, run.skip_reason, run.summary) == (RunStatus.SKIPPED, SkipReason.OVERLAP, refused.skip.why)
    assert run.in_its_way == at_work.context.run_id
    assert str(at_work.context.run_id)[:8] in run.summary


async def test_a_run_keeps_its_place_until_it_is_ended_even_when_its_lease_has_run_out(store: Store) -> None:
    """A worker that could not reach the store for a minute still executes it."""
    first = await claimed(store, job(), scheduled())
    later = NOW + timing().lease + timedelta(seconds=1)
    await rejected(store, job(), scheduled(later), now=later)
    await finished(store, job(), first, OK, now=later)
    await claimed(store, job(), scheduled(later + timedelta(seconds=1)), now=later)


async def test_a_renewal_tells_which_runs_are_still_ours(store: Store) -> None:
    first = await claimed(store, job(), scheduled())
    second = await claimed(store, job("other"), scheduled())
    await finished(store, job("other"), second, OK)
    assert await renew_leases(store, [first.context.run_id, second.context.run_id]) == {first.context.run_id}


async def test_a_released_key_can_be_claimed_again(store: Store) -> None:
    """The reference wedged on this (W1, W2)."""
    first = await claimed(store, job(), scheduled())
    await finished(store, job(), first, replace(FAILED, idempotency_action=IdempotencyAction.RELEASE))
    again = await claimed(store, job(backoff=False), scheduled())
    assert again.context.idempotency_key == first.context.idempotency_key


async def test_a_person_can_release_a_key_and_that_is_audited(store: Store) -> None:
    first = await claimed(store, job(), scheduled())
    await finished(store, job(), first, OK)
    key = await ledger.key_by_prefix(store, first.context.idempotency_key[:8])
    await ledger.release_key(store, key.key, by=Attribution("ann", "cli", NOW))
    with pytest.raises(Refused, match="already released"):
        await ledger.release_key(store, key.key, by=Attribution("ann", "cli", NOW))
    await claimed(store, job(), scheduled())
    for nobody in ("ffff", key.key[:3], "", "%", "____", "\udcff\udcfe"):
        with pytest.raises(NotFound):
            await ledger.key_by_prefix(store, nobody)


async def test_a_failure_is_retried_and_its_children_wait_for_the_last_attempt(store: Store) -> None:
    load, tell = job(retry={"max": 1, "delay": "10s"}), job("tell", after={"job": "load", "on": "failure"})
    first = await claimed(store, load, scheduled())
    outcome = await finished(store, load, first, FAILED, tell)
    (retry,) = outcome.consequences
    assert (retry.kind, retry.retry_of, retry.attempt) == (DispatchKind.RETRY, first.context.run_id, 2)
    assert retry.scheduled_for == NOW + timedelta(seconds=10)
    assert "Retry 1 of 1 follows in 10s" in outcome.why
    assert (await queries.job_states(store))["load"].consecutive_errors == 0

    dispatch = await dispatch_of(store, retry.id)
    assert dispatch is not None
    second = await claimed(store, load, dispatch)
    outcome = await finished(store, load, second, FAILED, tell)
    (child,) = outcome.consequences
    assert (child.kind, child.job_id, child.source_run) == (DispatchKind.CHAIN, "tell", second.context.run_id)
    assert (await queries.job_states(store))["load"].consecutive_errors == 1


async def test_a_cancelled_run_has_no_consequences(store: Store) -> None:
    load, tell = job(retry={"max": 3}), job("tell", after={"job": "load", "on": "complete"})
    outcome = await finished(
        store, load, await claimed(store, load, scheduled()), DispatchResult(RunStatus.CANCELLED), tell
    )
    assert outcome.consequences == ()


async def test_a_result_that_comes_too_late_changes_nothing(store: Store) -> None:
    flow_run = uuid4()
    first = await claimed(store, job(), scheduled(), flow_run=flow_run)
    # A person pressed Retry when the first attempt's worker seemed dead.
    await leases_run_out(store)
    later = NOW + timing().lease + timedelta(seconds=1)
    second = await claimed(store, job(limits={"overlap": "allow"}), scheduled(), flow_run=flow_run, now=later)
    assert (second.context.dispatch.kind, second.context.dispatch.attempt) == (DispatchKind.RETRY, 2)
    assert second.context.dispatch.retry_of == first.context.run_id
    late = await finished(store, job(), first, OK, job("next", after={"job": "load"}))
    assert late.stale
    assert late.consequences == ()
    crashed = await queries.run_by_prefix(store, str(first.context.run_id))
    assert crashed.status is RunStatus.CRASHED


async def test_a_full_queue_stops_retries_and_children_and_says_so(store: Store) -> None:
    load = job(retry={"max": 3}, limits={"max_queued": 1})
    child = job("child", after={"job": "load", "on": "failure"}, limits={"max_queued": 1})
    first = await claimed(store, load, scheduled())
    for name in ("load", "child"):
        await enqueue(store, name, by=Attribution("ann", "cli", NOW), max_queued=1)
    outcome = await finished(store, load, first, FAILED, child)
    assert outcome.consequences == ()
    assert "Not retried: the job's queue is full." in outcome.why
    assert "child did not run: its queue is full." in outcome.why
    with pytest.raises(Refused, match="waiting already"):
        await enqueue(store, "load", by=Attribution("ann", "cli", NOW), max_queued=1)


async def test_the_outbox_gives_what_was_not_published_and_only_that(store: Store) -> None:
    kept, sent, gone = [await enqueue(store, "load", by=Attribution("ann", "cli", NOW)) for _ in range(3)]
    await mark_published(store, sent, uuid4(), NOW)
    await abandon(store, gone.id, why="it is gone", now=NOW)
    assert await pending_dispatches(store, created_before=NOW, limit=10) == [kept]
    assert await pending_dispatches(store, created_before=NOW - timedelta(seconds=1), limit=10) == []


async def test_a_withdrawn_dispatch_does_not_run_even_when_prefect_starts_it(store: Store) -> None:
    waiting = await enqueue(store, "load", by=Attribution("ann", "cli", NOW))
    flow_run = uuid4()
    await mark_published(store, waiting, flow_run, NOW)
    assert await withdraw(store, "load", by=Attribution("ann", "cli", NOW)) == [flow_run]
    dispatch = await dispatch_of(store, waiting.id)
    assert dispatch is not None
    assert (await rejected(store, job(), dispatch)).skip.reason is SkipReason.WITHDRAWN


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Tokyo"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The zone of the host, which must not matter (W10)."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
async def test_backoff_skips_scheduled_runs_after_errors_and_only_those(store: Store) -> None:
    load = job(schedule="* * * * *")
    await finished(store, load, await claimed(store, load, scheduled()), FAILED)
    soon, later = (NOW + timedelta(seconds=seconds) for seconds in (20, 30))
    assert (await rejected(store, load, scheduled(soon), now=soon)).skip.reason is SkipReason.BACKOFF
    by_hand = await claimed(store, load, Dispatch(DispatchKind.MANUAL, soon), now=soon)
    await finished(store, load, by_hand, FAILED, now=soon)
    # The second error in a row pauses for a minute, and a run that goes well ends that.
    assert (await rejected(store, load, scheduled(later), now=later)).skip.reason is SkipReason.BACKOFF
    well = await claimed(store, load, Dispatch(DispatchKind.MANUAL, later), now=later)
    await finished(store, load, well, OK, now=later)
    await claimed(store, load, scheduled(later + timedelta(seconds=1)), now=later + timedelta(seconds=1))


async def test_times_keep_their_microseconds_and_zone(store: Store) -> None:
    moment = datetime(2026, 11, 24, 13, 0, 0, 123456, tzinfo=UTC)
    await claimed(store, job(), scheduled(moment), now=moment)
    (run,) = await queries.runs(store)
    assert run.started_at == moment
    assert run.started_at.tzinfo is UTC


async def test_a_run_is_found_by_every_id_that_is_printed_of_it(store: Store) -> None:
    load, flow_run = job(), uuid4()
    asked = await enqueue(store, "load", by=Attribution("ann", "cli", NOW))
    dispatch = Dispatch(DispatchKind.MANUAL, NOW, id=asked.id)
    assert await queries.waiting_by_any_id(store, str(asked.id)[:8]) == ["load"]
    first = await claimed(store, load, dispatch, flow_run=flow_run)
    for named in (first.context.run_id, flow_run, asked.id):
        for given in (str(named), named.hex, str(named)[:8], str(named).upper()):
            assert (await queries.run_by_prefix(store, given)).id == first.context.run_id
    assert await queries.waiting_by_any_id(store, str(asked.id)) == []
    await finished(store, load, first, FAILED)
    again = await claimed(
        store,
        load,
        Dispatch(DispatchKind.MANUAL, NOW + timedelta(seconds=1)),
        now=NOW + timedelta(seconds=1),
        flow_run=flow_run,
    )
    assert (await queries.run_by_prefix(store, str(flow_run))).id == again.context.run_id  # the last one of it
    assert (await queries.run_by_prefix(store, str(first.context.run_id))).id == first.context.run_id
    with pytest.raises(NotFound, match="No run begins with"):
        await queries.run_by_prefix(store, str(uuid4()))


async def test_an_ambiguous_run_id_is_told(store: Store) -> None:
    first = await claimed(store, job(), scheduled())
    for unknown in ("zzzz", "%%%%", "____", "\udcff\udcfe\udcff\udcfe"):
        with pytest.raises(NotFound, match="No run begins with"):
            await queries.run_by_prefix(store, unknown)
    for short in ("", "%", str(first.context.run_id)[:3]):
        with pytest.raises(NotFound, match="not enough"):
            await queries.run_by_prefix(store, short)
