"""Occurrences: the instants at which a schedule is due, as Prefect computes them from the same schedule."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from ocs.spec import Schedule
from ocs.spec.cron import with_seconds_last

EVERY_ANCHOR = datetime(2020, 1, 1, tzinfo=UTC)
"""Intervals are counted from here, so that a new rollout does not move them."""
NONE = timedelta(0)
RRULE_START = datetime(2020, 1, 1)  # noqa: DTZ001  wall clock time of the schedule's own zone
"""Recurrence rules without a DTSTART of their own begin here, at midnight."""


def next_occurrence(schedule: Schedule, after: datetime) -> datetime | None:
    """The first occurrence strictly later than `after`, in UTC; None when there is none any more."""
    return next(_occurrences(schedule, after), None)


def occurrences(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """The next `count` occurrences strictly later than `after`, in UTC."""
    return list(islice(_occurrences(schedule, after), count))


def occurrences_between(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    """Every occurrence strictly later than `after` and not later than `until`, in UTC."""
    return list(takewhile(lambda instant: instant <= until, _occurrences(schedule, after)))


def counts_days(interval: timedelta) -> bool:
    """Whether an interval is a number of days, so that it keeps its hour when clocks change."""
    return interval % timedelta(days=1) == timedelta(0)


@lru_cache(maxsize=1024)
def clock_of(expression: str, timezone: str) -> str:
    """The zone in which a cron expression is to be counted, so that a change of clocks loses nothing.

    An expression of every hour of every day means elapsed time: on the wall clock, an hourly job would pause for two
    hours when clocks go back. In UTC it does not, and where all offsets are whole hours its minutes are the same.
    """
    fields = with_seconds_last(expression).split()
    if fields[1:5] != ["*"] * 4 or not _has_whole_hours(ZoneInfo(timezone)):
        return timezone
    return "UTC"


def _has_whole_hours(zone: ZoneInfo) -> bool:
    months = (datetime(year, month, 1, tzinfo=zone) for year in range(2020, 2040) for month in range(1, 13))
    return all((moment.utcoffset() or NONE) % timedelta(hours=1) == NONE for moment in months)


def _occurrences(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    if schedule.cron is not None:
        return _later(_cron(schedule.cron, clock_of(schedule.cron, schedule.timezone), after), after)
    if schedule.every is not None:
        return _every(schedule.every, schedule.timezone, after)
    if schedule.rrule is not None:
        return _later(_rrule(schedule.rrule, schedule.timezone, after), after)
    moment = schedule.moment
    return iter([moment] if moment is not None and moment > after else [])


def _later(instants: Iterator[datetime], after: datetime) -> Iterator[datetime]:
    """Each instant once and in order: when clocks go back or forward two wall times can be one instant."""
    last = after
    for instant in instants:
        if instant > last:
            last = instant
            yield instant


def _to_utc(wall_time: datetime, zone: ZoneInfo) -> datetime:
    """The first time a clock in the zone shows this; a time that is jumped over counts as that much later."""
    return wall_time.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _is_jumped_over(wall_time: datetime, zone: ZoneInfo) -> bool:
    earlier, later = (wall_time.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    return (later.utcoffset() or NONE) > (earlier.utcoffset() or NONE)


def _cron(expression: str, timezone: str, after: datetime) -> Iterator[datetime]:
    from croniter import CroniterBadDateError, croniter

    zone = ZoneInfo(timezone)
    # Two hours back, so that a wall time repeated or jumped over at a change of clocks is seen.
    start = after.astimezone(zone).replace(tzinfo=None) - timedelta(hours=2)
    wall_clock = croniter(with_seconds_last(expression), start)
    put_off: list[datetime] = []  # what is jumped over comes after some of what follows it on the clock
    while True:
        try:
            wall_time = wall_clock.get_next(datetime)
        except CroniterBadDateError:
            yield from put_off
            return
        instant = _to_utc(wall_time, zone)
        if _is_jumped_over(wall_time, zone):
            put_off.append(instant)
            continue
        while put_off and put_off[0] < instant:
            yield put_off.pop(0)
        yield instant


def _every(interval: timedelta, timezone: str, after: datetime) -> Iterator[datetime]:
    """Whole days are counted on the zone's clock, everything else in elapsed time; compile sends it so."""
    if not counts_days(interval):
        count = (after - EVERY_ANCHOR) // interval + 1
        while True:
            yield EVERY_ANCHOR + count * interval
            count += 1
    zone = ZoneInfo(timezone)
    anchor = EVERY_ANCHOR.astimezone(zone).replace(tzinfo=None)
    count = (after.astimezone(zone).replace(tzinfo=None) - anchor) // interval
    while True:
        if (instant := _to_utc(anchor + count * interval, zone)) > after:
            yield instant
        count += 1


def _rrule(rule: str, timezone: str, after: datetime) -> Iterator[datetime]:
    from dateutil.rrule import rrulestr

    zone = ZoneInfo(timezone)
    recurrence = rrulestr(rule, dtstart=RRULE_START, ignoretz=True)
    wall_time = after.astimezone(zone).replace(tzinfo=None) - timedelta(hours=2)
    while (wall_time := recurrence.after(wall_time)) is not None:
        # A time that is jumped over counts as that much earlier here, later in cron: both as Prefect does.
        fold = int(_is_jumped_over(wall_time, zone))
        yield wall_time.replace(tzinfo=zone, fold=fold).astimezone(UTC)
