"""What a message in a session's history shows, in the shapes that the real gateway sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.rules.activity import Used, doing, place_of, used


def said(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content), **fields}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "toolCall", "id": "call_1", "name": name, "arguments": arguments}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (said(call("exec", command="pytest -q\n  tests", timeout=3)), "exec: pytest -q tests"),
        (said(call("tool_call", id="sessions_spawn", args={"task": "Look."})), "sessions_spawn: Look."),
        (said(call("sessions_yield")), "sessions_yield"),
        (said(call("read", path="a.py"), call("odd", depth=2)), 'read: a.py; odd: {"depth": 2}'),
        (said({"type": "text", "text": "All well."}, stopReason="stop"), "writes its answer"),
        (said({"type": "text", "text": ""}, stopReason="aborted"), None),
        ({"role": "user", "content": "Go on."}, None),
        ({"role": "custom", "content": [call("exec", command="ls")]}, None),
    ],
)
def test_what_an_agent_does(message: dict[str, Any], shown: str | None) -> None:
    assert doing(message) == shown


def test_what_a_model_call_has_used() -> None:
    usage = {"input": 10, "output": 5, "cacheRead": 100, "cacheWrite": 1, "cost": {"total": 0.25}}
    assert used(said(usage=usage)) + used(said(usage={"output": 2})) == Used(111, 7, 0.25)
    assert used({"role": "user"}) == Used()


def test_the_place_of_a_message() -> None:
    assert (place_of({"__openclaw": {"seq": 4}}), place_of({}), place_of({"__openclaw": {"seq": "x"}})) == (4, 0, 0)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["input", "cost", "total", "name", "args"]), inner),
)


@given(st.fixed_dictionaries({"role": st.just("assistant"), "content": ANYTHING, "usage": ANYTHING}))
def test_nonsense_shows_something_or_nothing_and_uses_what_a_database_takes(message: dict[str, Any]) -> None:
    doing(message)
    assert 0 <= used(message).tokens_in < 2**63


def test_tokens_never_add_up_to_more_than_a_column_holds() -> None:
    much = used({"usage": {"input": 2**53 - 1, "cacheRead": 2**53 - 1, "output": 2**53 - 1}})
    together = sum([much] * 3000, Used())
    assert (together.tokens_in, together.tokens_out) == (2**63 - 1, 2**63 - 1)
