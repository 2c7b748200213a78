"""Which earlier runs an agent is shown: acceptance row 63."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, text

from ocs.rules.retrieval import SEARCHED, Earlier, hybrid, recent, words

START = datetime(2026, 11, 1, tzinfo=UTC)


def runs(*texts: str) -> list[Earlier]:
    """Oldest first."""
    return [Earlier(START + timedelta(days=day), text) for day, text in enumerate(texts)]


DISK = "the disk of the database is full"
SHOP = "orders of the shop rose by a tenth"
QUIET = "nothing happened"
BOTH = "a disk and another disk, and orders"


def test_the_newest_come_first() -> None:
    assert [run.text for run in recent(runs(DISK, SHOP, QUIET), 2)] == [QUIET, SHOP]


@pytest.mark.parametrize(
    ("query", "limit", "found"),
    [
        ("How full is the disk?", 2, [DISK, BOTH]),
        ("orders", 1, [BOTH]),
        ("DISK!", 5, [BOTH, DISK]),
        ("orders of the shop", 1, [SHOP]),
        ("weather", 2, [BOTH, QUIET]),
        ("the of and", 1, [BOTH]),
    ],
)
def test_the_best_match_comes_first_and_the_newest_where_none_does(query: str, limit: int, found: list[str]) -> None:
    assert [run.text for run in hybrid(query, runs(DISK, SHOP, QUIET, BOTH), limit)] == found


def test_a_whole_match_counts_for_more_than_its_words() -> None:
    said = runs("disk full", "x " * 50 + "is the disk full today")
    assert hybrid("is the disk full", said, 1)[0] == said[1]


def test_what_counts_as_a_word() -> None:
    assert words("The DISK's 2nd (of 3) is a-b ok!") == ["disks", "2nd", "ab", "ok"]


@given(text(), lists(text(), max_size=8), integers(1, 5))
def test_never_more_than_asked_for_and_never_one_twice(query: str, texts: list[str], limit: int) -> None:
    found = hybrid(query, runs(*texts), limit)
    assert len(found) == min(limit, len(found))
    assert len({run.at for run in found}) == len(found)
    assert bool(found) == bool(texts)


def test_of_a_long_text_only_the_beginning_is_searched() -> None:
    """What a job may store is its own wish; what a search costs is not."""
    long = Earlier(START, "rain " + "x " * SEARCHED + "snow")
    other = Earlier(START - timedelta(hours=1), "sun")
    assert hybrid("rain", [other, long], 1) == [long]
    assert hybrid("snow", [other, long], 2) == recent([other, long], 2)
