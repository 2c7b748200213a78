"""What was read of job files is kept, found again for the same text only, and never needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployments import catalogue, prefect_yaml, yaml_cache, yaml_text
from deployments.yaml_cache import Documents

JOB = 'id: hello\nschedule: "0 3 * * *"\nrun: echo hello\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OCS_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    jobs = tmp_path / "project" / "deployments" / "jobs"
    jobs.mkdir(parents=True)
    (jobs / "hello.yaml").write_text(JOB)
    return tmp_path / "project"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were read as YAML."""
    texts: list[str] = []
    load = yaml_text.load

    def noted(text: str) -> Any:
        texts.append(text)
        return load(text)

    monkeypatch.setattr(yaml_text, "load", noted)
    return texts


def kept(project: Path) -> Path:
    (found,) = (project.parent / "home" / "cache").glob("*.documents.json")
    return found


def test_what_has_not_changed_is_read_once(project: Path, parsed: list[str]) -> None:
    first = catalogue.read(project)
    assert parsed == [JOB]
    assert catalogue.read(project) == first
    assert parsed == [JOB]


def test_a_file_of_the_same_size_and_time_is_read_anew(project: Path, parsed: list[str]) -> None:
    path = project / "deployments" / "jobs" / "hello.yaml"
    catalogue.read(project)
    before = path.stat()
    path.write_text(JOB.replace("echo hello", "echo jello"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert catalogue.read(project).jobs["hello"].document()["run"] == {"shell": {"command": "echo jello"}}


def test_other_code_reads_anew(project: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue.read(project)
    monkeypatch.setattr(yaml_cache, "_reader", lambda: "of another version")
    catalogue.read(project)
    assert parsed == [JOB, JOB]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
        lambda file: file.write_text(file.read_text().replace("hello", "jello")),
        lambda file: file.write_text("[]"),
        lambda file: file.write_bytes(b"\xff\xfe"),
        lambda file: file.write_text(""),
        lambda file: file.chmod(0o666),
        lambda file: (file.unlink(), file.mkdir(mode=0o700)),
        lambda file: file.unlink(),
    ],
    ids=["cut in half", "changed", "of another kind", "no text", "empty", "anybody could write it", "a folder", "gone"],
)
def test_what_is_not_whole_is_as_good_as_none(project: Path, parsed: list[str], spoil: Callable[[Path], Any]) -> None:
    first = catalogue.read(project)
    spoil(kept(project))
    assert catalogue.read(project) == first
    assert parsed == [JOB, JOB]


def test_a_home_that_cannot_be_written_costs_nothing_but_time(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.parent / "home" / "cache").write_text("a file")
    assert list(catalogue.read(project).jobs) == ["hello"]


def test_a_home_is_not_made_by_looking(project: Path) -> None:
    (project.parent / "home").rmdir()
    assert list(catalogue.read(project).jobs) == ["hello"]
    assert not (project.parent / "home").exists()


def test_files_that_are_gone_are_forgotten(project: Path) -> None:
    catalogue.read(project)
    assert "echo hello" in kept(project).read_text()
    (project / "deployments" / "jobs" / "hello.yaml").unlink()
    catalogue.read(project)
    assert "echo hello" not in kept(project).read_text()


def test_what_is_kept_is_for_its_owner_alone(project: Path) -> None:
    catalogue.read(project)
    assert kept(project).stat().st_mode & 0o777 == 0o600
    assert kept(project).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "text",
    [
        "1: a",
        "true: a",
        "null: a",
        "a: .nan",
        "a: !!set {b}",
        "a: !!binary aGk=",
        "a: [1, 1.0, true, 0x10, -0.0]",
        "- 1",
        "x",
    ],
)
def test_a_document_comes_back_as_it_was_read(project: Path, text: str) -> None:
    read = yaml_text.load(text)
    for _ in range(2):
        documents = Documents(project)
        again = documents.load(text)
        documents.keep()
        assert repr(again) == repr(read)


def test_what_is_no_yaml_is_said_each_time(project: Path) -> None:
    (project / "deployments" / "jobs" / "hello.yaml").write_text("id: [")
    first = catalogue.read(project)
    assert first.problems
    assert catalogue.read(project).problems == first.problems


def test_a_project_keeps_its_name_however_long_its_prefect_yaml_is(project: Path) -> None:
    entry = "- {name: x, tags: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t]}\n"
    (project / "prefect.yaml").write_text("name: ours\ndeployments:\n" + entry * 20_000)
    assert catalogue.read(project).name == "ours"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("prefect-version: 3\nbuild: []\nname: ours\n", "ours"),
        ("deployments: [{name: theirs}]\nname: 'ours'\n", "ours"),
        ("pull: {name: theirs}\n", "project"),
        ("- name\n- theirs\n", "project"),
        ("name:\nbuild: []\n", "project"),
        ("name: ~\n", "project"),
        ("build: [\n", "project"),
        ("name: ours\nbuild: [\n", "ours"),
        ("*who: name\n", "project"),
        ("", "project"),
    ],
)
def test_where_the_name_of_a_project_stands(project: Path, text: str, name: str) -> None:
    (project / "prefect.yaml").write_text(text)
    assert catalogue.read(project).name == name


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The documents that were written as YAML for prefect.yaml."""
    documents: list[dict[str, Any]] = []
    write = prefect_yaml._written

    def noted(document: dict[str, Any]) -> str:
        documents.append(document)
        return write(document)

    monkeypatch.setattr(prefect_yaml, "_written", noted)
    return documents


def test_prefect_yaml_is_made_once_of_what_has_not_changed(project: Path, written: list[dict[str, Any]]) -> None:
    path = prefect_yaml.regenerate(catalogue.read(project))
    made = path.read_text()
    prefect_yaml.regenerate(catalogue.read(project))
    assert len(written) == 1
    assert path.read_text() == made


@pytest.mark.parametrize(
    "change",
    [
        lambda project: (project / "prefect.yaml").write_text("name: project\n"),
        lambda project: (project / "prefect.yaml").unlink(),
        lambda project: (project / "deployments" / "jobs" / "hello.yaml").write_text(JOB.replace("3", "4", 1)),
        lambda project: next((project.parent / "home" / "cache").glob("*.prefect-yaml.json")).write_text("{}"),
    ],
    ids=["edited", "gone", "a job has changed", "nothing is known of it"],
)
def test_prefect_yaml_is_made_anew(project: Path, change: Callable[[Path], Any]) -> None:
    prefect_yaml.regenerate(catalogue.read(project))
    change(project)
    found = catalogue.read(project)
    assert prefect_yaml.regenerate(found).read_text() == prefect_yaml.text(found)
