"""Occurrences: the instants at which a schedule is due, as Prefect computes them from the same schedule."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from heapq import merge
from itertools import islice, takewhile
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ocs.rules.left_out import why_left_out
from ocs.spec import cron, rrule
from ocs.spec.recurrence import FARTHEST

if TYPE_CHECKING:
    from ocs.spec import Schedule, Times

EVERY_ANCHOR = datetime(2020, 1, 1, tzinfo=UTC)
"""Intervals are counted from here, so that a new rollout does not move them."""
NONE = timedelta(0)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MOST_SET = timedelta(hours=3)
"""Longer than any clock is set back or forward."""


def next_occurrence(schedule: Schedule, after: datetime) -> datetime | None:
    """The first occurrence strictly later than `after`, in UTC; None when there is none any more."""
    return next(_occurrences(schedule, after), None)


def why_over(schedule: Schedule, now: datetime) -> str | None:
    """Why nothing of a schedule is to come any more, None while something is."""
    if next_occurrence(schedule, now) is not None:
        return None
    if schedule.moment is not None:
        return f"never runs: {schedule.moment:%Y-%m-%d %H:%M:%S} UTC is past"
    if schedule.rrule is not None and (until := rrule.last_day(schedule.rrule)):
        return f"never runs: its UNTIL, {until:%Y-%m-%d %H:%M:%S}, is past"
    return "never runs: all times of its schedule are past, or more than fifty years away"


def occurrences(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """The next `count` occurrences strictly later than `after`, in UTC."""
    return list(islice(_occurrences(schedule, after), count))


def occurrences_between(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    """Every occurrence strictly later than `after` and not later than `until`, in UTC."""
    return list(takewhile(lambda instant: instant <= until, _occurrences(schedule, after)))


def newest_between(schedule: Schedule, after: datetime, until: datetime, most: int) -> list[datetime]:
    """The newest `most` of them, found backwards: it costs no more the longer ago `after` is."""
    span = MINUTE
    while True:
        begin = max(after, until - span)
        found = occurrences_between(schedule, begin, until)
        if begin == after or len(found) >= most:
            return found[-most:]
        span *= 4


def counts_days(interval: timedelta) -> bool:
    """Whether an interval is a number of days, so that it keeps its hour when clocks change."""
    return interval % timedelta(days=1) == timedelta(0)


@lru_cache(maxsize=1024)
def on_a_clock(expression: str, timezone: str) -> tuple[str, str]:
    """A cron expression and the zone in which it is to be counted, so that a change of clocks loses nothing.

    An expression of every hour of every day means elapsed time: on the wall clock, an hourly job would pause for two
    hours when clocks go back. In UTC it does not. Where the zone is half an hour or less beside full hours its minutes
    are others there; where they are not the same ones all year (Lord Howe Island sets its clocks by half an hour), the
    expression stays in its zone.
    """
    meant = cron.read(expression)
    offsets = _offsets(timezone)
    if not meant.is_every_hour or (len(offsets) == 1 and any(offset % HOUR for offset in offsets)):
        return expression, timezone
    minutes = meant.minute.values
    in_utc = {frozenset((minute - offset // MINUTE) % 60 for minute in minutes) for offset in offsets}
    if len(in_utc) > 1:
        return expression, timezone
    if in_utc == {minutes}:
        return expression, "UTC"
    shifted = ",".join(map(str, sorted(*in_utc)))
    return f"{meant.second.written} {shifted} * * * *" if meant.has_seconds else f"{shifted} * * * *", "UTC"


@lru_cache(maxsize=1024)
def _offsets(timezone: str) -> frozenset[timedelta]:
    """How far a zone is from UTC, now and in the years to come."""
    zone = ZoneInfo(timezone)
    months = (datetime(year, month, 1, tzinfo=zone) for year in range(2020, 2040) for month in range(1, 13))
    return frozenset(moment.utcoffset() or NONE for moment in months)


def as_cron(times: Times) -> str | None:
    """The cron expression of times that have one: their own, or the one that their rule means."""
    return times.cron or (rrule.as_cron(times.rrule) if times.rrule is not None else None)


def _occurrences(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """What is due, without the days that are left out: each of them is passed over in one step."""
    zone = ZoneInfo(schedule.timezone)
    last = after
    while after - last < FARTHEST:
        for instant in _merged(schedule, after):
            if why_left_out(schedule, instant) is not None:
                after = _end_of_day(instant, zone)
                break
            last = instant
            yield instant
        else:
            return


def _end_of_day(instant: datetime, zone: ZoneInfo) -> datetime:
    """The last moment of its day on the clock."""
    tomorrow = instant.astimezone(zone).date() + timedelta(days=1)
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone).astimezone(UTC)
    return max(instant, midnight - timedelta(microseconds=1))


def _merged(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """All times of a schedule; those at which several of them are due once."""
    if (moment := schedule.moment) is not None:
        return iter([moment] if moment > after else [])
    each = [_times(times, schedule.timezone, after) for times in schedule.each]
    return each[0] if len(each) == 1 else _later(merge(*each), after)


def _times(times: Times, default: str, after: datetime) -> Iterator[datetime]:
    timezone = times.timezone or default
    if (expression := as_cron(times)) is not None:
        return _later(_cron(*on_a_clock(expression, timezone), after), after)
    if times.every is not None:
        return _every(times.every, timezone, after)
    return _later(_rrule(times.rrule or "", timezone, after), after)


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
    zone = ZoneInfo(timezone)
    put_off: list[datetime] = []  # what is jumped over comes after some of what follows it on the clock
    for wall_time in cron.read(expression).wall_times(_before(after, zone)):
        instant = _to_utc(wall_time, zone)
        if _is_jumped_over(wall_time, zone):
            put_off.append(instant)
            continue
        while put_off and put_off[0] < instant:
            yield put_off.pop(0)
        yield instant
    yield from put_off


def _before(after: datetime, zone: ZoneInfo) -> datetime:
    """What the wall clock shows; near a change of clocks earlier, for what is repeated or jumped over."""
    around = {moment.astimezone(zone).utcoffset() for moment in (after - MOST_SET, after, after + MOST_SET)}
    return after.astimezone(zone).replace(tzinfo=None) - (MOST_SET if len(around) > 1 else NONE)


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
    zone = ZoneInfo(timezone)
    for wall_time in rrule.read(rule).recurrence.times(_before(after, zone)):
        # A time that is jumped over counts as that much earlier here, later in cron: both as Prefect does.
        fold = int(_is_jumped_over(wall_time, zone))
        yield wall_time.replace(tzinfo=zone, fold=fold).astimezone(UTC)
