"""Expectation: since when a job is quiet, and which deadline it has to have kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from ocs.errors import Problem
from ocs.rules.occurrences import EVERY_ANCHOR, counts_days, next_occurrence, occurrences
from ocs.spec import Job, Schedule, format_duration

DAY = timedelta(days=1)
AHEAD = timedelta(minutes=10)
"""Clocks of several hosts differ by less. A moment further ahead was written by a clock that was wrong."""
INSTANT = timedelta(microseconds=1)
LOOKED_BACK = 40
"""Days: a deadline before that is not looked at any more."""
SAMPLE = 50
"""So many occurrences show how often a schedule is due."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a job that is watched.

    `since` is when it began to count: it was rolled out, enabled, or got its expectation. Its deadlines were looked at
    up to `deadlines_until`.
    """

    since: datetime
    last_ok_at: datetime | None = None
    deadlines_until: datetime | None = None

    @property
    def counts_from(self) -> datetime:
        return max(self.since, self.last_ok_at or self.since)

    def is_ahead(self, now: datetime) -> bool:
        """Whether it is of a clock that was wrong: until that moment has come, nothing would be missed."""
        moments = (self.since, self.last_ok_at, self.deadlines_until)
        return any(moment is not None and moment > now + AHEAD for moment in moments)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment by which something had to have succeeded that was due from `due` on."""

    at: datetime
    due: datetime


def quiet_from(job: Job, seen: Seen) -> datetime | None:
    """From when on it counts as quiet, if nothing succeeds until then; None when nothing is expected of it.

    What is not due cannot succeed: over a weekend a job of working days is not quiet.
    """
    expect, schedule = job.expect, job.schedule
    if expect is None or expect.success_every is None:
        return None
    over = later(seen.counts_from, expect.success_every, schedule.timezone if schedule else "UTC")
    if schedule is not None:
        due = next_occurrence(schedule, seen.counts_from)
        if due is None:
            return None
        over = max(over, due)
    return over + expect.patience


def newest_deadline(job: Job, seen: Seen, now: datetime) -> Deadline | None:
    """The newest deadline that is past, was not looked at yet, and at which something had been due.

    After a downtime that is one of all that have passed. Due is what the schedule names since the deadline before, so
    that a job of eleven at night has until half past six in the morning.
    """
    if job.expect is None or job.expect.deadline is None or job.schedule is None:
        return None
    looked_at = max(seen.since, seen.deadlines_until or seen.since)
    today = now.astimezone(ZoneInfo(job.schedule.timezone)).date()
    for back in range(LOOKED_BACK):
        at, before = (_at(job.expect.deadline, today - DAY * days, job.schedule) for days in (back, back + 1))
        if at <= looked_at:
            return None
        due = next_occurrence(job.schedule, max(before - INSTANT, seen.since))
        if at <= now and due is not None and due < at:
            return Deadline(at, due)
    return None


def later(moment: datetime, span: timedelta, zone: str) -> datetime:
    """So much later: whole days on the zone's clock, everything else in elapsed time, as intervals are counted."""
    if not counts_days(span):
        return moment + span
    wall_time = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) + span
    return wall_time.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def impossible(job: Job) -> Iterator[Problem]:
    """What its schedule can never fulfil: success more often than it is ever due."""
    expect, schedule = job.expect, job.schedule
    if expect is None or expect.success_every is None or schedule is None:
        return
    zone = ZoneInfo(schedule.timezone)
    times = [each.astimezone(zone).replace(tzinfo=None) for each in occurrences(schedule, EVERY_ANCHOR, SAMPLE)]
    pauses = [after - before for before, after in pairwise(times)]
    if pauses and expect.success_every < (shortest := min(pauses)):
        asked, due = format_duration(expect.success_every), format_duration(shortest)
        message = f"{asked} is shorter than the schedule's own interval of {due}; make it {due} or longer"
        yield Problem("expect.success_every", message)


def _at(deadline: time, day: date, schedule: Schedule) -> datetime:
    """The first time a clock shows it on that day; a time that is jumped over counts as that much later."""
    return datetime.combine(day, deadline, ZoneInfo(schedule.timezone)).astimezone(UTC)
