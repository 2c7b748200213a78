"""What becomes of a job after its runs (B-1.5, B-7.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ocs.rules.dispatch import RunStatus
from ocs.rules.lifecycle import Fate, Past, fate
from ocs.spec import Job

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OK, FAILED = (
    Past(last_status=status, last_finished_at=NOW, had_its_moment=True) for status in (RunStatus.OK, RunStatus.ERROR)
)
ONCE = {"at": "2026-11-24T11:00:00Z"}


def job(**document: Any) -> Job:
    return Job.model_validate({"id": "load", "run": "true", **document})


@pytest.mark.parametrize(
    ("document", "past", "enabled", "expected"),
    [
        ({"schedule": ONCE}, OK, True, Fate.DISABLE),
        ({"schedule": ONCE}, FAILED, True, Fate.DISABLE),
        ({"schedule": ONCE}, OK, False, Fate.KEEP),
        ({"schedule": ONCE, "lifecycle": {"delete_after_run": True}}, OK, True, Fate.REMOVE),
        ({"schedule": ONCE, "lifecycle": {"delete_after_run": True}}, FAILED, True, Fate.REMOVE),
        ({"schedule": "@hourly", "lifecycle": {"delete_after_run": True}}, OK, True, Fate.REMOVE),
        ({"schedule": "@hourly", "lifecycle": {"delete_after_run": True}}, FAILED, True, Fate.KEEP),
        ({"schedule": "@hourly"}, OK, True, Fate.KEEP),
        ({"lifecycle": {"delete_after_run": True}}, Past(), True, Fate.KEEP),
    ],
)
def test_one_shots_end_and_others_only_after_a_run_that_went_well(
    document: dict[str, Any], past: Past, enabled: bool, expected: Fate
) -> None:
    assert fate(job(**document), past, enabled=enabled, now=NOW) is expected


def test_a_one_shot_that_was_run_by_hand_before_its_time_still_has_it() -> None:
    by_hand = Past(last_status=RunStatus.OK, last_finished_at=NOW)
    assert fate(job(schedule={"at": "2026-12-24T11:00:00Z"}), by_hand, enabled=True, now=NOW) is Fate.KEEP


@pytest.mark.parametrize("document", [{"schedule": ONCE}, {"lifecycle": {"delete_after_run": True}}])
def test_nothing_ends_while_a_run_executes_or_waits(document: dict[str, Any]) -> None:
    busy = Past(busy=True, had_its_moment=True, last_status=RunStatus.OK, last_finished_at=NOW)
    assert fate(job(**document), busy, enabled=True, now=NOW) is Fate.KEEP


@pytest.mark.parametrize(
    ("status", "age", "enabled", "expected"),
    [
        (RunStatus.OK, timedelta(hours=3), False, Fate.REMOVE),
        (RunStatus.TIMEOUT, timedelta(hours=3), False, Fate.REMOVE),
        (RunStatus.OK, timedelta(hours=1), False, Fate.KEEP),
        (RunStatus.OK, timedelta(hours=3), True, Fate.KEEP),
        (RunStatus.CRASHED, timedelta(hours=3), False, Fate.KEEP),
    ],
)
def test_a_disabled_job_is_removed_after_its_ttl(
    status: RunStatus, age: timedelta, enabled: bool, expected: Fate
) -> None:
    past = Past(last_status=status, last_finished_at=NOW - age)
    assert fate(job(lifecycle={"ttl": "2h"}), past, enabled=enabled, now=NOW) is expected


def test_a_disabled_job_that_never_ran_is_kept() -> None:
    assert fate(job(lifecycle={"ttl": "2h"}), Past(), enabled=False, now=NOW) is Fate.KEEP
