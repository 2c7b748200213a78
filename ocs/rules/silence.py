"""Silence: words with which an agent says that nobody has to hear of it, and what is left of a text without them.

Losing an alert is worse than one message too many: a word alone asks for silence, a word with more beside it does so
only when that is nothing, or says that there is nothing.
"""

from __future__ import annotations

import re

WORDS = ("HEARTBEAT_OK", "NO_REPLY", "NO_FLUSH", "IDEMPOTENT_SKIP", "ANNOUNCE_SKIP", "REPLY_SKIP")
"""Ours, and those with which the OpenClaw gateway's own prompts ask for silence."""
_WORD = rf"(?<![^\W_])(?<![^\W_]_)(?:{'|'.join(WORDS)})(?!_*[^\W_])"
_DECORATION = r"(?:[^\w\n]|_)*"
_TAG = re.compile(r"</?(?:b|i|u|s|p|em|strong|code|pre|br|div|span|h[1-6])\s*/?>|&nbsp;", re.IGNORECASE)
_TERM = re.compile(r"[^\W_]")
_ALONE_ON_LINES = re.compile(rf"\A\s*(?:{_DECORATION}{_WORD}{_DECORATION}(?:\n(?:[^\S\n]*\n)*|\Z))+")
_AT_THE_END = re.compile(rf"[*_~`]{{0,4}}{_WORD}{_DECORATION}\s*\Z")
_NOTHING = re.compile(
    r"""\b(?:
      nothing (?:\ new)? (?:\ (?:to\ (?:report|do|say|tell|send)|(?:has\ )?(?:changed|happened)))?
    | no (?:\ new)? \ (?:news|changes?|updates?|mails?|messages?|issues?|problems?|errors?|alerts?|actions?)
      (?:\ (?:(?:is|are)\ )?(?:needed|required|found))?
    | (?:all|everything) (?:\ systems)? (?:\ (?:is|are))? \ (?:fine|good|well|ok|okay|quiet|calm|clear|normal|green)
    | (?:all\ )? (?:fine|good|ok|okay|quiet|calm)
    | already\ (?:sent|done|handled)
    | still | so\ far | today | yet | now | since\ (?:the\ )?last\ (?:check|time|run)
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)


def asks_for_silence(text: str) -> bool:
    """Whether the text is a word for silence, decorated or not, with at most a remark that there is nothing."""
    rest, words = re.subn(_WORD, " ", _TAG.sub(" ", text))
    return words > 0 and not _TERM.search(_NOTHING.sub("", rest))


def without_words(text: str) -> str:
    """The text without the words for silence that stand alone on its first lines, or at its end."""
    return _AT_THE_END.sub("", _ALONE_ON_LINES.sub("", text))
