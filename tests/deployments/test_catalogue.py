"""The catalogue: all problems of all files at once with file and line; edits that keep comments or change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments import catalogue, prefect_yaml
from deployments.yaml_text import load
from ocs.errors import InvalidJob, NotFound


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "deployments" / "jobs").mkdir(parents=True)
    (tmp_path / "prefect.yaml").write_text("name: house\n")
    return tmp_path


def put(project: Path, name: str, text: str | bytes) -> Path:
    path = project / "deployments" / "jobs" / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def told(project: Path) -> list[str]:
    return [str(problem).removeprefix("deployments/jobs/") for problem in catalogue.read(project).problems]


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        ({"a.yaml": "id: a\nrun: [\n"}, ["a.yaml:3  is not YAML: expected the node content, but found"]),
        ({"a.yaml": "id: a\nid: b\nrun: x\n"}, ['a.yaml:2  "id" stands twice in one group; keep one']),
        ({"a.yaml": b"id: \xff\xfe"}, ["a.yaml:1  is not UTF-8 text"]),
        ({"a.yaml": "- a\n- b\n"}, ["a.yaml:1  is not a job"]),
        ({"a.yaml": ""}, ["a.yaml:1  is not a job"]),
        ({"a.yaml": "id: b\nrun: x\n"}, ['a.yaml:1  id: is "b", but the file is called a.yaml']),
        ({"a.yaml": "id: a\nrun: x\nretires: 3\n"}, ["a.yaml:3  retires: unknown key. Nearest: retry."]),
        (
            {"a.yaml": 'id: a\nschedule:\n  cron: "0 0 30 2 *"\n  timezone: Mars\nrun: x\n'},
            ['a.yaml:3  schedule.cron: "0 0 30 2 *" never happens', "a.yaml:4  schedule.timezone:"],
        ),
        (
            {"a.yaml": "id: a\nrun: x\nafter: {job: bee}\n", "bees.yaml": "id: bees\nrun: x\n"},
            ['a.yaml:3  after.job: there is no job "bee". Nearest: bees.'],
        ),
        (
            {"a.yaml": "id: a\nrun: x\nafter:\n  job: b\n", "b.yaml": "id: b\nrun: x\nafter:\n  job: a\n"},
            ["a.yaml:4  after.job: runs in a circle", "b.yaml:4  after.job: runs in a circle"],
        ),
        (
            {"a.yaml": "id: a\nrun: {shell: {command: x}, timeout: 5x}\n", "b.yaml": "id: b\n"},
            ["a.yaml:2  run.timeout:", "b.yaml:1  run: is missing"],
        ),
        *(
            (
                {"a.yaml": f"id: a\nrun:\n  shell:\n    command: x\n    env: {{PORT: {written}}}\n"},
                [f'a.yaml:5  run.shell.env.PORT: must be text; put it in quotes: "{written}"'],
            )
            for written in ("08", "0x1F", "1.10", "1e3", "true", "1_000")
        ),
        ({"a.yaml": '{"id": "a", "run": "echo \\ud83c"}'}, ["a.yaml:1  run: must be text in Unicode"]),
        ({"a.yaml": "id: a\nrun: x\n", "a.yml": "id: a\nrun: y\n"}, ["a.yml:1  id: stands in a.yaml too"]),
    ],
)
def test_bad_input_is_told_with_file_and_line(
    project: Path, files: dict[str, str | bytes], problems: list[str]
) -> None:
    for name, text in files.items():
        put(project, name, text)
    found = told(project)
    assert len(found) == len(problems), found
    for said, expected in zip(found, problems, strict=True):
        assert said.startswith(expected)


def test_what_cannot_be_read_is_told_beside_the_rest(project: Path) -> None:
    put(project, "good.yaml", "id: good\nrun: x\n")
    (project / "deployments" / "jobs" / "folder.yaml").mkdir()
    (project / "deployments" / "jobs" / "link.yaml").symlink_to("nowhere")
    assert told(project) == [
        "folder.yaml  cannot be read: Is a directory",
        "link.yaml  cannot be read: No such file or directory",
    ]
    assert list(catalogue.read(project).jobs) == ["good"]


def test_the_depth_of_a_chain_is_limited(project: Path) -> None:
    put(project, "j0.yaml", "id: j0\nrun: x\n")
    for level in range(1, 11):
        put(project, f"j{level}.yaml", f"id: j{level}\nrun: x\nafter: {{job: j{level - 1}}}\n")
    (only,) = told(project)
    assert only.startswith("j10.yaml:3  after.job: is level 11 of a chain")


def test_thirty_files_of_which_three_are_broken(project: Path) -> None:
    for number in range(27):
        put(project, f"good-{number}.yaml", f"id: good-{number}\nrun: x\n")
    for number in range(3):
        put(project, f"bad-{number}.yaml", f"id: bad-{number}\nrun: 7\n")
    found = catalogue.read(project)
    assert len(found.jobs) == 27
    with pytest.raises(InvalidJob, match="3 problems in 3 of 30 files"):
        found.checked()


COMMENTED = """\
# The nightly report.
id: report      # its name
schedule: "0 2 * * *"   # at night
run: ./report.sh   # a short form
tags: [a, b]
"""


def test_an_edit_keeps_comments_order_and_quotes(project: Path) -> None:
    path = put(project, "report.yaml", COMMENTED)
    catalogue.set_values(project, "report", {"enabled": False})
    assert path.read_text() == COMMENTED + "enabled: false\n"


def test_an_edit_of_a_short_form_opens_it(project: Path) -> None:
    path = put(project, "report.yaml", COMMENTED)
    catalogue.set_values(project, "report", {"run.timeout": "10m", "schedule.timezone": "Europe/Vienna"})
    document = load(path.read_text())
    assert document["run"] == {"shell": "./report.sh", "timeout": "10m"}
    assert document["schedule"] == {"cron": "0 2 * * *", "timezone": "Europe/Vienna"}


@pytest.mark.parametrize(
    "values", [{"schedule.cron": "never"}, {"retires": 3}, {"run.shell.command": ""}, {"after.job": "nobody"}]
)
def test_a_bad_edit_changes_nothing(project: Path, values: dict[str, object]) -> None:
    path = put(project, "report.yaml", COMMENTED)
    with pytest.raises(InvalidJob):
        catalogue.set_values(project, "report", values)
    assert path.read_text() == COMMENTED
    assert [found.name for found in path.parent.iterdir()] == ["report.yaml"]


def test_a_job_that_is_not_there_cannot_be_edited(project: Path) -> None:
    with pytest.raises(NotFound, match='no job "nobody"'):
        catalogue.set_values(project, "nobody", {"enabled": False})


def test_a_parent_cannot_be_removed_and_a_leaf_can(project: Path) -> None:
    put(project, "a.yaml", "id: a\nrun: x\n")
    put(project, "b.yaml", "id: b\nrun: x\nafter: {job: a}\n")
    with pytest.raises(InvalidJob):
        catalogue.remove(project, "a")
    catalogue.remove(project, "b")
    assert list(catalogue.remove(project, "a").jobs) == []


def test_a_moment_is_read_in_the_zone_of_its_schedule(project: Path) -> None:
    put(project, "a.yaml", "id: a\nrun: x\nschedule: {at: 2027-02-01T16:00:00, timezone: Europe/Vienna}\n")
    schedule = catalogue.read(project).checked().jobs["a"].schedule
    assert schedule is not None
    assert schedule.moment is not None
    assert schedule.moment.isoformat() == "2027-02-01T15:00:00+00:00"


def test_the_generated_file_changes_only_with_the_jobs(project: Path) -> None:
    put(project, "a.yaml", "id: a\nrun: echo {{ x }}\nschedule: '@daily'\n")
    path = prefect_yaml.regenerate(catalogue.read(project))
    first, written = path.read_text(), path.stat().st_mtime_ns
    prefect_yaml.regenerate(catalogue.read(project))
    assert path.stat().st_mtime_ns == written
    assert catalogue.read(project).name == "house"
    put(project, "a.yaml", "id: a\nrun: echo changed\n")
    prefect_yaml.regenerate(catalogue.read(project))
    assert path.read_text() != first
