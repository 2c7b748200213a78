"""A second reading of cron's grammar, for tests: five fields, asked day by day and minute by minute. Small and slow."""

# ruff: noqa: DTZ001  clocks on the wall have no zone

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

NAMES = {
    name: str(number)
    for names, low in (("jan feb mar apr may jun jul aug sep oct nov dec", 1), ("sun mon tue wed thu fri sat", 0))
    for number, name in enumerate(names.split(), start=low)
}
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def wall_times(expression: str, after: datetime, days: int) -> Iterator[datetime]:
    """When cron runs five fields in so many days, by a clock that is never set."""
    written = expression.lower().split()
    minute, hour, day, month, weekday = (
        set[int]().union(*(values(item, *bounds) for item in field.split(",")))
        for field, bounds in zip(written, BOUNDS, strict=True)
    )
    either = not written[2].startswith("*") and not written[4].startswith("*")
    midnight = datetime(after.year, after.month, after.day)
    for today in (midnight + timedelta(days=number) for number in range(days)):
        in_month, in_week = today.day in day, today.isoweekday() % 7 in weekday
        if today.month in month and (in_month or in_week if either else in_month and in_week):
            for minutes in range(1440):
                moment = today + timedelta(minutes=minutes)
                if moment > after and moment.hour in hour and moment.minute in minute:
                    yield moment


def values(item: str, low: int, high: int) -> set[int]:
    """From the first value on round the field to the last, each so many steps from the one before."""
    span, _, step = item.partition("/")
    first, dash, last = (f"{low}-{high}" if span == "*" else span).partition("-")
    start = int(NAMES.get(first, first))
    end = int(NAMES.get(last, last)) if dash else high if step else start
    size = high - low + 1
    length = (end - start) if end >= start else (end - start) % size
    return {(start - low + passed) % size + low for passed in range(0, length + 1, int(step or 1))}
