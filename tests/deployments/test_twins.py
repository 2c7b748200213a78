"""Twins: our job beside another scheduler's; what that one has done, owes, and how it is stopped."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

from deployments.catalogue import Catalogue
from deployments.crontab import parse as parse_crontab
from deployments.crontab_jobs import origin_of, placed
from deployments.importing import automations, crontab_lines, scheduler
from deployments.importing.foreign import Found, Source, Standing
from deployments.importing.settle import settle
from deployments.importing.twins import Twin, difference, how_to_stop, is_from, owed, taken_over, theirs, twins
from ocs.errors import Refused
from ocs.rules.dispatch import DispatchKind
from ocs.spec import Job, parse
from tests.foreign import automation, automations_file, child, ledger_key, scheduler_database, shell

NOW = datetime(2026, 11, 30, 12, 7, 30, tzinfo=UTC)
COMMAND = {"kind": "command", "argv": ["df"]}
MINUTE = timedelta(minutes=1)


def ours(source: Source) -> list[Job]:
    return [parse(job.document) for job in settle(source, Catalogue(Path(), "p")).jobs]


def pair(tmp_path: Path, row: dict[str, Any]) -> Twin:
    source = scheduler.read(scheduler_database(tmp_path / "scheduler.db", [row]), NOW)
    (twin,) = twins(source, ours(source))
    return twin


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-30T{text}Z")


@pytest.mark.parametrize(
    ("row", "due"),
    [
        (shell("a", "a", next_run_at="2026-11-30 12:15:00"), None),
        (shell("a", "a", next_run_at="2026-11-30 12:00:00"), at("12:00:00")),
        (shell("a", "a", next_run_at="2026-11-28 03:15:00", enabled=0), at("12:00:00")),
        # A pause after failures had moved it to an instant of no schedule.
        (shell("a", "a", next_run_at="2026-11-30 12:05:13"), at("12:05:13")),
        (shell("a", "a", schedule_kind="at", schedule_at="2026-11-30 12:06:00"), at("12:06:00")),
        (shell("a", "a", schedule_kind="at", schedule_at="2026-11-30 13:00:00"), None),
        (child(shell("a", "a", next_run_at="2026-11-30 12:00:00"), "b"), None),
        (shell("a", "a"), None),
    ],
)
def test_what_is_owed_is_the_newest_occurrence_that_was_not_run(
    tmp_path: Path, row: dict[str, Any], due: datetime | None
) -> None:
    source = scheduler.read(scheduler_database(tmp_path / "scheduler.db", [row, shell("b", "b")]), NOW)
    twin = next(twin for twin in twins(source, ours(source)) if twin.found.source_id == "a")
    assert owed(twin, NOW) == due


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Found("a", "a", True, {"schedule": {"cron": "@daily", "timezone": "Mars/Base"}}), '"Mars/Base" is not a time'),
        (Found("a", "a", True, {"schedule": {"cron": "61 * * * *"}}), "its schedule there cannot be read"),
        (
            Found("a", "a", True, {"schedule": "@daily"}, standing=Standing(NOW - MINUTE, timedelta(0))),
            "its schedule there has no times",
        ),
        (
            Found("a", "a", True, {"schedule": "@daily"}, standing=Standing(NOW, timedelta(days=999_999))),
            "its schedule there has no times",
        ),
    ],
)
def test_a_schedule_that_was_changed_there_into_none_is_told(found: Found, said: str) -> None:
    with pytest.raises(Refused, match=said):
        theirs(found, NOW, 5000)


def test_of_an_automation_that_was_switched_off_all_is_owed_since_then(tmp_path: Path) -> None:
    changed = round(at("11:50:00").timestamp() * 1000)
    job = automation("1", "a", {"kind": "cron", "expr": "*/15 * * * *"}, COMMAND, enabled=False, updatedAtMs=changed)
    source = automations.read(automations_file(tmp_path / "a.json", [job]), "UTC")
    (twin,) = twins(source, ours(source))
    assert owed(twin, NOW) == at("12:00:00")


def test_their_times_begin_with_what_the_program_says_itself(tmp_path: Path) -> None:
    twin = pair(tmp_path, shell("a", "a", next_run_at="2026-11-30 12:20:00"))
    assert theirs(twin.found, NOW, 3) == [at("12:20:00"), at("12:30:00"), at("12:45:00")]
    assert "there 2026-11-30 12:20:00, here 2026-11-30 12:15:00" in str(
        difference(theirs(twin.found, NOW, 1), [at("12:15:00")])
    )
    assert difference([at("12:15:00")], [at("12:15:00")]) is None
    assert difference([], [at("12:15:00")]) == "there 0 times, here 1"


def test_an_interval_keeps_its_own_beginning_over_there(tmp_path: Path) -> None:
    due = round(at("11:01:00").timestamp() * 1000)
    job = automation("1", "a", {"kind": "every", "everyMs": 1_800_000}, COMMAND, state={"nextRunAtMs": due})
    source = automations.read(automations_file(tmp_path / "a.json", [job]), "UTC")
    assert theirs(source.jobs[0], NOW, 2) == [at("12:31:00"), at("13:01:00")]


def test_only_what_was_on_and_is_not_over_is_taken_over(tmp_path: Path) -> None:
    once = shell("3", "once", schedule_kind="at", schedule_at="2026-12-01 00:00:00")
    rows = [shell("1", "on"), shell("2", "off", enabled=0), once, shell("4", "deleted over there")]
    source = scheduler.read(scheduler_database(tmp_path / "a.db", rows), NOW)
    jobs = [*ours(source), parse({"id": "mine", "run": "x", "aliases": ["9"]})]
    later = scheduler.read(scheduler_database(tmp_path / "b.db", [{**rows[0], "enabled": 0}]), NOW)
    assert [job.id for job in taken_over(source, jobs)] == ["on", "once", "deleted-over-there"]
    assert [job.id for job in taken_over(later, jobs)] == ["on", "deleted-over-there"]


def test_the_command_that_stops_them_names_what_begins_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scheduler_database(
        tmp_path / "a b.db", [shell("1", "on"), shell("2", "off", enabled=0), child(shell("3", "child"), "1")]
    )
    source = scheduler.read(path, NOW)
    pairs = twins(source, ours(source))
    named = f"for id in 1; do SCHEDULER_DB='{path}' openclaw-scheduler jobs disable \"$id\"; done"
    assert how_to_stop(source, pairs) == named
    monkeypatch.setenv("SCHEDULER_DB", str(path))
    assert how_to_stop(source, pairs) == 'for id in 1; do openclaw-scheduler jobs disable "$id"; done'
    listed = automations_file(tmp_path / "a.json", [automation("a1", "x", {"kind": "cron", "expr": "@daily"}, COMMAND)])
    source = automations.read(listed, "UTC")
    assert how_to_stop(source, twins(source, ours(source))) == (
        'for id in a1; do openclaw automations disable "$id"; done'
    )


def test_lines_of_a_crontab_are_known_by_all_that_cron_would_do() -> None:
    text = "CRON_TZ=Europe/Vienna\n0 3 * * * tidy 'it'\n0 4 * * * other\n"
    tidy, _ = parse_crontab(text).entries
    job = parse({"id": "tidy", "origin": origin_of(tidy), "tags": ["crontab"], "run": "tidy", "schedule": "0 3 * * *"})
    source = crontab_lines.read(text, "crontab -l", [job], "UTC")
    (twin,) = twins(source, [job])
    assert how_to_stop(source, [twin]) == "crontab -l | grep -vxF -e '0 3 * * * tidy '\"'\"'it'\"'\"'' | crontab -"
    assert theirs(twin.found, NOW, 1) == [datetime(2026, 12, 1, 2, tzinfo=UTC)]
    assert not crontab_lines.read("0 3 * * * tidy 'it'\n", "x", [job], "UTC").jobs


def test_the_ledgers_digests_are_read_as_the_occurrences_they_are_of(tmp_path: Path) -> None:
    def entry(due: str, **more: Any) -> dict[str, Any]:
        ends = "2026-12-07 00:00:00"
        noted = {"claimed_at": due, "expires_at": ends, "run_id": "r1", "job_id": "a", "status": "claimed"}
        return {"key": ledger_key("a", due), **noted, **more}

    ledger = [
        entry("2026-11-30 11:45:00"),
        entry("2026-11-30 12:00:00", claimed_at="2026-11-30 12:04:40"),
        entry("2026-11-30 11:30:00", status="released"),
        entry("2026-11-23 11:30:00", expires_at="2026-11-30 11:30:00"),
        entry("2026-11-30 11:59:00", key="0" * 32),
    ]
    path = scheduler_database(
        tmp_path / "a.db", [shell("a", "a"), shell("b", "b")], more={"idempotency_ledger": ledger}
    )
    had = scheduler.read(path, NOW).had
    assert sorted((each.source_id, each.due) for each in had) == [("a", at("11:45:00")), ("a", at("12:00:00"))]


def test_what_waits_is_ours_when_nobody_over_there_takes_it(tmp_path: Path) -> None:
    def row(number: int, job: str, kind: str, due: str, status: str = "pending", **more: Any) -> dict[str, Any]:
        times = {"scheduled_for": due, "dispatch_kind": kind, "status": status}
        return {"id": f"d{number}", "job_id": job, **times, **more}

    past, coming = "2026-11-30 12:00:00", "2026-11-30 12:30:00"
    jobs = [shell("on", "on"), shell("off", "off", enabled=0)]
    runs = [{"id": "r1", "job_id": "off", "status": "error", "retry_count": 1}]
    queue = [
        row(1, "off", "retry", coming, retry_of_run_id="r1"),
        row(2, "off", "manual", coming),
        row(3, "on", "chain", past, source_run_id="r1"),
        row(4, "on", "chain", coming),
        row(5, "on", "chain", past, "awaiting_approval"),
        row(6, "on", "chain", past, "done"),
        row(7, "on", "sideways", past),
    ]
    path = scheduler_database(tmp_path / "a.db", jobs, more={"runs": runs, "job_dispatch_queue": queue})
    waiting = {each.id: each for each in scheduler.read(path, NOW).waiting}
    assert {name: each.is_taken for name, each in waiting.items()} == {
        "d1": False,
        "d2": True,
        "d3": False,
        "d4": True,
        "d5": True,
    }
    assert (waiting["d1"].kind, waiting["d1"].attempt, waiting["d1"].retry_of) == (DispatchKind.RETRY, 2, "r1")
    assert waiting["d3"].source_run == "r1"


def test_a_run_counts_as_at_work_until_its_time_is_long_over(tmp_path: Path) -> None:
    runs = [
        {"id": "r1", "job_id": "a", "status": "running", "started_at": "2026-11-30 12:06:00"},
        {"id": "r2", "job_id": "b", "status": "running", "started_at": "2026-11-30 02:00:00"},
    ]
    path = scheduler_database(tmp_path / "a.db", [shell("a", "a"), shell("b", "b")], more={"runs": runs})
    busy = {job.source_id: job.standing.busy for job in scheduler.read(path, NOW).jobs}
    assert busy == {"a": "it runs since 12:06:00 UTC", "b": None}


def crontab_job(text: str, place: str | None = None, *, with_user: bool = False) -> Job:
    (entry,) = parse_crontab(text, with_user=with_user).entries
    origin = origin_of(entry)
    said = {"origin": placed(origin, place) if place else origin, "tags": ["crontab"]}
    return parse(
        {"id": "a", **said, "run": {"shell": {"command": entry.command}}, "schedule": {"cron": entry.schedule}}
    )


@pytest.mark.parametrize("text", ["0 3 * * * tidy\n", "LANG=C\n0 3 * * * tidy\n", "0 3 * * * root tidy\n"])
def test_a_line_is_a_jobs_whatever_stands_above_it_and_in_either_form(text: str) -> None:
    job = crontab_job("0 3 * * * tidy")
    assert [found.source_id for found in crontab_lines.read(text, "x", [job], "UTC").jobs] == ["a"]


def test_only_the_crontab_that_a_job_came_from_can_have_let_go_of_it() -> None:
    job = crontab_job("0 3 * * * tidy", "/tabs/a.tab")
    assert is_from(Source("crontab", "/tabs/a.tab"), job) is True
    assert is_from(Source("crontab", "crontab -l"), job) is False
    assert is_from(Source("crontab", "/tabs/a.tab"), crontab_job("0 3 * * * tidy")) is None
    assert is_from(Source("openclaw-scheduler", "/other.db"), job) is None


@pytest.mark.parametrize(("text", "left"), [("1 3 * * * b\n0 3 * * * a\n", "1 3 * * * b\n"), ("0 3 * * * a\n", "")])
def test_the_printed_line_takes_the_lines_out_and_keeps_a_copy(tmp_path: Path, text: str, left: str) -> None:
    file = tmp_path / "a tab"
    file.write_text(text)
    file.chmod(0o640)
    job = crontab_job("0 3 * * * a")
    source = crontab_lines.read(text, str(file), [job], "UTC")
    assert run(["sh", "-c", how_to_stop(source, twins(source, [job]))], check=False).returncode == 0
    assert (file.read_text(), file.stat().st_mode & 0o777) == (left, 0o640)
    assert (tmp_path / "a tab.before~").read_text() == text


@pytest.mark.parametrize("blocked", ["a.tab.before~", "a.tab.kept~"])
def test_the_printed_line_loses_nothing_when_a_copy_cannot_be_written(tmp_path: Path, blocked: str) -> None:
    file = tmp_path / "a.tab"
    file.write_text("0 3 * * * a\n")
    (tmp_path / blocked / "a.tab").mkdir(parents=True)
    job = crontab_job("0 3 * * * a")
    source = crontab_lines.read(file.read_text(), str(file), [job], "UTC")
    assert run(["sh", "-c", how_to_stop(source, twins(source, [job]))], check=False, capture_output=True).returncode
    assert file.read_text() == "0 3 * * * a\n"


def test_what_a_screen_would_show_elsewhere_is_escaped(tmp_path: Path) -> None:
    source = scheduler.read(scheduler_database(tmp_path / "a.db", [shell("x\u202ey", "a")]), NOW)
    said = how_to_stop(source, twins(source, ours(source)))
    assert "\u202e" not in said
    assert "$'x\\342\\200\\256y'" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk")
def test_the_printed_line_loses_nothing_on_a_full_disk(tmp_path: Path) -> None:
    if run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)], check=False, capture_output=True
    ).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        file, text = tmp_path / "a.tab", "0 3 * * * a\n" + "# a comment of some length\n" * 1000
        file.write_text(text)
        source = crontab_lines.read(text, str(file), [job := crontab_job("0 3 * * * a")], "UTC")
        line = how_to_stop(source, twins(source, [job]))
        ended = run(["sh", "-c", line], check=False, capture_output=True)
        assert ended.returncode != 0
        assert file.read_text() == text
    finally:
        run(["umount", str(tmp_path)], check=True)
