"""`ocs why` and `ocs calendar`: a line for every occurrence, also without a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.store import open_store
from ocs.store.tables import Run
from tests.cli.command import Ocs

HOURLY = 'id: tidy\nschedule: "0 * * * *"\nrun: echo hello\n'


def test_every_occurrence_has_a_line(ocs: Ocs) -> None:
    ocs.write("tidy", HOURLY)
    answer = ocs.json("why", "tidy", "--since", "6h")
    assert len(answer["occurrences"]) == 6
    assert {each["what"] for each in answer["occurrences"]} == {"no record"}
    assert answer["next"] > answer["occurrences"][-1]["due"]
    ocs.json("jobs", "disable", "tidy", "--no-deploy")
    answer = ocs.json("why", "tidy", "--since", "6h")
    assert {each["what"] for each in answer["occurrences"]} == {"no record"}
    said = ocs("why", "tidy", "--since", "6h")
    assert said.out.count("before all that is on record") == 6
    assert "tidy is off now" in said.err


def test_a_moment_names_what_was_due_then_or_what_is_nearest(ocs: Ocs) -> None:
    ocs.write("tidy", HOURLY)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    (told,) = ocs.json("why", "tidy", "--at", hour.isoformat())["occurrences"]
    assert datetime.fromisoformat(told["due"]) == hour
    answer = ocs.json("why", "tidy", "--at", (hour + timedelta(minutes=20)).isoformat())
    assert answer["occurrences"] == []
    assert [datetime.fromisoformat(each) for each in answer["nearest"]] == [hour, hour + timedelta(hours=1)]


def test_a_job_without_times_says_when_it_runs(ocs: Ocs) -> None:
    ocs.write("tidy", HOURLY)
    ocs.write("after", "id: after\nafter: {job: tidy}\nrun: echo hello\n")
    assert "it runs after tidy (success)" in ocs("why", "after").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--at", "soon"),
        ("--since", "soon"),
        ("--at", "2026-11-24", "--since", "1d"),
        ("--at", "9999-12-31"),
        ("--since", "9999-12-31T23:59:59"),
        ("--since", "0001-01-02"),
        ("--since", "9000000d"),
    ],
)
def test_what_is_no_moment_is_wrong_usage(ocs: Ocs, arguments: tuple[str, ...]) -> None:
    ocs.write("tidy", HOURLY)
    assert ocs.json("why", "tidy", *arguments, status=2)["error"]["code"] == "usage"


def test_a_week_has_all_occurrences_of_all_jobs(ocs: Ocs) -> None:
    ocs.write("tidy", HOURLY)
    ocs.write("daily", 'id: daily\nschedule: {cron: "0 3 * * *", timezone: Europe/Vienna}\nrun: echo hello\n')
    ocs.write("off", f"{HOURLY.replace('tidy', 'off')}enabled: false\n")
    jobs = {each["job"]: each["days"] for each in ocs.json("calendar", "--week", "1")["jobs"]}
    assert {job: [day["counts"] for day in days] for job, days in jobs.items()} == {
        "daily": [{"coming": 1}] * 7,
        "tidy": [{"coming": 24}] * 7,
    }
    said = ocs("calendar", "daily", "--week", "-1").out
    assert said.count("unknown") == 0
    assert said.count("before all that is on record") == 7


def test_of_a_week_to_come_nothing_is_left_out(ocs: Ocs) -> None:
    ocs.write("often", 'id: often\nschedule: "*/5 * * * *"\nrun: echo hello\n')
    (job,) = ocs.json("calendar", "often", "--week", "1")["jobs"]
    assert [day["counts"] for day in job["days"]] == [{"coming": 24 * 12}] * 7


async def test_of_a_job_whose_file_is_gone_it_is_told_what_is_on_record(ocs: Ocs) -> None:
    began = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    when = {"scheduled_for": began, "started_at": began, "finished_at": began}
    run = Run(job_id="gone", flow_run_id=uuid4(), kind=DispatchKind.SCHEDULED, status=RunStatus.OK, **when)
    store = open_store(f"sqlite+aiosqlite:///{ocs.home / 'store.db'}")
    try:
        await store.migrate()
        async with store.transaction() as session:
            session.add(run)
    finally:
        await store.close()
    error = ocs.json("why", "gone", status=1)["error"]
    assert error["code"] == "not_found"
    assert '"gone" has no file any more' in error["message"]
    assert "ocs deploy --prune" in error["hint"]
    assert 'No job "other"' in ocs.json("why", "other", status=1)["error"]["message"]
