"""Cron's grammar: it means here what a second reading of it says, and Prefect runs at the same times."""

# ruff: noqa: DTZ001  clocks on the wall have no zone

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

import pytest
from hypothesis import assume, example, given, settings
from hypothesis.strategies import DrawFn, composite, datetimes, integers, lists, sampled_from
from prefect.server.schemas.schedules import CronSchedule

from ocs.spec import cron
from ocs.spec.rrule import read as read_rule
from tests.unit.cron_model import NAMES, wall_times
from tests.unit.spec.documents import problems_of

DAYS = 500
TIMES = 25
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMED = {3: list(NAMES)[:12], 4: list(NAMES)[12:]}


@composite
def items(draw: DrawFn, position: int) -> str:
    """Everything that may stand between two commas; half of the ranges are short or of one value."""
    low, high = BOUNDS[position]
    first = draw(integers(low, high))
    last = min(high, first + draw(sampled_from([0, 0, 1, 2, 7]))) if draw(integers(0, 3)) else draw(integers(low, high))
    said = [
        draw(sampled_from([str(value), NAMED[position][value - low]]))
        if position in NAMED and value - low < 7
        else str(value)
        for value in (first, last)
    ]
    step = draw(sampled_from([1, 2, 3, 5, 10, high]))
    return draw(
        sampled_from(["*", f"*/{step}", said[0], f"{said[0]}/{step}", "-".join(said), f"{'-'.join(said)}/{step}"])
    )


@composite
def expressions(draw: DrawFn) -> str:
    fields = [",".join(draw(lists(items(position), min_size=1, max_size=3))) for position in range(5)]
    for position in draw(sampled_from([(1, 2, 3), (2, 3, 4), (2, 3), (3, 4), (1, 2, 3, 4), (0, 4), (3,)])):
        fields[position] = "*"
    return " ".join(fields)


@settings(deadline=None, max_examples=60)
@given(expression=expressions(), after=datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1)))
@example(expression="9 11-11 * * *", after=datetime(2027, 1, 1))
@example(expression="0 0 * * 7-7", after=datetime(2027, 1, 1))
@example(expression="23/59 23/2 * 12/2 6/2", after=datetime(2027, 1, 1))
@example(expression="0 9 */1 * mon", after=datetime(2027, 1, 1))
@example(expression="0 9 1-1 * mon-mon", after=datetime(2027, 1, 1))
@example(expression="0 22-4/3 28-3/2 nov-feb *", after=datetime(2027, 1, 1))
def test_it_means_what_a_second_reading_says_and_prefect_runs_then(expression: str, after: datetime) -> None:
    try:
        cron.check(expression)
    except ValueError:
        assume(False)
    after = after.replace(microsecond=0)
    end = after.replace(hour=0, minute=0, second=0) + timedelta(days=DAYS)
    found = list(islice(takewhile(lambda moment: moment < end, cron.read(expression).wall_times(after)), TIMES))
    assert found == list(islice(wall_times(expression, after, DAYS), TIMES))
    assert [moment.replace(tzinfo=UTC) for moment in found] == prefects(cron.for_prefect(expression), after)[
        : len(found)
    ]


def prefects(parts: list[str], after: datetime) -> list[datetime]:
    start = after.replace(tzinfo=UTC) + timedelta(microseconds=1)
    dates = [
        date for part in parts for date in asyncio.run(CronSchedule(cron=part, timezone="UTC").get_dates(TIMES, start))
    ]
    return sorted({datetime.fromtimestamp(date.timestamp(), UTC) for date in dates})[:TIMES]


@pytest.mark.parametrize(
    "expression",
    ["0 0 29,L * *", "0 0 28-l * *", "0 0 1,L * fri", "0 9 * * fri#2", "0 9 * * 1-3#1", "0 9 * * l5,l1",
     "0 9 * 2 mon#5", "*/20 0 9 * * mon-mon", "10 0 0 31,1 * *", "0 0 ? * mon", "0 0 l 2 ?"],
)  # fmt: skip
def test_what_only_our_schedules_know_prefect_runs_at_the_same_times(expression: str) -> None:
    assert cron.check(expression)
    for after in (datetime(2027, 1, 15, 10, 30), datetime(2028, 2, 27), datetime(2026, 12, 31, 23, 59, 59)):
        found = [moment.replace(tzinfo=UTC) for moment in islice(cron.read(expression).wall_times(after), TIMES)]
        parts = prefects(cron.for_prefect(expression), after)
        assert found[: len(parts)] == parts


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("*/90 * * * *", "the minute has 60 values, and a step of 90 is longer; write every: 90m"),
        ("5/61 * * * *", "write every: 61m"),
        ("0-30/61 * * * *", "write every: 61m"),
        ("0 */36 * * *", "write every: 36h"),
        ("*/90 * * * * *", "write every: 90s"),
        ("0 0 */45 * *", "write every: 45d"),
        ("0 0 1 */13 *", "a step of 13 is longer"),
        ("0 0 */2 * mon", "both */2 of the month and mon of the week"),
        ("0 0 1 * */2", "both 1 of the month and */2 of the week"),
        ("0 0 *,1 * mon", "both *,1 of the month and mon of the week"),
        ("0 0 1-31 * mon", "1-31 of the month or mon of the week, which is every day"),
        ("0 0 1 * 0-6", "which is every day"),
        ("0 0 1,* * mon", "which is every day"),
        ("0 9 1 * fri#2", "make a job of each"),
        ("0 0 15W * *", "15W is not what a day can be"),
        ("0 0 LW * *", "LW is not what a day can be"),
        ("0 0 * * mon,fri#2", "write two schedules"),
        ("0~30 * * * *", "0~30 is not what a minute can be"),
        ("0 0 * mon *", "mon is not a name that cron has for it"),
        ("0 24 * * *", "24 is no value of the hour; it takes 0 to 23"),
        ("\N{ARABIC-INDIC DIGIT ONE} * * * *", "is not what a minute can be"),
    ],
)
def test_what_has_no_clear_meaning_is_refused_with_the_right_form(written: str, why: str) -> None:
    [problem] = problems_of(schedule={"cron": written})
    assert problem.path == "schedule.cron"
    assert why in problem.message


@pytest.mark.parametrize("written", ["30 7,9 */2 * mon", "0 0 13 3,4 */2", "5 0 0 */10 * fri", "0 0 */2,L * 1"])
def test_the_rule_that_is_named_for_days_that_are_both_is_the_right_one(written: str) -> None:
    [problem] = problems_of(schedule={"cron": written})
    rule = problem.message.rpartition("write rrule: ")[2]
    assert problems_of(schedule={"rrule": rule}) == []
    both = cron.read(written)
    after = datetime(2027, 1, 1)
    every_day = islice(read_rule(rule).recurrence.times(after), 50)
    for moment in every_day:
        assert moment.isoweekday() % 7 in both.weekday.values
        assert moment.day in both.day.values or (moment + timedelta(days=1)).day == 1
        assert (moment.hour, moment.minute) in {(h, m) for h in both.hour.values for m in both.minute.values}


def test_an_expression_that_fits_almost_never_is_decided_in_so_many_days() -> None:
    assert next(cron.read("0 0 29 2 *").wall_times(datetime(2096, 3, 1))) == datetime(2104, 2, 29)
    assert list(cron.read("0 0 30 2 *").wall_times(datetime(2027, 1, 1))) == []
