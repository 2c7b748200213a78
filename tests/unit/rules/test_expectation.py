"""When a job counts as quiet, and which deadline it has to have kept: over weekends, changes of clocks, downtimes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import datetimes, integers, just, none, one_of, sampled_from, timedeltas

from ocs.rules.expectation import Deadline, Seen, impossible, newest_deadline, quiet_from
from ocs.rules.occurrences import next_occurrence
from ocs.spec import Job


def job(schedule: Any = "0 2 * * *", timezone: str = "UTC", **expect: Any) -> Job:
    timed = {"cron": schedule, "timezone": timezone} if isinstance(schedule, str) else schedule
    return Job.model_validate(
        {"id": "load", "run": "true", "schedule": timed, "expect": expect, "deliver": {"to": "ops"}}
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("a_job", "last_ok", "quiet"),
    [
        pytest.param(job(success_every="1d", grace="1h"), "2026-11-24 02:05", "2026-11-25 03:05", id="a day"),
        pytest.param(job(success_every="1d"), "2026-11-24 02:05", "2026-11-25 04:29", id="a tenth by default"),
        pytest.param(job(success_every="1d", grace="0s"), "2026-11-24 01:00", "2026-11-25 01:00", id="none"),
        pytest.param(
            job("0 9 * * mon-fri", success_every="1d", grace="1h"), "2026-11-27 09:05", "2026-11-30 10:00", id="weekend"
        ),
        pytest.param(
            job("30 6 * * *", "Europe/Vienna", success_every="1d", grace="10m"),
            "2026-10-24 04:35",  # clocks go back in the night that follows: 25 hours
            "2026-10-25 05:45",
            id="a day is one of the schedule's clock",
        ),
        pytest.param(job({"every": "15m"}, success_every="1h", grace="5m"), "2026-11-24 02:00", "2026-11-24 03:05"),
    ],
)
def test_a_job_is_quiet_when_its_span_is_over_and_something_was_due(a_job: Job, last_ok: str, quiet: str) -> None:
    assert quiet_from(a_job, Seen(at("2026-01-01"), at(last_ok))) == at(quiet)


def test_a_job_counts_from_when_it_is_watched_not_from_a_success_before() -> None:
    seen = Seen(at("2026-11-24 12:00"), at("2026-11-01 02:05"))
    assert quiet_from(job(success_every="1d", grace="0s"), seen) == at("2026-11-25 12:00")


def test_a_schedule_that_is_over_expects_nothing() -> None:
    over = job({"rrule": "FREQ=DAILY;UNTIL=20260101T000000"}, success_every="1d")
    assert quiet_from(over, Seen(at("2026-11-24"))) is None


def test_a_child_is_quiet_by_its_span_alone() -> None:
    child = Job.model_validate(
        {"id": "a", "run": "true", "after": {"job": "b"}, "expect": {"success_every": "2h"}, "deliver": {"to": "ops"}}
    )
    assert quiet_from(child, Seen(at("2026-11-24"))) == at("2026-11-24 02:12")


@pytest.mark.parametrize(
    ("a_job", "now", "found"),
    [
        pytest.param(job(deadline="06:30"), "2026-11-24 06:29", ("2026-11-23 06:30", "2026-11-23 02:00"), id="before"),
        pytest.param(job(deadline="06:30"), "2026-11-24 06:30", ("2026-11-24 06:30", "2026-11-24 02:00"), id="at"),
        pytest.param(
            job("0 23 * * *", deadline="06:30"),
            "2026-11-24 07:00",
            ("2026-11-24 06:30", "2026-11-23 23:00"),
            id="due the evening before",
        ),
        pytest.param(
            job("0 2 * * mon", deadline="06:30"),
            "2026-11-26 07:00",
            ("2026-11-23 06:30", "2026-11-23 02:00"),
            id="weekly",
        ),
        pytest.param(
            job("0 2 * * *", "Europe/Vienna", deadline="06:30"),
            "2026-10-25 05:30",
            ("2026-10-25 05:30", "2026-10-25 00:00"),
            id="clocks go back",
        ),
        pytest.param(
            job("0 1 * * *", "Europe/Vienna", deadline="02:30"),
            "2026-03-29 01:30",
            ("2026-03-29 01:30", "2026-03-29 00:00"),
            id="a deadline that clocks jump over comes as much later",
        ),
        pytest.param(job("30 6 * * *", deadline="06:30"), "2026-11-24 06:30", ("2026-11-24 06:30", "2026-11-23 06:30")),
    ],
)
def test_the_deadline_of_what_was_due_since_the_one_before(a_job: Job, now: str, found: tuple[str, str]) -> None:
    assert newest_deadline(a_job, Seen(at("2026-01-01")), at(now)) == Deadline(*map(at, found))


def test_a_deadline_is_looked_at_once_and_one_before_the_rollout_never() -> None:
    nightly, now = job(deadline="06:30"), at("2026-11-24 07:00")
    assert newest_deadline(nightly, Seen(at("2026-01-01"), None, at("2026-11-24 06:30")), now) is None
    assert newest_deadline(nightly, Seen(at("2026-11-24 06:31")), now) is None
    assert newest_deadline(nightly, Seen(at("2026-11-24 02:01")), now) is None, "it was not due since then"


def test_after_a_downtime_the_newest_deadline_stands_for_all() -> None:
    seen = Seen(at("2026-01-01"), None, at("2026-11-20 06:30"))
    assert newest_deadline(job(deadline="06:30"), seen, at("2026-11-24 12:00")) == Deadline(
        at("2026-11-24 06:30"), at("2026-11-24 02:00")
    )


@pytest.mark.parametrize(
    ("schedule", "every", "said"),
    [
        ("0 2 * * *", "12h", "12h is shorter than the schedule's own interval of 1d; make it 1d or longer"),
        ({"every": "15m"}, "10m", "10m is shorter than the schedule's own interval of 15m; make it 15m or longer"),
        ("0 2 * * *", "1d", None),
        ("0 9 * * mon-fri", "1d", None),
        ({"every": "15m"}, "15m", None),
    ],
)
def test_success_more_often_than_it_is_due_is_refused(schedule: Any, every: str, said: str | None) -> None:
    assert [problem.message for problem in impossible(job(schedule, success_every=every))] == ([said] if said else [])


def test_a_day_is_no_shorter_where_clocks_change() -> None:
    assert not [*impossible(job("30 2 * * *", "Europe/Vienna", success_every="1d"))]


MOMENTS = datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001
ZONES = sampled_from(["UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
SCHEDULES = sampled_from(["0 2 * * *", "0 23 * * mon-fri", "*/20 * * * *", "30 2 1 * *"])


@given(SCHEDULES, ZONES, MOMENTS, timedeltas(timedelta(0), timedelta(days=60)), integers(0, 23))
def test_a_deadline_is_past_new_and_after_something_due(
    cron: str, zone: str, since: datetime, passed: timedelta, hour: int
) -> None:
    a_job, now = job(cron, zone, deadline=f"{hour:02}:30"), since + passed
    found = newest_deadline(a_job, Seen(since), now)
    if found is None:
        return
    assert since < found.due < found.at <= now
    assert found.at - found.due <= timedelta(hours=25)
    assert newest_deadline(a_job, Seen(since, None, found.at), now) is None


@given(SCHEDULES, ZONES, MOMENTS, one_of(none(), timedeltas(timedelta(0), timedelta(days=9))), just("1d"))
def test_nobody_is_quiet_before_something_was_due_and_the_span_is_over(
    cron: str, zone: str, since: datetime, ok_after: timedelta | None, every: str
) -> None:
    a_job = job(cron, zone, success_every=every, grace="0s")
    seen = Seen(since, since + ok_after if ok_after is not None else None)
    quiet = quiet_from(a_job, seen)
    assert quiet is not None
    assert a_job.schedule is not None
    due = next_occurrence(a_job.schedule, seen.counts_from)
    assert due is not None
    assert quiet >= due
    assert quiet - seen.counts_from >= timedelta(hours=22)
