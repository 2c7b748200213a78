"""Which children follow the end of a run."""

from __future__ import annotations

from typing import Any

import pytest

from ocs.rules.dispatch import RunStatus
from ocs.rules.matching import TOO_DEEP, How, matches
from ocs.rules.triggers import children_to_fire, conditions, is_unheard
from ocs.spec import Job


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
    assert [job.id for job in children_to_fire(FAMILY, status, {}, 25).jobs] == fired


@pytest.mark.parametrize(
    ("how", "wanted", "content", "fulfilled"),
    [
        (How.CONTAINS, "rows", "rows: 3", True),
        (How.CONTAINS, "Rows", "rows: 3", False),
        (How.REGEX, r"rows: [1-9]", "so\nrows: 3", True),
        (How.REGEX, r"^rows", "no rows", False),
        (How.JSONPATH, "$.rows[?@ > 2]", '{"rows": [1, 3]}', True),
        (How.JSONPATH, "$.rows[?@ > 5]", '{"rows": [1, 3]}', False),
        (How.JSONPATH, "$.rows", "not json", False),
        (How.JSONPATH, "$.rows", '{"rows": null}', True),
        (How.JSONPATH, "$..rows", "[" * 100_000 + "]" * 100_000, TOO_DEEP),
        (How.JSONPATH, "$..rows", "[" * 100_000, TOO_DEEP),
        (
            How.JSONPATH,
            "$..rows",
            "[" * 900 + "]" * 900,
            "its path cannot be used on this output (recursion limit exceeded)",
        ),
    ],
)
def test_conditions(how: How, wanted: str, content: str, fulfilled: bool | str) -> None:
    assert matches(how, wanted, content) == fulfilled


def test_a_number_of_thousands_of_digits_is_told() -> None:
    answer = matches(How.JSONPATH, "$", "1" * 5000)
    assert isinstance(answer, str)
    assert answer.startswith("the output cannot be read (Exceeds the limit")


def test_only_who_follows_such_an_end_under_a_condition_is_asked_about() -> None:
    family = [*FAMILY, child("ok", match={"regex": "x"}), child("not-ok", on="failure", match={"contains": "y"})]
    assert conditions(family, RunStatus.OK) == {"ok": (How.REGEX, "x")}
    assert conditions(family, RunStatus.ERROR) == {"not-ok": (How.CONTAINS, "y")}
    assert conditions(family, RunStatus.CANCELLED) == {}


def test_what_could_not_be_told_is_a_note() -> None:
    family = [child("a", match={"regex": "x"}), child("b", match={"regex": "x"}), child("c")]
    fired = children_to_fire(family, RunStatus.OK, {"a": "it took too long"}, 25)
    assert [job.id for job in fired.jobs] == ["c"]
    assert fired.notes == ("a did not run: it took too long.", "b did not run: its condition was not evaluated.")


def test_the_fan_out_is_cut_after_matching_and_always_the_same() -> None:
    family = [child(f"c{number:02}", match={"contains": "x"}) for number in range(40)]
    answers = {job.id: bool(number % 2) for number, job in enumerate(family)}
    fired = children_to_fire(list(reversed(family)), RunStatus.OK, answers, 5)
    assert [job.id for job in fired.jobs] == ["c01", "c03", "c05", "c07", "c09"]
    assert len(fired.notes) == 15


def test_disabled_children_and_strangers_are_left_alone() -> None:
    disabled = Job.model_validate({**child("d").document(), "enabled": False})
    root = Job.model_validate({"id": "root", "run": "true"})
    assert children_to_fire([disabled, root], RunStatus.OK, {}, 25).jobs == ()


@pytest.mark.parametrize(
    ("deliver", "children", "unheard"),
    [
        (None, [], True),
        ({"to": "ops"}, [], False),
        ({"when": "never"}, [], False),
        (None, [child("f", on="failure")], False),
        (None, [child("f", on="failure", match={"contains": "disk"})], True),
        (None, [child("c", on="complete"), child("s", on="success")], True),
        (None, [child("f", on="failure").changed({"enabled": False})], True),
    ],
)
def test_nobody_hears_of_a_failure_that_neither_goes_anywhere_nor_says_so(
    deliver: Any, children: list[Job], unheard: bool
) -> None:
    parent = Job.model_validate({"id": "parent", "run": "true", "deliver": deliver})
    assert is_unheard(parent, [parent, *children]) is unheard
