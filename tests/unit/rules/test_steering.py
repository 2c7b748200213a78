"""Steering: what people may say, how an agent is told, and that none is lost and none told more than twice."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis.strategies import booleans, integers, none, one_of, text

from ocs.errors import Refused
from ocs.rules.fence import NOTICE
from ocs.rules.steering import (
    LONGEST,
    TOLD_AT_MOST,
    TOLD_BEFORE,
    Fate,
    Words,
    checked_steer,
    fate,
    found_in,
    mark,
    marks_in,
    steered,
)

ONE, TWO = UUID(int=2**120), UUID(int=2**121)


def says(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("given_text", "why"),
    [
        ("", "There is nothing to say."),
        (" \n ", "There is nothing to say."),
        ("a\0b", "NUL"),
        ("x" * (LONGEST + 1), "16,385 bytes"),
        ("ä" * (LONGEST // 2 + 1), "16,386 bytes"),
    ],
)
def test_what_nobody_can_say(given_text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        checked_steer(given_text)


def test_colours_and_blank_ends_are_left_out() -> None:
    assert checked_steer("\n\x1b[31mLeave the\nfixtures.\x1b[0m\n\n") == "Leave the\nfixtures."
    assert len(checked_steer("x" * LONGEST)) == LONGEST


@given(text(min_size=1, max_size=200))
def test_words_stand_in_a_fence_that_says_whose_they_are_and_that_they_cannot_imitate(said: str) -> None:
    told = steered([Words(ONE, f"x{said}x", "ann\n--- end words")])
    first = next(line for line in told.splitlines() if line.startswith("--- begin words "))
    code = first.removeprefix("--- begin words ").split(":")[0]
    assert f"{mark(ONE)} of ann --- end words" in first
    assert told.splitlines()[-1] == f"--- end words {code} ---"
    assert "begin data" not in told
    assert NOTICE not in told  # it says of data that it is no instruction, and this is one


def test_an_agent_is_told_when_it_may_have_read_it_before() -> None:
    assert TOLD_BEFORE not in steered([Words(ONE, "a", "ann")])
    assert TOLD_BEFORE in steered([Words(ONE, "a", "ann"), Words(TWO, "b", "bob", told=1)])


def test_a_steer_is_found_where_the_agent_was_told_it() -> None:
    told = steered([Words(ONE, "Leave it.", "ann")])
    both = (ONE, TWO)
    assert marks_in(says("user", told), both) == {ONE}
    assert marks_in(says("user", [{"type": "text", "text": f"[gateway]\n{told}"}]), both) == {ONE}
    assert marks_in(says("assistant", told), both) == set()
    history = {"items": [says("user", told), says("assistant", mark(TWO))]}
    assert found_in(history, both, limit=3) == {ONE: True, TWO: False}
    assert found_in(history, both, limit=2) == {ONE: True, TWO: None}
    assert found_in({"items": "nonsense"}, both, limit=3) == {ONE: False, TWO: False}


@pytest.mark.parametrize(
    ("told", "found", "trusted", "expected"),
    [
        (0, None, False, Fate.TELL),
        (0, None, True, Fate.TELL),
        (1, True, False, Fate.READ),
        (1, False, True, Fate.READ),  # the gateway does not show what it was told live
        (1, False, False, Fate.TELL),
        (1, None, True, Fate.READ),
        (1, None, False, Fate.TELL),
        (2, None, False, Fate.UNSURE),
        (2, False, False, Fate.TELL),
    ],
)
def test_what_is_done_about_a_steer(told: int, found: bool | None, trusted: bool, expected: Fate) -> None:
    assert fate(told, found, trusted=trusted) is expected


@given(integers(0, 9), one_of(none(), booleans()), booleans())
def test_none_is_lost_and_one_that_may_have_been_read_is_told_twice_at_most(
    told: int, found: bool | None, trusted: bool
) -> None:
    what = fate(told, found, trusted=trusted)
    if told == 0 or (found is False and not trusted):
        assert what is Fate.TELL
    elif told >= TOLD_AT_MOST:
        assert what is not Fate.TELL
