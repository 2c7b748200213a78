"""What an agent's call of a tool means, and what is wrong with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.errors import InvalidJob, OcsError, Refused
from ocs.rules.prompt import build
from ocs.rules.spawn_tools import DISPATCH, SCHEDULE, offered, wish_of
from ocs.rules.tasks import Wish
from ocs.spec import Agent, Spawn, parse

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ONE, TWO = Spawn(may=("coder",)), Spawn(may=("coder", "research"))


def asked(name: str = DISPATCH, grant: Spawn = ONE, **arguments: Any) -> Wish:
    return wish_of(name, json.dumps(arguments), grant, agent="main", now=NOW)


def test_a_call_is_a_wish_whose_result_the_asking_agent_hears() -> None:
    plain = asked(text="Look.", label="look")
    assert plain == Wish(text="Look.", label="look", template="coder", tell=("main",))
    later = asked(SCHEDULE, TWO, text="Look.", label="look", template="research", at="2h", to="ops", timeout="5m")
    assert (later.at, later.template, later.timeout) == (NOW + timedelta(hours=2), "research", "5m")
    assert (later.to, later.tell) == (("ops",), ())
    assert asked(SCHEDULE, text="x", label="y", at="2026-12-24T08:00:00+01:00", tell="ann").tell == ("ann",)


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        ({}, ["text", "label"]),
        ({"text": "x", "label": ""}, ["label"]),
        ({"text": 1, "label": "\0", "check": "rm"}, ["check", "text", "label"]),
        ({"text": "x", "label": "y", "at": "2h"}, ["at"]),
    ],
)
def test_everything_that_is_wrong_with_a_call_is_told(arguments: dict[str, Any], paths: list[str]) -> None:
    with pytest.raises(InvalidJob) as wrong:
        asked(**arguments)
    assert [problem.path for problem in wrong.value.problems] == paths


def test_a_template_and_a_time_are_asked_for_where_they_are_needed() -> None:
    with pytest.raises(InvalidJob) as wrong:
        asked(SCHEDULE, TWO, text="x", label="y")
    assert [problem.path for problem in wrong.value.problems] == ["template", "at"]
    for at in ("soon", "2026-12-24T08:00:00", "2028-01-01T00:00:00Z", "500d", "99999999999999h"):
        with pytest.raises(Refused):
            asked(SCHEDULE, text="x", label="y", at=at)
    described = {tool["function"]["name"]: tool["function"]["parameters"] for tool in offered(TWO)}
    assert described[DISPATCH]["required"] == ["text", "label", "template"]
    assert described[SCHEDULE]["required"] == ["text", "label", "template", "at"]
    assert described[DISPATCH]["properties"]["template"]["enum"] == ["coder", "research"]


@given(st.sampled_from([DISPATCH, SCHEDULE, "exec", ""]), st.text(max_size=40) | st.just("[" * 100_000))
def test_garbage_is_refused_and_nothing_else_happens(name: str, arguments: str) -> None:
    with pytest.raises(OcsError):
        wish_of(name, arguments, ONE, agent="main", now=NOW)


def test_an_agent_is_told_that_it_may() -> None:
    document = {"id": "a", "run": {"agent": "Look."}, "deliver": {"when": "never", "opt_out_reason": "x"}}
    for spawn, there in ((None, False), ({"may": ["coder", "research"]}, True)):
        job = parse({**document, **({"spawn": spawn} if spawn else {})})
        assert isinstance(job.run.work, Agent)
        said = build(job, job.run.work)
        assert ("client:client:ocs_dispatch" in said, "Templates: coder, research." in said) == (there, there)
