"""Budgets: what the store counts, on both databases (B-12)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus, StreamOutput
from ocs.spec import Job
from ocs.store import Claimed, Queued, Store, claim, enqueue, finish
from ocs.store.budgets import Budgets, budgets

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
POOLED = Job.model_validate({"id": "pooled", "run": "true", "limits": {"pool": "database"}})
OTHER = Job.model_validate({"id": "other", "run": "true", "limits": {"pool": "database"}})
QUEUED = Job.model_validate({"id": "queued", "run": "true", "limits": {"overlap": "queue"}})


async def start(store: Store, job: Job) -> Claimed | Queued:
    result = await claim(store, job, Dispatch(DispatchKind.MANUAL, NOW), flow_run_id=uuid4(), owner="worker", now=NOW)
    assert isinstance(result, Claimed | Queued)
    return result


async def test_an_empty_store_has_nothing(store: Store) -> None:
    assert await budgets(store) == Budgets({}, 0, 0, 0, 0)


async def test_everything_that_waits_is_counted_by_job_and_by_what_it_waits_for(store: Store) -> None:
    for job in (POOLED, OTHER, QUEUED, QUEUED, QUEUED):
        await start(store, job)
    await enqueue(store, "pooled", by=Attribution("ann", "test", NOW))
    counted = await budgets(store)
    assert counted.waiting == {"other": 1, "queued": 2, "pooled": 1}
    assert (counted.pool_queued_dispatches, counted.overlap_queued_dispatches) == (1, 2)


async def test_output_is_counted_with_what_is_kept_in_files(store: Store) -> None:
    said = StreamOutput("hello", 5_000_000_000)
    for stdout in (said, replace(said, path="/somewhere/stdout.txt")):
        run = await start(store, QUEUED)
        assert isinstance(run, Claimed)
        result = DispatchResult(RunStatus.OK, stdout=stdout, stderr=StreamOutput("x", 1))
        await finish(store, QUEUED, run.context, result, children=(), now=NOW, spread=0)
    counted = await budgets(store)
    assert (counted.shell_output_bytes, counted.offloaded_shell_runs) == (10_000_000_002, 1)
