"""Reading crontabs: every line becomes an entry, an assignment, or is named with the reason."""

from __future__ import annotations

import subprocess
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import SecretStr

from blocks.target import DeliveryTarget
from blocks.targets import by_mail_address
from deployments import yaml_text
from deployments.crontab import Entry, form_of, is_system_file, parse, without_users
from deployments.crontab_jobs import Here, Imported, jobs_of
from deployments.crontab_names import readable_id
from ocs.spec import Job, Shell, violations


def entry(text: str, *, with_user: bool = False) -> Entry:
    parsed = parse(text, with_user=with_user)
    assert parsed.left == ()
    (only,) = parsed.entries
    return only


HERE = Here("UTC", "ann")


def job(text: str, here: Here = HERE, *, with_user: bool = False) -> tuple[Job, Imported]:
    (imported,) = jobs_of([entry(text, with_user=with_user)], here, known={}, taken=[])
    assert violations(imported.document) == []
    return Job.model_validate(imported.document), imported


def shell(text: str) -> dict[str, object]:
    made, _ = job(text)
    return made.run.work.model_dump(exclude_defaults=True)


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
        ("0 0 3 * * * x", "ocs jobs add NAME --cron '0 0 3 * * *'"),
        ("30 0 3 * * 1-5 x -y", "six fields"),
        ("0 */5 1 * * mon,wed x", "six fields"),
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
        "#\t0 4 * jan-mar mon old.sh",
        "# disabled in May: */5 * * * * old.sh --all",
        "#-*/5 * * * * old.sh",
        "# MAILTO=ann",
        "##",
    ],
)
def test_what_does_not_speak_of_the_entry_describes_nothing(above: str) -> None:
    assert job(f"{above}\n0 3 * * * backup.sh")[0].description is None


def test_the_circumstances_are_crons_own() -> None:
    env = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    assert shell("0 3 * * * a") == {"command": "a", "cwd": "~", "env": env, "interpreter": "/bin/sh"}
    text = "SHELL=/bin/bash\nHOME=/srv\nPATH=/opt/bin:/bin\nMAILTO=ann@example.org\nLOGNAME=x\n0 3 * * * a"
    env = {"PATH": "/opt/bin:/bin", "SHELL": "/bin/bash", "HOME": "/srv"}
    assert shell(text) == {"command": "a", "cwd": "/srv", "env": env}
    assert "API_TOKEN looks secret" in job("API_TOKEN=1\n0 3 * * * a")[1].hints[0]


@pytest.mark.parametrize(
    "line", ["API_TOKEN=hunter22secret job", "PASSWORD=x pg_dump", "PGPASSWORD=x a%b", "a --api_key=x"]
)
def test_a_command_that_holds_what_looks_secret_is_told_and_the_secret_is_not_in_its_id(line: str) -> None:
    _, made = job(f"0 3 * * * {line}")
    assert any("its command holds what looks secret" in hint for hint in made.hints)
    assert "hunter22secret" not in made.job_id + "".join(made.hints)


@pytest.mark.parametrize("line", ["backup --token-file=x", "pg_dump db", "cat secrets.txt"])
def test_a_command_without_a_value_for_it_is_not(line: str) -> None:
    assert not any("secret" in hint for hint in job(f"0 3 * * * {line}")[1].hints)


def test_what_cron_does_otherwise_is_written_out_with_the_default_it_replaces() -> None:
    made, imported = job("*/5 * * * * a.sh")
    assert made.run.timeout == timedelta(days=7)
    assert (made.limits.overlap, made.backoff) == ("allow", False)
    assert made.schedule is not None
    assert made.schedule.misfire == "skip"
    lines = yaml_text.dump(imported.document, imported.comments).splitlines()
    said = {line.partition(":")[0].strip(): line.partition(" # ")[2] for line in lines}
    assert "after 5m" in said["timeout"]
    assert "coalesce" in said["misfire"]
    assert "skipped" in said["overlap"]
    assert "pauses after failures" in said["backoff"]
    assert "/bin/bash" in said["interpreter"]
    assert all(said[name] for name in ("cwd", "PATH", "SHELL"))


def test_another_overlap_is_told_of_jobs_that_could_be_hit() -> None:
    skips = Here("UTC", "ann", overlap="skip")
    made, imported = job("*/5 * * * * a.sh", skips)
    assert made.limits.overlap == "skip"
    assert "is skipped" in imported.hints[0]
    assert "limits.overlap" not in imported.comments
    assert job("0 3 * * * a.sh", skips)[1].hints == ()
    assert "waits" in job("@hourly a.sh", Here("UTC", "ann", overlap="queue"))[1].hints[0]


def test_whom_cron_mailed_to_is_told_of_failures_where_there_is_a_target() -> None:
    text = "MAILTO=Ann@example.org\n0 3 * * * a.sh"
    made, imported = job(text, Here("UTC", "ann", {"ann@example.org": "post"}))
    assert made.deliver is not None
    assert (made.deliver.to, made.deliver.when, imported.hints) == (("post",), "failure", ())
    made, imported = job(text)
    assert made.deliver is None
    assert "Ann@example.org" in imported.hints[0]
    assert "ocs targets add mail" in imported.hints[0]
    assert job("MAILTO=''\n0 3 * * * a.sh")[1].hints == ()


def test_addresses_of_targets() -> None:
    targets = {
        "broken": None,
        "chat": DeliveryTarget(kind="gateway", channel="telegram", recipient="1"),
        "post": DeliveryTarget(
            kind="apprise", url=SecretStr("mailtos://me:pw@mx.example.org?to=Ann@example.org,bob@example.org")
        ),
        "send": DeliveryTarget(kind="notification", block="sendgrid-email/x", note="reaches eve@example.org."),
    }
    assert by_mail_address(targets) == {
        "ann@example.org": "post",
        "bob@example.org": "post",
        "eve@example.org": "send",
    }


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("0 3 * * * root a.sh\n@daily www b.sh", "system"),
        ("0 3 * * * mail -s Hello ann", "unsure"),
        ("0 3 * * * mail -s Hello ann\n0 3 * * * root a.sh", "system"),
        ("0 3 * * * mail -s Hello ann\n0 3 * * * a.sh", "own"),
        ("0 3 * * * root a.sh\n0 3 * * * elsewhere b.sh", "unsure"),
        ("0 3 * * * www", "own"),
        ("0 3 * * * a.sh root", "own"),
        ("", "own"),
    ],
)
def test_the_form_of_a_crontab_is_seen_by_its_users(text: str, form: str) -> None:
    entries = parse(text).entries
    users = {"root", "www", "mail"}
    assert form_of(entries, is_user=users.__contains__, is_program={"mail"}.__contains__) == form


def test_the_form_of_a_crontab_is_seen_by_its_name() -> None:
    assert is_system_file("/etc/crontab")
    assert is_system_file("/mnt/etc/cron.d/php")
    assert not is_system_file("my/crontab")


def test_zones_and_random_delays() -> None:
    vienna = Here("Europe/Vienna", "ann")
    made = job("CRON_TZ=Asia/Tokyo\nRANDOM_DELAY=15\n0 3 * * * a", vienna)[0]
    assert made.schedule is not None
    assert (made.schedule.timezone, made.schedule.jitter.total_seconds()) == ("Asia/Tokyo", 900)
    made, imported = job("TZ=Asia/Tokyo\n0 3 * * * a", vienna)
    assert made.schedule is not None
    assert isinstance(made.run.work, Shell)
    assert (made.schedule.timezone, made.run.work.env["TZ"]) == ("Europe/Vienna", "Asia/Tokyo")
    assert "times are in Europe/Vienna" in imported.hints[0]


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
        ("echo 'all is well' >> /var/log/beat.log", "echo-all-is-well"),
        ("curl -fsS https://me:pw@www.example.org/ping > /dev/null", "curl-example-org"),
        ("find /srv/tmp -mtime +7 -delete", "find-tmp"),
        ("psql -q -f /srv/clean.sql", "psql-clean"),
        ("docker exec -i db pg_dump shop | gzip > shop.gz", "docker-exec-db"),
        ("/opt/q", "run-q"),
        ("q --now", "run-q"),
        ("[ -f /run/x ] || { if true; then tidy up; fi; }", "tidy-up"),
        ("sudo -u www /usr/bin/php /srv/artisan schedule:run", "artisan"),
        ("bash -lc 'cd /srv && ./nightly.sh'", "nightly"),
        ("su - ann -c 'nightly.sh'", "nightly"),
        ("java -jar /opt/report.jar", "report"),
        ("curl 'http://[x'", "curl"),
        (":", "job"),
        ("cd /", "job"),
    ],
)
def test_ids_say_what_is_done(command: str, expected: str) -> None:
    assert readable_id(command) == expected


def test_a_comment_names_what_the_command_does_not() -> None:
    assert readable_id("curl -s https://example.org/x", "Ping the monitor") == "ping-the-monitor"
    assert readable_id("q", "Sends what is left in the queue of today") == "sends-what-is-left-in"
    assert readable_id("backup.sh", "Copies the database") == "backup"


def test_ids_are_unique_and_the_same_entry_is_one_job() -> None:
    entries = parse("0 1 * * * any.sh\n0 2 * * * any.sh\n0 1 * * * any.sh\n0 3 * * * but.sh\n").entries
    found = jobs_of(entries, HERE, known={}, taken=["any"])
    assert [each.job_id for each in found] == ["any-2", "any-3", "but"]
    assert found[0].hints == ("runs once where cron runs twice: line 3 says the same as line 1",)
    origins = {str(each.document["origin"]): each.job_id for each in found}
    again = jobs_of(entries, HERE, known=origins, taken=list(origins.values()))
    assert [(each.job_id, each.document) for each in again] == [("any-2", {}), ("any-3", {}), ("but", {})]


@given(some.lists(some.text(some.characters(exclude_categories=("C", "Z")), max_size=20), max_size=4))
def test_what_follows_a_percent_sign_is_standard_input(lines: list[str]) -> None:
    bare = [line.replace("\\", "") for line in lines]
    escaped = [line.replace("%", "\\%") for line in bare]
    made, _ = job(f"0 3 * * * cat # it is{''.join('%' + line for line in escaped)}")
    assert isinstance(made.run.work, Shell)
    ended = subprocess.run(
        ["/bin/sh", "-c", made.run.work.command], input=b"", capture_output=True, check=True, timeout=60
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
        jobs = jobs_of(parsed.entries, HERE, known={}, taken=[])
        for each in jobs:
            assert each.job_id


def test_a_single_line_that_names_a_user_is_no_command_of_ones_own() -> None:
    read = parse("0 3 * * * root /usr/bin/one\n0 4 * * * /usr/bin/two\n0 5 * * * mail x\n@reboot y\n")
    kept = without_users(read, is_user=lambda name: name in ("root", "mail"), is_program=lambda name: name == "mail")
    assert [entry.command for entry in kept.entries] == ["/usr/bin/two", "mail x"]
    assert [left.line for left in kept.left] == [1, 4]
    assert "begins with root, a user of this machine" in kept.left[0].why
