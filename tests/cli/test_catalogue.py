"""The catalogue from the command line: looking needs no server, and a bad change changes nothing."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.command import Ocs

JOB_KEYS = {
    "id",
    "name",
    "enabled",
    "kind",
    "schedule",
    "parent",
    "next_run",
    "last_status",
    "last_run",
    "deployment_id",
}
HELLO = "id: hello  # says hello\nschedule: '0 3 * * *'\n# the work\nrun: echo hello\n"


def files(ocs: Ocs) -> dict[str, str]:
    return {path.name: path.read_text() for path in ocs.folder.rglob("*.yaml")}


def test_a_new_project_teaches_in_commented_jobs_and_offers_a_backup(outside: Ocs) -> None:
    made = outside.json("init", "mine")
    assert "deployments/jobs/hello.yaml" in made["files"]
    inside = Ocs(outside.folder / "mine", outside.home, mother=outside.mother)
    assert inside.json("jobs", "validate")["jobs"] == ["backup", "disk-alarm", "hello", "tell-somebody"]
    backup, hello = inside.json("jobs", "tree")["tree"]
    assert (backup["id"], backup["enabled"]) == ("backup", False)
    (alarm,) = hello["children"]
    (tell,) = alarm["children"]
    assert (hello["id"], "matching" in alarm["runs"], tell["enabled"]) == ("hello", True, False)
    for path in (inside.folder / "deployments" / "jobs").iterdir():
        first, *comments = path.read_text().splitlines()[:4]
        assert all(line.startswith("#") for line in comments)
        assert first.startswith("# yaml-language-server: $schema=")
        schema = (path.parent / first.partition("=")[2]).resolve()
        assert json.loads(schema.read_text()) == inside.json("schema", "job")["schema"]
    assert "hello" in (inside.folder / "prefect.yaml").read_text()
    assert (inside.folder / ".gitignore").exists()


@pytest.mark.parametrize(
    ("template", "jobs"),
    [
        ("shell", ["hello"]),
        ("chain", ["disk-alarm", "hello", "tell-somebody"]),
        ("agent", ["morning-brief"]),
        ("approval", ["publish"]),
        ("backup", ["backup"]),
    ],
)
def test_a_project_begins_with_a_template(outside: Ocs, template: str, jobs: list[str]) -> None:
    said = outside("init", "mine", "--template", template)
    inside = Ocs(outside.folder / "mine", outside.home)
    assert inside.json("jobs", "validate")["jobs"] == jobs
    assert all(f"{job}.yaml" in said.out for job in jobs)
    tried = re.search(r"ocs jobs run (\S+) --wait", said.out)
    assert tried is None or tried[1] in jobs
    (outside.folder / "other").mkdir()
    both = outside.json("init", "other", "--template", "approval", "--template", template)
    assert [name for name in both["files"] if "/jobs/" in name] == sorted(
        f"deployments/jobs/{job}.yaml" for job in {"publish", *jobs}
    )


def test_a_template_that_is_none_makes_nothing(outside: Ocs) -> None:
    assert outside.json("init", "mine", "--template", "novel", status=2)["error"]["code"] == "usage"
    assert not (outside.folder / "mine").exists()


def test_a_project_is_not_overwritten(outside: Ocs) -> None:
    outside.json("init")
    before = files(outside)
    assert outside.json("init", status=1)["error"]["code"] == "refused"
    assert files(outside) == before


@pytest.mark.parametrize("name", ["prefect.yaml", "deployments/defaults.yaml", ".gitignore"])
def test_init_writes_through_no_link(outside: Ocs, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine"
    link = outside.folder / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(mine)
    outside.json("init", status=0 if name == ".gitignore" else 1)
    assert (mine.exists(), link.is_symlink()) == (False, True)


def test_init_where_nobody_may_write(outside: Ocs) -> None:
    (outside.folder / "file").write_text("")
    assert "cannot be written" in outside.json("init", "file/project", status=1)["error"]["message"]


def test_the_list_shows_what_is_there(ocs: Ocs) -> None:
    ocs.write("hello", HELLO)
    ocs.write("child", "id: child\nafter: {job: hello}\nrun: 'true'\ntags: [night]\n")
    ocs.write("off", "id: off\nenabled: false\nschedule: {every: 5m}\nrun: 'true'\n")
    jobs = {job["id"]: job for job in ocs.json("jobs", "list", "--all")["jobs"]}
    assert set(jobs) == {"hello", "child", "off"}
    assert all(set(job) >= JOB_KEYS for job in jobs.values())
    assert jobs["hello"]["next_run"].endswith("T03:00:00Z")
    assert (jobs["child"]["parent"], jobs["child"]["next_run"]) == ("hello", None)
    assert (jobs["off"]["enabled"], jobs["off"]["next_run"]) == (False, None)
    assert [job["id"] for job in ocs.json("jobs", "list")["jobs"]] == ["child", "hello"]
    assert [job["id"] for job in ocs.json("jobs", "list", "--tag", "night")["jobs"]] == ["child"]
    said = ocs("jobs", "list")
    assert "04:00:00 +0100" in said.out or "05:00:00 +0200" in said.out
    assert "--all" in said.err


def test_an_empty_list_says_how_to_make_the_first_job(ocs: Ocs) -> None:
    assert "ocs jobs add" in ocs("jobs", "list").out
    assert "ocs jobs run" in ocs("runs", "list").out
    assert ocs.json("jobs", "list")["jobs"] == []
    assert ocs.json("runs", "list")["runs"] == []
    assert ocs.json("idem", "list")["keys"] == []


def test_the_list_shows_the_good_jobs_beside_a_broken_one(ocs: Ocs) -> None:
    ocs.write("hello", HELLO)
    ocs.write("broken", "id: broken\nrun: [\n")
    said = ocs("jobs", "list", "--json")
    assert [job["id"] for job in said.json["jobs"]] == ["hello"]
    assert "broken.yaml" in said.err


def test_show_has_the_job_and_its_document(ocs: Ocs) -> None:
    ocs.write("hello", HELLO)
    job = ocs.json("jobs", "show", "hello")["job"]
    assert set(job) >= JOB_KEYS
    assert job["document"]["run"]["shell"]["command"] == "echo hello"
    assert "# says hello" in ocs("jobs", "show", "hello").out


def test_preview_gives_the_next_times_in_both_zones(ocs: Ocs) -> None:
    ocs.write("hello", HELLO)
    times = [datetime.fromisoformat(time) for time in ocs.json("jobs", "preview", "hello", "-n", "3")["times"]]
    assert len(times) == 3
    assert times == sorted(times)
    assert all((time.hour, time.minute) == (3, 0) and time > datetime.now(UTC) for time in times)
    shown = ocs("jobs", "preview", "hello", "-n", "1").out.splitlines()[1]
    assert shown.split()[-1].endswith("Z")
    assert "+0" in shown


def test_preview_of_a_job_without_times_says_when_it_runs(ocs: Ocs) -> None:
    ocs.write("hello", "id: hello\nrun: echo\n")
    ocs.write("child", "id: child\nafter: {job: hello, on: failure}\nrun: 'true'\n")
    assert "by hand" in ocs("jobs", "preview", "hello").out
    assert "after hello" in ocs("jobs", "preview", "child").out
    assert ocs.json("jobs", "preview", "child")["times"] == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("id: bad\nrun: [\n", 3, "not YAML"),
        ("id: bad\nid: bad\nrun: echo\n", 2, "twice"),
        ("id: bad\nretires: 3\nrun: echo\n", 2, "retry"),
        ("id: bad\nschedule: '0 0 30 2 *'\nrun: echo\n", 2, "never happens"),
        ("id: bad\nschedule:\n  every: 5m\n  timezone: Europe/Wien\nrun: echo\n", 4, "Wien"),
        ("id: bad\nafter: {job: nobody}\nrun: echo\n", 2, "nobody"),
        ("id: other\nrun: echo\n", 1, "file"),
        ("- bad\n", 1, "not a job"),
    ],
)
def test_validate_says_what_is_wrong_and_where(ocs: Ocs, text: str, line: int, words: str) -> None:
    ocs.write("hello", HELLO)
    ocs.write("bad", text)
    answer = ocs.json("jobs", "validate", status=1)
    (problem, *_) = answer["errors"]
    assert problem["file"] == "deployments/jobs/bad.yaml"
    assert problem["line"] == line
    assert words in problem["message"]
    assert "hello" in answer["jobs"]
    said = ocs("jobs", "validate")
    assert said.status == 1
    assert f"deployments/jobs/bad.yaml:{line}" in said.err


def test_validate_tells_all_problems_at_once(ocs: Ocs) -> None:
    ocs.write("a", "id: a\nrun: {timeout: soon}\nretires: 1\n")
    ocs.write("b", "id: b\nafter: {job: c}\nrun: echo\n")
    ocs.write("c", "id: c\nafter: {job: b}\nrun: echo\n")
    problems = ocs.json("jobs", "validate", status=1)["errors"]
    assert {problem["file"].rpartition("/")[2] for problem in problems} >= {"a.yaml"}
    assert {"run.timeout", "retires"} <= {problem["path"] for problem in problems}
    assert any("b.yaml" in problem["file"] or "c.yaml" in problem["file"] for problem in problems)


def test_validate_reads_files_and_standard_input(outside: Ocs) -> None:
    (outside.folder / "one.yaml").write_text(HELLO)
    assert outside.json("jobs", "validate", "one.yaml")["jobs"] == ["hello"]
    said = outside("jobs", "validate", "-", "--json", stdin="id: x\nrun: {}\n")
    assert said.status == 1
    assert said.json["errors"][0]["file"] == "-"
    assert outside.json("jobs", "validate", "none.yaml", status=1)["error"]["code"] == "not_found"


def test_validate_takes_binary_files_for_what_they_are(outside: Ocs) -> None:
    (outside.folder / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in outside.json("jobs", "validate", "binary.yaml", status=1)["errors"][0]["message"]


def test_validate_warns_of_what_is_not_supported_yet(ocs: Ocs) -> None:
    ocs.write("careful", "id: careful\ncontract: {sandbox: strict}\nrun: echo\n")
    said = ocs("jobs", "validate")
    assert said.status == 0
    assert "contract" in said.err
    assert "not supported yet" in said.err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--shell", "true"), {"run": "true"}),
        (
            ("--cron", "0 3 * * *", "--shell", "true"),
            {"schedule": {"cron": "0 3 * * *", "timezone": "Europe/Vienna"}, "run": "true"},
        ),
        (("--every", "15m", "--shell", "true"), {"schedule": {"every": "15m"}}),
        (
            ("--rrule", "FREQ=DAILY", "--shell", "true"),
            {"schedule": {"rrule": "FREQ=DAILY", "timezone": "Europe/Vienna"}},
        ),
        (
            ("--rrule", "FREQ=DAILY;UNTIL=20400101T000000Z", "--shell", "true"),
            {"schedule": {"rrule": "FREQ=DAILY;UNTIL=20400101T000000Z"}},
        ),
        (
            ("--at", "2040-01-01T00:00", "--shell", "true"),
            {"schedule": {"at": "2040-01-01T00:00", "timezone": "Europe/Vienna"}},
        ),
        (("--at", "2040-01-01T00:00:00Z", "--shell", "true"), {"schedule": {"at": "2040-01-01T00:00:00Z"}}),
        (
            ("--cron", "@daily", "--timezone", "Europe/Vienna", "--shell", "true"),
            {"schedule": {"cron": "@daily", "timezone": "Europe/Vienna"}},
        ),
        (("--after", "hello", "--on", "failure", "--shell", "true"), {"after": {"job": "hello", "on": "failure"}}),
        (
            ("--cron", "@daily", "--timezone", "UTC", "--shell", "true"),
            {"schedule": {"cron": "@daily", "timezone": "UTC"}},
        ),
        (
            ("--after", "hello", "--match", "rows", "--shell", "true", "--set", "after.delay=30s"),
            {"after": {"job": "hello", "match": "rows", "delay": "30s"}},
        ),
        (
            ("--shell", "dump", "--secret", "PGPASSWORD=pg-report", "--approval", "--deliver", "ops"),
            {
                "run": {"shell": {"command": "dump", "secrets": {"PGPASSWORD": "pg-report"}}},
                "approval": True,
                "deliver": {"to": "ops"},
            },
        ),
        (
            ("--shell", "true", "--set", "limits.pool=database", "--set", "run.guarantee=at-least-once"),
            {"limits": {"pool": "database"}, "run": {"shell": "true", "guarantee": "at-least-once"}},
        ),
        (
            ("--shell", "env", "--env", "A=1=2", "--env", "B=", "--cwd", "/tmp", "--timeout", "1h", "--retry", "2"),
            {
                "run": {"shell": {"command": "env", "cwd": "/tmp", "env": {"A": "1=2", "B": ""}}, "timeout": "1h"},
                "retry": {"max": 2},
            },
        ),
        (("--shell", "true", "--tag", "x", "--tag", "y", "--description", "Why"), {"tags": ["x", "y"]}),
    ],
)
def test_add_writes_what_was_asked_for(ocs: Ocs, options: tuple[str, ...], expected: dict[str, object]) -> None:
    from deployments.yaml_text import load

    ocs.write("hello", HELLO)
    answer = ocs.json("jobs", "add", "new", *options)
    assert (answer["job"]["id"], answer["deployed"]) == ("new", False)
    written = load((ocs.folder / "deployments" / "jobs" / "new.yaml").read_text())
    assert {key: written[key] for key in expected} == expected
    assert written["origin"]
    assert "new" in (ocs.folder / "prefect.yaml").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cron", "0 3 * * *"), r"^First due: 20\d\d-\d\d-\d\d 03:00:00 \+0[12]00\.$"),
        (
            ("--cron", "0 3 * * *", "--timezone", "Asia/Tokyo"),
            r"^First due: .* 03:00:00 \+0900 Asia/Tokyo; here .* (19|20):00:00 \+0[12]00\.$",
        ),
        (("--deliver", "ops"), r"^Told of failures only: ops\..* --set deliver.when=always$"),
    ],
)
def test_add_says_when_it_runs_first_and_who_hears_of_what(ocs: Ocs, options: tuple[str, ...], said: str) -> None:
    assert re.search(said, ocs("jobs", "add", "new", *options, "--shell", "true").out, flags=re.MULTILINE)


def test_the_projects_defaults_are_in_every_job(ocs: Ocs) -> None:
    defaults = ocs.folder / "deployments" / "defaults.yaml"
    defaults.write_text("timezone: Asia/Tokyo\ndeliver: {to: ops}\n")
    ocs.json("jobs", "add", "new", "--cron", "@daily", "--shell", "true")
    assert "Asia/Tokyo" in files(ocs)["new.yaml"]
    shown = ocs("jobs", "show", "new").out
    assert "From deployments/defaults.yaml" in shown
    assert "deliver.to  ops" in shown
    assert re.search(r"^successes are told +nobody *\nfailures are told +ops", shown, flags=re.MULTILINE)
    assert ocs.json("jobs", "show", "new")["job"]["document"]["deliver"] == {"to": ["ops"]}
    assert "- ops" in (ocs.folder / "prefect.yaml").read_text()
    defaults.write_text("# whom to tell\ndeliver: {to: ops, wen: always}\n")
    (wrong,) = ocs.json("jobs", "validate", status=1)["errors"]
    assert (wrong["file"], wrong["line"], wrong["path"]) == ("deployments/defaults.yaml", 2, "deliver.wen")


def test_add_in_a_while_is_once_at_a_moment_with_its_offset(ocs: Ocs) -> None:
    before = datetime.now(UTC)
    ocs.json("jobs", "add", "soon", "--in", "1.5h", "--shell", "true")
    (moment,) = ocs.json("jobs", "preview", "soon")["times"]
    assert timedelta(hours=1.5) - timedelta(seconds=2) <= datetime.fromisoformat(moment) - before
    assert datetime.fromisoformat(moment) - before <= timedelta(hours=1.6)


def test_add_at_a_time_that_is_past_is_refused(ocs: Ocs) -> None:
    before = files(ocs)
    error = ocs.json("jobs", "add", "late", "--at", "2020-02-01T16:00:00Z", "--shell", "true", status=1)["error"]
    assert "2020-02-01 16:00:00 UTC is past" in error["message"]
    assert files(ocs) == before


def test_add_without_a_server_says_what_rolls_it_out(ocs: Ocs) -> None:
    said = ocs("jobs", "add", "new", "--shell", "true")
    assert said.status == 0
    assert "ocs deploy" in said.err
    assert "--no-deploy" in ocs("jobs", "add", "more", "--shell", "true", "--no-deploy").err


@pytest.mark.parametrize(
    "options",
    [
        ("--cron", "0 0 30 2 *", "--shell", "true"),
        ("--every", "5m", "--cron", "@daily", "--shell", "true"),
        ("--after", "nobody", "--shell", "true"),
        ("--after", "hello", "--on", "sometimes", "--shell", "true"),
        ("--after", "hello", "--every", "5m", "--shell", "true"),
        ("--every", "5m"),
        ("--shell", "true", "--timeout", "soon"),
        ("--shell", "true", "--retry", "-1"),
        ("--shell", "true", "--set", "limits.pol=database"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_bad_add_changes_nothing(ocs: Ocs, options: tuple[str, ...], dry: tuple[str, ...]) -> None:
    ocs.write("hello", HELLO)
    before = files(ocs)
    answer = ocs.json("jobs", "add", "new", *options, *dry, status=1)
    assert answer["error"]["code"] == "invalid_job"
    assert answer["errors"]
    assert files(ocs) == before


def test_a_job_that_is_there_is_not_overwritten(ocs: Ocs) -> None:
    ocs.write("hello", HELLO)
    assert "already" in ocs.json("jobs", "add", "hello", "--shell", "true", status=1)["error"]["message"]
    assert files(ocs)["hello.yaml"] == HELLO


def test_what_is_not_supported_yet_is_refused_before_it_is_written(ocs: Ocs) -> None:
    text = "id: careful\ncontract: {sandbox: strict}\nrun: echo\n"
    said = ocs("jobs", "add", "--file", "-", "--json", stdin=text)
    assert said.status == 1
    assert said.json["errors"][0]["path"] == "contract.sandbox"
    assert "careful.yaml" not in files(ocs)


def test_a_dry_run_shows_the_document_and_writes_nothing(ocs: Ocs) -> None:
    before = files(ocs)
    answer = ocs.json("jobs", "add", "new", "--shell", "echo hello", "--dry-run")
    assert answer["document"]["run"]["shell"]["command"] == "echo hello"
    assert "run: echo hello" in ocs("jobs", "add", "new", "--shell", "echo hello", "--dry-run").out
    assert files(ocs) == before


def test_a_file_is_added_as_it_is_with_its_comments(ocs: Ocs) -> None:
    (ocs.folder / "given").write_text(HELLO)
    ocs.json("jobs", "add", "--file", "given")
    assert files(ocs)["hello.yaml"] == HELLO


def test_a_file_may_leave_the_id_to_the_command_line_and_may_be_json(ocs: Ocs) -> None:
    assert ocs("jobs", "add", "a", "--file", "-", stdin="run: echo a\n").status == 0
    assert ocs("jobs", "add", "--file", "-", stdin='{"id": "b", "run": "echo b"}').status == 0
    assert ocs.json("jobs", "validate")["jobs"] == ["a", "b"]


def test_a_file_is_the_whole_document(ocs: Ocs) -> None:
    assert ocs("jobs", "add", "--file", "-", "--timeout", "5m", stdin=HELLO).status == 2
    assert ocs("jobs", "add", "other", "--file", "-", stdin=HELLO).status == 2
    assert ocs("jobs", "add", "--file", "no-such-file").status == 1
    assert "hello.yaml" not in files(ocs)


def test_disabling_and_enabling_keeps_the_rest_as_it_was_written(ocs: Ocs) -> None:
    ocs.write("hello", HELLO)
    assert ocs.json("jobs", "disable", "hel")["job"]["enabled"] is False
    assert files(ocs)["hello.yaml"] == HELLO + "enabled: false\n"
    assert "paused: true" in (ocs.folder / "prefect.yaml").read_text()
    assert ocs.json("jobs", "enable", "hello")["job"]["enabled"] is True
    assert files(ocs)["hello.yaml"] == HELLO + "enabled: true\n"


def test_a_change_beside_a_broken_file_is_refused(ocs: Ocs) -> None:
    ocs.write("hello", HELLO)
    ocs.write("broken", "id: broken\nrun: [\n")
    assert ocs.json("jobs", "disable", "hello", status=1)["errors"][0]["file"].endswith("broken.yaml")
    assert ocs.json("jobs", "show", "broken", status=1)["errors"][0]["file"].endswith("broken.yaml")
    assert files(ocs)["hello.yaml"] == HELLO


def test_removing_a_job_takes_its_file(ocs: Ocs) -> None:
    ocs.write("hello", HELLO)
    assert ocs.json("jobs", "remove", "hello") == {
        "ok": True,
        "job": "hello",
        "removed": True,
        "deployment_removed": False,
    }
    assert "hello.yaml" not in files(ocs)
    assert "hello" not in (ocs.folder / "prefect.yaml").read_text()


def test_a_broken_job_can_be_removed(ocs: Ocs) -> None:
    ocs.write("broken", "id: broken\nrun: [\n")
    ocs.json("jobs", "remove", "broken")
    assert "broken.yaml" not in files(ocs)


def test_a_parent_is_not_removed(ocs: Ocs) -> None:
    ocs.write("hello", HELLO)
    ocs.write("child", "id: child\nafter: {job: hello}\nrun: 'true'\n")
    assert "child" in ocs.json("jobs", "remove", "hello", status=1)["error"]["message"]
    assert "hello.yaml" in files(ocs)


def test_schemas_are_json_in_both_forms(outside: Ocs) -> None:
    for name in ("job", "run"):
        assert outside.json("schema", name)["schema"] == outside("schema", name).json
    run = outside("schema", "run").json
    assert {"id", "status", "children", "deliveries"} <= set(run["required"])


def test_a_project_in_a_folder_with_somebody_elses_flows(ocs: Ocs, tmp_path: Path) -> None:
    for name in ("flows", "tasks", "deployments"):
        (ocs.folder / name).mkdir(exist_ok=True)
        (ocs.folder / name / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    ocs.write("hello", HELLO)
    assert ocs.json("jobs", "validate")["jobs"] == ["hello"]


def test_what_tells_nobody_is_named_and_the_defaults_can_be_refused(ocs: Ocs) -> None:
    (ocs.folder / "deployments" / "defaults.yaml").write_text("deliver: {to: ops, on_failure: night}\n")
    ocs.write("quiet", "id: quiet\nrun: 'true'\ndeliver: {when: never}\n")
    assert ocs("jobs", "validate").status == 0
    ocs.write("quiet", "id: quiet\nrun: 'true'\ndeliver: {when: never, on_failure: night}\n")
    (wrong,) = ocs.json("jobs", "validate", status=1)["errors"]
    assert (wrong["path"], wrong["line"]) == ("deliver.on_failure", 3)


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--match", "x"], "--after"), (["--on", "failure"], "--after"), (["--timezone", "UTC"], "zone of a schedule")],
)
@pytest.mark.parametrize("parent", [[], ["--after", "hello"]])
def test_options_that_belong_to_another_one_name_it(ocs: Ocs, parent: list[str], options: list[str], told: str) -> None:
    if parent and options[0] != "--timezone":
        return
    refused = ocs.json("jobs", "add", "new", "--shell", "true", *parent, *options, status=2)["error"]
    assert told in f"{refused['message']} {refused['hint']}"
    ocs.json("jobs", "add", "set", "--shell", "true", "--timezone", "UTC", "--set", "schedule.cron=@daily")
