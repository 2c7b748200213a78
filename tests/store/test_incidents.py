"""Incidents in the store: told once, repeated when that is wanted, ended once, whoever looks and however often."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, IdempotencyAction, RunStatus
from ocs.rules.expectation import newest_deadline, quiet_from
from ocs.rules.incident import repeated
from ocs.spec import Job
from ocs.store import Claimed, Outcome, Store, claim, deliveries, finish, incidents, open_store
from ocs.store.incidents import Look
from ocs.store.retention import prune

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OK = DispatchResult(RunStatus.OK, idempotency_action=IdempotencyAction.KEEP)
FAILED = DispatchResult(RunStatus.ERROR, error="Exited with code 3.", exit_code=3)
REPEATED = {"to": "ops", "repeat": "20h"}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def job(**document: Any) -> Job:
    daily = {"id": "load", "run": "true", "schedule": "0 2 * * *", "backoff": False}
    return Job.model_validate({**daily, "deliver": {"to": "ops"}, **document})


async def end(store: Store, a_job: Job, result: DispatchResult, now: datetime = NOW) -> Outcome:
    claimed = await claim(store, a_job, Dispatch(DispatchKind.MANUAL, now), flow_run_id=uuid4(), owner="w", now=now)
    assert isinstance(claimed, Claimed)
    return await finish(store, a_job, claimed.context, result, children=(), now=now, spread=0, link="http://ui/1")


async def look(store: Store, a_job: Job, now: datetime) -> bool:
    """As `tasks.delivery.watch` does, for one job."""
    seen = (await incidents.watch(store, [a_job.id], now))[a_job.id]
    quiet, known = quiet_from(a_job, seen), (await incidents.told_incidents(store)).get(a_job.id)
    again = bool(known and a_job.deliver and repeated(known, a_job.deliver, now))
    found = Look(seen, quiet if quiet and quiet <= now else None, newest_deadline(a_job, seen, now), again)
    return not found.is_empty and await incidents.look(store, a_job, found, now)


async def told(store: Store) -> list[str]:
    return [row.subject for row in await deliveries.unsent(store)]


async def test_failures_in_a_row_are_one_incident_and_its_end_is_told_once(store: Store) -> None:
    patient = job(deliver={"to": "ops", "after": 3, "recovery": True})
    outcomes = [await end(store, patient, FAILED) for _ in range(5)]
    assert [outcome.targets for outcome in outcomes] == [(), (), ("ops",), (), ()]
    (row,) = await deliveries.unsent(store)
    assert row.subject == "load: failed 3 times in a row"
    assert row.body.startswith("Exited with code 3.")
    assert row.body.endswith("Run: http://ui/1")
    (open_,) = await incidents.open_incidents(store)
    assert (open_.failures, open_.troubles) == (5, ["failing"])
    assert (await end(store, patient, OK, NOW + HOUR)).targets == ("ops",)
    assert (await end(store, patient, OK, NOW + HOUR)).targets == ()
    assert await told(store) == ["load: failed 3 times in a row", "load: well again"]
    assert "failing for 1 h, with 5 failures" in (await deliveries.unsent(store))[-1].body
    assert await incidents.open_incidents(store) == []


async def test_a_success_between_begins_the_count_anew_and_fewer_failures_are_told_to_nobody(store: Store) -> None:
    patient = job(deliver={"to": "ops", "after": 2, "recovery": True})
    for result in (FAILED, OK, FAILED, OK):
        await end(store, patient, result)
    assert await told(store) == []
    for result in (FAILED, FAILED):
        await end(store, patient, result)
    assert await told(store) == ["load: failed 2 times in a row"]


async def test_attempts_that_are_retried_belong_to_one_failure(store: Store) -> None:
    retried = job(deliver={"to": "ops", "recovery": True}, retry={"max": 1})
    await end(store, retried, FAILED)
    assert await told(store) == []
    assert await incidents.open_incidents(store) == []


async def test_without_any_of_it_each_failure_is_told_as_before(store: Store) -> None:
    for _ in range(2):
        await end(store, job(), FAILED)
    assert await told(store) == ["load: failed", "load: failed"]
    await end(store, job(), OK)
    assert len(await told(store)) == 2


async def test_a_crash_counts_as_a_failure(store: Store) -> None:
    await end(store, job(deliver={"to": "ops", "recovery": True}), DispatchResult(RunStatus.CRASHED, error="Cut off."))
    assert await told(store) == ["load: crashed"]


async def test_a_quiet_job_is_told_once_and_its_end_too(store: Store) -> None:
    expected = job(expect={"success_every": "1d", "grace": "1h"})
    assert not await look(store, expected, NOW)
    assert not await look(store, expected, NOW + DAY)
    for _ in range(2):
        await look(store, expected, NOW + 2 * DAY)
    (row,) = await deliveries.unsent(store)
    assert (row.subject, row.run_id, row.kind) == ("load: quiet", None, "incident")
    assert "from 2026-11-24 12:00:00 +0000 on. It is expected to succeed every 1d, with a grace of 1h." in row.body
    await end(store, expected, OK, NOW + 2 * DAY + HOUR)
    assert await told(store) == ["load: quiet", "load: well again"]
    assert not await look(store, expected, NOW + 3 * DAY)
    assert await look(store, expected, NOW + 5 * DAY)
    assert "Nothing has succeeded since 2026-11-26 13:00:00 +0000." in (await deliveries.unsent(store))[-1].body


async def test_two_that_look_at_the_same_moment_tell_once(store: Store, store_url: str) -> None:
    expected = job(expect={"success_every": "1d"}, deliver={"to": "ops", "repeat": "6h"})
    other = open_store(store_url)
    try:
        for now in (NOW, NOW + 3 * DAY, NOW + 3 * DAY + timedelta(hours=7)):
            await asyncio.gather(*(look(opened, expected, now) for opened in (store, other) for _ in range(4)))
    finally:
        await other.close()
    assert await told(store) == ["load: quiet", "load: still quiet"]


async def test_an_open_incident_is_repeated_as_often_as_the_job_says_and_not_more(store: Store) -> None:
    repeats = job(deliver={"to": "ops", "repeat": "6h"})
    await end(store, repeats, FAILED)
    hours = [number for number in range(1, 20) if await look(store, repeats, NOW + number * HOUR)]
    assert hours == [6, 12, 18]
    assert await told(store) == ["load: failed", *["load: still failing"] * 3]
    assert "since 2026-11-24 12:00:00 +0000 (6 h, 1 failure)" in (await deliveries.unsent(store))[1].body
    await end(store, repeats, OK)
    assert len(await told(store)) == 4, "recovery was not asked for"


async def test_a_deadline_that_was_kept_tells_nobody_and_one_that_was_not_is_told_once(store: Store) -> None:
    nightly = job(expect={"deadline": "06:30"})
    first = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
    await look(store, nightly, first)
    await end(store, nightly, OK, first + 2 * HOUR)
    assert not await look(store, nightly, first + 6 * HOUR)
    await end(store, nightly, FAILED, first + DAY + 2 * HOUR)
    assert await told(store) == ["load: failed"]
    for hours in (5, 6, 7):
        await look(store, nightly, first + DAY + hours * HOUR)
    assert await told(store) == ["load: failed", "load: late"]
    body = (await deliveries.unsent(store))[-1].body
    assert "by 2026-11-25 06:30:00 +0000, and was due from 2026-11-25 02:00:00 +0000 on" in body


async def test_a_success_after_the_deadline_that_nobody_looked_at_is_told_in_one_message(store: Store) -> None:
    nightly = job(expect={"deadline": "06:30"})
    first = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
    await look(store, nightly, first)
    await end(store, nightly, OK, first + 6 * HOUR)
    assert await look(store, nightly, first + 7 * HOUR)
    (row,) = await deliveries.unsent(store)
    assert "It succeeded at 2026-11-24 07:00:00 +0000, 30 min after its deadline" in row.body
    assert await incidents.open_incidents(store) == []


async def test_troubles_of_one_job_are_one_incident_and_each_is_told_once(store: Store) -> None:
    both = job(expect={"success_every": "1d", "deadline": "06:30"}, deliver={"to": "ops", "after": 2})
    await look(store, both, NOW)
    await end(store, both, FAILED, NOW + 14 * HOUR)
    await look(store, both, NOW + 20 * HOUR)
    await end(store, both, FAILED, NOW + 38 * HOUR)
    await look(store, both, NOW + 50 * HOUR)
    assert await told(store) == ["load: late", "load: failed 2 times in a row", "load: quiet"]
    assert len(await incidents.open_incidents(store)) == 1
    await end(store, both, OK, NOW + 51 * HOUR)
    assert (await told(store))[-1] == "load: well again"


async def test_a_job_that_is_not_watched_any_more_is_forgotten_without_a_word_and_counts_anew(store: Store) -> None:
    expected = job(expect={"success_every": "1d"})
    await look(store, expected, NOW)
    await look(store, expected, NOW + 3 * DAY)
    await incidents.watch_no_others(store, [], NOW + 3 * DAY + HOUR)
    assert await incidents.open_incidents(store) == []
    assert not await look(store, expected, NOW + 4 * DAY)
    assert not await look(store, expected, NOW + 5 * DAY)
    assert await told(store) == ["load: quiet"]


async def test_an_incident_of_a_job_that_was_just_rolled_out_is_not_forgotten(store: Store) -> None:
    await end(store, job(deliver={"to": "ops", "recovery": True}), FAILED)
    await incidents.watch_no_others(store, [], NOW + timedelta(minutes=1))
    assert len(await incidents.open_incidents(store)) == 1


async def test_a_success_while_somebody_looks_is_not_told_as_silence(store: Store) -> None:
    expected = job(expect={"success_every": "1d"})
    await look(store, expected, NOW)
    later = NOW + 3 * DAY
    seen = (await incidents.watch(store, ["load"], later))["load"]
    await end(store, expected, OK, later)
    assert not await incidents.look(store, expected, Look(seen, quiet_from(expected, seen)), later)
    assert await told(store) == []


async def test_incidents_that_ended_long_ago_are_deleted_and_open_ones_are_not(store: Store) -> None:
    failing = job(deliver={"to": "ops", "recovery": True})
    await end(store, failing, FAILED)
    assert (await prune(store, {}, otherwise=100, now=NOW + 365 * DAY)).incidents == 0
    await end(store, failing, OK)
    assert (await prune(store, {}, otherwise=100, now=NOW + 365 * DAY)).incidents == 1


@pytest.mark.parametrize("deliver", [{"to": "ops", "when": "never"}, None])
async def test_a_job_that_tells_nobody_any_more_ends_its_incident_in_silence(store: Store, deliver: Any) -> None:
    await end(store, job(deliver={"to": "ops", "recovery": True}), FAILED)
    await end(store, job(deliver=deliver), OK)
    assert await told(store) == ["load: failed"]
    assert await incidents.open_incidents(store) == []


async def test_what_a_clock_wrote_that_was_ahead_hides_nothing_once_it_is_right(store: Store) -> None:
    """A year ahead the job succeeded, and was late the day after. Then the clock is right, and nothing succeeds."""
    expected = job(expect={"success_every": "1d", "grace": "1h", "deadline": "06:30"}, deliver=REPEATED)
    ahead = NOW + 365 * DAY
    await look(store, expected, ahead)
    await end(store, expected, OK, ahead)
    assert await look(store, expected, ahead + DAY)
    found = [await look(store, expected, NOW + hours * HOUR) for hours in (0, 1, 24, 26)]
    assert found == [True, False, True, True], "all counts from when the clock was right"
    assert await told(store) == ["load: still late", "load: still late", "load: quiet", "load: late"]
