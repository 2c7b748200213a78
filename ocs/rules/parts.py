"""Parts: a long text cut into numbered messages that a channel takes."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ocs.rules.plain_text import without_blank_ends

ROOM_FOR_NUMBER = 12


def utf16(text: str) -> int:
    """The length in UTF-16 code units: what a person sees as one character may be many."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def in_html(text: str) -> int:
    """The same of the text as HTML: `<` is written `&lt;` there."""
    return utf16(html.escape(text, quote=False))


@dataclass(frozen=True, slots=True)
class Limit:
    """The longest message that a channel takes, and how it counts."""

    most: int
    size: Callable[[str], int] = utf16


TELEGRAM = Limit(4096)
"""The longest message of Telegram, which counts UTF-16 code units, not bytes."""
TELEGRAM_BY_GATEWAY = Limit(3700, in_html)
"""The OpenClaw gateway writes Telegram's messages in HTML, and cuts once more what then has over 4,000 units. The rest
is room for the marks of a code block and one link."""


def numbered(text: str, limit: Limit | None) -> tuple[str, ...]:
    """The text in messages within the limit, each with `[1/3] ` before it when there are several.

    Cut at the end of a line or word where one is in the second half, never inside what is seen as one character. Only
    what it is cut at is left out, so that a line keeps its indentation.
    """
    text = without_blank_ends(text)
    if limit is None or limit.size(text) <= limit.most:
        return (text,)
    pieces = list(_pieces(text, Limit(limit.most - ROOM_FOR_NUMBER, limit.size)))
    return tuple(f"[{number}/{len(pieces)}] {piece}" for number, piece in enumerate(pieces, start=1))


def _pieces(text: str, room: Limit) -> Iterator[str]:
    while True:
        longest = len(_longest_fitting(text, room))
        if longest == len(text):
            yield text
            return
        end, separator = _good_end(text[: longest + 1], longest, room)
        yield text[:end]
        text = text[end + separator :]


def _good_end(text: str, longest: int, room: Limit) -> tuple[int, int]:
    """Where the next piece ends, and how long is what it is cut at. What does not fit may begin with that, too."""
    for separator in ("\n", " "):
        end = text.rfind(separator)
        if end > 0 and room.size(text[:end]) * 2 >= room.most:
            return end, len(separator)
    return longest, 0


def _longest_fitting(text: str, room: Limit) -> str:
    import regex

    end = _fitting((found[0] for found in regex.finditer(r"\X", text)), room)
    # A single one that is too long by itself (letters with hundreds of accents) is cut all the same.
    return text[: end or _fitting(text, room)]


def _fitting(characters: Iterable[str], room: Limit) -> int:
    """How much of the text the first of these characters are that fit together."""
    end = taken = 0
    for character in characters:
        taken += room.size(character)
        if taken > room.most:
            break
        end += len(character)
    return end
