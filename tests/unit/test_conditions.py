"""What children want of an output is told in a bounded time, whatever they want and whatever was said."""

from __future__ import annotations

import asyncio
from typing import Any

from ocs.rules.dispatch import RunStatus
from ocs.spec import Job
from tasks.conditions.evaluate import NOT_ASKED, TOO_LONG, answers

EXPLODES = {"jsonpath": "$[?match(@, '(a|a)+')]"}
"""Evaluated by an engine that has no limit of its own, and that holds the interpreter while it is at it."""
MANY = '["' + "a" * 40 + '!"]'


def child(name: str, **match: str) -> Job:
    document: dict[str, Any] = {"job": "parent", "match": match}
    return Job.model_validate({"id": name, "run": "true", "after": document})


async def test_each_kind_of_condition_is_answered() -> None:
    family = [child("c", contains="rows"), child("r", regex=r"rows\W+7"), child("j", jsonpath="$.rows[?@ > 5]")]
    assert await answers(family, RunStatus.OK, '{"rows": [1, 3]}') == {"c": True, "r": False, "j": False}
    assert await answers(family, RunStatus.OK, '{"rows": [7], "x": "rows: 7"}') == {"c": True, "r": True, "j": True}


async def test_a_condition_that_explodes_is_given_up_and_its_siblings_are_not() -> None:
    """W44: the loop goes on meanwhile; the regular expression has another engine than the path has."""
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.01)

    beating = asyncio.create_task(beat())
    family = [
        child("bad", **EXPLODES),
        child("good", regex="a"),
        child("worse", regex=r"(a|a)+\1b$"),
        child("x", regex="z"),
    ]
    told = await answers(family, RunStatus.OK, MANY)
    beating.cancel()
    assert told == {"bad": TOO_LONG, "good": True, "worse": TOO_LONG, "x": False}
    assert beats > 10


async def test_what_many_children_want_is_bounded_too() -> None:
    told = await answers([child(f"c{number}", **EXPLODES) for number in range(5)], RunStatus.OK, MANY)
    assert [*told.values()] == [TOO_LONG] * 3 + [NOT_ASKED] * 2


async def test_an_output_that_is_nested_a_hundred_thousand_levels_is_told() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert await answers([child("c", jsonpath="$..rows")], RunStatus.OK, deep) == {
        "c": "the output is nested too deeply"
    }


async def test_runs_that_end_at_once_are_answered_each_for_itself() -> None:
    one = [child("c", regex="^a$")]
    outputs = ["a", "b"] * 10
    told = await asyncio.gather(*(answers(one, RunStatus.OK, output) for output in outputs))
    assert [each["c"] for each in told] == [output == "a" for output in outputs]
