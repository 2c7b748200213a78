"""Recurrence rules: Prefect's instants, at a cost that neither the rule's age nor what it asks for decides."""

# ruff: noqa: DTZ001  clocks on the wall have no zone

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis.strategies import DrawFn, composite, datetimes, integers, lists, sampled_from
from prefect._internal.schemas.validators import normalize_rrule_string
from prefect.client.schemas.schedules import RRuleSchedule as SentRule
from prefect.server.schemas.schedules import CronSchedule, RRuleSchedule

from ocs.rules.occurrences import next_occurrence, occurrences
from ocs.rules.timetable import timetable
from ocs.spec import Schedule
from ocs.spec.rrule import from_recently, read
from tasks.adapter.schedules import schedule_of
from tests.counting import calls_of
from tests.unit.spec.documents import problems_of

NOW = datetime(2026, 12, 3, 10, 17, 30, tzinfo=UTC)
PARTS: dict[str, tuple[object, ...]] = {
    "BYMONTH": tuple(range(1, 13)),
    "BYMONTHDAY": (1, 2, 15, 28, 29, 30, 31, -1, -2, -31),
    "BYYEARDAY": (1, 59, 60, 100, 200, 365, 366, -1, -366),
    "BYHOUR": tuple(range(24)),
    "BYMINUTE": tuple(range(60)),
    "BYSECOND": (0, 30, 59),
    "BYSETPOS": (1, 2, 3, -1, -2),
}
WEEKDAYS = ("MO", "TU", "WE", "FR", "SU")
NTH = ("1MO", "-1FR", "2TU", "5SU", "-2WE")


@composite
def rules(draw: DrawFn) -> str:
    freq = draw(sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]))
    parts = {"FREQ": freq, "INTERVAL": str(draw(sampled_from([1, 1, 2, 3, 5, 7, 13, 45, 90, 1440])))}
    for name in draw(lists(sampled_from([*PARTS, "BYDAY", "WKST"]), max_size=3, unique=True)):
        if name == "WKST":
            parts[name] = draw(sampled_from(WEEKDAYS))
            continue
        days = NTH if freq in ("YEARLY", "MONTHLY") and draw(integers(0, 1)) else WEEKDAYS
        chosen = draw(lists(sampled_from(PARTS.get(name, days)), min_size=1, max_size=3, unique=True))
        parts[name] = ",".join(map(str, chosen))
    rule = ";".join(f"{name}={value}" for name, value in parts.items())
    if not draw(integers(0, 1)):
        return rule
    start = draw(datetimes(datetime(1999, 1, 1), datetime(2027, 12, 31)))
    return f"DTSTART:{start:%Y%m%dT%H%M%S}\nRRULE:{rule}"


@settings(deadline=None, max_examples=80)
@given(rule=rules())
@example(rule="DTSTART:19990619T090700\nRRULE:FREQ=YEARLY;INTERVAL=2;BYMONTHDAY=2,28,30;BYWEEKNO=-1")
@example(rule="FREQ=YEARLY;BYWEEKNO=1,20;BYDAY=MO,SU;WKST=SU")
@example(rule="FREQ=YEARLY;BYEASTER=-2,39")
@example(rule="DTSTART:20240131T090000\nRRULE:FREQ=MONTHLY")
@example(rule="DTSTART:20240229T090000\nRRULE:FREQ=YEARLY;UNTIL=20400101T000000")
@example(rule="DTSTART:20250101T090000\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE;COUNT=300")
@example(rule="RRULE:FREQ=DAILY;BYHOUR=9\nEXDATE:20261204T090000\nRDATE:20261204T100000,20270101T000000")
@example(rule="RRULE:FREQ=DAILY;BYHOUR=9\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYHOUR=9,10\nEXDATE:20261204T090000")
@example(rule="RDATE:20270101T000000,20261224T180000")
def test_the_same_instants_as_prefect(rule: str) -> None:
    assume(not problems_of(schedule={"rrule": rule}))
    schedule = Schedule.model_validate({"rrule": rule})
    found = occurrences(schedule, NOW, 5)
    theirs = [date for date in prefects(schedule) if date.year < 2070]
    assert found[: len(theirs)] == theirs[: len(found)]
    assert found or not theirs


def prefects(schedule: Schedule) -> list[datetime]:
    """What Prefect's server computes from the schedules that a rollout sends."""
    start = NOW + timedelta(microseconds=1)
    found: set[datetime] = set()
    for spec in timetable(schedule):
        sent = schedule_of(spec).schedule
        kind = RRuleSchedule if isinstance(sent, SentRule) else CronSchedule
        dates = asyncio.run(kind.model_validate(sent.model_dump()).get_dates(5, start))
        found |= {datetime.fromtimestamp(date.timestamp(), UTC) for date in dates}
    return sorted(found)[:5]


COSTLY = [
    "FREQ=MINUTELY;INTERVAL=2",
    "FREQ=MINUTELY;INTERVAL=7",
    "DTSTART:19700101T000000\nRRULE:FREQ=MINUTELY;INTERVAL=7",
    "DTSTART:19700101T000000\nRRULE:FREQ=MINUTELY;INTERVAL=7;BYHOUR=9;BYDAY=MO",
    "DTSTART:19700101T000300\nRRULE:FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=29",
    "DTSTART:19700101T000000\nRRULE:FREQ=DAILY;BYHOUR=0,6,12,18;BYMINUTE=0,10,20,30,40,50",
    "DTSTART:19700131T000000\nRRULE:FREQ=MONTHLY;BYMONTHDAY=1,2,3,4,5,6,7,8;BYHOUR=0,6,12,18;BYMINUTE=0,15,30,45",
    "DTSTART:19700101T000000\nRRULE:FREQ=MINUTELY;INTERVAL=5\nEXDATE:20270101T000000",
    "FREQ=YEARLY;INTERVAL=1000",
]


@pytest.mark.parametrize("rule", COSTLY)
def test_what_comes_next_costs_little_at_any_age_of_the_rule(rule: str) -> None:
    schedule = Schedule.model_validate({"rrule": rule, "timezone": "Europe/Vienna"})
    assert calls_of(lambda: next_occurrence(schedule, NOW)) < 40_000
    (spec,) = timetable(schedule)
    sent = schedule_of(spec).schedule
    if isinstance(sent, SentRule):
        assert (NOW - start_of(sent.rrule)) < timedelta(days=366 * 2) or "YEARLY" in rule


def start_of(sent: str) -> datetime:
    return read(sent).start.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("FREQ=MINUTELY;INTERVAL=120;BYHOUR=9", "its interval never meets its BYHOUR"),
        ("DTSTART:20270101T000100\nRRULE:FREQ=MINUTELY;INTERVAL=2;BYMINUTE=30", "never meets"),
        ("FREQ=MINUTELY;BYMINUTE=13;BYSETPOS=2", "never meets"),
        ("FREQ=DAILY;BYYEARDAY=60;BYMONTH=7", "never happens"),
        ("FREQ=MONTHLY;BYDAY=MO,1TU", "never happens"),
        ("FREQ=DAILY;COUNT=5", "COUNT needs a DTSTART"),
        ("DTSTART:20270101T000000\nRRULE:FREQ=MINUTELY;COUNT=1000000", "it takes 1 to 1000"),
        (
            "FREQ=YEARLY;BYMONTHDAY=1;BYHOUR=1,2,3,4,5;BYMINUTE=1,2,3,4,5,6;BYSECOND=1,2,3,4,5",
            "write it with FREQ=DAILY",
        ),
        ("FREQ=MONTHLY;BYWEEKNO=20", "only for FREQ=YEARLY"),
        ("FREQ=YEARLY;BYWEEKNO=53", "it takes 1 to 51"),
        ("RRULE:FREQ=DAILY\nEXRULE:FREQ=WEEKLY", "EXRULE is no part"),
        ("DTSTART:00010101T000000\nRRULE:FREQ=DAILY", "not between 1970 and 2999"),
        ("DTSTART:tomorrow\nRRULE:FREQ=DAILY", "TOMORROW is not a time"),
        ("FREQ=DAILY;NONSENSE=1", "NONSENSE=1 is no part"),
        ("FREQ=DAILY;BYMONTH=", "is no part of a rule"),
    ],
)
def test_what_would_fail_later_or_cost_without_bound_is_refused(rule: str, why: str) -> None:
    assert calls_of(lambda: problems_of(schedule={"rrule": rule})) < 2_000_000
    [problem] = problems_of(schedule={"rrule": rule})
    assert problem.path == "schedule.rrule"
    assert why in problem.message


def test_a_rule_of_every_hour_is_counted_like_cron() -> None:
    (spec,) = timetable(
        Schedule.model_validate({"rrule": "FREQ=MINUTELY;INTERVAL=20", "timezone": "Australia/Adelaide"})
    )
    assert spec == {"cron": "10,30,50 * * * *", "timezone": "UTC", "active": True}


@given(rule=rules(), later=integers(0, 4000))
@settings(deadline=None, max_examples=60)
def test_a_rule_means_the_same_whenever_it_was_rolled_out(rule: str, later: int) -> None:
    assume(not problems_of(schedule={"rrule": rule}))
    first = datetime(2027, 1, 5, 12)
    now = first + timedelta(days=later)
    once = from_recently(rule, first)
    assert from_recently(once, now) == from_recently(rule, now)
    # As Prefect does: the start of the last period before a rollout.
    if "DTSTART" not in rule:
        assert from_recently(normalize_rrule_string(rule, now=first.replace(tzinfo=UTC)), now) == from_recently(
            rule, now
        )
    found = list(islice(read(rule).recurrence.times(now), 3))
    assert list(islice(read(once).recurrence.times(now), 3)) == found


def test_a_start_that_is_to_come_stays() -> None:
    rule = "DTSTART:20280229T080000Z\nRRULE:FREQ=DAILY;UNTIL=20290101T000000Z"
    (spec,) = timetable(Schedule.model_validate({"rrule": rule}))
    assert spec["rrule"] == "DTSTART:20280229T080000\nRRULE:FREQ=DAILY;UNTIL=20290101T000000"
    assert from_recently(spec["rrule"], datetime(2027, 1, 1)) == spec["rrule"]
    assert ZoneInfo(spec["timezone"]) == ZoneInfo("UTC")
