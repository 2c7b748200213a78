"""What Prefect would refuse is found before anything is sent, by building it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from deployments.buildable import not_built
from ocs.spec import EventTrigger, Job
from tasks.adapter.schedules import key_of, schedule_of


@pytest.mark.parametrize(
    "schedule",
    [
        {"cron": "0 9 * * fri#2"},
        {"cron": "0 22-4/3 l nov-feb *"},
        {"rrule": "DTSTART:20270101T080000Z\nRRULE:FREQ=DAILY;UNTIL=20280101T000000Z"},
        {"rrule": "FREQ=MINUTELY;INTERVAL=7", "timezone": "Europe/Vienna"},
        {"at": "2027-02-01T16:00:00Z"},
    ],
)
def test_prefect_builds_what_we_take(schedule: dict[str, str]) -> None:
    assert not_built(Job.model_validate({"id": "a", "run": "true", "schedule": schedule})) == []


def test_what_prefect_refuses_is_a_problem_with_its_reason() -> None:
    # Our own rules do not let this through: they are passed over here, as if one were missing.
    trigger = EventTrigger.model_construct(expect=("x",), posture="Proactive", within=timedelta(seconds=1))
    job = Job.model_validate({"id": "a", "run": "true"}).model_copy(update={"on_event": (trigger,)})
    [problem] = not_built(job)
    assert problem.path == "on_event"
    assert "10 seconds" in problem.message


def test_prefect_itself_refuses_what_only_some_crons_know() -> None:
    with pytest.raises(ValidationError, match="Invalid cron"):
        schedule_of({"cron": "0 0 15W * *", "timezone": "UTC", "active": True})


def test_rules_that_differ_in_a_start_alone_are_the_same() -> None:
    def key(rule: str) -> object:
        return key_of(schedule_of({"rrule": rule, "timezone": "Europe/Vienna", "active": True}).schedule)

    assert key("FREQ=MINUTELY;INTERVAL=7") == key("DTSTART:20200101T000000\nRRULE:FREQ=MINUTELY;INTERVAL=7")
    assert key("FREQ=MINUTELY;INTERVAL=7") != key("DTSTART:20200101T000100\nRRULE:FREQ=MINUTELY;INTERVAL=7")
    assert key("FREQ=DAILY") != key("DTSTART:29000101T000000\nRRULE:FREQ=DAILY")
    assert key("RRULE:FREQ=DAILY\nEXDATE:20270101T000000") != key("FREQ=DAILY")
