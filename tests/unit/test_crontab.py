"""Reading crontabs: every line becomes an entry, an assignment, or is named with the reason."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as some

from deployments.crontab import Entry, parse
from deployments.crontab_jobs import Imported, jobs_of, readable_id
from ocs.spec import Job, violations


def entry(text: str, *, with_user: bool = False) -> Entry:
    parsed = parse(text, with_user=with_user)
    assert parsed.left == ()
    (only,) = parsed.entries
    return only


def job(text: str, *, with_user: bool = False, timezone: str = "UTC") -> tuple[Job, Imported]:
    (imported,) = jobs_of([entry(text, with_user=with_user)], known={}, taken=[], timezone=timezone, user="ann")
    assert violations(imported.document) == []
    return Job.model_validate(imported.document), imported


def shell(text: str) -> dict[str, object]:
    made, _ = job(text)
    assert made.run.shell is not None
    return made.run.shell.model_dump(exclude_defaults=True)


@pytest.mark.parametrize(
    ("line", "schedule", "command"),
    [
        ("0 3 * * * backup.sh", "0 3 * * *", "backup.sh"),
        ("  */5\t*  * * *   echo  two  spaces ", "*/5 * * * *", "echo  two  spaces"),
        ("@daily backup.sh --full", "@daily", "backup.sh --full"),
        ("@Midnight x", "@midnight", "x"),
        ("0 0 1,15 * sun x", "0 0 1,15 * sun", "x"),
        ("0 0 * jan-mar 1-5 x", "0 0 * jan-mar 1-5", "x"),
        ("0 0 * * 7 x", "0 0 * * 7", "x"),
        ("0 22 * * 1-5 echo 'a=b' # not a comment", "0 22 * * 1-5", "echo 'a=b' # not a comment"),
        ("0 0 1-31/2 * * x", "0 0 1-31/2 * *", "x"),
        ("0 0 * * 7-7,1-mon/3 x", "0 0 * * 7,1", "x"),
        ("-*/5 * * * * not logged", "*/5 * * * *", "not logged"),
    ],
)
def test_entries(line: str, schedule: str, command: str) -> None:
    found = entry(line)
    assert (found.schedule, found.command) == (schedule, command)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("@reboot start.sh", "when the machine starts"),
        ("@fortnightly x", "no schedule that cron knows"),
        ("61 * * * * x", "minute"),
        ("0 0 30 2 * x", "never happens"),
        ("0 0 20-10 * * x", "ends before it begins"),
        ("0 0 */2 * 1 x", "both */2 of the month and 1 of the week"),
        ("0 0 1 * */2 x", "both"),
        ("0 0 1,* * mon x", "1,* of the month or mon of the week"),
        ("0 0 1 * mon,* x", "1 of the month or mon,* of the week"),
        ("*/90 * * * * x", "write every: 90m"),
        ("0 0 1-31 * mon x", "which is every day"),
        ("0 0 L * * x", "L is not what every cron understands"),
        ("0 0 l * * x", "l is not what every cron understands"),
        ("0 0 1w * * x", "1w is not"),
        ("0 0 * * fri#2 x", "fri#2 is not"),
        ("5/10 * * * * x", "5/10 is not"),
        ("0~30 * * * * x", "0~30 is not"),
        ("0 0 * nov-feb * x", "ends before it begins"),
        ("0 0 * * sat-sun x", "ends before it begins"),
        ("0 0 * mon * x", "mon is not a name that cron has for it"),
        ("0 0 * * *,, x", "is not what every cron"),
        ("'MY VAR'=1", "no job's environment can have"),
        ("A='it's'", "neither"),
        ("0 3 * * * a\x1bb", "control character"),
        ("0 3 * * *", "has no command"),
        ("0 3 * * * %", "has no command"),
        ("hello world", "neither"),
        ("@daily", "has no command"),
    ],
)
def test_what_cannot_be_carried_over_is_named(line: str, why: str) -> None:
    parsed = parse(f"# first\n\n{line}\n0 3 * * * good\n")
    (left,) = parsed.left
    assert (left.line, left.text) == (3, line)
    assert why in left.why
    assert [found.command for found in parsed.entries] == ["good"]


def test_assignments_hold_for_what_comes_after_them() -> None:
    parsed = parse("0 1 * * * a\nLANG=C\nGREETING = \"good day\"\n'X'='1 2'\n0 2 * * * b\nLANG=de_AT\n0 3 * * * c\n")
    assert [dict(found.environment) for found in parsed.entries] == [
        {},
        {"LANG": "C", "GREETING": "good day", "X": "1 2"},
        {"LANG": "de_AT", "GREETING": "good day", "X": "1 2"},
    ]


def test_the_systems_form_names_a_user() -> None:
    made, imported = job("17 * * * * root cd / && run-parts --report /etc/cron.hourly", with_user=True)
    assert made.id == "cron-hourly"
    assert "cron ran it as root" in imported.hints[0]
    assert not job("17 * * * * ann true", with_user=True)[1].hints
    assert parse("17 * * * * root\n", with_user=True).left[0].why == "has no command"


def test_a_comment_above_describes_the_job_and_nothing_starts_by_itself() -> None:
    made, _ = job("# Copies everything\n0 3 * * * backup.sh")
    assert (made.description, made.enabled, made.tags) == ("Copies everything", False, ("crontab",))
    assert job("# Far away\n\n0 3 * * * backup.sh")[0].description is None


@pytest.mark.parametrize(
    "above",
    [
        "# Where it goes\nMAILTO=''",
        "# m h  dom mon dow   command",
        "# *  *  *  *  * user-name  command to be executed",
        "#0 4 * * 1-5 old.sh",
        "#@daily old.sh",
        "# MAILTO=ann",
        "##",
    ],
)
def test_what_does_not_speak_of_the_entry_describes_nothing(above: str) -> None:
    assert job(f"{above}\n0 3 * * * backup.sh")[0].description is None


def test_the_circumstances_are_crons_own() -> None:
    assert shell("0 3 * * * a") == {"command": "a", "cwd": "~", "interpreter": "/bin/sh"}
    text = "SHELL=/bin/bash\nHOME=/srv\nPATH=/opt/bin:/bin\nMAILTO=ann@example.org\nLOGNAME=x\n0 3 * * * a"
    assert shell(text) == {"command": "a", "cwd": "/srv", "env": {"PATH": "/opt/bin:/bin"}}
    _, imported = job(text)
    assert "ann@example.org" in imported.hints[0]
    assert "--on failure" in imported.hints[0]
    assert "API_TOKEN looks secret" in job("API_TOKEN=1\n0 3 * * * a")[1].hints[0]


def test_zones_and_random_delays() -> None:
    assert job("0 3 * * * a", timezone="Europe/Vienna")[0].schedule.timezone == "Europe/Vienna"
    made = job("CRON_TZ=Asia/Tokyo\nRANDOM_DELAY=15\n0 3 * * * a", timezone="Europe/Vienna")[0]
    assert made.schedule is not None
    assert (made.schedule.timezone, made.schedule.jitter.total_seconds()) == ("Asia/Tokyo", 900)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/local/bin/backup.sh --full", "backup"),
        ("cd /srv/app && venv/bin/python manage.py clearsessions > /dev/null", "manage-clearsessions"),
        ("/usr/bin/flock -n /tmp/x.lock /usr/bin/php /var/www/cron.php", "cron"),
        ("test -x /usr/bin/certbot && perl -e 'sleep int(rand(3600))' && certbot renew -q", "certbot-renew"),
        ("nice -n 19 ionice -c3 rsync -a /home /backup", "rsync"),
        ("certbot renew", "certbot-renew"),
        ("FOO=1 timeout 5m /opt/Report_Daily.PY", "report-daily-py"),
        ("[ -x /usr/lib/sa1 ] && /usr/lib/sa1 1 1", "sa1"),
        ("echo 'unbalanced", "echo"),
        (":", "job"),
        ("cd /", "job"),
    ],
)
def test_ids_say_what_is_done(command: str, expected: str) -> None:
    assert readable_id(command) == expected


def test_ids_are_unique_and_the_same_entry_is_one_job() -> None:
    entries = parse("0 1 * * * a.sh\n0 2 * * * a.sh\n0 1 * * * a.sh\n0 3 * * * b.sh\n").entries
    found = jobs_of(entries, known={}, taken=["a"], timezone="UTC", user="ann")
    assert [each.job_id for each in found] == ["a-2", "a-3", "b"]
    origins = {str(each.document["origin"]): each.job_id for each in found}
    again = jobs_of(entries, known=origins, taken=list(origins.values()), timezone="UTC", user="ann")
    assert [(each.job_id, each.document) for each in again] == [("a-2", {}), ("a-3", {}), ("b", {})]


@given(some.lists(some.text(some.characters(exclude_categories=("C", "Z")), max_size=20), max_size=4))
def test_what_follows_a_percent_sign_is_standard_input(lines: list[str]) -> None:
    bare = [line.replace("\\", "") for line in lines]
    escaped = [line.replace("%", "\\%") for line in bare]
    made, _ = job(f"0 3 * * * cat # it is{''.join('%' + line for line in escaped)}")
    assert made.run.shell is not None
    ended = subprocess.run(
        ["/bin/sh", "-c", made.run.shell.command], input=b"", capture_output=True, check=True, timeout=60
    )
    assert ended.stdout.decode() == ended_line("\n".join(bare))


def ended_line(text: str) -> str:
    """Cron ends the last line, unless it is empty."""
    return text + "\n" if text and not text.endswith("\n") else text


def read_by_cron(text: str) -> tuple[str, str]:
    """A command and its input, character by character."""
    command, escaped = "", False
    for position, character in enumerate(text):
        if character == "%" and not escaped:
            return command, input_read_by_cron(text[position + 1 :])
        command = command[:-1] if character == "%" else command
        escaped = character == "\\" and not escaped
        command += character
    return command, ""


def input_read_by_cron(text: str) -> str:
    read = before = ""
    for character in text:
        if character == "%":
            read = read[:-1] + "%" if before == "\\" else read + "\n"
        else:
            read += character
        before = character
    return ended_line(read)


@given(some.text("\\%a"))
def test_backslashes_and_percent_signs_are_read_as_cron_reads_them(text: str) -> None:
    found = entry(f"0 3 * * * x{text}")
    assert (found.command, "".join(f"{line}\n" for line in found.stdin)) == read_by_cron(f"x{text}")


@given(some.text())
def test_no_text_breaks_the_reader_and_no_line_is_lost(text: str) -> None:
    for with_user in (False, True):
        parsed = parse(text, with_user=with_user)
        jobs = jobs_of(parsed.entries, known={}, taken=[], timezone="UTC", user="ann")
        for each in jobs:
            assert each.job_id
