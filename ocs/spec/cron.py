"""Cron expressions, read in one place for everybody: what they mean, whether they ever happen, what Prefect is told."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import product

from ocs.spec.cron_fields import (
    DAY,
    HOUR,
    LAST,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    WEEKDAYS,
    Field,
    Unclear,
    not_standard,
    read_field,
)
from ocs.spec.recurrence import FARTHEST
from ocs.spec.written import quoted

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FORM = "write five fields (minute hour day month weekday), six with seconds first, or @hourly, @daily..."
LONGEST = 128
LAST_DAY_OF_EVERY_MONTH = 28
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SOME_DAY = datetime(2000, 1, 1)  # noqa: DTZ001  the search is over wall clock times


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression as it is meant: when a clock on the wall shows such a time on such a day."""

    second: Field
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field
    has_seconds: bool

    @property
    def either(self) -> bool:
        """Days of the month and weekdays are both given: a day has to be only one of them."""
        return not (self.day.is_any or self.weekday.is_any)

    @property
    def is_every_hour(self) -> bool:
        """Whether it says plainly that it comes in each hour of each day: *, */1 or 0-23."""
        full = ((self.hour, HOUR), (self.day, DAY), (self.month, MONTH), (self.weekday, WEEKDAY))
        return all(len(field.items) == 1 and len(field.values) == kind.size for field, kind in full)

    @property
    def is_standard(self) -> bool:
        """Whether every cron understands it."""
        fields = (self.minute, self.hour, self.day, self.month, self.weekday)
        return not self.goes_round and not any(not_standard(field.written) for field in fields)

    @property
    def goes_round(self) -> str | None:
        """A field with a range that ends before it begins, as nov-feb, which not every cron knows."""
        fields = (self.minute, self.hour, self.day, self.month, self.weekday)
        return next((field.written for field in fields if any(item.goes_round for item in field.items)), None)

    def wall_times(self, after: datetime) -> Iterator[datetime]:
        """Every time later than `after` that a clock shows, on one that is never set; ends when none is to come."""
        times = tuple(sorted(each.values) for each in (self.minute, self.second))
        for day in self._days(after.date()):
            for hour in sorted(self.hour.values):
                if day == after.date() and hour < after.hour:
                    continue
                for minute, second in product(*times):
                    moment = datetime(day.year, day.month, day.day, hour, minute, second)  # noqa: DTZ001
                    if moment > after:
                        yield moment

    def _days(self, first: date) -> Iterator[date]:
        months, days, last_day = self.month.values, self.day.values, any(item.is_last_day for item in self.day.items)
        weekdays, nth, either = self.weekday.values, self.weekday.nth, self.either
        day, until = first, first + FARTHEST
        while day < until:
            if day.month not in months:
                day = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
                continue
            in_month = day.day in days or (last_day and day.day == monthrange(day.year, day.month)[1])
            in_week = day.isoweekday() % 7 in weekdays or bool(nth and _is_nth(day, nth))
            if in_month or in_week if either else in_month and in_week:
                yield day
                until = day + FARTHEST
            day += timedelta(days=1)


def check(expression: str) -> str:
    """The expression with single spaces, if it is one that happens.

    Raises:
        ValueError: it cannot be read, has no clear meaning, or names a date that never comes.
    """
    if len(expression) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    expression = " ".join(expression.split())
    try:
        cron = read(expression)
    except Unclear as unclear:
        raise ValueError(f"{quoted(expression)} has no clear meaning: {unclear}") from None
    except ValueError as wrong:
        raise ValueError(f"{quoted(expression)} is not a cron expression: {wrong}; {FORM}") from None
    if never := _why_never(cron):
        raise ValueError(f"{quoted(expression)} never happens ({never}).")
    if unclear := _unclear_days(cron):
        raise ValueError(f"{quoted(expression)} has no clear meaning: {unclear}")
    return expression


@lru_cache(maxsize=4096)
def read(expression: str) -> Cron:
    """What an expression means.

    Raises:
        ValueError: it cannot be read; why.
    """
    written = NICKNAMES.get(expression.strip().lower(), expression).split()
    if len(written) not in (5, 6):
        raise ValueError(f"it has {len(written)} field{'s' * (len(written) != 1)}")
    has_seconds = len(written) == 6
    second = read_field(written.pop(0) if has_seconds else "0", SECOND)
    kinds = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)
    cron = Cron(second, *(map(read_field, written, kinds)), has_seconds=has_seconds)
    if has_seconds and any("7" in item.plain.partition("#")[0] for item in cron.weekday.items):
        raise ValueError("it has the weekday 7 beside seconds, write 0 or sun")
    return cron


def with_seconds_last(expression: str) -> str:
    """The same instants in the form and the order in which Prefect reads them, where a sixth field is the last."""
    return _for_prefect(read(expression))


def for_prefect(expression: str) -> list[str]:
    """Expressions with seconds last that together mean the same, in a form in which Prefect loses nothing.

    Given early and late days of the month together (`1,31`, `*/10`), Prefect 3.9.1 leaves out the first of
    March. So the days after the 28th get expressions of their own, if they ever come.
    """
    cron = read(expression)
    early = sorted(day for day in cron.day.values if day <= LAST_DAY_OF_EVERY_MONTH)
    late = [[day] for day in sorted(cron.day.values - set(early))]
    last = ["l"] if any(item.is_last_day for item in cron.day.items) else []
    groups: list[Sequence[object]] = [group for group in (early, *late, last) if group]
    if len(cron.day.values) == DAY.size or len(groups) < 2:
        return [_for_prefect(cron)]
    parts = [_for_prefect(cron, day=",".join(map(str, group))) for group in groups]
    if cron.either:
        # Cron means either; the first expression has the weekdays already.
        parts[1:] = [_for_prefect(cron, day=",".join(map(str, group)), weekday="*") for group in groups[1:]]
    return [parts[0], *(part for group, part in zip(groups[1:], parts[1:], strict=True) if _comes(group, cron))]


def _for_prefect(cron: Cron, *, day: str | None = None, weekday: str | None = None) -> str:
    fields = [
        cron.minute.plain,
        cron.hour.plain,
        day or cron.day.plain,
        cron.month.plain,
        weekday or cron.weekday.plain,
    ]
    return " ".join([*fields, cron.second.plain] if cron.has_seconds else fields)


def _is_nth(day: date, nth: frozenset[tuple[int, int]]) -> bool:
    weekday, number = day.isoweekday() % 7, (day.day - 1) // 7 + 1
    is_last = day.day + 7 > monthrange(day.year, day.month)[1]
    return (weekday, number) in nth or (is_last and (weekday, LAST) in nth)


def _comes(days: Sequence[object], cron: Cron) -> bool:
    """Whether any of the months has the day."""
    return any(not isinstance(day, int) or day <= _longest(cron) for day in days)


def _longest(cron: Cron) -> int:
    return max(LONGEST_MONTHS[month - 1] for month in cron.month.values)


def _why_never(cron: Cron) -> str | None:
    """Why it never happens. A weekday beside days that never come does not help: Prefect looks for both first."""
    days = cron.day.values
    if days and min(days) > _longest(cron) and not any(item.is_last_day for item in cron.day.items):
        return _no_such_day(min(days), sorted(cron.month.values))
    return None if next(cron.wall_times(_SOME_DAY), None) else "no date in fifty years fits"


def _no_such_day(day: int, months: Sequence[int]) -> str:
    """`day` does not exist in any of the `months`, as people say it."""
    names = [MONTHS[month - 1] for month in months]
    suffix = {1: "st", 21: "st", 31: "st", 2: "nd", 22: "nd", 3: "rd", 23: "rd"}.get(day, "th")
    if len(names) == 1:
        return f"{names[0]} has no {day}{suffix}"
    return f"{', '.join(names[:-1])} and {names[-1]} have no {day}{suffix}"


def _unclear_days(cron: Cron) -> str | None:
    """Both day fields, so that crons differ in what they make of it, or make every day of it."""
    if not cron.either:
        return None
    day, weekday = cron.day.written, cron.weekday.written
    if cron.weekday.nth:
        return f"{day} of the month and {weekday} are days of different kinds; make a job of each"
    if day.startswith("*") or weekday.startswith("*"):
        both = f"cron runs it only on days that are both {day} of the month and {weekday} of the week, others on either"
        return f"{both}; for either write the days one by one, for both write rrule: {_as_rule(cron)}"
    if len(cron.day.values) == DAY.size or len(cron.weekday.values) == WEEKDAY.size:
        either = f"cron runs it on days that are {day} of the month or {weekday} of the week, which is every day"
        return f"{either}; write * for what does not matter"
    return None


def _as_rule(cron: Cron) -> str:
    """The recurrence rule of the days that are both."""
    weekdays = ",".join(WEEKDAYS[day][:2].upper() for day in sorted(cron.weekday.values))
    last = [-1] if any(item.is_last_day for item in cron.day.items) else []
    parts: dict[str, Sequence[int]] = {
        "BYMONTHDAY": [*sorted(cron.day.values), *last],
        "BYHOUR": sorted(cron.hour.values),
        "BYMINUTE": sorted(cron.minute.values),
        "BYSECOND": sorted(cron.second.values) if cron.has_seconds else (),
        "BYMONTH": sorted(cron.month.values) if len(cron.month.values) < MONTH.size else (),
    }
    listed = (f"{name}={','.join(map(str, values))}" for name, values in parts.items() if values)
    return ";".join(["FREQ=DAILY", f"BYDAY={weekdays}", *listed])
