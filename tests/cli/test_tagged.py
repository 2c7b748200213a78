"""What is done for all jobs with a tag; each by itself."""

from __future__ import annotations

import pytest

from tests.cli.command import Ocs


@pytest.fixture
def chain(ocs: Ocs) -> Ocs:
    ocs.write("a-parent", "id: a-parent\ntags: [old]\nrun: 'true'\n")
    ocs.write("b-child", "id: b-child\ntags: [old, slow]\nafter: {job: a-parent}\nrun: 'true'\n")
    ocs.write("other", "id: other\nrun: 'true'\n")
    return ocs


def enabled(ocs: Ocs) -> dict[str, bool]:
    return {job["id"]: job["enabled"] for job in ocs.json("jobs", "list", "--all")["jobs"]}


def test_jobs_are_switched_by_their_tag(chain: Ocs) -> None:
    assert chain("jobs", "disable", "--tag", "old").status == 0
    assert enabled(chain) == {"a-parent": False, "b-child": False, "other": True}
    answer = chain.json("jobs", "enable", "--tag", "slow")
    assert [each["job"]["id"] for each in answer["jobs"]] == ["b-child"]
    assert enabled(chain) == {"a-parent": False, "b-child": True, "other": True}


def test_children_are_removed_before_their_parents(chain: Ocs) -> None:
    assert chain("jobs", "remove", "--tag", "old", "--yes").status == 0
    assert list(enabled(chain)) == ["other"]


def test_what_goes_wrong_with_one_harms_no_other(chain: Ocs) -> None:
    chain.write("c-other", "id: c-other\ntags: [old]\nrun: 'true'\n")
    chain.write("d-child", "id: d-child\nafter: {job: c-other}\nrun: 'true'\n")
    answer = chain.json("jobs", "remove", "--tag", "old", status=1)
    assert [each["job"] for each in answer["jobs"]] == ["b-child", "a-parent"]
    assert "d-child" in answer["errors"][0]["message"]
    assert sorted(enabled(chain)) == ["c-other", "d-child", "other"]


@pytest.mark.parametrize("given", [[], ["other", "--tag", "old"]])
@pytest.mark.parametrize("command", ["enable", "disable", "remove", "run"])
def test_either_a_job_or_a_tag_is_named(chain: Ocs, command: str, given: list[str]) -> None:
    assert chain.json("jobs", command, *given, status=2)["error"]["message"].startswith("Name one job")


def test_a_tag_that_no_job_has_is_told_with_those_there_are(chain: Ocs) -> None:
    refused = chain.json("jobs", "disable", "--tag", "none", status=1)["error"]
    assert refused["hint"] == "There are: old, slow"
