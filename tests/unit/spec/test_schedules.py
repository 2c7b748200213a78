"""Schedules: which expressions are taken, and that Prefect takes all of them too."""

from __future__ import annotations

import asyncio
import warnings
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import lists, sampled_from, text
from prefect.server.schemas.schedules import CronSchedule, RRuleSchedule

from ocs.errors import InvalidJob
from ocs.rules.occurrences import occurrences
from ocs.spec import Schedule, parse
from ocs.spec.cron import with_seconds_last
from tests.unit.spec.documents import SMALLEST, problems_of


def scheduled(schedule: Any) -> Schedule:
    made = parse({**SMALLEST, "schedule": schedule}).schedule
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("written", "for_prefect"),
    [
        ("*/15 * * * *", "*/15 * * * *"),
        ("0 2 * * mon-fri", "0 2 * * mon-fri"),
        ("0 2 * JAN,jul Sun", "0 2 * JAN,jul Sun"),
        ("@hourly", "0 * * * *"),
        ("@Daily", "0 0 * * *"),
        ("30 0 2 * * *", "0 2 * * * 30"),
        ("  0  0 29 2 * ", "0 0 29 2 *"),
        ("0 0 l * *", "0 0 l * *"),
        ("0 9 * * fri#2", "0 9 * * fri#2"),
        ("0 9 * * l5", "0 9 * * l5"),
        ("0 0 30 1,2 mon", "0 0 30 1,2 mon"),
        ("0 9 * * 5-7", "0 9 * * 5-7"),
    ],
)
def test_cron_expressions_reach_prefect(written: str, for_prefect: str) -> None:
    expression = scheduled(written).cron
    assert expression is not None
    assert with_seconds_last(expression) == for_prefect
    assert CronSchedule(cron=for_prefect).cron == for_prefect


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("0 0 30 2 *", '"0 0 30 2 *" never happens (February has no 30th).'),
        ("0 0 31 2 *", "February has no 31st"),
        ("0 0 30,31 feb *", "February has no 30th"),
        ("0 0 31 4,6,9 *", "April, June and September have no 31st"),
        ("0 0 30 2 0-6", "February has no 30th"),
        ("0 0 30 2 mon-sun", "February has no 30th"),
        ("0 0 30 2 mon", "February has no 30th"),
        ("0 0 0 31 11 *", "November has no 31st"),
    ],
)
def test_cron_expressions_that_never_happen_say_why(written: str, why: str) -> None:
    [problem] = problems_of(schedule={"cron": written})
    assert problem.path == "schedule.cron"
    assert why in problem.message


@pytest.mark.parametrize(
    "written",
    ["", "* * *", "* * * * * * *", "61 * * * *", "* * 0 * *", "* * * 13 *", "*/0 * * * *", "a b c d e", "@reboot",
     "h * * * *", "H/5 * * * *", "h(0-5) * * * *", "1,r * * * *", "r(1-5) * * * *", "0 0 * * mon#6", "5-1/x * * * *",
     "0 0 0 * * 7", "0 0 0 * * 5-7",
     "* " * 70, "\x00 * * * *"],
)  # fmt: skip
def test_other_cron_expressions_are_refused(written: str) -> None:
    [problem] = problems_of(schedule={"cron": written})
    assert problem.path == "schedule.cron"
    assert "\n" not in problem.message


MOMENTS = ["*", "*/5", "0", "1", "0-7", "2,4", "h", "r", "59", "1-"]
DAYS = ["*", "?", "1", "1-31", "*/2", "*/1", "1/1", "30", "31", "29", "l", "3,30", "0"]
MONTHS = ["*", "1-12", "2", "feb", "4,6", "jan-mar", "13"]
WEEKDAYS = ["*", "?", "0-6", "mon-sun", "0-7", "mon", "fri#2", "l5", "5#5", "7", "*/2", "mon,tue-sun"]


@settings(deadline=None, max_examples=300)
@given(
    lists(sampled_from(MOMENTS), min_size=2, max_size=3),
    sampled_from(DAYS),
    sampled_from(MONTHS),
    sampled_from(WEEKDAYS),
)
def test_prefect_takes_what_we_take_and_finds_the_same_instants(
    moments: list[str], day: str, month: str, weekday: str
) -> None:
    try:
        schedule = scheduled(" ".join([*moments, day, month, weekday]))
    except InvalidJob:
        return
    start = datetime(2027, 1, 15, 10, 30, 30, 500, tzinfo=UTC)
    prefects = CronSchedule(cron=with_seconds_last(schedule.cron or ""), timezone="UTC")
    assert asyncio.run(prefects.get_dates(3, start)) == occurrences(schedule, start, 3)


@given(text())
def test_no_text_breaks_the_reader_of_cron_expressions(written: str) -> None:
    assert all(problem.message for problem in problems_of(schedule={"cron": written}))


@pytest.mark.parametrize(
    "written",
    [
        "FREQ=MONTHLY;BYDAY=-1FR",
        "DTSTART:20270101T080000\nRRULE:FREQ=DAILY;COUNT=3",
        "freq=weekly;byday=mo,we",
        "DTSTART:20270101T080000\nRRULE:FREQ=DAILY;UNTIL=20280101T000000",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "FREQ=HOURLY;BYHOUR=8,12;BYMINUTE=30",
        "FREQ=MINUTELY;INTERVAL=90",
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=YEARLY;INTERVAL=1000",
        "RRULE:FREQ=DAILY\nEXDATE:20270101T000000",
        "RDATE:20270101T000000",
    ],
)
def test_recurrence_rules_reach_prefect(written: str) -> None:
    rule = scheduled({"rrule": written}).rrule
    assert rule == written
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert RRuleSchedule(rrule=rule, timezone="Europe/Vienna").to_rrule()


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "is not a recurrence rule"),
        ("every monday", "is not a recurrence rule"),
        ("FREQ=FOO", "FOO"),
        ("BYDAY=MO", "it has no FREQ"),
        ("FREQ=DAILY;BYDAY=XX", "XX"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0 is not possible"),
        ("FREQ=DAILY;COUNT=0", "COUNT=0 is not possible"),
        ("FREQ=HOURLY;BYHOUR=25", "it takes 0 to 23"),
        ("FREQ=SECONDLY", "use schedule.every"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never happens"),
        ("FREQ=DAILY;BYMONTH=4;BYMONTHDAY=31", "never happens"),
        ("FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30", "never happens"),
        ("DTSTART:20270106T000000\nRRULE:FREQ=DAILY;INTERVAL=7;BYDAY=TU", "never happens"),
        ("DTSTART:20270106T000000\nRRULE:FREQ=HOURLY;INTERVAL=168;BYDAY=TU", "never happens"),
        ("FREQ=HOURLY;INTERVAL=24;BYHOUR=5", "is not a recurrence rule"),
        ("DTSTART:20270101T000000\nRRULE:FREQ=DAILY;UNTIL=20260101T000000", "never happens"),
        ("DTSTART;TZID=Europe/Vienna:20270101T080000\nRRULE:FREQ=DAILY", "set schedule.timezone"),
        ("FREQ=DAILY;X=" + "1" * 6500, "longer than 6500"),
    ],
)
def test_other_recurrence_rules_are_refused(written: str, why: str) -> None:
    [problem] = problems_of(schedule={"rrule": written})
    assert problem.path == "schedule.rrule"
    assert why in problem.message


def test_a_rule_in_utc_needs_the_schedule_in_utc() -> None:
    rule = "DTSTART:20270101T080000Z\nRRULE:FREQ=DAILY"
    assert problems_of(schedule={"rrule": rule}) == []
    [problem] = problems_of(schedule={"rrule": rule, "timezone": "Europe/Vienna"})
    assert (problem.path, problem.message) == (
        "schedule.rrule",
        "its times are meant in Europe/Vienna; take the Z off them",
    )


@pytest.mark.parametrize(
    ("schedule", "moment"),
    [
        ({"at": "2027-02-01T16:00:00Z"}, datetime(2027, 2, 1, 16, tzinfo=UTC)),
        ({"at": "2027-02-01T16:00:00+02:00"}, datetime(2027, 2, 1, 14, tzinfo=UTC)),
        ({"at": "2027-02-01 16:00"}, datetime(2027, 2, 1, 16, tzinfo=UTC)),
        ({"at": "2027-02-01T16:00", "timezone": "Europe/Vienna"}, datetime(2027, 2, 1, 15, tzinfo=UTC)),
        ({"timezone": "America/New_York", "at": "2027-07-01"}, datetime(2027, 7, 1, 4, tzinfo=UTC)),
        ({"at": datetime(2027, 2, 1, 16, tzinfo=UTC)}, datetime(2027, 2, 1, 16, tzinfo=UTC)),
        ({"at": date(2027, 2, 1)}, datetime(2027, 2, 1, tzinfo=UTC)),
        ({"at": "2027-02-01T15:59:59.25Z"}, datetime(2027, 2, 1, 16, tzinfo=UTC)),  # never early
    ],
)
def test_at_is_one_instant_in_utc(schedule: dict[str, Any], moment: datetime) -> None:
    made = scheduled(schedule)
    assert made.at == moment
    assert made.at.tzinfo is UTC
    assert made.moment == moment


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ({"at": "2027-13-01T00:00:00Z"}, "month must be in 1..12"),
        ({"at": "2027-02-30"}, "day is out of range"),
        ({"at": 1_800_000_000}, "must be a date and time"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "between 1970 and 2999"),
        ({"at": "9999-12-31T23:59:59-14:00"}, "between 1970 and 2999"),
        ({"at": "2027-03-28T02:30", "timezone": "Europe/Vienna"}, "jump over 2027-03-28 02:30"),
    ],
)
def test_other_moments_are_refused(schedule: dict[str, Any], why: str) -> None:
    [problem] = problems_of(schedule=schedule)
    assert problem.path == "schedule.at"
    assert why in problem.message


@pytest.mark.parametrize("zone", ["Mars/Base", "/etc/passwd", "../UTC", "Europe", "utc", "localtime", "\x00", ""])
def test_only_iana_zones_are_taken(zone: str) -> None:
    [problem] = problems_of(schedule={"cron": "@daily", "timezone": zone})
    assert problem.path == "schedule.timezone"


def test_a_spread_as_long_as_the_interval_is_refused() -> None:
    [problem] = problems_of(schedule={"every": "1m", "jitter": "1m"})
    assert problem.path == "schedule.jitter"
