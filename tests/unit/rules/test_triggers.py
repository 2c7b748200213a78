"""Which children follow the end of a run."""

from __future__ import annotations

from typing import Any

import pytest

from ocs.rules.dispatch import RunStatus
from ocs.rules.triggers import children_to_fire, matches
from ocs.spec import Job, Match


def child(name: str, **after: Any) -> Job:
    return Job.model_validate({"id": name, "run": "true", "after": {"job": "parent", **after}})


FAMILY = [child("s", on="success"), child("f", on="failure"), child("c", on="complete")]


@pytest.mark.parametrize(
    ("status", "fired"),
    [
        (RunStatus.OK, ["c", "s"]),
        (RunStatus.ERROR, ["c", "f"]),
        (RunStatus.TIMEOUT, ["c", "f"]),
        (RunStatus.CRASHED, ["c", "f"]),
        (RunStatus.CANCELLED, []),
        (RunStatus.SKIPPED, []),
    ],
)
def test_children_by_how_the_parent_ended(status: RunStatus, fired: list[str]) -> None:
    assert [job.id for job in children_to_fire(FAMILY, status, "", 25).jobs] == fired


@pytest.mark.parametrize(
    ("condition", "content", "fulfilled"),
    [
        ({"contains": "rows"}, "rows: 3", True),
        ({"contains": "Rows"}, "rows: 3", False),
        ({"regex": r"rows: [1-9]"}, "so\nrows: 3", True),
        ({"regex": r"^rows"}, "no rows", False),
        ({"jsonpath": "$.rows[?@ > 2]"}, '{"rows": [1, 3]}', True),
        ({"jsonpath": "$.rows[?@ > 5]"}, '{"rows": [1, 3]}', False),
        ({"jsonpath": "$.rows"}, "not json", False),
        ({"jsonpath": "$.rows"}, '{"rows": null}', True),
    ],
)
def test_conditions(condition: dict[str, str], content: str, fulfilled: bool) -> None:
    assert matches(Match.model_validate(condition), content) is fulfilled


def test_an_expression_that_explodes_is_given_up_and_told() -> None:
    """W44: catastrophic backtracking stalls nobody."""
    fired = children_to_fire([child("slow", match={"regex": r"(a|a)+\1b$"})], RunStatus.OK, "a" * 5000 + "c", 25)
    assert not fired.jobs
    assert "slow did not run: its expression took longer" in fired.notes[0]


def test_the_fan_out_is_cut_after_matching_and_always_the_same() -> None:
    family = [child(f"c{number:02}", match={"contains": "x" if number % 2 else "y"}) for number in range(40)]
    fired = children_to_fire(list(reversed(family)), RunStatus.OK, "x", 5)
    assert [job.id for job in fired.jobs] == ["c01", "c03", "c05", "c07", "c09"]
    assert len(fired.notes) == 15


def test_disabled_children_and_strangers_are_left_alone() -> None:
    disabled = Job.model_validate({**child("d").document(), "enabled": False})
    root = Job.model_validate({"id": "root", "run": "true"})
    assert children_to_fire([disabled, root], RunStatus.OK, "", 25).jobs == ()
