"""Changing jobs: comments and order stay, a bad change changes nothing, a job can be taken elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Ocs

HELLO = "# first of all\nid: hello  # says hello\nschedule: '0 3 * * *'\n\n# the work\nrun: echo hello\ntags: [night]\n"
CHILD = "id: child\nafter: {job: hello, on: failure, match: {contains: oops}, delay: 1m}\nrun: 'true'\n"


def text(ocs: Ocs, job: str) -> str:
    return (ocs.folder / "deployments" / "jobs" / f"{job}.yaml").read_text()


@pytest.fixture
def hello(ocs: Ocs) -> Ocs:
    ocs.write("hello", HELLO)
    ocs.write("child", CHILD)
    return ocs


def script(folder: Path, lines: str) -> str:
    """An editor: a program that changes the file it is given."""
    path = folder / "editor.sh"
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return str(path)


def test_values_are_set_and_comments_and_order_stay(hello: Ocs) -> None:
    answer = hello.json("jobs", "edit", "hel", "--set", "run.timeout=20m", "--set", "retry.max=2")
    assert (answer["job"]["id"], answer["deployed"]) == ("hello", False)
    changed = text(hello, "hello")
    for kept in ("# first of all\n", "# says hello\n", "# the work\n", "schedule: '0 3 * * *'\n", "tags: [night]\n"):
        assert kept in changed
    assert changed.index("schedule") < changed.index("run:") < changed.index("tags") < changed.index("retry")
    document = hello.json("jobs", "show", "hello")["job"]["document"]
    assert document["run"] == {"shell": {"command": "echo hello"}, "timeout": "20m"}
    assert document["retry"]["max"] == 2
    assert "timeout: 20m" in hello.folder.joinpath("prefect.yaml").read_text()


def test_null_takes_a_value_away(hello: Ocs) -> None:
    hello.json("jobs", "edit", "hello", "--set", "tags=null", "--set", "schedule=null")
    assert "tags" not in text(hello, "hello")
    assert hello.json("jobs", "show", "hello")["job"]["schedule"] is None


@pytest.mark.parametrize(
    ("setting", "path", "words"),
    [
        ("run.timout=20m", "run.timout", "Nearest: timeout"),
        ("retry.max=many", "retry.max", "whole number"),
        ("schedule=0 0 30 2 *", "schedule", "never happens"),
        ("after.job=nobody", "after.job", 'no job "nobody"'),
        ("after.job=child", "after.job", "child"),
    ],
)
def test_a_bad_value_is_named_with_its_place_and_changes_nothing(
    hello: Ocs, setting: str, path: str, words: str
) -> None:
    change = ["--set", setting, *(["--set", "schedule=null"] if setting.startswith("after") else [])]
    answer = hello.json("jobs", "edit", "hello", *change, status=1)
    problems = [problem for problem in answer["errors"] if problem["path"].startswith(path)]
    assert problems, answer
    assert words in " ".join(problem["message"] for problem in problems)
    assert all(problem["file"].startswith("deployments/jobs/") for problem in answer["errors"])
    assert (text(hello, "hello"), text(hello, "child")) == (HELLO, CHILD)


def test_what_a_broken_parent_breaks_is_told_once(hello: Ocs) -> None:
    answer = hello.json("jobs", "edit", "hello", "--set", "retry.max=many", status=1)
    assert [problem["path"] for problem in answer["errors"]] == ["retry.max"]


@pytest.mark.parametrize("setting", ["run.timeout", "=3", "run..timeout=3", "id=other"])
def test_what_is_no_setting_is_wrong_usage(hello: Ocs, setting: str) -> None:
    assert hello.json("jobs", "edit", "hello", "--set", setting, status=2)["error"]["code"] == "usage"
    assert text(hello, "hello") == HELLO


def test_a_file_that_is_not_yaml_is_not_set_into(hello: Ocs) -> None:
    hello.write("hello", "id: hello\nrun: [\n")
    assert hello.json("jobs", "edit", "hello", "--set", "retry.max=1", status=1)["errors"][0]["line"] == 3


def test_without_a_terminal_there_is_no_editor(hello: Ocs) -> None:
    assert "--set" in hello.json("jobs", "edit", "hello", status=2)["error"]["hint"]


def test_an_editor_changes_the_file(hello: Ocs, tmp_path: Path) -> None:
    said = hello.at_terminal("jobs", "edit", "hello", EDITOR=script(tmp_path, 'sed -i s/0.3/0\\ 4/ "$1"'))
    assert said.status == 0, said
    assert text(hello, "hello") == HELLO.replace("0 3", "0 4")
    said = hello.at_terminal("jobs", "edit", "hello", EDITOR="true", VISUAL="")
    assert "as it was" in said.out


def test_an_editor_that_fails_changes_nothing(hello: Ocs, tmp_path: Path) -> None:
    for editor in (script(tmp_path, 'echo broken > "$1"; exit 3'), "no-such-editor", "'"):
        said = hello.at_terminal("jobs", "edit", "hello", EDITOR=editor)
        assert said.status == 1
        assert "editor" in said.err
        assert "Traceback" not in said.err
        assert text(hello, "hello") == HELLO


def test_an_editor_that_takes_the_file_away_changes_nothing(hello: Ocs) -> None:
    said = hello.at_terminal("jobs", "edit", "hello", EDITOR="rm")
    assert said.status == 1
    assert "left no file" in said.err
    assert text(hello, "hello") == HELLO


def test_a_file_that_is_no_text_is_not_edited(hello: Ocs) -> None:
    path = hello.folder / "deployments" / "jobs" / "hello.yaml"
    path.write_bytes(b"id: hello\nrun: \xff\n")
    answer = hello.json("jobs", "edit", "hello", "--set", "run=x", status=1)
    assert answer["errors"][0]["file"] == "deployments/jobs/hello.yaml"
    assert "UTF-8" in answer["errors"][0]["message"]


def test_a_bad_draft_is_told_and_can_be_mended_or_left(hello: Ocs, tmp_path: Path) -> None:
    mends = 'if grep -q oops "$1"; then sed -i s/oops/4/ "$1"; else sed -i "s/0 3/oops 3/" "$1"; fi'
    said = hello.at_terminal("jobs", "edit", "hello", typed="n\n", EDITOR=script(tmp_path, mends))
    assert said.status == 1
    assert "schedule" in said.err
    assert text(hello, "hello") == HELLO
    said = hello.at_terminal("jobs", "edit", "hello", typed="y\n", EDITOR=script(tmp_path, mends))
    assert said.status == 0, said
    assert text(hello, "hello") == HELLO.replace("0 3", "4 3")


def test_an_edit_to_a_moment_that_is_past_writes_nothing(hello: Ocs) -> None:
    path = hello.folder / "deployments" / "jobs" / "hello.yaml"
    before = path.read_text()
    changes = ("--set", "schedule=null", "--set", "schedule.at=2020-01-01T00:00:00Z")
    error = hello.json("jobs", "edit", "hello", *changes, status=1)["error"]
    assert "is past; nothing was written" in error["message"]
    assert path.read_text() == before


def test_what_is_destroyed_is_named_as_a_whole_and_asked_for_at_a_terminal(hello: Ocs) -> None:
    path = hello.folder / "deployments" / "jobs" / "child.yaml"
    error = hello.json("jobs", "remove", "chi", status=1)["error"]
    assert "ocs jobs remove child" in error["hint"]
    assert hello.at_terminal("jobs", "remove", "child", typed="n\n").status == 1
    assert path.exists()
    assert hello.at_terminal("jobs", "remove", "child", "--yes").status == 0
    assert not path.exists()


def test_the_tree_shows_who_runs_after_whom(hello: Ocs) -> None:
    hello.write("alone", "id: alone\nenabled: false\nrun: 'true'\n")
    branches = {branch["id"]: branch for branch in hello.json("jobs", "tree")["tree"]}
    assert set(branches) == {"hello", "alone"}
    (child,) = branches["hello"]["children"]
    assert (child["id"], child["children"]) == ("child", [])
    assert child["runs"] == "on failure, matching 'oops', 1m later"
    said = hello("jobs", "tree").out
    assert "child  on failure, matching 'oops', 1m later" in said
    assert "(disabled)" in said


def test_a_job_is_exported_as_written_and_can_be_added_elsewhere(hello: Ocs, tmp_path: Path) -> None:
    assert hello("jobs", "export", "hello").out == HELLO
    everything = hello("jobs", "export").out
    assert everything.count("\n---\n") == 1
    assert [job["id"] for job in hello.json("jobs", "export")["jobs"]] == ["child", "hello"]
    elsewhere = Ocs(tmp_path / "elsewhere", hello.home, mother=hello.mother)
    elsewhere.folder.mkdir()
    elsewhere.json("init")
    for starter in ("tell-somebody", "disk-alarm", "hello"):
        elsewhere.json("jobs", "remove", starter)
    assert elsewhere("jobs", "add", "--file", "-", stdin=HELLO).status == 0
    assert text(elsewhere, "hello") == HELLO


def test_an_export_has_every_job_that_is_whole_and_names_the_others(hello: Ocs) -> None:
    hello.write("broken", "id: broken\nrun: echo\nschedule: '*/90 * * * *'\n")
    exported = hello("jobs", "export")
    assert exported.status == 1
    assert HELLO.rstrip() in exported.out
    assert "write every: 90m" in exported.err
    told = hello.json("jobs", "export", status=1)
    assert [job["id"] for job in told["jobs"]] == ["child", "hello"]
    assert hello("jobs", "export", "hello").out == HELLO


def test_ocs_alone_says_where_one_stands(outside: Ocs) -> None:
    said = outside()
    assert said.status == 0
    assert "none here" in said.out
    assert "ocs init" in said.out
    assert outside.json()["project"] is None


def test_ocs_alone_in_a_project_shows_what_comes_next(hello: Ocs) -> None:
    for number in range(4):
        hello.write(f"j{number}", f"id: j{number}\nschedule: {{every: {number + 1}h}}\nrun: 'true'\n")
    answer = hello.json()
    assert answer["project"]["jobs"] == 6
    assert len(answer["next"]) == 3
    assert [entry["at"] for entry in answer["next"]] == sorted(entry["at"] for entry in answer["next"])
    assert answer["steps"][0] == "ocs up --detach"
    hello.write("broken", "id: broken\nrun: [\n")
    said = hello().out
    assert "1 file with problems" in said
    assert "ocs jobs validate" in said
