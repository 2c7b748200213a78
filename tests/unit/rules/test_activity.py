"""What a message in a session's history shows, in the shapes that the real gateway sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.rules.activity import doing, model_call, place_of, turn_usage
from ocs.rules.costs import Call, Tokens


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


USAGE = {"input": 10, "output": 5, "cacheRead": 100, "cacheWrite": 1}
OF = {"provider": "anthropic", "model": "claude"}


@pytest.mark.parametrize(
    ("message", "call"),
    [
        (
            said(usage={**USAGE, "cost": {"total": 0.25}}, **OF),
            Call("anthropic/claude", Tokens(10, 100, 1, 5), 250_000),
        ),
        (said(usage={**USAGE, "cost": {"total": 0}}, **OF), Call("anthropic/claude", Tokens(10, 100, 1, 5), None)),
        (said(usage={"output": 2}), Call("", Tokens(output=2), None)),
        (said(usage={"output": 0}, stopReason="aborted", **OF), Call("anthropic/claude", None)),
        (said(usage={"output": 0}, stopReason="error", **OF), None),
        (said(usage={"output": 0}, provider="openclaw", model="delivery-mirror"), None),
        ({"role": "user"}, None),
    ],
    ids=["priced", "of no known price", "of no named model", "broken off", "failed", "of the gateway", "no answer"],
)
def test_the_model_call_behind_a_message(message: dict[str, Any], call: Call | None) -> None:
    assert model_call(message) == call


def test_what_a_turn_has_used_whose_messages_are_not_seen() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 400}}
    assert turn_usage(usage, "stub/echo") == Call("stub/echo", Tokens(600, 400, 0, 50))
    assert turn_usage(None, None) == Call("", None)


def test_the_place_of_a_message() -> None:
    assert (place_of({"__openclaw": {"seq": 4}}), place_of({}), place_of({"__openclaw": {"seq": "x"}})) == (4, 0, 0)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["input", "prompt_tokens", "cost", "total", "name", "args"]), inner)
    ),
)


@given(st.fixed_dictionaries({"role": st.just("assistant"), "content": ANYTHING, "usage": ANYTHING}))
def test_nonsense_shows_something_or_nothing_and_uses_what_a_database_takes(message: dict[str, Any]) -> None:
    doing(message)
    call = model_call(message)
    if call is not None and call.tokens is not None:
        assert 0 <= call.tokens.read < 2**63
    turn_usage(message["usage"], None)
