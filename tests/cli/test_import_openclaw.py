"""`ocs jobs import openclaw-scheduler` and `openclaw`: what is carried over, what is named; again changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Ocs
from tests.foreign import ROOM, automation, automations_file, child, scheduler_database, shell, turn


@pytest.fixture
def database(tmp_path: Path) -> Path:
    jobs = [
        shell("11111111-aaaa", "Nightly Backup", schedule_cron="0 2 * * *", **{**ROOM, "delivery_to": "ops"}),
        child(shell("22222222-aaaa", "Verify Backup"), "11111111-aaaa", trigger_delay_s=60),
        turn("33333333-aaaa", "Daily Summary", schedule_tz="Europe/Vienna"),
        shell("44444444-aaaa", "Broken", schedule_tz="Mars/Base"),
        shell("55555555-aaaa", "Dump", payload_message="PGPASSWORD=x pg_dump", enabled=0),
    ]
    return scheduler_database(tmp_path / "scheduler.db", jobs, aliases={"ops": ("telegram", "-1001")})


def files(ocs: Ocs) -> dict[str, str]:
    return {path.name: path.read_text() for path in (ocs.folder / "deployments" / "jobs").iterdir()}


def test_jobs_become_files_and_what_is_lost_is_named(ocs: Ocs, database: Path) -> None:
    answer = ocs.json("jobs", "import", "openclaw-scheduler", str(database), "--disabled")
    assert [(job["job"], job["state"], job["enabled_there"]) for job in answer["imported"]] == [
        ("nightly-backup", "new", True),
        ("verify-backup", "new", True),
        ("daily-summary", "new", True),
        ("dump", "new", False),
    ]
    assert [(each["name"], each["what"]) for each in answer["not_carried_over"]] == [
        ("Broken", ""),
        ("Dump", "payload_message"),
    ]
    assert answer["targets"] == [{"name": "ops", "where": "telegram:-1001", "state": "not made"}]
    assert ocs.json("jobs", "validate")["jobs"] == ["daily-summary", "dump", "nightly-backup", "verify-backup"]
    assert not any(job["enabled"] for job in ocs.json("jobs", "list", "--all")["jobs"])
    assert "paused: true" in (ocs.folder / "prefect.yaml").read_text()


def test_what_to_type_next_names_the_file_that_was_named(ocs: Ocs, database: Path) -> None:
    renamed = database.rename(database.with_name("my db"))
    said = ocs("jobs", "import", "openclaw-scheduler", str(renamed)).out
    assert f"ocs jobs preview --against openclaw-scheduler --source '{renamed}'" in said
    assert f"ocs jobs switch openclaw-scheduler '{renamed}'" in said


def test_a_dry_run_says_what_becomes_of_each_and_writes_nothing(ocs: Ocs, database: Path) -> None:
    before = database.read_bytes()
    said = ocs("jobs", "import", "openclaw-scheduler", str(database), "--dry-run")
    assert said.status == 0
    assert "Would write 4 jobs, 1 not carried over; nothing was changed." in said.out
    assert "Not carried over: Broken (44444444)" in said.err
    assert "Mars/Base" in said.err
    assert "dump: payload_message: holds what looks secret" in said.err
    assert files(ocs) == {}
    assert database.read_bytes() == before


def test_again_changes_nothing_and_replace_only_what_was_imported(ocs: Ocs, database: Path) -> None:
    ocs.write("nightly-backup", "id: nightly-backup\nrun: mine\n")
    ocs.json("jobs", "import", "openclaw-scheduler", str(database))
    ocs.json("jobs", "edit", "nightly-backup-2", "--set", "run.timeout=1h", "--no-deploy")
    before = files(ocs)
    answer = ocs.json("jobs", "import", "openclaw-scheduler", str(database))
    assert {job["job"]: job["state"] for job in answer["imported"]}["nightly-backup-2"] == "there already, differs"
    assert files(ocs) == before
    assert "--replace" in ocs("jobs", "import", "openclaw-scheduler", str(database)).out
    answer = ocs.json("jobs", "import", "openclaw-scheduler", str(database), "--replace")
    assert [job["job"] for job in answer["imported"] if job["state"] == "replaced"] == ["nightly-backup-2"]
    assert files(ocs)["nightly-backup.yaml"] == before["nightly-backup.yaml"]
    assert "1h" not in files(ocs)["nightly-backup-2.yaml"]


def test_again_mends_the_prefect_yaml_of_an_import_that_was_killed(ocs: Ocs, database: Path) -> None:
    """Killed between its job files and prefect.yaml."""
    generated = ocs.folder / "prefect.yaml"
    before = generated.read_text()
    ocs.json("jobs", "import", "openclaw-scheduler", str(database))
    whole = generated.read_text()
    assert whole != before
    generated.write_text(before)
    assert "No job was changed" in ocs("jobs", "import", "openclaw-scheduler", str(database)).out
    assert generated.read_text() == whole


def test_what_others_cannot_read_they_cannot_read_afterwards(ocs: Ocs, database: Path) -> None:
    jobs = ocs.folder / "deployments" / "jobs"
    database.chmod(0o644)
    assert "others cannot read" not in str(ocs.json("jobs", "import", "openclaw-scheduler", str(database))["hints"])
    assert (jobs / "nightly-backup.yaml").stat().st_mode & 0o077 == 0o044
    database.chmod(0o600)
    ocs.json("jobs", "edit", "nightly-backup", "--set", "run.timeout=1h", "--no-deploy")
    answer = ocs.json("jobs", "import", "openclaw-scheduler", str(database), "--replace")
    assert f"others cannot read {database}" in str(answer["hints"])
    for path in (jobs / "nightly-backup.yaml", ocs.folder / "prefect.yaml"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_automations_are_read_from_a_file(ocs: Ocs, tmp_path: Path) -> None:
    jobs = [
        automation("1", "Disk check", {"kind": "every", "everyMs": 900000}, {"kind": "command", "argv": ["df"]}),
        automation("2", "Watch build", {"kind": "on-exit", "command": "make"}, {"kind": "agentTurn", "message": "x"}),
    ]
    path = automations_file(tmp_path / "automations.json", jobs)
    answer = ocs.json("jobs", "import", "openclaw", str(path))
    assert [(job["job"], job["runs"]) for job in answer["imported"]] == [("disk-check", "every 15m")]
    assert [(each["name"], each["what"]) for each in answer["not_carried_over"]] == [
        ("Watch build", ""),
        ("Disk check", "schedule.anchorMs"),
    ]


@pytest.mark.parametrize("program", ["openclaw-scheduler", "openclaw"])
def test_what_cannot_be_read_is_an_error_and_changes_nothing(ocs: Ocs, tmp_path: Path, program: str) -> None:
    assert ocs.json("jobs", "import", program, str(tmp_path / "nowhere"), status=1)["error"]["code"] == "not_found"
    (tmp_path / "empty").touch()
    assert ocs.json("jobs", "import", program, str(tmp_path / "empty"), status=1)["errors"]
    assert ocs.json("jobs", "import", program, status=1)["error"]["code"] == "not_found"
    ocs.write("broken", "id: broken\n")
    path = scheduler_database(tmp_path / "scheduler.db", [shell("1", "a")])
    assert ocs.json("jobs", "import", program, str(path), status=1)["errors"]
    assert list(files(ocs)) == ["broken.yaml"]


def test_a_job_is_found_by_its_old_id(ocs: Ocs, database: Path) -> None:
    ocs.json("jobs", "import", "openclaw-scheduler", str(database))
    assert ocs.json("jobs", "show", "11111111-aaaa")["job"]["id"] == "nightly-backup"
    assert ocs.json("jobs", "preview", "33333333")["job"] == "daily-summary"
    assert ocs.json("jobs", "enable", "11111111", "--no-deploy")["job"]["id"] == "nightly-backup"
    assert ocs.json("runs", "list", "--job", "11111111")["runs"] == []
    ocs.write("other", "id: other\naliases: [11111111-aaaa]\nafter: {job: 22222222-aaaa}\nrun: x\n")
    said = {each["path"]: each["message"] for each in ocs.json("jobs", "validate", status=1)["errors"]}
    assert "alias of nightly-backup too" in said["aliases"]
    assert said["after.job"] == '"22222222-aaaa" is an alias of verify-backup; write  job: verify-backup'


def test_both_are_shown_side_by_side(ocs: Ocs, database: Path) -> None:
    options = ("--against", "openclaw-scheduler", "--source", str(database))
    assert ocs.json("jobs", "preview", *options, status=1)["error"]["code"] == "not_found"
    ocs.json("jobs", "import", "openclaw-scheduler", str(database))
    said = ocs("jobs", "preview", *options)
    assert "Without times of their own: 1 job." in said.out
    assert "All 4 jobs run at the same times." in said.out
    ocs.json("jobs", "edit", "nightly-backup", "--set", "schedule=30 2 * * *", "--no-deploy")
    jobs = {job["job"]: job for job in ocs.json("jobs", "preview", *options, "-n", "2")["jobs"]}
    assert len(jobs["daily-summary"]["theirs"]) == 2
    assert jobs["daily-summary"]["differs"] is None
    assert "02:00:00, here" in jobs["nightly-backup"]["differs"]
    assert "nightly-backup: there" in ocs("jobs", "preview", "nightly", *options).err
    assert ocs.json("jobs", "preview", "--against", "anacron", status=2)["error"]["code"] == "usage"
    assert ocs.json("jobs", "preview", status=2)["error"]["code"] == "usage"


def test_as_long_as_the_other_has_them_nothing_is_switched_and_the_command_is_named(ocs: Ocs, database: Path) -> None:
    assert ocs.json("jobs", "switch", "openclaw-scheduler", str(database), status=1)["error"]["code"] == "not_found"
    ocs.json("jobs", "import", "openclaw-scheduler", str(database))
    before = files(ocs)
    error = ocs.json("jobs", "switch", "openclaw-scheduler", str(database), status=1)["error"]
    assert error["code"] == "still_there"
    assert "still runs 2 jobs (nightly-backup, daily-summary)" in error["message"]
    stop = (
        f'for id in 11111111-aaaa 33333333-aaaa; do SCHEDULER_DB={database} openclaw-scheduler jobs disable "$id"; done'
    )
    assert stop in error["message"]
    assert files(ocs) == before
    assert ocs.json("jobs", "switch", "openclaw-scheduler", str(database), "--stopped", status=3)
    assert files(ocs) == before


def test_while_the_other_is_at_work_nothing_is_switched(ocs: Ocs, tmp_path: Path) -> None:
    row = shell("1", "Tidy")
    path = scheduler_database(tmp_path / "on.db", [row])
    ocs.json("jobs", "import", "openclaw-scheduler", str(path))
    runs = [{"id": "r1", "job_id": "1", "status": "running"}]
    queue = [{"id": "d1", "job_id": "1", "dispatch_kind": "manual", "scheduled_for": "2999-01-01 00:00:00"}]
    busy = scheduler_database(
        tmp_path / "off.db", [{**row, "enabled": 0}], more={"runs": runs, "job_dispatch_queue": queue}
    )
    said = ocs.json("jobs", "switch", "openclaw-scheduler", str(busy), status=1)
    assert said["error"]["code"] == "still_there"
    assert "tidy: it runs since" in said["errors"][0]["message"]
    assert "tidy: a manual dispatch waits for" in said["errors"][1]["message"]


def test_the_doctor_sees_a_job_that_both_run(ocs: Ocs, database: Path) -> None:
    def finding() -> dict[str, str]:
        ocs.env["SCHEDULER_DB"] = str(database)
        said = ocs("doctor", "--json")
        return next((check for check in said.json["checks"] if check["name"] == "others"), {})

    ocs.json("jobs", "import", "openclaw-scheduler", str(database))
    assert not finding()
    ocs.json("jobs", "enable", "daily-summary", "--no-deploy")
    assert finding()["state"] == "problem"
    assert "daily-summary" in finding()["finding"]
    assert finding()["mend"] == 'for id in 33333333-aaaa; do openclaw-scheduler jobs disable "$id"; done'


def test_the_doctor_sees_a_line_that_is_still_in_the_crontab(ocs: Ocs, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '0 3 * * * tidy.sh'\n")
    program.chmod(0o755)
    ocs.env["PATH"] = f"{program.parent}:/usr/bin:/bin"
    ocs.json("jobs", "import", "crontab", "--user", "--disabled")
    assert "still runs 1 job (tidy)" in ocs.json("jobs", "switch", "crontab", status=1)["error"]["message"]
    ocs.json("jobs", "enable", "tidy", "--no-deploy")
    (found,) = [check for check in ocs("doctor", "--json").json["checks"] if check["name"] == "others"]
    assert found["mend"] == "crontab -l | grep -vxF -e '0 3 * * * tidy.sh' | crontab -"
    (tmp_path / "tab").write_text("0 3 * * * tidy.sh\n")
    told = ocs.json("jobs", "switch", "crontab", str(tmp_path / "tab"), status=1)["error"]["message"]
    # That file, and nobody's own crontab.
    assert f"grep -vxF -e '0 3 * * * tidy.sh' '{tmp_path / 'tab'}.before~' >" in told
    program.write_text("#!/bin/sh\ntrue\n")
    (found,) = [check for check in ocs("doctor", "--json").json["checks"] if check["name"] == "others"]
    assert found["state"] == "ok"
    program.write_text("#!/bin/sh\nprintf '\\374'\n")
    (found,) = [check for check in ocs("doctor", "--json").json["checks"] if check["name"] == "others"]
    assert (found["state"], "crontab -l" in found["finding"]) == ("problem", True)


def test_a_crontab_that_jobs_did_not_come_from_has_not_let_go_of_them(ocs: Ocs, tmp_path: Path) -> None:
    (tmp_path / "a.tab").write_text("0 3 * * * tidy.sh\n")
    (tmp_path / "other").write_text("0 4 * * * other.sh\n")
    said = ocs("jobs", "import", "crontab", str(tmp_path / "a.tab")).out
    assert f"ocs jobs switch crontab {tmp_path / 'a.tab'}" in said
    error = ocs.json("jobs", "switch", "crontab", str(tmp_path / "other"), status=1)["error"]
    assert (error["code"], str(tmp_path / "a.tab") in error["message"]) == ("still_there", True)


def test_another_database_without_the_jobs_has_not_let_go_of_them(ocs: Ocs, database: Path, tmp_path: Path) -> None:
    ocs.json("jobs", "import", "openclaw-scheduler", str(database))
    empty = scheduler_database(tmp_path / "empty.db", [])
    error = ocs.json("jobs", "switch", "openclaw-scheduler", str(empty), status=1)["error"]
    assert (error["code"], "--stopped" in error["hint"]) == ("still_there", True)
