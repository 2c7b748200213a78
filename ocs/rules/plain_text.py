"""Text from elsewhere made plain: no control characters, nothing that cannot be stored or shown."""

from __future__ import annotations

import re
import unicodedata

from ocs.rules.terminal import shown

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACES = re.compile(r"\s+")
_FIRST_HALVES = ("\ud800", "\udbff")
_BLANK_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Letters and marks by their category, and nothing to be seen."""
_HIDDEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs")
_DISGUISE = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")
_IN_ASCII = re.compile(r"[ -~\n\t]*")


def plain(text: str) -> str:
    """The text without control characters but tabs and the ends of lines, and without halves of characters."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def uncoloured(text: str) -> str:
    """The plain text of what was meant for a terminal: what it would show in the end."""
    return plain(shown(text))


def one_line(text: str, longest: int) -> str:
    """The text on one line of at most `longest` characters."""
    line = plain(_SPACES.sub(" ", text)).strip()
    return line if len(line) <= longest else line[: longest - 3] + "..."


def without_blank_ends(text: str) -> str:
    """The text without blank lines before and after it. The first line keeps its indentation."""
    ended = text.rstrip()
    begins = len(ended) - len(ended.lstrip())
    return ended[ended.rfind("\n", 0, begins) + 1 :]


def revealed(text: str) -> str:
    """The text with everything in it to be seen, for a person who has to judge it.

    What turns the direction of writing, what has no width, and spaces that are none are written as `<U+202E>`.
    """
    if _IN_ASCII.fullmatch(text):
        return text
    return "".join(f"<U+{ord(each):04X}>" if _is_hidden(each) else each for each in text)


def undisguised(text: str) -> str:
    """The text with what turns the direction of writing, or hides between letters, written as `<U+202E>`.

    Unlike in `revealed`, what belongs to many languages and pictures (spaces, joiners, variants) stays as it is.
    """
    return _DISGUISE.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)


def _is_hidden(character: str) -> bool:
    if character in " \n\t":
        return False
    return unicodedata.category(character) in _HIDDEN or character in _BLANK_FILLERS or _selects_variant(character)


def _selects_variant(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


class WholeCharacters:
    """The text of a reply that comes in pieces, whole: a character of two halves may be split between two of them.

    What was meant for a terminal stays in it, for it can be judged only in the whole.
    """

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """The next piece; a first half at its end waits for the second, and one that stays alone is replaced."""
        text, self._half = self._half + piece, ""
        if text and _FIRST_HALVES[0] <= text[-1] <= _FIRST_HALVES[1]:
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
