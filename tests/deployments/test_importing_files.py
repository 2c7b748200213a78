"""What is read of other programs' files: only what they are, as they stand, and nothing of them changes."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.importing import automations, scheduler
from ocs.errors import InvalidJob, NotFound
from tests.foreign import automations_file, scheduler_database, shell

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def said(path: Path) -> str:
    with pytest.raises(InvalidJob) as refused:
        scheduler.read(path, NOW)
    return refused.value.problems[0].message


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_no_database_of_it_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        scheduler.read(tmp_path / "nowhere.db", NOW)
    assert said(tmp_path) == "cannot be read: Is a directory"
    (tmp_path / "empty.db").touch()
    assert said(tmp_path / "empty.db") == "is empty"
    (tmp_path / "text.db").write_text("jobs: []\n" * 50)
    assert said(tmp_path / "text.db") == "is no SQLite database"
    with closing(sqlite3.connect(tmp_path / "other.db")) as other, other:
        other.execute("CREATE TABLE jobs (id TEXT, state TEXT)")
    assert "not one of openclaw-scheduler" in said(tmp_path / "other.db")


def test_nonsense_of_one_run_keeps_no_job_from_being_read(tmp_path: Path) -> None:
    """The columns of SQLite take any value; a run whose end is not known is at work."""
    begun = {"job_id": "1", "status": "running", "started_at": "2026-11-30 11:59:00"}
    retry = {"job_id": "1", "dispatch_kind": "retry", "scheduled_for": "2026-11-30 12:00:00", "retry_of_run_id": "r2"}
    path = scheduler_database(
        tmp_path / "scheduler.db",
        [shell("1", "one"), shell("2", "two")],
        more={
            "runs": [
                {"id": "r1", **begun, "run_timeout_ms": "never"},
                {"id": "r2", **begun, "run_timeout_ms": 2**62, "retry_count": "many"},
            ],
            "job_dispatch_queue": [{"id": "q1", **retry}],
            "idempotency_ledger": [
                {"key": "k", "job_id": "1", "run_id": "r1", "claimed_at": "0001-01-01", "expires_at": "9999-12-31"}
            ],
        },
    )
    source = scheduler.read(path, NOW)
    assert [(job.name, job.standing.busy is not None) for job in source.jobs] == [("one", True), ("two", False)]
    assert [waiting.attempt for waiting in source.waiting] == [1]


def test_an_automation_that_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "openclaw.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE cron_jobs (job_id, job_json, state_json, enabled, sort_order)")
        database.execute("INSERT INTO cron_jobs VALUES ('a', NULL, '{}', 1, 1)")
    with pytest.raises(InvalidJob, match="cannot be read"):
        automations.read(path, "UTC")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "is no regular file" in said(pipe)
    with pytest.raises(InvalidJob) as refused:
        automations.read(pipe, "UTC")
    assert "is no regular file" in refused.value.problems[0].message


def test_a_damaged_one_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = scheduler_database(tmp_path / "scheduler.db", [shell(str(n), f"job {n}") for n in range(200)])
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    assert "is damaged" in said(path)
    path.write_bytes(whole[: len(whole) // 2])
    assert "is damaged" in said(path)


def test_a_locked_one_is_said_to_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.importing.database.PATIENCE", 0.05)
    path = scheduler_database(tmp_path / "scheduler.db", [shell("1", "one")])
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        assert "is locked by another program" in said(path)
        holder.execute("ROLLBACK")


def test_too_much_is_refused(tmp_path: Path) -> None:
    path = scheduler_database(tmp_path / "large.db", [shell("1", "one", payload_message="x" * 2**21)])
    assert "holds a value larger than 1MiB" in said(path)
    path = scheduler_database(tmp_path / "many.db", [shell(str(n), f"job {n}") for n in range(10_001)])
    assert "more than 10,000 rows" in said(path)
    large = [shell(str(n), f"job {n}", payload_message="x" * 1_000_000) for n in range(70)]
    assert "holds more than 64MiB" in said(scheduler_database(tmp_path / "together.db", large))


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_what_stands_beside_a_database_is_a_file_too(tmp_path: Path, end: str) -> None:
    """SQLite would open a pipe and wait for whoever writes to it."""
    path = scheduler_database(tmp_path / "scheduler.db", [shell("1", "one")])
    os.mkfifo(tmp_path / f"scheduler.db{end}")
    assert f"scheduler.db{end} beside it is no regular file" in said(path)


def test_a_running_programs_database_is_read_with_what_is_in_its_log_only(tmp_path: Path) -> None:
    path = scheduler_database(tmp_path / "scheduler.db", wal=True)
    with closing(sqlite3.connect(path)) as program, program:
        program.execute("PRAGMA wal_autocheckpoint = 0")
        row = shell("1", "one")
        program.execute(
            f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join('?' for _ in row)})", tuple(row.values())
        )
        program.commit()
        before = everything(tmp_path)
        assert [job.name for job in scheduler.read(path, NOW).jobs] == ["one"]
        after = everything(tmp_path)
        assert {name: after[name] for name in after if not name.endswith("-shm")} == {
            name: before[name] for name in before if not name.endswith("-shm")
        }
        # A copy of both without the index, as a killed program leaves them.
        killed = tmp_path / "killed"
        killed.mkdir()
        for name in ("scheduler.db", "scheduler.db-wal"):
            (killed / name).write_bytes(before[name])
    left = everything(killed)
    killed.chmod(0o500)
    assert [job.name for job in scheduler.read(killed / "scheduler.db", NOW).jobs] == ["one"]
    killed.chmod(0o700)
    assert everything(killed) == left


def test_one_that_ended_cleanly_gets_no_files_beside_it(tmp_path: Path) -> None:
    path = scheduler_database(tmp_path / "scheduler.db", [shell("1", "one")], wal=True)
    before = everything(tmp_path)
    assert scheduler.read(path, NOW).jobs
    assert everything(tmp_path) == before


def test_an_older_schema_has_defaults_and_what_is_new_in_a_newer_one_is_named(tmp_path: Path) -> None:
    path = scheduler_database(tmp_path / "older.db", [shell("1", "one")], version=12)
    with closing(sqlite3.connect(path)) as older, older:
        for column in ("auth_profile", "preferred_session_key", "delivery_opt_out_reason", "origin", "identity"):
            older.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        older.execute("DROP TABLE delivery_aliases")
    source = scheduler.read(path, NOW)
    assert [job.document["run"]["shell"] for job in source.jobs] == [{"command": "df -h /"}]
    assert "version 12, older than 23" in source.hints[0]
    path = scheduler_database(tmp_path / "newer.db", [shell("1", "one"), shell("2", "two")], version=24)
    with closing(sqlite3.connect(path)) as newer, newer:
        newer.execute("ALTER TABLE jobs ADD COLUMN quiet_hours TEXT")
        newer.execute("UPDATE jobs SET quiet_hours = '22-6' WHERE id = '2'")
    source = scheduler.read(path, NOW)
    assert "version 24, newer than 23" in source.hints[0]
    assert [[loss.field for loss in job.losses] for job in source.jobs] == [[], ["quiet_hours"]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("{}", "is no list of automations"),
        ('{"jobs": {"a": 1}}', "is no list of automations"),
        ('{"jobs": [1]}', "is no list of automations"),
        ('{"version": 9, "jobs": []}', "is of version 9; known is version 1"),
        ('{"jobs": [], "total": 300, "hasMore": true}', "only 0 of 300"),
    ],
)
def test_what_is_no_list_of_automations_is_said_to_be_none(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "automations.json"
    path.write_text(text)
    with pytest.raises(InvalidJob) as refused:
        automations.read(path, "UTC")
    assert why in refused.value.problems[0].message


def test_automations_are_found_in_a_state_folder_old_or_new(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        automations.read(tmp_path, "UTC")
    (tmp_path / "cron").mkdir()
    job = '{"id": "1", "name": "One", "schedule": {"kind": "cron", "expr": "0 3 * * *"}, "enabled": true, '
    job += '"sessionTarget": "main", "payload": {"kind": "systemEvent", "text": "Look."}}'
    (tmp_path / "cron" / "jobs.json").write_text(f'{{"version": 1, "jobs": [{job}]}}')
    assert [job.name for job in automations.read(tmp_path, "UTC").jobs] == ["One"]
    (tmp_path / "state").mkdir()
    with closing(sqlite3.connect(tmp_path / "state" / "openclaw.sqlite")) as database, database:
        database.execute(
            "CREATE TABLE cron_jobs (store_key TEXT, job_id TEXT, enabled INTEGER, job_json TEXT, state_json TEXT, "
            "sort_order INTEGER)"
        )
        moved = job.replace("One", "Two")
        database.execute("INSERT INTO cron_jobs VALUES ('s', '1', 0, ?, '{}', 0)", (moved,))
    (found,) = automations.read(tmp_path, "UTC").jobs
    assert (found.name, found.enabled) == ("Two", False)


def test_a_database_of_another_program_has_no_automations(tmp_path: Path) -> None:
    path = scheduler_database(tmp_path / "scheduler.db")
    with pytest.raises(InvalidJob) as refused:
        automations.read(path, "UTC")
    assert "has no automations of OpenClaw" in refused.value.problems[0].message
    assert not automations.read(automations_file(tmp_path / "none.json", []), "UTC").jobs
