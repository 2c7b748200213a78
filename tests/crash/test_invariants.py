"""The invariants see what they are there for: each kind of harm, planted into a system that is in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed, Running

from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.rules.guards import SkipReason
from ocs.rules.trackers import ThenOn, TrackerStatus
from ocs.spec import Job
from ocs.store.tables import DispatchRow, DispatchStatus, IdempotencyKey, KeyStatus, Run
from ocs.store.tables_delivery import Delivery, DeliveryStatus
from ocs.store.tables_teams import Tracker
from tasks.adapter.states import state_of
from tests.crash.invariants import Harm, Seen, violations

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
JOBS = {
    job.id: job
    for job in (
        Job.model_validate({"id": "load", "run": {"shell": "true", "guarantee": "at-least-once"}, "retry": {"max": 1}}),
        Job.model_validate({"id": "next", "run": "true", "after": {"job": "load"}}),
        Job.model_validate({"id": "loud", "run": "true", "deliver": {"when": "failure", "to": "ops"}}),
        Job.model_validate({"id": "tell", "run": "true", "after": {"job": "load", "on": "failure"}}),
    )
}


def a_run(job_id: str, status: RunStatus = RunStatus.OK, **values: Any) -> Run:
    known = {"kind": DispatchKind.SCHEDULED, "flow_run_id": uuid4(), "scheduled_for": NOW, "started_at": NOW}
    return Run(job_id=job_id, status=status, **{**known, **values})


def a_dispatch(job_id: str, kind: DispatchKind, **values: Any) -> DispatchRow:
    known = {"status": DispatchStatus.DONE, "scheduled_for": NOW, "created_at": NOW}
    return DispatchRow(job_id=job_id, kind=kind, **{**known, **values})


def in_order() -> Seen:
    """A run and its child, both ended well."""
    load = a_run("load")
    child = a_dispatch("next", DispatchKind.CHAIN, source_run=load.id)
    followed = a_run("next", kind=DispatchKind.CHAIN, dispatch_id=child.id)
    return Seen(
        jobs=JOBS,
        runs=[load, followed],
        dispatches=[child],
        keys=[key_of(load)],
        flow_runs=[
            FlowRun(id=run.flow_run_id, flow_id=uuid4(), state=state_of(run.status, "")) for run in (load, followed)
        ],
        executed=[load.id, followed.id],
        occurrences={"load": [NOW]},
    )


def key_of(run: Run) -> IdempotencyKey:
    return IdempotencyKey(key="k", job_id=run.job_id, run_id=run.id, status=KeyStatus.CLAIMED, claimed_at=NOW)


def ended(seen: Seen, status: RunStatus) -> Seen:
    """The same, had the first run ended otherwise and nothing come of it."""
    load = a_run("load", status)
    return replace(seen, runs=[load], dispatches=[], keys=[], executed=[load.id], flow_runs=[])


def test_what_is_in_order_has_no_violations() -> None:
    assert violations(in_order()) == []
    assert violations(tracked(in_order())) == []


@pytest.mark.parametrize(
    ("harm", "says", "plant"),
    [
        (Harm.LOST, "called ok and did nothing", lambda seen: replace(seen, executed=seen.executed[:1])),
        (Harm.LOST, "has no run of next", lambda seen: replace(seen, dispatches=[], runs=seen.runs[:1])),
        (Harm.LOST, "has no retry", lambda seen: ended(seen, RunStatus.ERROR)),
        (Harm.LOST, "has no replay", lambda seen: ended(seen, RunStatus.CRASHED)),
        (Harm.LOST, "is done and has no run", lambda seen: replace(seen, runs=seen.runs[:1])),
        (Harm.LOST, "no record of its occurrence", lambda seen: replace(seen, runs=seen.runs[1:], executed=[])),
        (Harm.LOST, "a newer one that never ran", lambda seen: replace(seen, runs=[*seen.runs, left_out()])),
        (Harm.LOST, "that was asked for", lambda seen: replace(seen, asked=[UUID(int=1)])),
        (Harm.LOST, "ok in the store and Crashed", lambda seen: in_prefect(seen, Crashed())),
        (Harm.LOST, "ok in the store and Skipped", lambda seen: in_prefect(seen, state_of(RunStatus.SKIPPED, ""))),
        (Harm.DOUBLED, "did its work 2 times", lambda seen: replace(seen, executed=[*seen.executed, seen.executed[0]])),
        (Harm.DOUBLED, "is not in the store", lambda seen: replace(seen, executed=[*seen.executed, UUID(int=1)])),
        (Harm.DOUBLED, "2 times for the occurrence", lambda seen: replace(seen, runs=[*seen.runs, a_run("load")])),
        (Harm.DOUBLED, "2 times for the dispatch", lambda seen: again(seen, dispatch_id=seen.runs[1].dispatch_id)),
        (Harm.DOUBLED, "2 times for the flow run", lambda seen: again(seen, flow_run_id=seen.runs[1].flow_run_id)),
        (Harm.DOUBLED, "has 2 x run of next", lambda seen: replace(seen, dispatches=seen.dispatches * 2)),
        (Harm.STUCK, "running in the store", lambda seen: replace(seen, runs=[*seen.runs, running()])),
        (Harm.STUCK, "is pending", lambda seen: replace(seen, dispatches=[*seen.dispatches, unsent()])),
        (Harm.STUCK, "is Running in Prefect", lambda seen: in_prefect(seen, Running())),
        (Harm.DOUBLED, "has lost its key", lambda seen: with_key(ended(seen, RunStatus.CRASHED), KeyStatus.RELEASED)),
        (Harm.LOST, "has no message", lambda seen: replace(seen, runs=[*seen.runs, loud()])),
        (Harm.DOUBLED, "has 2 x message", lambda seen: telling(seen, DeliveryStatus.SENT, DeliveryStatus.SENT)),
        (Harm.LOST, "was not received", lambda seen: telling(seen, DeliveryStatus.SENT)),
        (Harm.STUCK, "waits to be sent", lambda seen: telling(seen, DeliveryStatus.PENDING)),
        (Harm.DOUBLED, "still at work", lambda seen: replace(seen, met=[seen.runs[0].id])),
        (Harm.STUCK, "is open", lambda seen: tracked(seen, ended_at=None)),
        (Harm.LOST, "nothing follows it", lambda seen: tracked(seen, then_dispatch=None)),
        (Harm.DOUBLED, "followed by 2 dispatches", lambda seen: tracked(seen, more=1)),
        (Harm.STUCK, "process 7", lambda seen: replace(seen, alive=[7])),
    ],
)  # fmt: skip
def test_each_harm_is_seen(harm: Harm, says: str, plant: Callable[[Seen], Seen]) -> None:
    found = violations(plant(in_order()))
    assert any(violation.harm is harm and says in violation.what for violation in found), found


def again(seen: Seen, **values: Any) -> Seen:
    return replace(seen, runs=[*seen.runs, a_run("next", kind=DispatchKind.CHAIN, **values)])


def left_out() -> Run:
    why = "Missed: a newer occurrence, of 2026-11-24 12:01:00 UTC, runs instead."
    return a_run("load", RunStatus.SKIPPED, skip_reason=SkipReason.MISSED, summary=why)


def loud() -> Run:
    return a_run("loud", RunStatus.ERROR)


def telling(seen: Seen, *statuses: DeliveryStatus) -> Seen:
    run = loud()
    known = {"target": "ops", "subject": "", "body": "", "kind": "run", "next_attempt_at": NOW, "created_at": NOW}
    rows = [Delivery(job_id="loud", run_id=run.id, status=status, **known) for status in statuses]
    return replace(seen, runs=[*seen.runs, run], deliveries=rows)


def tracked(seen: Seen, more: int = 0, **values: Any) -> Seen:
    """With a tracker that has ended and is followed."""
    rows = [a_dispatch("next", DispatchKind.CHAIN) for _ in range(1 + more)]
    ended = {"then_dispatch": rows[0].id, "ended_at": NOW, "status": TrackerStatus.COMPLETED, **values}
    said = {"name": "crew", "then_job": "next", "then_on": ThenOn.COMPLETE, "created_by": "ann", "created_at": NOW}
    runs = [a_run("next", kind=DispatchKind.CHAIN, dispatch_id=row.id) for row in rows]
    executed = [*seen.executed, *(run.id for run in runs)]
    return replace(
        seen,
        trackers=[Tracker(**said, **ended)],
        dispatches=[*seen.dispatches, *rows],
        runs=[*seen.runs, *runs],
        executed=executed,
    )


def with_key(seen: Seen, status: KeyStatus) -> Seen:
    key = key_of(seen.runs[0])
    key.status = status
    return replace(seen, keys=[key])


def running() -> Run:
    return a_run("tell", RunStatus.RUNNING)


def unsent() -> DispatchRow:
    return a_dispatch("tell", DispatchKind.MANUAL, status=DispatchStatus.PENDING)


def in_prefect(seen: Seen, state: Any) -> Seen:
    return replace(seen, flow_runs=[seen.flow_runs[0].model_copy(update={"state": state}), *seen.flow_runs[1:]])
