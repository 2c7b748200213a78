"""Text from elsewhere made plain: no control characters, nothing that cannot be stored or shown."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACES = re.compile(r"\s+")
_FIRST_HALVES = ("\ud800", "\udbff")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


def plain(text: str) -> str:
    """The text without control characters but tabs and the ends of lines, and without halves of characters."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def uncoloured(text: str) -> str:
    """The plain text of what was meant for a terminal: colours are taken out whole, a lone CR ends a line."""
    return plain(_ESCAPES.sub("", text)).replace("\r", "\n")


def one_line(text: str, longest: int) -> str:
    """The text on one line of at most `longest` characters."""
    line = plain(_SPACES.sub(" ", text)).strip()
    return line if len(line) <= longest else line[: longest - 3] + "..."


class PlainPieces:
    """The same for a text that comes in pieces: a character of two halves may be split between two of them."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """The next piece, plain; a first half at its end waits for the second."""
        text, self._half = self._half + piece, ""
        if text and _FIRST_HALVES[0] <= text[-1] <= _FIRST_HALVES[1]:
            text, self._half = text[:-1], text[-1]
        return plain(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
