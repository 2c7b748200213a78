"""Whether a reply is nothing but the message of a model or a gateway that failed for the moment.

Structured errors never come here: the gateway sends them as errors. A text is such a message when it has the words of
one and no others, so that prose about rate limits, and about somebody's 503, is a good reply.
"""

from __future__ import annotations

import re

LONGEST = 200
_SAYS_SO = re.compile(
    r"|".join(
        (
            r"\boverloaded\b",
            r"\bunavailable\b",
            r"\brate[\s-]*limit(?:ed|s)?\b",
            r"\btoo\s+many\s+requests\b",
            r"\b5[0-9]{2}\b.*\bserver\s+error\b",
            r"\binternal\s+(?:server\s+)?error\b",
            r"\bgateway\s+timeout\b",
            r"\bbad\s+gateway\b",
            r"\bAPI\s+(?:error|timeout)\b",
            r"\bcapacity\s+(?:exceeded|limit)\b",
            r"\bretry\s+(?:after|later|in\s+\d)",
            r"\bcontext\s+(?:length|window)\s+exceeded\b",
            r"\btoken\s+limit\s+exceeded\b",
            r"\bdraining\b",
            r"\bnew\s+tasks\s+are\s+not\s+accepted\b",
        )
    ),
    re.IGNORECASE,
)
_DRAINING = re.compile(r"gateway\s+is\s+draining|new\s+tasks\s+are\s+not\s+accepted", re.IGNORECASE)
_TERM = re.compile(r"[^\W_]+(?:[.'][^\W_]+)*")
_NAMED = (
    "a accepted after again ai an and api are at attempt bad been busy capacity code complete concurrent context "
    "currently demand draining due error exceeded exception failed few for gateway had has have heavy high hit hour "
    "hours http i in internal is it later length limit limited limits llm load many max maximum minute minutes "
    "model moment moments ms new not now of on or our out overload overloaded plan please problem provider quota "
    "rate reached request requests response restart restarting retry returned s second seconds server service "
    "session sessions shortly soon sorry status tasks temporarily temporary the then this time timed timeout to "
    "token tokens too try trying unavailable unexpected upgrade upstream wait was we were while will window you "
    "your"
)
_WORDS = frozenset(_NAMED.split())
_NUMBER = re.compile(r"[45]\d\d|\d{1,4}(?:\.\d+)?(?:s|ms|m|h)?")


def is_nothing_else(text: str) -> bool:
    """Whether the text is such a message, from its first word to its last."""
    if len(text) > LONGEST or text.lstrip().startswith(("{", "[")) or not _SAYS_SO.search(text):
        return False
    return all(term.lower() in _WORDS or _NUMBER.fullmatch(term) for term in _TERM.findall(text))


def is_draining(text: str) -> bool:
    """Whether an error says that the gateway is about to restart and takes nothing new."""
    return _DRAINING.search(text) is not None
