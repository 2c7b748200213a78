"""Which occurrences that never became runs are made up for (B-2.4, W37)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis.strategies import integers, sampled_from, sets

from ocs.rules.misfire import CatchUp, catch_up
from ocs.spec import Schedule

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOURS = [NOON + timedelta(hours=hour) for hour in range(5)]


def schedule(misfire: str) -> Schedule:
    return Schedule.model_validate({"cron": "@hourly", "misfire": misfire})


def test_missed_occurrences_coalesce_into_the_newest() -> None:
    assert catch_up(schedule("coalesce"), HOURS, {HOURS[0]}, 25) == CatchUp((HOURS[4],), tuple(HOURS[1:4]))


def test_when_the_newest_has_run_an_older_one_is_not_run_after_it() -> None:
    assert catch_up(schedule("coalesce"), HOURS, {HOURS[4]}, 25) == CatchUp((), tuple(HOURS[:4]))


def test_a_schedule_that_skips_gets_one_record_that_says_so() -> None:
    assert catch_up(schedule("skip"), HOURS, set(), 25).dispatched == (HOURS[4],)


def test_all_are_made_up_for_as_far_as_they_may_wait() -> None:
    assert catch_up(schedule("all"), HOURS, {HOURS[2]}, 3) == CatchUp((HOURS[1], HOURS[3], HOURS[4]), (HOURS[0],))


@given(misfire=sampled_from(["coalesce", "skip", "all"]), known=sets(sampled_from(HOURS)), most=integers(1, 6))
def test_nothing_that_has_a_record_is_dispatched_and_nothing_is_forgotten(
    misfire: str, known: set[datetime], most: int
) -> None:
    chosen = catch_up(schedule(misfire), HOURS, known, most)
    assert not known & {*chosen.dispatched, *chosen.left_out}
    assert known | {*chosen.dispatched, *chosen.left_out} == set(HOURS)
    assert len(chosen.dispatched) <= most
