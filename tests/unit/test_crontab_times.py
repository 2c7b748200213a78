"""An imported entry runs when cron runs it.

200 expressions as people write them are held against an implementation of Debian's cron, and 60 from all that cron's
grammar allows against every minute of two years in zones whose clocks change.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from deployments.crontab import parse
from ocs.rules.occurrences import occurrences, occurrences_between
from ocs.spec import Schedule

START = datetime(2026, 1, 1, tzinfo=UTC)
TWO_YEARS = START + timedelta(days=730)
TIMES = 200
ZONES = ("Europe/Vienna", "America/New_York")
AROUND = timedelta(hours=3)
HOURS = timedelta(hours=12)


def field(choose: random.Random, low: int, high: int) -> str:
    first, last = sorted(choose.sample(range(low, high + 1), 2))
    forms = [
        "*",
        f"*/{choose.randint(2, max(2, (high - low) // 2))}",
        f"{first}",
        f"{first}-{last}",
        f"{first}-{last}/{choose.randint(2, 5)}",
        ",".join(map(str, sorted(choose.sample(range(low, high + 1), 3)))),
    ]
    return choose.choices(forms, weights=[4, 2, 4, 1, 1, 2])[0]


def expressions() -> Iterator[str]:
    """As people write them: often a fixed minute, seldom both days."""
    choose = random.Random(20261124)
    months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    while True:
        fields = [field(choose, 0, 59), field(choose, 0, 23), field(choose, 1, 28), "*", field(choose, 0, 7)]
        if choose.random() < 0.2:
            fields[3] = choose.choice([field(choose, 1, 12), choose.choice(months)])
        if choose.random() < 0.2:
            fields[4] = choose.choice([choose.choice(days), "mon-fri", "6,7"])
        if choose.random() < 0.6:
            fields[choose.choice([2, 4])] = "*"
        line = " ".join(fields)
        if not parse(f"{line} true").left:  # such as days that have to be both; they are named, not carried over
            yield line


EXPRESSIONS = list(islice(expressions(), 200))


def schedule(expression: str, zone: str) -> Schedule:
    return Schedule.model_validate({"cron": expression, "timezone": zone})


def crons(expression: str, zone: str, after: datetime) -> Iterator[datetime]:
    return (moment.astimezone(UTC) for moment in CronSim(expression, after.astimezone(ZoneInfo(zone))))


def test_two_hundred_times_of_each_are_crons_own() -> None:
    for expression in EXPRESSIONS:
        theirs = list(islice(crons(expression, "UTC", START), TIMES))
        assert occurrences(schedule(expression, "UTC"), START, TIMES) == theirs, expression


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", ["0 * * * *", "*/15 * * * *", "7,37 * * * *", "@hourly"])
def test_what_runs_every_hour_loses_none_when_clocks_change(expression: str, zone: str) -> None:
    plain = expression.replace("@hourly", "0 * * * *")
    for change in changes_of(ZoneInfo(zone)):
        assert ours(expression, zone, change) == theirs(plain, zone, change)


@pytest.mark.parametrize("zone", ZONES)
def test_around_each_change_of_clocks_only_its_own_hours_differ(zone: str) -> None:
    changes = list(changes_of(ZoneInfo(zone)))
    assert len(changes) == 4
    for expression in EXPRESSIONS:
        for change in changes:
            mine, crons_own = ours(expression, zone, change), theirs(expression, zone, change)
            assert besides(change, mine) == besides(change, crons_own), expression


def ours(expression: str, zone: str, change: datetime) -> list[datetime]:
    """Our times half a day before and after a change."""
    return occurrences_between(schedule(expression, zone), change - HOURS, change + HOURS)


def theirs(expression: str, zone: str, change: datetime) -> list[datetime]:
    """Cron's."""
    return list(takewhile(lambda moment: moment <= change + HOURS, crons(expression, zone, change - HOURS)))


def besides(change: datetime, moments: list[datetime]) -> list[datetime]:
    """Without the hours of the change itself."""
    return [moment for moment in moments if abs(moment - change) > AROUND]


def changes_of(zone: ZoneInfo) -> Iterator[datetime]:
    """The instants at which the zone's clocks change in these two years."""
    moment = START
    while moment < TWO_YEARS:
        after = moment + timedelta(hours=1)
        if moment.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            yield after
        moment = after


@pytest.mark.parametrize("expression", ["30 2 * * *", "*/20 2 * * *", "30 */2 * * *", "15 1-3 * * sun"])
def test_when_clocks_change_no_wall_time_runs_twice_and_a_skipped_one_runs_once_later(expression: str) -> None:
    vienna = ZoneInfo("Europe/Vienna")
    daily = schedule(expression, "Europe/Vienna")
    back = occurrences(daily, datetime(2026, 10, 24, 22, tzinfo=UTC), 40)
    walls = [moment.astimezone(vienna).replace(tzinfo=None, fold=0) for moment in back]
    assert len(set(walls)) == len(walls)
    forward = occurrences(daily, datetime(2026, 3, 28, 23, tzinfo=UTC), 40)
    skipped_hour = [moment for moment in forward if moment.astimezone(vienna).date().isoformat() == "2026-03-29"]
    assert skipped_hour
    assert len(set(forward)) == len(forward)


MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS = ((0, 59, ()), (0, 23, ()), (1, 31, ()), (1, 12, MONTHS), (0, 7, DAYS))
"""The lowest and the highest value of each field, and the names of its values from the lowest on."""
BY_WALL_CLOCK = 60


def grammar() -> Iterator[str]:
    """Lists of ranges with steps and names, in each field."""
    choose = random.Random(20261125)
    while True:
        fields = [",".join(items(choose, *bounds)) for bounds in FIELDS]
        for position, chance in enumerate((0.1, 0.3, 0.4, 0.7, 0.4)):
            if choose.random() < chance:
                fields[position] = "*"
        line = " ".join(fields)
        if not parse(f"{line} true").left:
            yield line


def items(choose: random.Random, low: int, high: int, names: tuple[str, ...]) -> Iterator[str]:
    def said(value: int) -> str:
        return choose.choice([str(value), names[value - low]]) if value - low < len(names) else str(value)

    for _ in range(choose.choice([1, 1, 2, 3])):
        first = choose.randint(low, high)
        last = choose.randint(first, high)
        span = choose.choice(["*/2", f"*/{choose.randint(1, high)}", *[f"{said(first)}-{said(last)}"] * 4])
        # A name for the higher value may stand for the lower one too: sun is 0, never 7.
        step = f"/{choose.randint(1, 6)}" if "/" not in span and choose.random() < 0.4 else ""
        yield choose.choice([said(first), span + step])


def meant(written: str, low: int, high: int, names: tuple[str, ...]) -> set[int]:
    """The values of a field."""
    found: set[int] = set()
    for item in written.split(","):
        span, _, step = item.partition("/")
        first, dash, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        start, end = ((low + names.index(each) if each in names else int(each or 0)) for each in (first, last))
        found |= set(range(start, (end if dash else start) + 1, int(step or 1)))
    return found


def by_the_minute(expression: str, zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """When a clock on the wall first shows a minute that fits; one that is jumped over counts as that much later."""
    written = expression.split()
    minutes, hours, days, months, weekdays = (
        meant(each, *bounds) for each, bounds in zip(written, FIELDS, strict=True)
    )
    either = not written[2].startswith("*") and not written[4].startswith("*")
    clock = ZoneInfo("UTC" if written[1:] == ["*"] * 4 else zone)  # every hour means elapsed time
    last = after
    day: date = (after - timedelta(days=1)).date()
    while day <= until.date() + timedelta(days=1):
        fits = (day.day in days, day.isoweekday() % 7 in {weekday % 7 for weekday in weekdays})
        if day.month in months and (any(fits) if either else all(fits)):
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    moment = datetime.combine(day, time(hour, minute), tzinfo=clock).astimezone(UTC)
                    if last < moment <= until:
                        last = moment
                        yield moment
        day += timedelta(days=1)


@pytest.mark.parametrize("zone", ZONES)
def test_all_of_crons_grammar_means_here_what_it_means_there(zone: str) -> None:
    for expression in islice(grammar(), BY_WALL_CLOCK):
        imported = parse(f"{expression} true").entries[0].schedule
        crons_own = list(islice(by_the_minute(expression, zone, START, TWO_YEARS), TIMES))
        end = crons_own[-1] if len(crons_own) == TIMES else TWO_YEARS
        assert occurrences_between(schedule(imported, zone), START, end) == crons_own, expression
        for change in changes_of(ZoneInfo(zone)):
            crons_own = list(by_the_minute(expression, zone, change - HOURS, change + HOURS))
            assert ours(imported, zone, change) == crons_own, expression
