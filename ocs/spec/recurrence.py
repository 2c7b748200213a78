"""Recurrence: the times that a rule of RFC 5545 names, found day by day from wherever one looks.

Nothing is counted from the rule's start, so that its age costs nothing, and what never comes is known after the days of
fifty years. The answers are dateutil's, which Prefect asks.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from heapq import merge
from itertools import islice, product
from math import gcd

from dateutil.easter import easter

FARTHEST = timedelta(days=366 * 50)
"""What does not come in so long never comes."""
LAST_YEAR = 2999
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
UNITS = {"WEEKLY": timedelta(weeks=1), "DAILY": DAY, "HOURLY": timedelta(hours=1), "MINUTELY": MINUTE}
MINUTES_OF_DAY = 1440
MONTHS = {"YEARLY": 12, "MONTHLY": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One RRULE. What is empty says nothing; weekdays are counted from Monday, and `nth` are weekdays of a period."""

    freq: str
    start: datetime
    interval: int = 1
    until: datetime | None = None
    count: int | None = None
    week_start: int = 0
    months: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    weeks: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    nth: frozenset[tuple[int, int]] = frozenset()
    easter: frozenset[int] = frozenset()
    positions: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    minutes: frozenset[int] = frozenset()
    seconds: frozenset[int] = frozenset()

    @property
    def is_by_day(self) -> bool:
        """Whether it counts days, weeks, months or years: all its days have the same times."""
        return self.freq not in ("HOURLY", "MINUTELY")

    @property
    def most_in_a_period(self) -> int:
        """A bound for how many times one of its years, months, weeks, days, hours or minutes has."""
        days = {"YEARLY": 366, "MONTHLY": 31, "WEEKLY": 7}.get(self.freq, 1)
        hours = max(len(self.hours), 1) if self.is_by_day else 1
        minutes = max(len(self.minutes), 1) if self.freq != "MINUTELY" else 1
        return days * hours * minutes * max(len(self.seconds), 1)

    @property
    def meets_its_clock(self) -> bool:
        """Whether counting hours or minutes from its start ever comes to the hours, minutes and positions it names."""
        if self.positions and min(map(abs, self.positions)) > self.most_in_a_period:
            return False
        if self.is_by_day:
            return True
        step = gcd(UNITS[self.freq] * self.interval // MINUTE, MINUTES_OF_DAY)
        first = self.start.hour * 60 + (self.start.minute if self.freq == "MINUTELY" else 0)
        met = (divmod(at, 60) for at in range(first % step, MINUTES_OF_DAY, step))
        return any((not self.hours or hour in self.hours) and _names_minute(self, minute) for hour, minute in met)

    def times(self, after: datetime) -> Iterator[datetime]:
        """Every time later than `after`, in order; ends when none is to come."""
        end = _end_of_count(self) if self.count is not None else self.until
        for moment in _times(self, after):
            if end is not None and moment > end:
                return
            yield moment


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Rules and single times together, without those that are taken out."""

    rules: tuple[Rule, ...] = ()
    also: frozenset[datetime] = frozenset()
    without: frozenset[datetime] = frozenset()

    def times(self, after: datetime) -> Iterator[datetime]:
        """Every time later than `after`, each once and in order; ends when none is to come."""
        last = after
        for moment in merge(*(rule.times(after) for rule in self.rules), sorted(self.also)):
            if moment > last and moment not in self.without:
                last = moment
                yield moment


@lru_cache(maxsize=1024)
def _end_of_count(rule: Rule) -> datetime:
    """The last of a rule's `count` times. Times that are taken out of a recurrence are counted, too."""
    last = rule.start - DAY
    for moment in islice(_times(replace(rule, until=None), rule.start - timedelta(seconds=1)), rule.count):
        last = moment
    return min(last, rule.until or last)


def _times(rule: Rule, after: datetime) -> Iterator[datetime]:
    if not rule.meets_its_clock:
        return
    rule = _with_defaults(rule)
    since = max(after, rule.start)
    day = since.date()
    barren = day + FARTHEST
    while day < barren and day.year <= LAST_YEAR:
        if rule.months and day.month not in rule.months:
            day = _following_month(day)
            continue
        if (begins := _period_from(rule, day)) > day:
            day = begins
            continue
        if _fits(rule, day):
            for moment in _of_day(rule, day, since):
                if moment > after and moment >= rule.start:
                    barren = day + FARTHEST
                    yield moment
        day += DAY


@lru_cache(maxsize=1024)
def _with_defaults(rule: Rule) -> Rule:
    """What a rule does not say of days and times it has from its start."""
    given = rule.weeks or rule.year_days or rule.month_days or rule.weekdays or rule.nth or rule.easter
    if not given and rule.freq == "YEARLY":
        rule = replace(
            rule, months=rule.months or frozenset({rule.start.month}), month_days=frozenset({rule.start.day})
        )
    elif not given and rule.freq == "MONTHLY":
        rule = replace(rule, month_days=frozenset({rule.start.day}))
    elif not given and rule.freq == "WEEKLY":
        rule = replace(rule, weekdays=frozenset({rule.start.weekday()}))
    if rule.is_by_day:
        rule = replace(rule, hours=rule.hours or frozenset({rule.start.hour}))
    if rule.freq != "MINUTELY":
        rule = replace(rule, minutes=rule.minutes or frozenset({rule.start.minute}))
    return replace(rule, seconds=rule.seconds or frozenset({rule.start.second}))


def _fits(rule: Rule, day: date) -> bool:
    """Whether nothing that the rule says is against this day of one of its periods."""
    length = monthrange(day.year, day.month)[1]
    in_year = day.timetuple().tm_yday
    days_of_year = 365 + isleap(day.year)
    return (
        (not rule.months or day.month in rule.months)
        and (not rule.weekdays or day.weekday() in rule.weekdays)
        and (not rule.month_days or not rule.month_days.isdisjoint((day.day, day.day - length - 1)))
        and (not rule.year_days or not rule.year_days.isdisjoint((in_year, in_year - days_of_year - 1)))
        and (not rule.easter or (day - easter(day.year)).days in rule.easter)
        and (not rule.nth or _is_nth(rule, day))
        and (not rule.weeks or not rule.weeks.isdisjoint(_weeks_of(day, rule.week_start)))
    )


def _period_from(rule: Rule, day: date) -> date:
    """The day itself, if it is in one of the rule's periods, or the first day of the next one."""
    start, interval = rule.start.date(), rule.interval
    match rule.freq:
        case "YEARLY":
            missing = -(day.year - start.year) % interval
            return date(min(day.year + missing, LAST_YEAR + 1), 1, 1) if missing else day
        case "MONTHLY":
            missing = -((day.year - start.year) * 12 + day.month - start.month) % interval
            year, month = divmod(day.year * 12 + day.month - 1 + missing, 12)
            return date(min(year, LAST_YEAR + 1), month + 1, 1) if missing else day
        case "WEEKLY":
            week = _week_of(day, rule.week_start)
            missing = -((week - _week_of(start, rule.week_start)).days // 7) % interval
            return week + missing * 7 * DAY if missing else day
        case "DAILY":
            return day + -(day - start).days % interval * DAY
        case _:
            return day  # its hours or minutes are counted


def _following_month(day: date) -> date:
    return (day.replace(day=1) + 31 * DAY).replace(day=1)


def _week_of(day: date, week_start: int) -> date:
    """The first day of its week."""
    return day - (day.weekday() - week_start) % 7 * DAY


def _is_nth(rule: Rule, day: date) -> bool:
    first, last = _period(rule, day) if rule.freq == "YEARLY" and not rule.months else _month(day)
    from_start, from_end = (day - first).days // 7 + 1, (last - day).days // 7 + 1
    return not rule.nth.isdisjoint({(day.weekday(), from_start), (day.weekday(), -from_end)})


def _weeks_of(day: date, week_start: int) -> tuple[int, int]:
    """The number of its week, from the beginning and from the end; a week belongs to the year of its fourth day."""
    year = (_week_of(day, week_start) + 3 * DAY).year
    first = _week_of(date(year, 1, 4), week_start)
    following = _week_of(date(year + 1, 1, 4), week_start)
    return (day - first).days // 7 + 1, -(((following - day).days + 6) // 7)


def _month(day: date) -> tuple[date, date]:
    return day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])


def _period(rule: Rule, day: date) -> tuple[date, date]:
    """The first and the last day of the period that a day belongs to."""
    match rule.freq:
        case "YEARLY":
            return date(day.year, 1, 1), date(day.year, 12, 31)
        case "MONTHLY":
            return _month(day)
        case "WEEKLY":
            first = _week_of(day, rule.week_start)
            return max(first, rule.start.date()), first + 6 * DAY
        case _:
            return day, day


def _of_day(rule: Rule, day: date, since: datetime) -> Iterator[datetime]:
    """The times of a day that fits; of the day of `since`, those of the hours before it may be left out."""
    first_hour = since.hour if day == since.date() else 0
    if rule.is_by_day and rule.positions:
        return (moment for moment in _chosen(rule, *_period(rule, day)) if moment.date() == day)
    if rule.is_by_day:
        return _clock(rule, day, (hour for hour in sorted(rule.hours) if hour >= first_hour))
    return _counted(rule, datetime(day.year, day.month, day.day, first_hour))  # noqa: DTZ001


def _clock(rule: Rule, day: date, hours: Iterable[int], minutes: Iterable[int] | None = None) -> Iterator[datetime]:
    for hour, minute, second in product(hours, minutes or sorted(rule.minutes), sorted(rule.seconds)):
        yield datetime(day.year, day.month, day.day, hour, minute, second)  # noqa: DTZ001


@lru_cache(maxsize=64)
def _chosen(rule: Rule, first: date, last: date) -> tuple[datetime, ...]:
    """Those of a period's times that BYSETPOS names."""
    days = (first + number * DAY for number in range((last - first).days + 1))
    hours = sorted(rule.hours)
    return _at_positions(rule, [moment for day in days if _fits(rule, day) for moment in _clock(rule, day, hours)])


def _at_positions(rule: Rule, moments: Sequence[datetime]) -> tuple[datetime, ...]:
    known = range(-len(moments), len(moments) + 1)
    return tuple(sorted({moments[at - (at > 0)] for at in rule.positions if at in known}))


def _counted(rule: Rule, since: datetime) -> Iterator[datetime]:
    """The times, to the end of the day, of a rule that counts hours or minutes from its start on."""
    counts_hours = rule.freq == "HOURLY"
    start = rule.start.replace(second=0, minute=0 if counts_hours else rule.start.minute)
    period = UNITS[rule.freq] * rule.interval
    moment = since + (start - since) % period
    while moment.date() == since.date():
        if (not rule.hours or moment.hour in rule.hours) and _names_minute(rule, moment.minute):
            found = _clock(rule, moment, [moment.hour], None if counts_hours else [moment.minute])
            yield from _at_positions(rule, list(found)) if rule.positions else found
        moment += period


def _names_minute(rule: Rule, minute: int) -> bool:
    """Whether a rule that counts minutes takes this one; one that counts hours has minutes of its own."""
    return rule.freq == "HOURLY" or not rule.minutes or minute in rule.minutes
