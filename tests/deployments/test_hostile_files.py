"""What cannot be a job is told with its file and line, before anything is built of it, and hides no other problem."""

from __future__ import annotations

import os
import socket
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import text

from deployments import catalogue, reading, yaml_text
from deployments.crontab import parse
from deployments.yaml_bounds import DEEPEST, MOST_DIGITS, MOST_VALUES, TooMuch
from ocs.errors import InvalidJob

STEPS = [f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]" for before, after in pairwise("abcdefghi")]
BOMB = "\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *STEPS])
GOOD = "id: good\nrun: ls\n"
BAD = "id: bad\nretires: 1\nrun: ls\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    jobs = tmp_path / "deployments" / "jobs"
    jobs.mkdir(parents=True)
    (jobs / "good.yaml").write_text(GOOD)
    (jobs / "bad.yaml").write_text(BAD)
    return tmp_path


def wrong_with(project: Path, name: str = "hostile.yaml") -> tuple[int | None, str]:
    """What is said of that file; the good one is still a job, and the other bad one is told too."""
    found = catalogue.read(project)
    assert list(found.jobs) == ["good"]
    told = {Path(problem.file or "").name: problem for problem in found.problems}
    assert told["bad.yaml"].line == 2
    (problem,) = [each for each in found.problems if Path(each.file or "").name == name]
    return problem.line, problem.message


@pytest.mark.parametrize(
    ("document", "line", "words"),
    [
        (f"id: hostile\n{BOMB}\nrun: ls\n", 6, "has more than 50,000 values, its aliases spelled out"),
        ("id: hostile\nrun: &me [*me]\n", 2, "*me refers to what it stands in"),
        ("id: hostile\nrun: &me {a: {b: *me}}\n", 2, "*me refers to what it stands in"),
        ("id: hostile\nrun: " + "[" * 20_000, 2, f"is nested more than {DEEPEST} levels deep"),
        ("id: hostile\nrun: " + "{a: " * 20_000, 2, f"is nested more than {DEEPEST} levels deep"),
        ("id: hostile\nrun:\n" + "".join(" " * n + "a:\n" for n in range(1, 200)), None, "nested more than"),
        ("id: hostile\nrun: " + "- " * 20_000, None, ""),
        ('{"id": "hostile",\n"run": ' + "[" * 5_000 + "]" * 5_000 + "}", 2, "is nested more than"),
        (f"id: hostile\nrun: {'9' * 5_000}\n", 2, "is a number of 5,000 digits"),
        (f"id: hostile\nrun: -{'9' * 500}\n", 2, "is a number of 501 digits"),
        (f"id: hostile\nrun: 0x{'f' * 5_000}\n", 2, "is a number of 5,002 digits"),
        (f"id: hostile\nrun: 1.{'0' * 5_000}\n", 2, "is a number of 5,002 digits"),
        (f"id: hostile\n{'9' * 500}: 1\nrun: ls\n", 2, "is a number of 500 digits"),
        (f"%YAML 1.1\n---\nid: hostile\nrun: 1{':59' * 2_000}\n", 4, "digits"),
        (f'id: hostile\nrun: !!int "{"9" * 5_000}"\n', 2, "is a number of 5,000 digits"),
        ('id: hostile\nrun: !!float "x"\n', 1, "a value cannot be read"),
        ('id: hostile\nrun: !!int "x"\n', 1, "a value cannot be read"),
        ("id: hostile\nrun: !!python/object/apply:os.system [true]\n", 2, "is not YAML"),
        ("id: hostile\nenv:\n" + "".join(f"- {n}\n" for n in range(MOST_VALUES)), MOST_VALUES - 2, "has more than"),
        ("id: hostile\nrun: ls\n#" + "x" * reading.LARGEST, None, "is larger than 1MiB"),
    ],
    ids=lambda value: value[:20].replace("\n", " ") if isinstance(value, str) else None,
)
def test_what_is_too_much_is_told_and_hides_nothing(project: Path, document: str, line: int | None, words: str) -> None:
    (project / "deployments" / "jobs" / "hostile.yaml").write_text(document)
    told_at, told = wrong_with(project)
    assert words in told
    assert line is None or told_at == line
    assert len(told) < 300


def test_thousands_of_problems_of_one_file_cost_one_reading_of_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = 0
    made = yaml_text._round_trip  # pyright: ignore[reportPrivateUsage]

    def counted() -> Any:
        nonlocal readings
        readings += 1
        return made()

    monkeypatch.setattr(yaml_text, "_round_trip", counted)
    many = "".join(f"unknown-{number}: 1\n" for number in range(300))
    (project / "deployments" / "jobs" / "many.yaml").write_text(f"id: many\nrun: ls\n{many}")
    found = catalogue.read(project)
    lines = [problem.line for problem in found.problems if (problem.file or "").endswith("many.yaml")]
    assert lines == list(range(3, 303))
    assert readings <= 3


def special(path: Path, kind: str) -> None:
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "link to a pipe":
            os.mkfifo(path.with_suffix(".pipe"))
            path.symlink_to(path.with_suffix(".pipe"))
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "link to itself":
            path.symlink_to(path)
        case "link to nothing":
            path.symlink_to(path.with_suffix(".gone"))
        case _:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(path))
            listening.close()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("pipe", "is no regular file"),
        ("link to a pipe", "is no regular file"),
        ("link to a device", "is no regular file"),
        ("socket", "is no regular file"),
        ("folder", "cannot be read: Is a directory"),
        ("link to itself", "cannot be read"),
        ("link to nothing", "cannot be read: No such file"),
    ],
)
def test_only_regular_files_are_read(project: Path, kind: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "deployments" / "jobs")  # a socket's name is short
    special(Path("hostile.yaml"), kind)
    assert words in wrong_with(project)[1]


def test_a_link_to_a_job_is_read_and_an_edit_goes_to_the_file_it_leads_to(project: Path) -> None:
    (project / "deployments" / "jobs" / "bad.yaml").unlink()
    kept, link = project / "kept.yaml", project / "deployments" / "jobs" / "linked.yaml"
    kept.write_text("id: linked\nrun: ls  # as it was\n")
    link.symlink_to(kept)
    catalogue.set_values(project, "linked", {"enabled": False})
    assert link.is_symlink()
    assert "enabled: false" in kept.read_text()
    assert "# as it was" in kept.read_text()


def test_so_many_files_and_no_more(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MOST_FILES", 2)
    (project / "deployments" / "jobs" / "hostile.yaml").write_text("id: hostile\nrun: ls\n")
    assert "of a project at most 2 files" in wrong_with(project)[1]


def test_so_much_text_and_no_more(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MOST_TEXT", len(GOOD) + len(BAD) - 1)
    (project / "deployments" / "jobs" / "hostile.yaml").write_text("id: hostile\nrun: ls\n")
    assert "is not read" in wrong_with(project)[1]


def test_a_hostile_name_of_the_project_is_none(project: Path) -> None:
    (project / "prefect.yaml").write_bytes(b"name: \xff\xfe\n")
    assert catalogue.read(project).name == project.name
    (project / "prefect.yaml").write_text(f"name: {'9' * 5_000}\n")
    assert catalogue.read(project).name == project.name
    (project / "prefect.yaml").unlink()
    os.mkfifo(project / "prefect.yaml")
    assert catalogue.read(project).name == project.name


@pytest.mark.parametrize("kind", ["pipe", "folder", "too large", "no text"])
def test_what_is_named_is_read_as_carefully(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "named.yaml"
    if kind == "too large":
        path.write_bytes(b"#" * (reading.LARGEST + 1))
    elif kind == "no text":
        path.write_bytes(b"\xff\xfe")
    else:
        special(path, kind)
    with pytest.raises(InvalidJob) as refused:
        reading.read_text(path, "named.yaml")
    assert [problem.file for problem in refused.value.problems] == ["named.yaml"]


def test_aliases_that_stand_for_little_are_read() -> None:
    document = "id: good\nx: &x {a: 1}\ny: [*x, *x]\nz: {<<: *x, b: 2}\n"
    assert yaml_text.load(document)["z"] == {"a": 1, "b": 2}


def test_the_longest_number_is_still_one() -> None:
    assert yaml_text.load("9" * MOST_DIGITS) == int("9" * MOST_DIGITS)
    with pytest.raises(TooMuch):
        yaml_text.load("9" * (MOST_DIGITS + 1))


@given(text())
def test_no_text_breaks_the_reader(document: str) -> None:
    found = catalogue.read_files({"x.yaml": document})
    assert found.jobs or found.problems


def test_a_crontab_of_assignments_costs_what_it_is_long() -> None:
    lines = "".join(f"V{number}=1\n0 3 * * * true\n" for number in range(2_000))
    found = parse(lines)
    assert len(found.entries) == 2_000
    assert max(len(entry.environment) for entry in found.entries) == 100
    assert {line.why for line in found.left} == {"is one variable more than the 100 that are read"}
