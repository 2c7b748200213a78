"""Occurrences: the same instants as Prefect computes from the deployment we send it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import holidays
import pytest
from hypothesis import example, given, settings
from hypothesis.strategies import DrawFn, composite, integers, sampled_from
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

from deployments.compile import compile_job
from ocs.rules.occurrences import newest_between, next_occurrence, occurrences, occurrences_between
from ocs.spec import Job, Schedule
from tests.counting import calls_of

# Both changes of clocks in Vienna and New York, and a zone that moves by half an hour.
STARTS = [
    datetime(2026, 3, 28, 0, 30, 7, tzinfo=UTC),
    datetime(2026, 10, 24, 20, 0, tzinfo=UTC),
    datetime(2026, 3, 8, 1, 0, tzinfo=UTC),
    datetime(2026, 4, 4, 9, 0, tzinfo=UTC),
    datetime(2027, 2, 27, 23, 59, 59, tzinfo=UTC),
]
COMMON = ("*/20 * * * *", "30 2 * * *", "15 1 * * *", "0 9 * * mon-fri", "0 0 1 * *", "*/30 15 2 * * *")
# Together with early days Prefect loses the first of March over these.
LATE_DAYS = ("0 0 1,31 * *", "0 0 */10 * *", "0 0 1,29-31 2,3 *", "0 12 1,31 * fri", "0 0 0 5,30 * *", "0 0 L * *")
SCHEDULES: list[dict[str, Any]] = [
    {"cron": cron, "timezone": zone}
    for cron in (*COMMON, *LATE_DAYS)
    for zone in ("UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe")
] + [
    {"every": "7m"},
    {"every": "25h", "timezone": "Europe/Vienna"},
    {"every": "1d", "timezone": "America/New_York"},
    {"rrule": "FREQ=MONTHLY;BYDAY=-1FR", "timezone": "Europe/Vienna"},
    {"rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "timezone": "Europe/Vienna"},
]


async def prefects(schedule: Schedule, start: datetime, count: int) -> list[datetime]:
    job = Job.model_validate(
        {"id": "a", "run": "true", "schedule": schedule.model_dump(mode="json", exclude_defaults=True)}
    )
    # Ours are strictly later than the start; Prefect's include it.
    after = start + timedelta(microseconds=1)
    found: set[datetime] = set()
    for compiled in compile_job(job, "p").schedules:
        fields = {name: value for name, value in compiled.items() if name != "active"}
        kind = CronSchedule if "cron" in fields else IntervalSchedule if "interval" in fields else RRuleSchedule
        dates = await kind.model_validate(fields).get_dates(count, after)
        found |= {datetime.fromtimestamp(date.timestamp(), UTC) for date in dates}
    return sorted(found)[:count]


@pytest.mark.parametrize("start", STARTS, ids=lambda start: f"{start:%Y-%m-%d}")
@pytest.mark.parametrize("document", SCHEDULES, ids=lambda document: "-".join(map(str, document.values())))
async def test_the_same_instants_as_prefect(document: dict[str, Any], start: datetime) -> None:
    schedule = Schedule.model_validate(document)
    assert occurrences(schedule, start, 12) == await prefects(schedule, start, 12)


async def test_at_happens_once() -> None:
    schedule = Schedule.model_validate({"at": "2026-12-24T18:00:00", "timezone": "Europe/Vienna"})
    moment = datetime(2026, 12, 24, 17, 0, tzinfo=UTC)
    assert occurrences(schedule, moment - timedelta(days=1), 5) == [moment]
    assert next_occurrence(schedule, moment) is None
    assert await prefects(schedule, moment - timedelta(days=1), 5) == [moment]


# Both hemispheres, half an hour and a full one, at midnight and at two, a summer time that is taken back for a month.
ZONES = (
    "Europe/Vienna",
    "America/New_York",
    "America/Santiago",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
)
WHOLE_HOURS = ZONES[:5]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
YEARS = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))


def offsets_of(
    zone: str, step: timedelta, start: datetime = YEARS[0], end: datetime = YEARS[1]
) -> list[timedelta | None]:
    """How far a zone is from UTC, step by step."""
    return [(start + n * step).astimezone(ZoneInfo(zone)).utcoffset() for n in range((end - start) // step)]


def changes_of(zone: str) -> list[datetime]:
    """The hours before which the clocks of a zone are set, in two years."""
    days = offsets_of(zone, DAY)
    found: list[datetime] = []
    for number, (before, after) in enumerate(pairwise(days)):
        if before != after:
            day = YEARS[0] + number * DAY
            hours = offsets_of(zone, HOUR, day, day + 25 * HOUR)
            found += [day + n * HOUR for n in range(1, 25) if hours[n] != hours[n - 1]]
    return found


# Every zone of IANA's whose clocks are set in these two years. On Lord Howe Island they are set by half an hour, so
# that no expression of full hours comes after an hour both times.
SETTING = sorted(zone for zone in available_timezones() if len(set(offsets_of(zone, timedelta(days=7)))) > 1)
CHANGES = {zone: changes_of(zone) for zone in {*ZONES, *SETTING}}
BY_HALF_AN_HOUR = ("Australia/Lord_Howe", "Australia/LHI")
EVERY_HOUR = {"0 * * * *": 60, "@hourly": 60, "17 */1 * * *": 60, "*/30 * * * *": 30, "10,40 0-23 * * *": 30,
              "*/15 * * * *": 15, "5/15 * * * *": 15, "30 */15 * * * *": 15}  # fmt: skip
AS_A_RULE = {"FREQ=HOURLY": 60, "FREQ=HOURLY;BYMINUTE=17": 60, "FREQ=MINUTELY;INTERVAL=30": 30,
             "FREQ=MINUTELY;INTERVAL=15": 15}  # fmt: skip


@pytest.mark.parametrize(
    ("when", "apart"),
    [({"cron": cron}, apart) for cron, apart in EVERY_HOUR.items()]
    + [({"rrule": rule}, apart) for rule, apart in AS_A_RULE.items()],
)
def test_what_comes_every_hour_comes_every_hour_in_every_zone_that_sets_its_clocks(
    when: dict[str, str], apart: int
) -> None:
    for zone in SETTING:
        if zone in BY_HALF_AN_HOUR and apart == 60:
            continue
        schedule = Schedule.model_validate({**when, "timezone": zone})
        for change in CHANGES[zone]:
            found = occurrences_between(schedule, change - 3 * HOUR, change + 3 * HOUR)
            assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(minutes=apart)}, zone


def test_an_hour_in_adelaide_is_an_hour() -> None:
    schedule = Schedule.model_validate({"cron": "0 * * * *", "timezone": "Australia/Adelaide"})
    found = occurrences(schedule, datetime(2027, 4, 3, 14, 45, tzinfo=UTC), 3)
    assert found == [datetime(2027, 4, 3, hour, 30, tzinfo=UTC) for hour in (15, 16, 17)]


@pytest.mark.parametrize("zone", [*BY_HALF_AN_HOUR[:1], "Australia/Adelaide", "Asia/Kolkata", "America/St_Johns"])
@pytest.mark.parametrize("cron", ["0 * * * *", "*/30 * * * *", "5 */20 * * * *"])
async def test_zones_beside_full_hours_have_the_same_instants_as_prefect(cron: str, zone: str) -> None:
    schedule = Schedule.model_validate({"cron": cron, "timezone": zone})
    for start in (datetime(2027, 4, 3, 10, tzinfo=UTC), datetime(2027, 10, 2, 10, tzinfo=UTC)):
        assert occurrences(schedule, start, 12) == await prefects(schedule, start, 12)


@composite
def near_a_change(draw: DrawFn, zones: Sequence[str] = ZONES) -> tuple[str, datetime]:
    """A zone, and an instant in the two days before its clocks are set."""
    zone = draw(sampled_from(zones))
    change = draw(sampled_from(CHANGES[zone]))
    return zone, change - timedelta(minutes=draw(integers(0, 2 * 24 * 60)))


@given(near=near_a_change(), hour=integers(0, 23), minute=integers(0, 59))
def test_a_daily_job_runs_once_on_each_day_though_clocks_are_set(
    near: tuple[str, datetime], hour: int, minute: int
) -> None:
    zone, start = near
    found = occurrences(Schedule.model_validate({"cron": f"{minute} {hour} * * *", "timezone": zone}), start, 5)
    days = [instant.astimezone(ZoneInfo(zone)).date() for instant in found]
    assert days == [days[0] + timedelta(days=number) for number in range(5)]


@given(near=near_a_change(WHOLE_HOURS), minutes=sampled_from(["0", "*/15", "7,38"]))
def test_an_hourly_job_neither_pauses_nor_hurries_when_clocks_are_set(near: tuple[str, datetime], minutes: str) -> None:
    zone, start = near
    found = occurrences(Schedule.model_validate({"cron": f"{minutes} * * * *", "timezone": zone}), start, 200)
    within_the_hour = {(instant.minute, instant.second) for instant in found}
    assert len(within_the_hour) == len({instant for instant in found if instant - found[0] < timedelta(hours=1)})
    assert max(later - earlier for earlier, later in pairwise(found)) <= timedelta(hours=1)


# On Lord Howe Island half an hour is jumped over, and 2:40 comes before what 2:20 counts as.
@example(near=("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 25, tzinfo=UTC)), document={"cron": "*/20 * * * *"})
@settings(max_examples=50)
@given(near=near_a_change(), document=sampled_from([{"cron": cron} for cron in COMMON] + [{"every": "1d"}]))
def test_the_same_instants_as_prefect_when_clocks_are_set(near: tuple[str, datetime], document: dict[str, Any]) -> None:
    zone, start = near
    schedule = Schedule.model_validate({**document, "timezone": zone})
    found = occurrences(schedule, start, 8)
    # What clocks jump over Prefect finds out of its turn, so that its last ones are not the next ones.
    assert found == asyncio.run(prefects(schedule, start, 12))[:8]
    assert found == sorted(set(found))
    assert [next_occurrence(schedule, after) for after in (start, *found)][:-1] == found


@settings(max_examples=40, deadline=None)
@given(
    near=near_a_change(),
    document=sampled_from([{"cron": "*/7 * * * *"}, {"cron": "0 3 * * *"}, {"every": "90m"}, {"rrule": "FREQ=HOURLY"}]),
    hours=integers(1, 400),
    most=integers(1, 30),
)
def test_the_newest_of_a_long_time_are_the_last_of_all(
    near: tuple[str, datetime], document: dict[str, Any], hours: int, most: int
) -> None:
    zone, until = near
    schedule = Schedule.model_validate({**document, "timezone": zone})
    since = until - timedelta(hours=hours)
    assert newest_between(schedule, since, until, most) == occurrences_between(schedule, since, until)[-most:]


def test_the_newest_of_forty_days_of_seconds_cost_little() -> None:
    schedule = Schedule.model_validate({"cron": "* * * * * *"})
    until = datetime(2027, 1, 1, tzinfo=UTC)
    found: list[datetime] = []
    assert calls_of(lambda: found.extend(newest_between(schedule, until - timedelta(days=40), until, 1000))) < 100_000
    assert (len(found), found[-1]) == (1000, until)


def scheduled(document: Any) -> Schedule:
    found = Job.model_validate({"id": "a", "run": "true", "schedule": document}).schedule
    assert found is not None
    return found


SEVERAL = [
    {"cron": "*/20 8-10 * * *", "timezone": "Europe/Vienna"},
    {"every": "40m"},
    {"cron": "0 8 * * sat", "timezone": "America/New_York"},
    {"rrule": "FREQ=MONTHLY;BYDAY=-1FR", "timezone": "UTC"},
]


@pytest.mark.parametrize("start", STARTS)
async def test_of_several_schedules_every_instant_comes_once_and_prefect_gets_all_of_them(start: datetime) -> None:
    alone = [occurrences(scheduled({"timezone": "Europe/Vienna", **times}), start, 300) for times in SEVERAL]
    until = min(each[-1] for each in alone)
    expected = sorted({instant for each in alone for instant in each if instant <= until})
    assert occurrences_between(scheduled(SEVERAL), start, until) == expected
    assert await prefects(scheduled(SEVERAL), start, len(expected)) == expected


@given(
    sampled_from(["@hourly", "0 8 * * *", "*/30 23 * * *", "0 0 * * mon-fri"]),
    sampled_from(ZONES),
    integers(0, 365).map(lambda days: STARTS[0] + timedelta(days=days)),
)
def test_what_is_left_out_is_exactly_the_days_on_the_schedules_clock(cron: str, zone: str, start: datetime) -> None:
    whole = {"cron": cron, "timezone": zone}
    left_out = [(start + timedelta(days=days)).date() for days in (0, 1, 2, 7)]
    but = scheduled({**whole, "except": {"dates": left_out, "holidays": "AT"}})
    until = start + timedelta(days=20)
    expected = [
        instant
        for instant in occurrences_between(scheduled(whole), start, until)
        if (day := instant.astimezone(ZoneInfo(zone)).date()) not in left_out
        and day not in holidays.country_holidays("AT", years=day.year)
    ]
    assert occurrences_between(but, start, until) == expected
    assert newest_between(but, start, until, 5) == expected[-5:]


def test_what_is_always_left_out_never_comes_and_is_found_out_at_once() -> None:
    christmas = scheduled({"cron": "* * * 25 12 *", "except": {"holidays": "AT"}})
    assert next_occurrence(christmas, STARTS[0]) is None
    sunday = scheduled({"cron": "0 8 * * *", "except": [f"2026-04-{day:02}" for day in range(1, 30)]})
    assert next_occurrence(sunday, datetime(2026, 3, 31, 9, tzinfo=UTC)) == datetime(2026, 4, 30, 8, tzinfo=UTC)
