"""What the store does for agents and watchdogs: deferral, conversations, findings, what earlier runs said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from ocs.rules.dispatch import (
    Dispatch,
    DispatchContext,
    DispatchKind,
    DispatchResult,
    IdempotencyAction,
    RunStatus,
    StreamOutput,
)
from ocs.spec import Job
from ocs.store import Claimed, Outcome, Store, claim, dispatch_of, finish, leases, queries, record_session

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DEFERRED = DispatchResult(
    RunStatus.ERROR,
    error="Deferred: The OpenClaw gateway does not answer.",
    retry_in=MINUTE,
    skip_delivery=True,
    skip_children=True,
    idempotency_action=IdempotencyAction.RELEASE,
)


def job(**document: Any) -> Job:
    return Job.model_validate({"id": "brief", "run": "true", "schedule": {"every": "1h"}, **document})


async def begun(store: Store, a_job: Job, dispatch: Dispatch, now: datetime) -> DispatchContext:
    verdict = await claim(store, a_job, dispatch, flow_run_id=uuid4(), owner="worker", now=now)
    assert isinstance(verdict, Claimed), verdict
    return verdict.context


async def ended(
    store: Store, a_job: Job, dispatch: Dispatch, result: DispatchResult, now: datetime, *children: Job
) -> Outcome:
    context = await begun(store, a_job, dispatch, now)
    return await finish(store, a_job, context, result, children=children, now=now, spread=0)


def scheduled(at: datetime) -> Dispatch:
    return Dispatch(DispatchKind.SCHEDULED, at)


async def test_a_deferred_run_is_the_same_attempt_later_and_no_error(store: Store) -> None:
    """Acceptance rows 66 and 67: the reference was wedged by this (W1, W2)."""
    brief, tell = job(), Job.model_validate({"id": "tell", "run": "true", "after": {"job": "brief", "on": "failure"}})
    outcome = await ended(store, brief, scheduled(NOW), DEFERRED, NOW, tell)
    (later,) = outcome.consequences
    assert (later.job_id, later.kind, later.attempt, later.scheduled_for) == (
        "brief",
        DispatchKind.RETRY,
        1,
        NOW + MINUTE,
    )
    assert outcome.why.endswith("It is tried again in 1m; this is not counted as an attempt.")
    assert (await queries.job_states(store))["brief"].consecutive_errors == 0

    dispatch = await dispatch_of(store, later.id)
    assert dispatch is not None
    outcome = await ended(store, brief, dispatch, DispatchResult(RunStatus.OK, content="done"), NOW + MINUTE)
    assert outcome.consequences == ()
    assert [run.status for run in await queries.runs(store)] == [RunStatus.OK, RunStatus.ERROR]


async def test_a_long_absence_leaves_one_run_behind(store: Store) -> None:
    brief = job()
    outcome = await ended(store, brief, scheduled(NOW), DEFERRED, NOW)
    (later,) = outcome.consequences
    for hour in range(1, 6):
        at = NOW + timedelta(hours=hour)
        outcome = await ended(store, brief, scheduled(at), DEFERRED, at)
        assert outcome.consequences == ()
        assert "falls together" in outcome.why
    assert (await queries.job_states(store))["brief"].consecutive_errors == 0

    dispatch = await dispatch_of(store, later.id)
    assert dispatch is not None
    outcome = await ended(store, brief, dispatch, DEFERRED, NOW + timedelta(hours=6))
    assert len(outcome.consequences) == 1


async def test_with_misfire_all_every_occurrence_is_tried_again(store: Store) -> None:
    brief = job(schedule={"every": "1h", "misfire": "all"})
    for hour in range(3):
        at = NOW + timedelta(hours=hour)
        assert len((await ended(store, brief, scheduled(at), DEFERRED, at)).consequences) == 1
    assert len(await queries.open_dispatches(store)) == 3


async def test_a_manual_run_is_deferred_beside_the_schedule_s(store: Store) -> None:
    brief = job()
    await ended(store, brief, scheduled(NOW), DEFERRED, NOW)
    outcome = await ended(store, brief, Dispatch(DispatchKind.MANUAL, NOW), DEFERRED, NOW)
    assert len(outcome.consequences) == 1


async def test_a_later_attempt_that_is_deferred_keeps_its_number(store: Store) -> None:
    brief = job(retry={"max": 2})
    outcome = await ended(store, brief, scheduled(NOW), DispatchResult(RunStatus.ERROR, error="x"), NOW)
    dispatch = await dispatch_of(store, outcome.consequences[0].id)
    assert dispatch is not None
    outcome = await ended(store, brief, dispatch, DEFERRED, NOW + MINUTE)
    assert [later.attempt for later in outcome.consequences] == [2]


async def test_what_time_does_not_mend_is_not_retried(store: Store) -> None:
    refused = DispatchResult(RunStatus.ERROR, error="The gateway does not accept the token.", retryable=False)
    outcome = await ended(store, job(retry={"max": 2}), scheduled(NOW), refused, NOW)
    assert outcome.consequences == ()
    assert (await queries.job_states(store))["brief"].consecutive_errors == 1


async def test_the_conversation_of_a_turn_is_known_from_its_beginning_and_after_any_end(store: Store) -> None:
    brief = job()
    context = await begun(store, brief, scheduled(NOW), NOW)
    await record_session(store, context.run_id, "agent:main:scheduler:brief")
    for result in (None, DispatchResult(RunStatus.CANCELLED, error="Cancelled.")):
        if result:
            await finish(store, brief, context, result, children=(), now=NOW, spread=0)
        (run,) = await queries.runs(store)
        assert run.session_key == "agent:main:scheduler:brief"


async def test_a_turn_that_was_cut_off_is_known_to_the_attempt_after_it(store: Store) -> None:
    brief = job(retry={"max": 1})
    context = await begun(store, brief, scheduled(NOW), NOW)
    await record_session(store, context.run_id, "agent:main:scheduler:brief")
    (lease,) = await leases(store)
    assert lease.session_key == "agent:main:scheduler:brief"
    broken = DispatchResult(RunStatus.ERROR, error="The connection ended.", cut_off=True)
    await finish(store, brief, context, broken, children=(), now=NOW, spread=0)
    run = await queries.run(store, context.run_id)
    assert run is not None
    assert (run.cut_off, run.session_key) == (True, "agent:main:scheduler:brief")


async def test_what_earlier_runs_said_is_the_replies_of_good_ones(store: Store) -> None:
    brief = job()
    said = {0: "monday", 1: "tuesday", 2: "", 3: "thursday"}
    for day, text in said.items():
        at = NOW + timedelta(days=day)
        reply = DispatchResult(RunStatus.OK, stdout=StreamOutput(text, len(text)), session_key="agent:main:x")
        await ended(store, brief, scheduled(at), reply, at)
    failed = DispatchResult(RunStatus.ERROR, stdout=StreamOutput("half a"), error="x")
    await ended(store, brief, scheduled(NOW + timedelta(days=4)), failed, NOW + timedelta(days=4))
    other = Job.model_validate({"id": "other", "run": "true"})
    spoke = DispatchResult(RunStatus.OK, stdout=StreamOutput("other"))
    await ended(store, other, Dispatch(DispatchKind.MANUAL, NOW), spoke, NOW)
    now = NOW + timedelta(days=5)
    current = await begun(store, brief, scheduled(now), now)

    found = await queries.said_before(store, "brief", before=current.run_id, limit=2)
    assert [run.stdout for run in found] == ["thursday", "tuesday"]
    assert {run.session_key for run in found} == {"agent:main:x"}


async def test_the_last_finding_is_that_of_the_newest_check_that_could_tell(store: Store) -> None:
    dog = job()
    assert await queries.last_finding(store, "brief") is None
    checked = DispatchResult(RunStatus.OK)
    for hour, finding in enumerate(("running", "stuck", None)):
        at = NOW + timedelta(hours=hour)
        await ended(store, dog, scheduled(at), replace(checked, finding=finding), at)
    assert await queries.last_finding(store, "brief") == "stuck"
