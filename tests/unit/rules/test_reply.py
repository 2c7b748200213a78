"""What a reply means: acceptance rows 56 to 58."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import integers, text

from ocs.rules.plain_text import PlainPieces, one_line, plain
from ocs.rules.reply import SHORT, Verdict, is_draining, judge

QUIET = Verdict(quiet=True)
GOOD = Verdict()


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("HEARTBEAT_OK", QUIET),
        ("  HEARTBEAT_OK\n", QUIET),
        ("HEARTBEAT_OK: nothing new", QUIET),
        ("NO_FLUSH", QUIET),
        ("IDEMPOTENT_SKIP already sent", QUIET),
        ("HEARTBEAT_OKAY", GOOD),
        ("The word is HEARTBEAT_OK", GOOD),
        ("heartbeat_ok", GOOD),
        ("TASK_FAILED", Verdict("The agent reports a failure.")),
        ("TASK_FAILED: no disk\nmore", Verdict("The agent reports a failure: no disk")),
        ("TASK_FAILEDLY", GOOD),
        ("", Verdict("The agent said nothing.")),
        (" \n", Verdict("The agent said nothing.")),
    ],
)
def test_words_at_the_very_start(reply: str, verdict: Verdict) -> None:
    assert judge(reply) == verdict


@pytest.mark.parametrize(
    "reply",
    [
        "The AI service is temporarily overloaded. Please try again in a moment.",
        "Service unavailable",
        "the service is unavailable",
        "API rate limit reached",
        "You are rate limited.",
        "Too many requests",
        "HTTP 503 Server Error",
        "500 internal server error",
        "Gateway timeout",
        "502: Bad Gateway",
        "The model is overloaded",
        "API error: 529",
        "Capacity exceeded",
        "Please retry in 5 seconds",
        "Retry later",
        "Context window exceeded",
        "token limit exceeded",
        "Gateway is draining for restart",
        "new tasks are not accepted",
        "The gateway (draining) will restart",
    ],
)
def test_a_short_message_of_a_passing_failure_is_a_failure(reply: str) -> None:
    assert (judge(reply).error or "").startswith("The agent's model failed for the moment: ")


@pytest.mark.parametrize(
    "reply",
    [
        "Incidents of yesterday:\n1. The rate limit of the shop's API was hit twice.\n2. One API error at night.",
        "x" * SHORT + " rate limit",
        "Rate limits. " * 40,
        '{"note": "rate limit is 60 a minute"}',
        "All backups are done.",
    ],
)
def test_prose_about_failures_is_a_good_reply(reply: str) -> None:
    """W55: the reference failed any reply with these words in its first 500 characters."""
    assert judge(reply) == GOOD


@pytest.mark.parametrize(
    ("said", "draining"),
    [("Error: Gateway is draining", True), ("New tasks are not accepted", True), ("draining the swamp", False)],
)
def test_a_drain_is_known_by_its_words(said: str, draining: bool) -> None:
    assert is_draining(said) is draining


@given(text())
def test_every_reply_has_a_verdict(reply: str) -> None:
    verdict = judge(reply)
    assert not (verdict.error and verdict.quiet)


@given(text(), integers(1, 5))
def test_a_text_is_made_plain_the_same_way_in_pieces(said: str, size: int) -> None:
    pieces = PlainPieces()
    plain_pieces = "".join(pieces.feed(said[at : at + size]) for at in range(0, len(said), size))
    assert plain_pieces.replace("\r\n", "\n") == plain(said)


@given(text(), integers(4, 50))
def test_one_line_is_one_line(said: str, longest: int) -> None:
    line = one_line(said, longest)
    assert len(line) <= longest
    assert len(line.splitlines()) <= 1
