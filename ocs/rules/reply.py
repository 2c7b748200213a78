"""What an agent's reply means: a word that asks for silence, a failure it reports, or a failure that was passed on."""

from __future__ import annotations

import re
from dataclasses import dataclass

QUIET = ("HEARTBEAT_OK", "NO_FLUSH", "IDEMPOTENT_SKIP")
FAILED = "TASK_FAILED"
SHORT = 200
"""A longer reply is prose that may well speak of rate limits; a failure that was passed on as text is short (W55)."""
LINES = 2
_SENTINEL = re.compile(rf"({'|'.join((*QUIET, FAILED))})(?=$|[\s:])")
_TRANSIENT = re.compile(
    r"|".join(
        (
            r"\btemporarily overloaded\b",
            r"\bservice\s+(?:is\s+)?unavailable\b",
            r"\brate\s*limit(?:ed|s?)?\b",
            r"\btoo\s+many\s+requests\b",
            r"\b5[0-9]{2}\b\s+(?:internal\s+)?server\s+error\b",
            r"\bgateway\s+timeout\b",
            r"\bbad\s+gateway\b",
            r"\bmodel\s+(?:is\s+)?(?:overloaded|unavailable)\b",
            r"\bAPI\s+(?:error|unavailable|timeout)\b",
            r"\bcapacity\s+(?:exceeded|limit)\b",
            r"\bretry\s+(?:after|later|in\s+\d)\b",
            r"\bcontext\s+(?:length|window)\s+exceeded\b",
            r"\btoken\s+limit\s+exceeded\b",
            r"gateway\s+is\s+draining",
            r"new\s+tasks\s+are\s+not\s+accepted",
            r"gateway.*draining.*restart",
        )
    ),
    re.IGNORECASE,
)
_DRAINING = re.compile(r"gateway\s+is\s+draining|new\s+tasks\s+are\s+not\s+accepted", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`error` is a sentence when the reply is none; `quiet` says that nobody has to hear of it."""

    error: str | None = None
    quiet: bool = False


def judge(reply: str) -> Verdict:
    """What the reply means (B-4.4 steps 9 and 10).

    Structured errors never come here: the gateway sends them as errors. A text is taken for a failure only when it
    is short and its words are those of B-4.6, so that prose about rate limits stays a good reply (W55).
    """
    text = reply.strip()
    if not text:
        return Verdict(error="The agent said nothing.")
    if found := _SENTINEL.match(text):
        if found[1] in QUIET:
            return Verdict(quiet=True)
        why = text[found.end() :].lstrip(" :\t\r\n").partition("\n")[0].strip()
        return Verdict(error=f"The agent reports a failure: {why}" if why else "The agent reports a failure.")
    if is_transient(text):
        return Verdict(error=f"The agent's model failed for the moment: {' '.join(text.split())}")
    return Verdict()


def is_transient(text: str) -> bool:
    """Whether a short text is the message of a failure that passes."""
    if len(text) > SHORT or len(text.splitlines()) > LINES or text.startswith(("{", "[")):
        return False
    return _TRANSIENT.search(text) is not None


def is_draining(text: str) -> bool:
    """Whether an error says that the gateway is about to restart and takes nothing new (B-4.6)."""
    return _DRAINING.search(text) is not None
