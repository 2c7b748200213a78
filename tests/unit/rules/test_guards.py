"""Guards: the first that objects decides, and says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.rules.guards import Proceed, Skip, SkipReason, Snapshot, Wait, WaitsFor, decide
from ocs.rules.misfire import Newer
from ocs.spec import Job

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FREE = Snapshot()
BUSY = Snapshot(running=1)
FAILING = Snapshot(consecutive_errors=3, last_finished_at=NOW - timedelta(seconds=10))


def job(**document: Any) -> Job:
    return Job.model_validate({"id": "a", "run": "true", **document})


def dispatch(kind: DispatchKind = DispatchKind.SCHEDULED, late: timedelta = timedelta(0)) -> Dispatch:
    return Dispatch(kind, NOW - late)


OVERTAKEN = Snapshot(newer=Newer(NOW))
HOURLY = {"schedule": "@hourly"}
A_LITTLE_LATE = dispatch(late=timedelta(minutes=5))
HOURS_LATE = dispatch(late=timedelta(hours=5))


@pytest.mark.parametrize(
    ("a_job", "a_dispatch", "snapshot", "reason"),
    [
        (job(), dispatch(), FREE, None),
        (job(), dispatch(), replace(FREE, withdrawn=True), SkipReason.WITHDRAWN),
        (job(), dispatch(), replace(FREE, become_a_run=True), SkipReason.DUPLICATE),
        (job(enabled=False), dispatch(), FREE, SkipReason.DISABLED),
        (job(enabled=False), dispatch(DispatchKind.CHAIN), FREE, SkipReason.DISABLED),
        (job(enabled=False), dispatch(DispatchKind.MANUAL), FREE, None),
        (job(**HOURLY), HOURS_LATE, FREE, None),
        (job(**HOURLY), HOURS_LATE, OVERTAKEN, SkipReason.MISSED),
        (job(**HOURLY), dispatch(late=timedelta(seconds=59)), OVERTAKEN, None),
        (job(schedule={"cron": "@hourly", "jitter": "10m"}), A_LITTLE_LATE, OVERTAKEN, None),
        (job(**HOURLY), dispatch(DispatchKind.MANUAL, timedelta(hours=5)), OVERTAKEN, None),
        (job(schedule={"cron": "@hourly", "misfire": "all"}), HOURS_LATE, OVERTAKEN, None),
        (job(schedule={"cron": "@hourly", "misfire": "all"}), HOURS_LATE, FREE, None),
        (
            job(schedule={"cron": "@hourly", "misfire": "skip"}),
            dispatch(late=timedelta(minutes=5)),
            FREE,
            SkipReason.MISSED,
        ),
        (job(schedule={"cron": "@yearly", "grace": "1h"}), HOURS_LATE, FREE, SkipReason.MISSED),
        (job(schedule={"cron": "@yearly", "grace": "6h"}), HOURS_LATE, FREE, None),
        (job(schedule={"at": "2026-11-24T07:00:00Z"}), HOURS_LATE, FREE, None),
        (job(**HOURLY), dispatch(), FAILING, SkipReason.BACKOFF),
        (job(backoff=False, **HOURLY), dispatch(), FAILING, None),
        (job(**HOURLY), dispatch(DispatchKind.RETRY), FAILING, None),
        (job(schedule={"at": "2026-11-24T12:00:00Z"}), dispatch(), FAILING, None),
        (job(), dispatch(), BUSY, SkipReason.OVERLAP),
        (job(limits={"overlap": "allow"}), dispatch(), BUSY, None),
        (job(), dispatch(), replace(FREE, key_claimed=True), SkipReason.DUPLICATE),
        (job(), dispatch(), replace(BUSY, key_claimed=True), SkipReason.OVERLAP),
    ],
)
def test_the_guards(a_job: Job, a_dispatch: Dispatch, snapshot: Snapshot, reason: SkipReason | None) -> None:
    verdict = decide(a_job, a_dispatch, snapshot, NOW)
    assert (verdict.reason if isinstance(verdict, Skip) else None) == reason


@given(
    kind=some.sampled_from(DispatchKind),
    running=some.integers(0, 3),
    claimed=some.booleans(),
    errors=some.integers(0, 10),
    late=some.timedeltas(timedelta(0), timedelta(days=30)),
)
def test_nothing_runs_twice_and_every_refusal_is_a_sentence(
    kind: DispatchKind, running: int, claimed: bool, errors: int, late: timedelta
) -> None:
    snapshot = Snapshot(running=running, key_claimed=claimed, consecutive_errors=errors, last_finished_at=NOW)
    verdict = decide(job(**HOURLY), Dispatch(kind, NOW - late), snapshot, NOW)
    if isinstance(verdict, Proceed):
        assert not claimed
        assert running == 0
    else:
        assert verdict.why[0].isupper()
        assert verdict.why.endswith(".")


def test_of_many_missed_occurrences_only_the_newest_runs() -> None:
    every_hour = job(**HOURLY)
    newest, *older = (NOW - timedelta(hours=hours) for hours in range(5))
    assert isinstance(decide(every_hour, Dispatch(DispatchKind.SCHEDULED, newest), FREE, NOW), Proceed)
    claimed = Snapshot(newer=Newer(newest))
    verdicts = [decide(every_hour, Dispatch(DispatchKind.SCHEDULED, at), claimed, NOW) for at in older]
    why = "Missed: a newer occurrence, of 2026-11-24 12:00:00 UTC, runs instead."
    assert verdicts == [Skip(SkipReason.MISSED, why)] * 4


POOLED = job(limits={"pool": "database"})
REPLACING = job(limits={"overlap": "replace", "pool": "database"})
QUEUED = job(limits={"overlap": "queue"})


@pytest.mark.parametrize(
    ("a_job", "snapshot", "expected"),
    [
        (POOLED, FREE, Proceed),
        (POOLED, replace(FREE, pool_free=0), WaitsFor.POOL),
        (POOLED, replace(FREE, pool_free=-1), WaitsFor.POOL),
        (job(), replace(FREE, pool_free=0), Proceed),
        (QUEUED, BUSY, WaitsFor.OVERLAP),
        (QUEUED, FREE, Proceed),
        (QUEUED, replace(BUSY, queued=24), WaitsFor.OVERLAP),
        (QUEUED, replace(BUSY, queued=25), SkipReason.BACKLOG),
        (REPLACING, BUSY, WaitsFor.OVERLAP),
        (REPLACING, FREE, Proceed),
        (REPLACING, replace(BUSY, key_claimed=True), SkipReason.DUPLICATE),
        (REPLACING, replace(BUSY, pool_free=0), WaitsFor.OVERLAP),
        (REPLACING, replace(FREE, pool_free=0), WaitsFor.POOL),
        (POOLED, replace(FREE, pool_free=0, queued=25), SkipReason.BACKLOG),
        (job(limits={"pool": "database"}), replace(BUSY, pool_free=0), WaitsFor.POOL),
    ],
)
def test_what_cannot_run_yet_waits_as_long_as_the_queue_has_room(
    a_job: Job, snapshot: Snapshot, expected: type[Proceed] | WaitsFor | SkipReason
) -> None:
    verdict = decide(a_job, dispatch(DispatchKind.MANUAL), snapshot, NOW)
    match verdict:
        case Wait(waits_for=found) | Skip(reason=found):
            assert found is expected
        case Proceed():
            assert expected is Proceed


def test_days_are_left_out_for_the_schedule_alone() -> None:
    but = job(schedule={"cron": "@hourly", "timezone": "Asia/Tokyo", "except": ["2026-11-24"]})
    verdict = decide(but, Dispatch(DispatchKind.SCHEDULED, NOW), FREE, NOW)
    assert verdict == Skip(SkipReason.EXCLUDED, "Left out: the schedule does not run on 2026-11-24.")
    assert isinstance(decide(but, Dispatch(DispatchKind.MANUAL, NOW), FREE, NOW), Proceed)
    tomorrow_there = NOW + timedelta(hours=4)
    assert isinstance(decide(but, Dispatch(DispatchKind.SCHEDULED, tomorrow_there), FREE, tomorrow_there), Proceed)


def test_what_has_waited_is_neither_late_nor_backing_off() -> None:
    waited = replace(FAILING, has_waited=True)
    assert isinstance(decide(job(**HOURLY), HOURS_LATE, waited, NOW), Proceed)
