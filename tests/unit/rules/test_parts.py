"""Long texts in numbered parts, as Telegram counts (rows 93 of B-15), and when a failed delivery is sent again."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import regex
from hypothesis import given
from hypothesis.strategies import booleans, floats, integers, lists, none, sampled_from, text, timedeltas

from ocs.rules.delivery_retry import MOST_ATTEMPTS, pause_after
from ocs.rules.parts import TELEGRAM, TELEGRAM_BY_GATEWAY, Limit, in_html, numbered, utf16
from ocs.rules.plain_text import without_blank_ends
from ocs.timing import timing

NUMBER = re.compile(r"\[(\d+)/(\d+)\] ")
FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
FLAG = "\N{REGIONAL INDICATOR SYMBOL LETTER A}\N{REGIONAL INDICATOR SYMBOL LETTER T}"


def test_a_short_text_is_one_part_without_a_number() -> None:
    assert numbered("\n hello\n", TELEGRAM) == (" hello",)
    assert numbered("x" * 10_000, None) == ("x" * 10_000,)
    assert len(numbered("\N{GRINNING FACE}" * 2048, TELEGRAM)) == 1
    assert len(numbered("\N{GRINNING FACE}" * 2049, TELEGRAM)) == 2


def test_a_long_text_is_cut_at_the_ends_of_lines_else_of_words() -> None:
    lines = numbered("\n".join(["x" * 30] * 10), Limit(112))
    assert [part for part in lines if not part.endswith("x" * 30)] == []
    words = numbered(" ".join(["word"] * 100), Limit(112))
    assert {word for part in words for word in NUMBER.sub("", part).split()} == {"word"}


PYTHON = "def f():\n" + "\n".join(f"    if x == {number}:\n        return {number}" for number in range(40))


def test_indentation_survives_a_cut() -> None:
    parts = numbered(f"\n\n{PYTHON}\n", Limit(112))
    assert len(parts) > 5
    assert "\n".join(NUMBER.sub("", part, count=1) for part in parts) == PYTHON


@given(lists(sampled_from(["word", " ", "  ", "\n", "\n    ", "\t", "```\n", FAMILY]), max_size=300), integers(64, 200))
def test_parts_put_together_are_the_text(pieces: list[str], limit: int) -> None:
    """But for the one line end or space that each was cut at."""
    whole = without_blank_ends("".join(pieces))
    at = 0
    for part in numbered(whole, Limit(limit)):
        bare = NUMBER.sub("", part, count=1)
        assert whole.startswith(bare, at)
        at += len(bare)
        at += whole[at : at + 1] in ("\n", " ") and NUMBER.match(part) is not None
    assert at >= len(whole)


def test_a_line_end_in_the_first_half_is_not_where_it_is_cut() -> None:
    first, _ = numbered("short\n" + "x" * 120, Limit(112))
    assert len(first) == 112 - 12 + len("[1/2] ")


@given(
    lists(sampled_from([FAMILY, FLAG, "e\u0301", "a", " ", "\n", "\N{GRINNING FACE}", "word "]), max_size=400),
    integers(64, 200),
)
def test_nothing_is_lost_too_long_or_cut_inside_a_character(characters: list[str], limit: int) -> None:
    whole = "".join(characters)
    parts = numbered(whole, Limit(limit))
    assert all(utf16(part) <= limit for part in parts)
    bare = [NUMBER.sub("", part, count=1) if len(parts) > 1 else part for part in parts]
    seen = [seen for part in bare for seen in regex.findall(r"\X", part) if not seen.isspace()]
    assert seen == [each for each in regex.findall(r"\X", whole) if not each.isspace()]
    if len(parts) > 1:
        assert [NUMBER.match(part).groups() for part in parts] == [  # pyright: ignore[reportOptionalMemberAccess]
            (str(number), str(len(parts))) for number in range(1, len(parts) + 1)
        ]


@given(text(min_size=1, max_size=300))
def test_any_text_can_be_cut(anything: str) -> None:
    assert all(utf16(part) <= 64 for part in numbered(anything, Limit(64)))


def test_one_character_that_is_too_long_by_itself_is_cut_too() -> None:
    zalgo = "e" + "\u0301" * 500
    assert sum(part.count("\u0301") for part in numbered(zalgo, Limit(100))) == 500


@pytest.mark.parametrize("filling", ["<", "&", "x", "\N{GRINNING FACE}", "a <b> & c\n"])
def test_the_gateway_s_own_limit_is_counted_in_html(filling: str) -> None:
    parts = numbered(filling * 6000, TELEGRAM_BY_GATEWAY)
    assert all(in_html(part) <= TELEGRAM_BY_GATEWAY.most < in_html(part) * 2 for part in parts[:-1])


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (11, 3600)])
def test_pauses_double_up_to_an_hour(attempts: int, seconds: int) -> None:
    pause = pause_after(attempts, retryable=True, retry_after=None, spread=0)
    assert pause == timedelta(seconds=seconds)


def test_a_receiver_that_is_broken_for_an_hour_is_outlasted() -> None:
    pauses = [pause_after(n, retryable=True, retry_after=None, spread=-1) for n in range(1, MOST_ATTEMPTS)]
    assert sum((pause for pause in pauses if pause), timedelta()) > timedelta(hours=4)


def test_it_is_given_up_after_a_bound_or_when_it_cannot_succeed() -> None:
    assert pause_after(MOST_ATTEMPTS, retryable=True, retry_after=None, spread=0) is None
    assert pause_after(1, retryable=False, retry_after=timedelta(seconds=5), spread=0) is None


def test_what_the_other_side_asks_for_is_kept_within_reason() -> None:
    assert pause_after(1, retryable=True, retry_after=timedelta(minutes=5), spread=0) == timedelta(minutes=5)
    assert pause_after(1, retryable=True, retry_after=timedelta(days=9), spread=0) == timing().delivery_retry_cap
    assert pause_after(3, retryable=True, retry_after=timedelta(seconds=1), spread=0) == timedelta(minutes=2)


@given(integers(1, 60), booleans(), none() | timedeltas(timedelta(0), timedelta(days=9)), floats(-1, 1))
def test_a_pause_is_never_nothing_nor_endless(
    attempts: int, retryable: bool, retry_after: timedelta | None, spread: float
) -> None:
    pause = pause_after(attempts, retryable=retryable, retry_after=retry_after, spread=spread)
    assert pause is None or timedelta(seconds=27) <= pause <= timedelta(minutes=66)
