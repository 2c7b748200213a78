"""The approval gate in the store: asked in the claim, decided once, and what becomes of the run; on both databases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ocs.errors import NotFound, Refused
from ocs.rules.approval import LONGEST_NAME, LONGEST_REASON, ApprovalStatus
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.rules.guards import SkipReason
from ocs.spec import Job
from ocs.store import (
    ApprovalContext,
    ApprovalRequested,
    Claim,
    Claimed,
    Declined,
    Queued,
    Rejected,
    Store,
    claim,
    deliveries,
    dispatch_of,
    enqueue,
    finish,
    open_store,
    queries,
    set_slots,
    withdraw,
)
from ocs.store.approvals import (
    Decided,
    approval_by,
    approvals,
    approvals_of_run,
    at_the_gate,
    decide,
    expire,
    withdraw_approval,
)
from ocs.store.audit import append, events
from ocs.store.retention import prune

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def guarded(name: str = "deploy", command: str = "./deploy.sh", **document: Any) -> Job:
    return Job.model_validate({"id": name, "run": command, **document, "approval": {"required": True}})


def with_approval(job: Job, **approval: Any) -> Job:
    return job.changed({"approval": {"required": True, **approval}})


def occurrence(minutes: int = 0) -> Dispatch:
    return Dispatch(DispatchKind.SCHEDULED, NOW + timedelta(minutes=minutes))


async def entered(
    store: Store, job: Job, dispatch: Dispatch, flow_run: UUID | None = None, *, now: datetime = NOW, owner: str = "w"
) -> Claim:
    return await claim(
        store,
        job,
        dispatch,
        flow_run_id=flow_run or uuid4(),
        owner=owner,
        now=now,
        shown=ApprovalContext(job, "http://ui/run"),
    )


async def asks(
    store: Store, job: Job, dispatch: Dispatch, flow_run: UUID | None = None, **more: Any
) -> ApprovalRequested:
    result = await entered(store, job, dispatch, flow_run, **more)
    assert isinstance(result, ApprovalRequested), result
    return result


async def decided(
    store: Store,
    asked: ApprovalRequested,
    *,
    approve: bool = True,
    by: str = "ann",
    now: datetime = NOW,
    **more: Any,
) -> Decided:
    return await decide(store, asked.approval_id, approve=approve, by=Attribution(by, "cli", now), **more)


async def test_a_run_waits_and_the_same_row_goes_on_when_it_is_approved(store: Store) -> None:
    job, flow_run = guarded(), uuid4()
    asked = await asks(store, job, occurrence(), flow_run)
    (waiting,) = await queries.runs(store)
    assert (waiting.status, waiting.flow_run_id) == (RunStatus.WAITING_APPROVAL, flow_run)
    assert await queries.running(store) == []
    assert "./deploy.sh" in asked.form

    assert (await decided(store, asked, reason="it is time")).counted
    result = await entered(store, job, occurrence(), flow_run, now=NOW + HOUR)
    assert isinstance(result, Claimed)
    assert result.context.run_id == waiting.id
    (run,) = await queries.runs(store)
    assert (run.status, run.owner, run.started_at) == (RunStatus.RUNNING, "w", NOW + HOUR)
    await finish(store, job, result.context, DispatchResult(RunStatus.OK), children=[], now=NOW + HOUR)
    (request,) = await approvals_of_run(store, run.id)
    assert (request.status, request.decided_by, request.decided_from) == (ApprovalStatus.APPROVED, "ann", "cli")
    assert (request.reason, request.decided_at) == ("it is time", NOW)


@pytest.mark.parametrize("kind", [kind for kind in DispatchKind if kind is not DispatchKind.QUEUED])
async def test_every_way_to_a_run_passes_the_gate(store: Store, kind: DispatchKind) -> None:
    await asks(store, guarded(), Dispatch(kind, NOW, retry_of=uuid4(), source_run=uuid4()))


async def test_a_rejected_run_is_ended_with_its_reason_and_its_failure_children_follow(store: Store) -> None:
    job, flow_run = guarded(limits={"max_queued": 1}), uuid4()
    asked = await asks(store, job, occurrence(), flow_run)
    await decided(store, asked, approve=False, reason="not on a Friday")
    result = await entered(store, job, occurrence(), flow_run)
    assert isinstance(result, Declined)
    assert result.why == "Rejected by ann: not on a Friday."
    children = [
        Job.model_validate({"id": f"on-{on}", "run": "true", "after": {"job": job.id, "on": on}})
        for on in ("success", "failure", "complete")
    ]
    end = DispatchResult(RunStatus.CANCELLED, error=result.why, declined=True)
    outcome = await finish(store, job, result.context, end, children=children, now=NOW)
    assert (outcome.status, outcome.why) == (RunStatus.CANCELLED, result.why)
    assert [row.job_id for row in outcome.consequences] == ["on-complete", "on-failure"]
    (run,) = await queries.runs(store)
    assert (run.status, run.error) == (RunStatus.CANCELLED, result.why)
    # The queue has its slot back (W6), however often that happens.
    for minute in (1, 2, 3):
        await decided(store, await asks(store, job, occurrence(minute)), approve=False)
    await enqueue(store, job.id, by=Attribution("ann", "cli", NOW), max_queued=1)


async def test_the_first_decision_counts_and_the_second_is_told_so(store: Store) -> None:
    asked = await asks(store, guarded(), occurrence())
    assert (await decided(store, asked, approve=False, by="ann")).counted
    late = await decided(store, asked, approve=True, by="bob")
    assert not late.counted
    assert (late.approval.status, late.approval.decided_by) == (ApprovalStatus.REJECTED, "ann")


async def test_of_many_who_decide_at_once_one_counts(store: Store, store_url: str) -> None:
    """Two stores are two processes to the database."""
    stores = [store, open_store(store_url)]
    for minute in range(3):
        asked = await asks(store, guarded(), occurrence(minute))
        answers = await asyncio.gather(
            *(
                decided(stores[number % 2], asked, approve=number % 3 == 0, by=f"person-{number}")
                for number in range(12)
            )
        )
        (counted,) = [answer for answer in answers if answer.counted]
        assert {answer.approval.decided_by for answer in answers} == {counted.approval.decided_by}
        told = [event for event in await events(store) if event.run_id == counted.approval.run_id]
        assert len([event for event in told if event.action in ("approval-approved", "approval-rejected")]) == 1
    await stores[1].close()


@pytest.mark.parametrize(("on_timeout", "status"), [("reject", "timed_out"), ("approve", "approved")])
async def test_when_nobody_decides_the_job_says_what_happens_and_it_happens_once(
    store: Store, on_timeout: str, status: str
) -> None:
    job, flow_run = with_approval(guarded(), timeout="30m", on_timeout=on_timeout), uuid4()
    asked = await asks(store, job, occurrence(), flow_run)
    assert not (await expire(store, asked.approval_id, NOW + timedelta(minutes=29))).counted
    answers = await asyncio.gather(*(expire(store, asked.approval_id, NOW + HOUR) for _ in range(4)))
    assert sum(answer.counted for answer in answers) == 1
    result = await entered(store, job, occurrence(), flow_run, now=NOW + HOUR)
    assert isinstance(result, Claimed if on_timeout == "approve" else Declined)
    (request,) = await approvals(store)
    assert (request.status, request.decided_by, request.decided_from) == (status, "timeout", "timeout")


async def test_a_decision_after_the_time_is_too_late_even_when_nothing_ran_at_that_moment(store: Store) -> None:
    asked = await asks(store, guarded(), occurrence())
    late = await decided(store, asked, now=NOW + HOUR)
    assert not late.counted
    assert late.approval.status is ApprovalStatus.TIMED_OUT


async def test_a_run_that_is_entered_after_its_time_is_decided_there(store: Store) -> None:
    flow_run = uuid4()
    await asks(store, guarded(), occurrence(), flow_run)
    result = await entered(store, guarded(), occurrence(), flow_run, now=NOW + HOUR)
    assert isinstance(result, Declined)
    assert "Nobody decided within 1h" in result.why


async def test_entered_again_without_a_decision_it_asks_again_with_a_form_of_its_own(store: Store) -> None:
    flow_run = uuid4()
    first = await asks(store, guarded(), occurrence(), flow_run)
    again = await asks(store, guarded(), occurrence(), flow_run)
    assert (again.approval_id, first.number, again.number) == (first.approval_id, 1, 2)
    assert len(await queries.runs(store)) == 1


async def test_a_decision_is_for_exactly_what_was_shown(store: Store) -> None:
    flow_run = uuid4()
    first = await asks(store, guarded(), occurrence(), flow_run)
    await decided(store, first)
    soon, later = NOW + HOUR / 4, NOW + HOUR / 2
    other = await asks(store, guarded(command="rm -rf /"), occurrence(), flow_run, now=soon)
    assert other.approval_id != first.approval_id
    assert "rm -rf /" in other.form
    assert len(await queries.runs(store)) == 1
    third = await asks(store, guarded(command="echo mild"), occurrence(), flow_run, now=later)
    stands = {request.id: request.status for request in await approvals(store)}
    assert stands[other.approval_id] is ApprovalStatus.WITHDRAWN
    assert stands[third.approval_id] is ApprovalStatus.PENDING
    renamed = guarded(command="echo mild", description="Another one.", schedule="@daily")
    assert (await asks(store, renamed, occurrence(), flow_run, now=later)).approval_id == third.approval_id


async def test_only_so_many_wait(store: Store) -> None:
    job = with_approval(guarded(), max_pending=2)
    first = await asks(store, job, occurrence())
    await asks(store, job, occurrence(1))
    third = await entered(store, job, occurrence(2))
    assert isinstance(third, Rejected)
    assert third.skip.reason is SkipReason.BACKLOG
    assert "approval.max_pending is 2" in third.skip.why
    await decided(store, first)
    await asks(store, job, occurrence(3))


async def test_one_occasion_is_asked_about_once(store: Store) -> None:
    asked = await asks(store, guarded(), occurrence())
    twin = await entered(store, guarded(), occurrence())
    assert isinstance(twin, Rejected)
    assert twin.skip.reason is SkipReason.DUPLICATE
    assert [waiting.approval.id for waiting in await at_the_gate(store)] == [asked.approval_id]


@pytest.mark.parametrize("by_schedule", [True, False])
async def test_what_was_approved_may_have_to_wait_and_keeps_its_decision(store: Store, by_schedule: bool) -> None:
    job, flow_run, turn = guarded(limits={"pool": "database"}), uuid4(), uuid4()
    holder = Job.model_validate({"id": "holder", "run": "true", "limits": {"pool": "database"}})
    holds = await entered(store, holder, occurrence())
    assert isinstance(holds, Claimed)
    dispatch = occurrence()
    if not by_schedule:
        sent = await enqueue(store, job.id, by=Attribution("ann", "cli", NOW))
        dispatch = await dispatch_of(store, sent.id) or dispatch
    asked = await asks(store, job, dispatch, flow_run)
    assert ("by hand, asked for by ann" in asked.form) is not by_schedule
    await decided(store, asked)
    for _ in range(2):  # entered again after its worker died, it is still in line
        deferred = await entered(store, job, dispatch, flow_run)
        assert isinstance(deferred, Queued)
    (waiting,) = await at_the_gate(store)
    assert waiting.is_queued
    released = (await finish(store, holder, holds.context, DispatchResult(RunStatus.OK), children=[], now=NOW)).released
    assert [row.id for row in released] == [deferred.dispatch_id]
    assert released[0].parameters == {"job": job.document()}
    again = await dispatch_of(store, deferred.dispatch_id)
    assert again is not None
    goes_on = await entered(store, job, again, turn)
    assert isinstance(goes_on, Claimed)
    run = await queries.run(store, goes_on.context.run_id)
    assert run is not None
    assert (run.status, run.flow_run_id) == (RunStatus.RUNNING, turn)
    of_job = await queries.runs(store, job=job.id)
    assert len(of_job) == 1
    assert len(await approvals(store)) == 1


async def test_what_was_approved_and_is_withdrawn_in_line_is_no_longer_in_line(store: Store) -> None:
    job = guarded(limits={"overlap": "queue"})
    first_run, second_run = uuid4(), uuid4()
    for flow_run, minute in ((first_run, 0), (second_run, 1)):
        await decided(store, await asks(store, job, occurrence(minute), flow_run))
    assert isinstance(await entered(store, job, occurrence(), first_run), Claimed)
    assert isinstance(await entered(store, job, occurrence(1), second_run), Queued)
    await withdraw(store, job.id, by=Attribution("ann", "cli", NOW))
    (left,) = await at_the_gate(store)
    assert (left.is_queued, left.is_decided) == (False, True)


async def test_a_waiting_run_can_be_withdrawn_once(store: Store) -> None:
    asked = await asks(store, guarded(), occurrence())
    for _ in range(2):
        await withdraw_approval(
            store, asked.approval_id, why="Cancelled by ann.", by=Attribution("ann", "cli", NOW + HOUR / 2)
        )
    (run,) = await queries.runs(store)
    assert (run.status, run.error) == (RunStatus.CANCELLED, "Cancelled by ann.")
    answer = await decided(store, asked)
    assert (answer.counted, answer.approval.status) == (False, ApprovalStatus.WITHDRAWN)
    assert [event.action for event in await events(store)] == ["approval-withdrawn", "approval-asked"]


@pytest.mark.parametrize(
    ("by", "reason", "wrong"),
    [
        ("", None, "name is empty"),
        ("   ", None, "name is empty"),
        ("a\nb", None, "more than one line"),
        ("a\x1b[31m", None, "control character"),
        ("a" * (LONGEST_NAME + 1), None, "at most 256"),
        ("ann", "x" * 100_000, "at most 2,000"),
        ("ann", "bell \x07", "control character"),
    ],
)
async def test_a_decision_that_cannot_be_kept_changes_nothing(
    store: Store, by: str, reason: str | None, wrong: str
) -> None:
    asked = await asks(store, guarded(), occurrence())
    with pytest.raises(Refused, match=wrong):
        await decided(store, asked, by=by, reason=reason)
    assert [request.status for request in await approvals(store, pending_only=True)] == [ApprovalStatus.PENDING]
    assert (await decided(store, asked, reason="y" * LONGEST_REASON)).counted


async def test_an_approval_is_found_by_its_id_or_by_its_job(store: Store) -> None:
    first = await asks(store, guarded(), occurrence())
    assert (await approval_by(store, "deploy")).id == first.approval_id
    (run,) = await queries.runs(store)
    for named in (first.approval_id, run.id, run.flow_run_id):
        assert (await approval_by(store, str(named)[:8])).id == first.approval_id
    await asks(store, guarded(), occurrence(1))
    with pytest.raises(NotFound, match="2 runs of deploy wait for approval"):
        await approval_by(store, "deploy")
    for unknown in ("nothing", "", str(uuid4())):
        with pytest.raises(NotFound, match="No approval and no waiting job"):
            await approval_by(store, unknown)
    for waiting in await approvals(store, pending_only=True):
        await decide(store, waiting.id, approve=False, by=Attribution("ann", "ui", NOW))
    assert (await approval_by(store, "deploy")).status is ApprovalStatus.REJECTED


@pytest.mark.parametrize("change", ["UPDATE audit_event SET actor = 'nobody'", "DELETE FROM audit_event"])
async def test_the_database_itself_keeps_the_audit_trail(store: Store, change: str) -> None:
    await set_slots(store, "database", 2, by=Attribution("ann", "cli", NOW))
    with pytest.raises(DBAPIError, match="never changed or deleted"):
        async with store.transaction() as session:
            await session.execute(text(change))
    assert [event.actor for event in await events(store)] == ["ann"]


async def test_a_run_that_was_put_off_keeps_its_approval_and_a_further_attempt_does_not(store: Store) -> None:
    job, dispatch = guarded(retry={"max": 3}), occurrence()
    await decided(store, await asks(store, job, dispatch, flow_run := uuid4()))
    minute = timedelta(minutes=1)
    for _ in range(2):
        run = await entered(store, job, dispatch, flow_run)
        assert isinstance(run, Claimed)
        put_off = DispatchResult(RunStatus.ERROR, retry_in=minute)
        (again,) = (await finish(store, job, run.context, put_off, children=[], now=NOW)).consequences
        dispatch, flow_run = await dispatch_of(store, again.id) or dispatch, uuid4()
    run = await entered(store, job, dispatch, flow_run)
    assert isinstance(run, Claimed)
    failed = DispatchResult(RunStatus.ERROR)
    (again,) = (await finish(store, job, run.context, failed, children=[], now=NOW)).consequences
    await asks(store, job, await dispatch_of(store, again.id) or dispatch)


async def test_the_jobs_target_hears_of_the_request_and_of_the_outcome_once(store: Store) -> None:
    job, flow_run = guarded(deliver={"to": "chat:ops"}), uuid4()
    asked = await asks(store, job, occurrence(), flow_run)
    assert asked.notifies
    assert not (await asks(store, job, occurrence(), flow_run)).notifies
    await decided(store, asked, approve=False, reason="not today", now=NOW + HOUR / 2)
    await decided(store, asked, approve=True, now=NOW + HOUR / 2)
    told = (await deliveries.of_runs(store, [asked.run_id]))[asked.run_id]
    request, outcome = sorted(told, key=lambda delivery: delivery.created_at)
    assert (request.target, request.kind, request.subject) == ("chat:ops", "approval", "deploy waits for approval")
    short = str(asked.approval_id)[:8]
    for part in (f"ocs approvals approve {short}", f"ocs approvals reject {short}", "http://ui/run", "./deploy.sh"):
        assert part in request.body
    assert (outcome.subject, outcome.body) == (
        "deploy was not approved",
        "Rejected by ann: not today. Nothing was run.",
    )
    late = await asks(store, job, occurrence(1))
    await expire(store, late.approval_id, NOW + HOUR)
    told = (await deliveries.of_runs(store, [late.run_id]))[late.run_id]
    assert any("Nobody decided within 1h" in delivery.body for delivery in told)


async def test_what_is_done_in_the_ui_is_in_the_audit_trail_too(store: Store) -> None:
    job = Job.model_validate({"id": "hello", "run": "true"})
    cancelled = DispatchResult(RunStatus.CANCELLED)
    by_hand = Dispatch(DispatchKind.MANUAL, NOW)
    first = await entered(store, job, by_hand, flow_run := uuid4())
    assert isinstance(first, Claimed)
    await finish(store, job, first.context, cancelled, children=[], now=NOW + HOUR)
    again = await entered(store, job, by_hand, flow_run, now=NOW + 2 * HOUR)
    assert isinstance(again, Claimed)
    ann = Attribution("ann", "cli", NOW + 3 * HOUR)
    await append(store, "cancel", job_id=job.id, run_id=again.context.run_id, by=ann)
    await finish(store, job, again.context, cancelled, children=[], now=NOW + 4 * HOUR)
    told = [(event.action, event.actor, event.source) for event in reversed(await events(store))]
    somebody = ("somebody", "prefect")
    assert told == [("run", *somebody), ("cancel", *somebody), ("retry", *somebody), ("cancel", "ann", "cli")]


async def test_what_was_decided_long_ago_is_forgotten_and_what_waits_is_not(store: Store) -> None:
    old = await asks(store, guarded(), occurrence())
    await decided(store, old, approve=False)
    waiting = await asks(store, guarded(), occurrence(1))
    pruned = await prune(store, {}, otherwise=100, now=NOW + timedelta(days=29))
    assert pruned.approvals == 0
    run = await queries.run(store, old.run_id)
    assert run is not None
    await withdraw_approval(store, old.approval_id, why="Ended.", by=Attribution("ann", "cli", NOW))
    pruned = await prune(store, {}, otherwise=100, now=NOW + timedelta(days=31))
    assert pruned.approvals == 1
    assert [request.id for request in await approvals(store)] == [waiting.approval_id]
