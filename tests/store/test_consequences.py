"""What follows from the end of a run and when, and for how long a key stands in the way of its occurrence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, IdempotencyAction, RunStatus
from ocs.spec import Job
from ocs.store import Claimed, Outcome, Rejected, Store, claim, enqueue, finish, ledger, queries

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OK = DispatchResult(RunStatus.OK, content="rows: 3", exit_code=0, idempotency_action=IdempotencyAction.KEEP)
FAILED = DispatchResult(RunStatus.ERROR, error="Exited with code 3.", exit_code=3)


def job(name: str = "load", **document: Any) -> Job:
    return Job.model_validate({"id": name, "run": "true", **document})


async def asked(store: Store, a_job: Job, *, at: datetime = NOW, now: datetime = NOW) -> Any:
    dispatch = Dispatch(DispatchKind.SCHEDULED, at)
    return await claim(store, a_job, dispatch, flow_run_id=uuid4(), owner="worker", now=now)


async def ended(store: Store, a_job: Job, result: DispatchResult, *children: Job) -> Outcome:
    run = await asked(store, a_job)
    assert isinstance(run, Claimed)
    return await finish(store, a_job, run.context, result, children=children, now=NOW)


async def test_with_overlap_allow_both_run(store: Store) -> None:
    both = job(limits={"overlap": "allow"})
    assert isinstance(await asked(store, both), Claimed)
    assert isinstance(await asked(store, both, at=NOW + timedelta(seconds=1)), Claimed)


async def test_a_child_is_due_after_its_delay_and_not_before(store: Store) -> None:
    child = job("next", after={"job": "load", "delay": "90s"})
    (row,) = (await ended(store, job(), OK, child)).consequences
    assert row.scheduled_for == NOW + timedelta(seconds=90)


async def test_when_the_queue_is_too_full_for_a_retry_the_failure_children_run(store: Store) -> None:
    load = job(retry={"max": 3}, limits={"max_queued": 1})
    await enqueue(store, "load", by=Attribution("ann", "cli", NOW), max_queued=1)
    outcome = await ended(store, load, FAILED, job("tell", after={"job": "load", "on": "failure"}))
    assert [row.job_id for row in outcome.consequences] == ["tell"]
    assert "Not retried: the job's queue is full." in outcome.why


@pytest.mark.parametrize(
    ("schedule", "remembered"),
    [({"cron": "@daily", "misfire": "all"}, timedelta(days=7)), ({"at": NOW.isoformat()}, timedelta(hours=24))],
    ids=["recurring", "one-shot"],
)
async def test_a_key_blocks_its_occurrence_until_it_expires(store: Store, schedule: Any, remembered: timedelta) -> None:
    """Whether it was pruned meanwhile or not; in the reference it blocked until it was."""
    allowed = job(schedule=schedule, limits={"overlap": "allow"})
    await ended(store, allowed, OK)
    late = Dispatch(DispatchKind.SCHEDULED, NOW)
    expires = NOW + remembered
    for now, blocked in ((expires - timedelta(seconds=1), True), (expires, False)):
        claimed = await claim(store, allowed, late, flow_run_id=uuid4(), owner="worker", now=now)
        assert isinstance(claimed, Rejected) is blocked
    assert await ledger.prune_keys(store, now=expires + remembered - timedelta(seconds=1)) == 0
    assert await ledger.prune_keys(store, now=expires + remembered) == 1


async def test_a_failed_run_whose_key_was_released_can_run_again_and_one_that_went_well_cannot(store: Store) -> None:
    free, kept = job("free", backoff=False), job("kept")
    await ended(store, free, DispatchResult(RunStatus.ERROR, idempotency_action=IdempotencyAction.RELEASE))
    await ended(store, kept, OK)
    assert isinstance(await asked(store, free), Claimed)
    assert isinstance(await asked(store, kept), Rejected)


async def test_a_child_whose_condition_could_not_be_told_is_a_note_on_its_parents_record(store: Store) -> None:
    family = [job(name, after={"job": "load", "match": {"jsonpath": "$"}}) for name in ("a", "b", "c")]
    run = await asked(store, job())
    said = replace(OK, summary="stdout:\nrows: 3")
    answers = {"a": True, "b": "its condition took too long"}
    outcome = await finish(store, job(), run.context, said, children=family, answers=answers, now=NOW)
    assert (outcome.status, [row.job_id for row in outcome.consequences]) == (RunStatus.OK, ["a"])
    notes = ["b did not run: its condition took too long.", "c did not run: its condition was not evaluated."]
    (recorded,) = await queries.runs(store)
    assert recorded.summary == "\n\n".join(["stdout:\nrows: 3", *notes])
