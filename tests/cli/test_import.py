"""`ocs jobs import crontab`: what can be carried over is, disabled; what cannot is named; again changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Ocs

CRONTAB = """\
# m h dom mon dow command
MAILTO=ann@example.org
CRON_TZ=Europe/Vienna

# Copies the database
15 3 * * * /usr/local/bin/backup.sh --full
@reboot /usr/local/bin/agent
*/10 * * * * cd /srv && python3 manage.py clearsessions
61 * * * * broken
0 9 * * 1-5 mail -s Hello ann%Good morning%100\\% yours
"""


def files(ocs: Ocs) -> dict[str, str]:
    return {path.name: path.read_text() for path in (ocs.folder / "deployments" / "jobs").iterdir()}


def test_entries_become_disabled_jobs_and_the_rest_is_named(ocs: Ocs) -> None:
    said = ocs("jobs", "import", "crontab", "-", "--partial", "--json", stdin=CRONTAB)
    answer = said.json
    assert said.status == 0
    assert [(job["job"], job["line"], job["state"]) for job in answer["imported"]] == [
        ("backup", 6, "new"),
        ("manage-clearsessions", 8, "new"),
        ("mail", 10, "new"),
    ]
    assert [(line["line"], line["text"]) for line in answer["not_carried_over"]] == [
        (7, "@reboot /usr/local/bin/agent"),
        (9, "61 * * * * broken"),
    ]
    (mailed,) = [hint for hint in answer["hints"] if "ann@example.org" in hint]
    assert mailed.startswith("backup, manage-clearsessions, mail: cron mailed its output")
    jobs = {job["id"]: job for job in ocs.json("jobs", "list", "--all")["jobs"]}
    assert set(jobs) == {"backup", "manage-clearsessions", "mail"}
    assert not any(job["enabled"] for job in jobs.values())
    backup = ocs.json("jobs", "show", "backup")["job"]["document"]
    assert backup["description"] == "Copies the database"
    assert backup["schedule"] == {"cron": "15 3 * * *", "timezone": "Europe/Vienna", "misfire": "skip"}
    assert backup["run"]["shell"] == {
        "command": "/usr/local/bin/backup.sh --full",
        "cwd": "~",
        "env": {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"},
        "interpreter": "/bin/sh",
    }
    assert "timeout: 7d # cron ends nothing" in files(ocs)["backup.yaml"]
    assert "paused: true" in (ocs.folder / "prefect.yaml").read_text()


def test_without_partial_all_is_taken_or_nothing(ocs: Ocs) -> None:
    for options in ((), ("--dry-run",)):
        said = ocs("jobs", "import", "crontab", "-", "--json", *options, stdin=CRONTAB)
        assert (said.status, said.json["error"]["code"]) == (1, "not_all_imported")
        assert "--partial" in said.json["error"]["hint"]
        assert [problem["line"] for problem in said.json["errors"]] == [7, 9]
    assert files(ocs) == {}
    assert ocs("jobs", "import", "crontab", "-", stdin="0 3 * * * tidy.sh\n").status == 0


def test_the_systems_form_is_seen_or_asked_for(ocs: Ocs) -> None:
    seen = "0 3 * * * root tidy.sh\n30 4 * * * nobody /opt/clean.sh\n"
    answer = ocs("jobs", "import", "crontab", "-", "--dry-run", "--json", stdin=seen).json
    assert [job["command"] for job in answer["imported"]] == ["tidy.sh", "/opt/clean.sh"]
    assert "names a user" in answer["hints"][0]
    mixed = "0 3 * * * root tidy.sh\n30 4 * * * someone-elsewhere clean.sh\n"
    answer = ocs("jobs", "import", "crontab", "-", "--dry-run", "--json", stdin=mixed).json
    assert (answer["ok"], "--system" in str(answer)) == (False, True)
    answer = ocs("jobs", "import", "crontab", "-", "--system", "--json", stdin=mixed).json
    assert [job["command"] for job in answer["imported"]] == ["tidy.sh", "clean.sh"]


def test_an_overlap_is_chosen(ocs: Ocs) -> None:
    said = ocs("jobs", "import", "crontab", "-", "--overlap", "queue", "--json", stdin="*/5 * * * * tidy.sh\n").json
    assert "waits for it" in said["hints"][0]
    assert "overlap: queue" in files(ocs)["tidy.yaml"]


def test_again_changes_nothing(ocs: Ocs) -> None:
    ocs("jobs", "import", "crontab", "-", "--partial", stdin=CRONTAB)
    ocs.json("jobs", "enable", "backup", "--no-deploy")
    before = files(ocs)
    answer = ocs("jobs", "import", "crontab", "-", "--partial", "--json", stdin=CRONTAB).json
    assert {job["state"] for job in answer["imported"]} == {"already there"}
    assert files(ocs) == before
    more = CRONTAB + "30 4 * * * /usr/local/bin/backup.sh --quick\n"
    answer = ocs("jobs", "import", "crontab", "-", "--partial", "--json", stdin=more).json
    assert [job["job"] for job in answer["imported"] if job["state"] == "new"] == ["backup-2"]
    assert "there already" in ocs("jobs", "import", "crontab", "-", "--partial", stdin=more).out


def test_again_mends_the_prefect_yaml_of_an_import_that_was_killed(ocs: Ocs) -> None:
    """Killed between its job files and prefect.yaml."""
    generated = ocs.folder / "prefect.yaml"
    before = generated.read_text()
    ocs("jobs", "import", "crontab", "-", stdin="0 3 * * * tidy.sh\n")
    whole = generated.read_text()
    assert whole != before
    generated.write_text(before)
    assert ocs("jobs", "import", "crontab", "-", "--dry-run", stdin="0 3 * * * tidy.sh\n").status == 0
    assert generated.read_text() == before
    assert ocs("jobs", "import", "crontab", "-", stdin="0 3 * * * tidy.sh\n").status == 0
    assert generated.read_text() == whole


def test_what_others_cannot_read_they_cannot_read_afterwards(ocs: Ocs, tmp_path: Path) -> None:
    crontab, generated = tmp_path / "my.crontab", ocs.folder / "prefect.yaml"
    generated.chmod(0o644)
    crontab.write_text("0 3 * * * tidy.sh\n")
    crontab.chmod(0o644)
    assert ocs.json("jobs", "import", "crontab", str(crontab))["hints"] == []
    crontab.write_text("0 4 * * * backup.sh\n")
    crontab.chmod(0o600)
    (hint,) = ocs.json("jobs", "import", "crontab", str(crontab))["hints"]
    assert f"others cannot read {crontab}" in hint
    jobs = ocs.folder / "deployments" / "jobs"
    modes = [path.stat().st_mode & 0o077 for path in (jobs / "tidy.yaml", jobs / "backup.yaml", generated)]
    assert modes == [0o044, 0, 0]
    ocs.json("jobs", "edit", "backup", "--set", "run.timeout=1h", "--no-deploy")
    generated.chmod(0o644)
    ocs.json("jobs", "import", "crontab", str(crontab))
    assert [path.stat().st_mode & 0o777 for path in (jobs / "backup.yaml", generated)] == [0o600, 0o600]


def test_a_dry_run_shows_a_table_and_writes_nothing(ocs: Ocs) -> None:
    before = files(ocs)
    said = ocs("jobs", "import", "crontab", "-", "--partial", "--dry-run", stdin=CRONTAB)
    assert said.status == 0
    assert "manage-clearsessions" in said.out
    assert "Would write 3 jobs" in said.out
    assert "-:7  @reboot" in said.err
    assert files(ocs) == before


def test_the_systems_crontabs_are_read_from_a_root(ocs: Ocs, tmp_path: Path) -> None:
    folder = tmp_path / "mounted" / "etc" / "cron.d"
    folder.mkdir(parents=True)
    hourly = "17 * * * * root cd / && run-parts --report /etc/cron.hourly\n"
    (folder.parent / "crontab").write_text(f"SHELL=/bin/sh\n{hourly}")
    (folder / "php").write_text("09,39 * * * * nobody [ -x /usr/lib/sessionclean ] && /usr/lib/sessionclean\n")
    (folder / "old.dpkg-dist").write_text("* * * * * root ignored-by-cron\n")
    answer = ocs.json("jobs", "import", "crontab", "--system", "--root", str(tmp_path / "mounted"))
    assert [(job["job"], Path(job["file"]).name) for job in answer["imported"]] == [
        ("cron-hourly", "crontab"),
        ("sessionclean", "php"),
    ]
    assert any("nobody" in hint for hint in answer["hints"])


def test_ones_own_crontab_is_asked_for(ocs: Ocs, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n[ \"$1\" = -l ] && echo '0 3 * * * tidy.sh'\n")
    program.chmod(0o755)
    ocs.env["PATH"] = f"{program.parent}:/usr/bin:/bin"
    answer = ocs.json("jobs", "import", "crontab", "--user")
    assert [job["job"] for job in answer["imported"]] == ["tidy"]
    program.write_text("#!/bin/sh\necho 'no crontab for ann' >&2\nexit 1\n")
    assert "no crontab for ann" in ocs.json("jobs", "import", "crontab", "--user", status=1)["error"]["message"]
    program.write_text("#!/bin/sh\nprintf '0 3 * * * echo \\374\\n'\n")
    assert "UTF-8" in ocs.json("jobs", "import", "crontab", "--user", status=1)["errors"][0]["message"]


@pytest.mark.parametrize(
    ("here", "options", "zone"),
    [
        ("America/New_York", (), "America/New_York"),
        ("Etc/GMT+5", (), "Etc/GMT+5"),
        ("Etc/UTC", (), None),
        ("UTC", (), None),
        ("UTC", ("--timezone", "Europe/Vienna"), "Europe/Vienna"),
    ],
)
def test_times_are_in_the_zone_of_the_machine(ocs: Ocs, here: str, options: tuple[str, ...], zone: str | None) -> None:
    assert ocs("jobs", "import", "crontab", "-", *options, stdin="0 3 * * * tidy.sh\n", TZ=here).status == 0
    text = files(ocs)["tidy.yaml"]
    assert f"timezone: {zone or 'UTC'}" in text


@pytest.mark.parametrize("arguments", [(), ("-", "--user"), ("--user", "--system")])
def test_one_source_is_named(ocs: Ocs, arguments: tuple[str, ...]) -> None:
    assert ocs.json("jobs", "import", "crontab", *arguments, status=2)["error"]["code"] == "usage"


def test_what_cannot_be_read_or_understood_is_an_error(ocs: Ocs, tmp_path: Path) -> None:
    assert "cannot be read" in ocs.json("jobs", "import", "crontab", "nowhere", status=1)["error"]["message"]
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert ocs.json("jobs", "import", "crontab", str(tmp_path / "binary"), status=1)["errors"]
    said = ocs("jobs", "import", "crontab", "-", "--json", stdin="hello world\n@reboot x\n")
    assert (said.status, said.json["error"]["code"]) == (1, "not_all_imported")
    assert [(line["file"], line["line"]) for line in said.json["errors"]] == [("-", 1), ("-", 2)]
    assert "@reboot x: runs when the machine starts" in said.json["errors"][1]["message"]
    assert ocs("jobs", "import", "crontab", "-", stdin="# nothing\n").status == 0


def test_a_job_that_would_not_be_valid_stops_all_of_them(ocs: Ocs) -> None:
    text = "0 3 * * * good\nCRON_TZ=Nowhere/Land\n0 4 * * * bad\n"
    said = ocs("jobs", "import", "crontab", "-", "--json", stdin=text)
    assert said.status == 1
    assert "Nowhere/Land" in said.json["errors"][0]["message"]
    assert [(error["file"], error["line"]) for error in said.json["errors"]] == [("-", 3)]
    assert files(ocs) == {}


@pytest.mark.parametrize("above", ["CRON_TZ=Nowhere/Land", "RANDOM_DELAY=99999999", f"RANDOM_DELAY={'9' * 5000}"])
def test_partial_leaves_out_the_entries_below_what_is_no_value_and_takes_the_others(ocs: Ocs, above: str) -> None:
    name = above.partition("=")[0]
    good_again = f"{name}={'UTC' if name == 'CRON_TZ' else 5}"
    text = f"0 3 * * * good\n{above}\n0 4 * * * bad\n0 5 * * * worse\n{good_again}\n0 6 * * * better\n"
    answer = ocs("jobs", "import", "crontab", "-", "--partial", "--json", stdin=text).json
    assert [(job["job"], job["state"]) for job in answer["imported"]] == [("good", "new"), ("better", "new")]
    assert [line["line"] for line in answer["not_carried_over"]] == [3, 4]
    assert set(files(ocs)) == {"good.yaml", "better.yaml"}
