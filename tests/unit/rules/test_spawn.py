"""Whether a run may start what it asks for: one rule, which says everything that stands against it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.rules.spawn import Asker, Counted, as_child, longer_than, objections
from ocs.rules.spawn_jobs import runs_as
from ocs.rules.tasks import BUILT_IN, Wish
from ocs.spec import Job, Spawn, parse, unsupported
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


def of_its_own(**document: Any) -> list[str]:
    job = parse({"id": "clean-up", "run": "rm -r build", **document})
    asker = replace(ASKER, grant=Spawn(jobs="shell"))
    return [str(problem) for problem in objections(asker, [job], NONE_YET)]


def an_agents(**agent: Any) -> dict[str, Any]:
    return {"run": {"agent": {"message": "Look.", **agent}}, "deliver": {"when": "always", "to": "inbox:main"}}


def test_a_job_that_a_run_makes_runs_once_as_one_of_the_built_in_templates() -> None:
    later = {"schedule": {"at": "2027-01-01T00:00:00Z"}}
    assert of_its_own(**later) == of_its_own(**an_agents(agent="ann", session="task"), retry={"max": 2}) == []
    shell = Job.model_validate(runs_as(parse({"id": "clean-up", "run": "rm -r build", **later})))
    assert (shell.id, shell.name, shell.schedule, shell.approval.required) == ("subshell", "clean-up", None, True)
    assert shell.approval.on_timeout == "reject"
    agent = Job.model_validate(runs_as(parse({"id": "look", **an_agents()})))
    assert (agent.id, agent.name, agent.document()["run"]["agent"]["session"]) == ("subagent", "look", "task")
    assert (unsupported(shell), unsupported(agent)) == ([], [])


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"run": {"shell": {"command": "x", "secrets": {"A": "a"}}}}, "run.shell.secrets: is not for"),
        ({"run": {"shell": {"command": "x", "inherit_env": True}}}, "run.shell.inherit_env: is not for"),
        ({"run": {"shell": "x", "timeout": "3h"}}, "run.timeout: is longer than 2h"),
        ({"run": {"main": "x"}}, "run.main: is not allowed"),
        (an_agents(session="main"), "run.agent.session: is not for"),
        (an_agents(check="rm -r ."), "run.agent.check: is not for"),
        ({**an_agents(), "deliver": {"when": "always", "to": "telegram:9"}}, 'to: "telegram:9" is an address'),
        ({"schedule": "* * * * *"}, "schedule: is a time"),
        ({"spawn": {"may": ["coder"]}}, "spawn: is not for a job that a run makes"),
        ({"approval": {"required": True, "on_timeout": "approve"}}, "approval: is not for"),
        ({"after": {"job": "other"}}, "after: is not for"),
        ({"limits": {"pool": "p"}}, "limits: is not for"),
        ({"on_event": [{"expect": "x"}]}, "on_event: is not for"),
    ],
)
def test_what_a_job_that_a_run_makes_may_not_say(document: dict[str, Any], told: str) -> None:
    (said,) = of_its_own(**document)
    assert said.startswith(told)


def test_which_jobs_a_run_may_make() -> None:
    job = parse({"id": "clean-up", "run": "rm -r build"})
    for grant, told in (
        (Spawn(may=("coder",)), ["run.shell: is not allowed: spawn.jobs is none"]),
        (Spawn(jobs="agent"), ["run.shell: is not allowed: spawn.jobs is agent"]),
        (Spawn(jobs="shell"), []),
    ):
        assert [str(problem) for problem in objections(replace(ASKER, grant=grant), [job], NONE_YET)] == told
    reader = replace(ASKER, grant=Spawn(jobs="shell"), read_only=True)
    assert [problem.path for problem in objections(reader, [job], NONE_YET)] == ["run.shell"]
