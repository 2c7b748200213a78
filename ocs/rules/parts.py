"""Parts: a long text cut into numbered messages that a channel takes."""

from __future__ import annotations

from collections.abc import Iterator

import regex

TELEGRAM = 4096
"""The longest message of Telegram, which counts UTF-16 code units (the reference counted bytes, B-8.3)."""
ROOM_FOR_NUMBER = 12


def size(text: str) -> int:
    """The length in UTF-16 code units: what a person sees as one character may be many."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def numbered(text: str, limit: int | None) -> tuple[str, ...]:
    """The text in messages of at most `limit` UTF-16 units, each with `[1/3] ` before it when there are several.

    Cut at the end of a line or word where one is in the second half, never inside what is seen as one character.
    """
    text = text.strip()
    if limit is None or size(text) <= limit:
        return (text,)
    pieces = list(_pieces(text, limit - ROOM_FOR_NUMBER))
    return tuple(f"[{number}/{len(pieces)}] {piece}" for number, piece in enumerate(pieces, start=1))


def _pieces(text: str, room: int) -> Iterator[str]:
    while text:
        piece = _longest_fitting(text, room)
        if len(piece) < len(text):
            piece = piece[: _good_end(piece, room)]
        yield piece.rstrip()
        text = text[len(piece) :].lstrip()


def _good_end(piece: str, room: int) -> int:
    for separator in ("\n", " "):
        end = piece.rfind(separator)
        if end > 0 and size(piece[:end]) * 2 >= room:
            return end
    return len(piece)


def _longest_fitting(text: str, room: int) -> str:
    end = _fitting((found[0] for found in regex.finditer(r"\X", text)), room)
    # A single one that is too long by itself (letters with hundreds of accents) is cut all the same.
    return text[: end or _fitting(iter(text), room)]


def _fitting(characters: Iterator[str], room: int) -> int:
    """How much of the text the first of these characters are that fit together."""
    end = taken = 0
    for character in characters:
        taken += size(character)
        if taken > room:
            break
        end += len(character)
    return end
