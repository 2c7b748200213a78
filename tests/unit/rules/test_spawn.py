"""Whether a run may start what it asks for: one rule, which says everything that stands against it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.rules.spawn import Asker, Counted, as_child, longer_than, objections
from ocs.rules.tasks import BUILT_IN, Wish
from ocs.spec import Job, Spawn
from ocs.spec.spawn import MOST_OPEN

GRANT = Spawn(may=("coder", "research"))
ASKER = Asker(run_id=uuid4(), root_run=uuid4(), lineage=("nightly",), depth_left=1, grant=GRANT, tells=("telegram:1",))
NONE_YET = Counted(0, 0, 0)
WISH = Wish(text="Look.", label="look", template="coder", quiet=True)


def why(asker: Asker = ASKER, counted: Counted = NONE_YET, **named: Any) -> list[str]:
    return [str(problem) for problem in objections(asker, [replace(WISH, **named)], counted)]


def test_what_its_job_allows_may_be_started() -> None:
    assert why(timeout="5m", model="provider/small", tell=("main",), to=("ops", "telegram:1"), track="reviews") == []


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"label": None}, "label: is missing"),
        ({"template": "nightly"}, 'as: nightly may not start "nightly"; it may start coder, research'),
        ({"agent": "main"}, "agent: is the template's"),
        ({"check": "rm -rf ."}, "check: is a shell command"),
        ({"goes_on_with": "other"}, "continue: is for people"),
        ({"key": "k"}, "key: is for people"),
        ({"pool": "p"}, "pool: is the template's"),
        ({"to": ("telegram:2",)}, 'to: "telegram:2" is an address'),
        ({"to": ("slack-webhook/all",)}, 'to: "slack-webhook/all" is an address'),
    ],
)
def test_what_a_child_may_not_name(named: dict[str, Any], told: str) -> None:
    (said,) = why(**named)
    assert said.startswith(told)


@pytest.mark.parametrize(
    ("counted", "told"),
    [
        (Counted(5, 5, 5), "spawn.max_open: nightly has 5 open tasks, and spawn.max_open is 5."),
        (Counted(0, 30, 0), "spawn.per_hour: nightly has started 30 within the last hour, and spawn.per_hour is 30."),
        (Counted(0, 0, 50), "spawn: 50 that runs have started are open, of all jobs together, and 50 are allowed."),
    ],
)
def test_how_many_there_may_be(counted: Counted, told: str) -> None:
    assert why(counted=counted) == [told]
    fewer = Counted(max(0, counted.open_of_job - 1), max(0, counted.in_the_hour - 1), max(0, counted.open_of_all - 1))
    assert why(counted=fewer) == []


def test_a_generation_too_many_is_told_with_its_line_of_descent() -> None:
    grandchild = replace(ASKER, lineage=("research", "coder"), depth_left=0)
    assert why(grandchild) == [
        "spawn.depth: This task may not start others: spawn.depth is used up (coder <- research)."
    ]
    assert why(replace(ASKER, grant=None)) == ["spawn: nightly may start nothing: its job document has no spawn."]


def test_all_reasons_are_told_at_once() -> None:
    paths = [
        problem.path
        for problem in objections(
            replace(ASKER, depth_left=0),
            [replace(WISH, label=None, template="x", check="true")],
            Counted(9, 99, 99),
        )
    ]
    assert paths == ["spawn.depth", "label", "as", "check", "spawn.max_open", "spawn.per_hour", "spawn"]


@given(
    most=st.integers(1, MOST_OPEN),
    hourly=st.integers(1, 100),
    wanted=st.lists(st.integers(0, 3), max_size=40),
)
def test_whatever_is_asked_for_no_limit_is_ever_exceeded(most: int, hourly: int, wanted: list[int]) -> None:
    asker = replace(ASKER, grant=Spawn(may=("coder",), max_open=most, per_hour=hourly))
    is_open = started = 0
    for ending in wanted:
        is_open = max(0, is_open - ending)
        if not objections(asker, [WISH], Counted(is_open, started, is_open)):
            is_open, started = is_open + 1, started + 1
        assert (is_open <= most, started <= hourly) == (True, True)


def test_a_child_has_no_more_rights_than_its_parent() -> None:
    template = {**BUILT_IN, "id": "coder", "spawn": {"may": ["tester"], "max_open": 50, "per_hour": 2}}
    child = as_child(template, replace(ASKER, read_only=True))
    assert child["run"]["agent"]["read_only"] is True
    assert child["spawn"] == {"may": ["tester"], "max_open": 5, "per_hour": 2}
    assert as_child(BUILT_IN, ASKER) == BUILT_IN
    template_job = Job.model_validate(BUILT_IN)
    longer = template_job.changed({"run": {**BUILT_IN["run"], "timeout": "3h"}})
    assert [problem.path for problem in longer_than(template_job, longer)] == ["timeout"]
    assert longer_than(longer, template_job) == []
