"""What a reply means: acceptance rows 56 to 58."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from, text

from ocs.rules.model_failure import LONGEST, is_draining
from ocs.rules.plain_text import WholeCharacters, one_line
from ocs.rules.reply import Verdict, judge
from ocs.rules.silence import WORDS, asks_for_silence, without_words

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
        ("HEARTBEAT_OK.", QUIET),
        ("**HEARTBEAT_OK**", QUIET),
        ("_HEARTBEAT_OK_", QUIET),
        ("`HEARTBEAT_OK`!", QUIET),
        ("```\nHEARTBEAT_OK\n```", QUIET),
        ("> HEARTBEAT_OK", QUIET),
        ("<b>HEARTBEAT_OK</b>", QUIET),
        ("\N{WHITE HEAVY CHECK MARK} HEARTBEAT_OK \N{WHITE HEAVY CHECK MARK}", QUIET),
        ("HEARTBEAT_OK\n\nHEARTBEAT_OK", QUIET),
        ("HEARTBEAT_OK - no action needed so far.", QUIET),
        ("All fine.\n\nHEARTBEAT_OK", QUIET),
        ("NO_REPLY", QUIET),
        ("**NO_REPLY.**", QUIET),
        ("HEARTBEAT_OK\n\ndisk of db2 at 97 %, decide today", GOOD),
        ("HEARTBEAT_OK\n\ndb2 down", GOOD),
        ("HEARTBEAT_OK, but db2 is down", GOOD),
        ("HEARTBEAT_OK <db2 down>", GOOD),
        ("HEARTBEAT_OK: all fine but db2", GOOD),
        ("NO_REPLY 2", GOOD),
        ("HEARTBEAT_OK_FLAG", GOOD),
        ("MY_HEARTBEAT_OK", GOOD),
        ("all fine", GOOD),
        ("**TASK_FAILED**: no disk", Verdict("The agent reports a failure: no disk")),
        ("**TASK_FAILED: no disk.**", Verdict("The agent reports a failure: no disk.")),
        ("TASK_FAILED\nno disk", Verdict("The agent reports a failure: no disk")),
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
        "\N{WARNING SIGN} API rate limit reached. Please try again later.",
        "The AI service returned an internal error. Please try again in a moment.",
        "The AI service is temporarily unavailable (HTTP 503). Please try again in a moment.",
    ],
)
def test_a_short_message_of_a_passing_failure_is_a_failure(reply: str) -> None:
    assert (judge(reply).error or "").startswith("The agent's model failed for the moment: ")


@pytest.mark.parametrize(
    "reply",
    [
        "Incidents of yesterday:\n1. The rate limit of the shop's API was hit twice.\n2. One API error at night.",
        "x" * LONGEST + " rate limit",
        "API rate limit: 40 % of today used, all fine.",
        "Customers see 503 Service Unavailable since 06:10; please call the hoster.",
        "Bad gateway at the shop again.",
        "The model is overloaded at noon, so I moved the batch to the night.",
        "db2 is unavailable",
        "Too many requests from 10.0.0.7: blocked it.",
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
def test_characters_that_come_in_halves_are_whole(said: str, size: int) -> None:
    pieces = WholeCharacters()
    halves = said.encode("utf-16-le", "surrogatepass")
    units = [halves[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(halves), 2)]
    whole = "".join(pieces.feed("".join(units[at : at + size])) for at in range(0, len(units), size))
    assert whole == said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("HEARTBEAT_OK\n\ndisk of db2 at 97 %", "disk of db2 at 97 %"),
        ("**HEARTBEAT_OK**\n    indented\n", "    indented\n"),
        ("disk of db2 at 97 %\nHEARTBEAT_OK.", "disk of db2 at 97 %\n"),
        ("disk of db2 at 97 % **HEARTBEAT_OK**\n", "disk of db2 at 97 % "),
        ("The word HEARTBEAT_OK is in it", "The word HEARTBEAT_OK is in it"),
        ("---\nfront: matter", "---\nfront: matter"),
    ],
)
def test_what_is_told_is_told_without_the_word(reply: str, told: str) -> None:
    assert without_words(reply) == told


@given(text(), sampled_from(WORDS), sampled_from([".", "!", "**", "`", "_", "\n", " \N{SPARKLES}"]))
def test_something_that_is_said_beside_a_word_is_never_swallowed(said: str, word: str, mark: str) -> None:
    assert asks_for_silence(f"{mark}{word}{mark}")
    assert not asks_for_silence(f"{mark}{word}{mark}\n\n{said} db2 down")


@given(text(), integers(4, 50))
def test_one_line_is_one_line(said: str, longest: int) -> None:
    line = one_line(said, longest)
    assert len(line) <= longest
    assert len(line.splitlines()) <= 1
