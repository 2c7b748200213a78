"""What a gateway says of a session's sub-agents, in the shapes that were seen on the real one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.rules.subagents import at_rest, how_many_run, last_said, listed


def repr_of(given: object) -> str:
    return repr(given)[:9]


def task(status: str, delivery: str, **fields: Any) -> dict[str, Any]:
    return {"taskId": "t", "runtime": "subagent", "status": status, "deliveryStatus": delivery, **fields}


@pytest.mark.parametrize(
    ("details", "rests", "running"),
    [
        ({}, True, 0),
        ({"tasks": [task("running", "pending")], "active": [{"runId": "r"}]}, False, 1),
        ({"tasks": [task("completed", "pending")], "active": []}, False, 0),
        ({"tasks": [task("cancelled", "pending")], "active": []}, False, 0),
        ({"tasks": [task("completed", "delivered")], "active": []}, True, 0),
        ({"tasks": [task("cancelled", "session_queued")], "active": []}, True, 0),
        ({"tasks": [], "active": [{"runId": "r"}]}, False, 1),
        ({"tasks": [task("running", "pending", runtime="cron")], "active": []}, True, 0),
        ({"tasks": [task("queued", "pending", runtime="acp")], "active": []}, False, 1),
    ],
)
def test_a_session_rests_when_no_sub_agent_works_or_owes_it_its_end(
    details: dict[str, Any], rests: bool, running: int
) -> None:
    family = listed(details)
    assert (at_rest(family), how_many_run(family)) == (rests, running)
    assert at_rest(listed(details, {"t", "r"}))


def test_a_sign_of_life_makes_the_list_another_one() -> None:
    lists = [{"tasks": [task("running", "pending", execution={"lastActivityAt": at})]} for at in (1, 2)]
    assert listed(lists[0]) != listed(lists[1])


@pytest.mark.parametrize("at", [10**400, -(10**400), float("nan"), float("inf"), "soon", None], ids=repr_of)
def test_a_sign_of_life_that_is_no_number_is_none(at: Any) -> None:
    assert listed({"tasks": [task("running", "pending", execution={"lastActivityAt": at})]})[0].seen == 0.0


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], None),
        ([{"role": "assistant", "content": "All well.", "stopReason": "stop"}], "All well."),
        (
            [
                {"role": "assistant", "content": [{"type": "text", "text": "First."}], "stopReason": "stop"},
                {"role": "assistant", "content": [{"type": "toolCall"}], "stopReason": "toolUse"},
                {"role": "assistant", "content": [{"type": "text", "text": ""}], "stopReason": "aborted"},
                {"role": "user", "content": "more", "stopReason": "stop"},
            ],
            "First.",
        ),
    ],
)
def test_the_last_words_are_those_of_the_last_answer_that_was_ended(items: list[Any], said: str | None) -> None:
    assert last_said({"items": items}) == said


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["tasks", "active", "items", "content"]), inner),
)


@given(st.dictionaries(st.sampled_from(["tasks", "active", "items"]), ANYTHING))
def test_nonsense_says_nothing(answer: dict[str, Any]) -> None:
    listed(answer)
    last_said(answer)
