"""What a terminal would show of a text in the end: the one rule for logs, records and messages.

Escape sequences (ECMA-48: CSI, OSC, DCS and the other strings, nF, Fp, Fe, Fs, in seven bits and in eight) leave
nothing. Of a line that a carriage return begins anew its last state stays, a backspace takes back what stands before
it, and a form feed ends a line. Of other control characters the tab stays, and NUL, which separates what programs
print for programs. A string in a sequence ends with its line at the latest, so that one that is never closed hides
nothing.
"""

from __future__ import annotations

import codecs
import re

LONGEST_LINE = 64 * 1024
"""Bytes of a line that can be taken back; of a longer one the beginning is given out as it stands."""
_IN_STRING = r"[^\x00-\x08\x0a-\x1f\x7f-\x9f]*"
_OPENS_STRING = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])"
_ESCAPES = re.compile(
    rf"""
      (?:\x1b\[|\x9b) [0-?]* [ -/]* [@-~]?                    # CSI
    | {_OPENS_STRING} (?:{_IN_STRING}(?:\x07|\x1b\\|\x9c))?   # OSC, DCS, SOS, PM, APC
    | \x1b [ -/]* [0-~]?                                      # nF, Fp, Fe, Fs
    """,
    re.VERBOSE,
)
_UNFINISHED = re.compile(rf"(?:(?:\x1b\[|\x9b)[0-?]*[ -/]*|{_OPENS_STRING}{_IN_STRING}\x1b?|\x1b[ -/]*)\Z")
_SPECIAL = re.compile(r"[\x01-\x08\x0b-\x1f\x7f-\x9f]")
_SPECIAL_BYTES = bytes((*range(0x01, 0x09), *range(0x0B, 0x20), 0x7F))
_BEFORE_C1 = b"\xc2"
_CONTROLS: dict[int, str] = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), ""),
    **{ord(kept): kept for kept in "\0\t\n\r\b"},
    **dict.fromkeys((0x0B, 0x0C, 0x85), "\n"),
}


def shown(text: str) -> str:
    """The text as a terminal would show it in the end."""
    if not _SPECIAL.search(text):
        return text
    text = _ESCAPES.sub("", text).translate(_CONTROLS).replace("\r\n", "\n")
    return "\n".join(map(_last_state, text.split("\n"))) if "\r" in text or "\b" in text else text


def _last_state(line: str) -> str:
    """Of a progress bar, which goes back to the start of its line, what it shows last."""
    line = line.rstrip("\r")
    line = line[line.rfind("\r") + 1 :]
    if "\b" not in line:
        return line
    left: list[str] = []
    for each in line:
        if each != "\b":
            left.append(each)
        elif left:
            left.pop()
    return "".join(left)


class ShownPieces:
    """The same for a stream of bytes that comes in pieces. Bytes that are no UTF-8 stay as they are."""

    def __init__(self) -> None:
        self._line = b""
        self._is_begun = False
        """Whether the beginning of this line has been given out."""

    def feed(self, piece: bytes) -> bytes:
        """What is settled: lines that are complete, and the beginning of one that is too long to be held back."""
        raw = self._line + piece
        end = raw.rfind(b"\n") + 1
        lines, self._line = raw[:end], raw[end:]
        given = self._continued(lines) if lines else b""
        if lines:
            self._is_begun = False
        return given + self._overflow() if len(self._line) > LONGEST_LINE else given

    def flush(self) -> bytes:
        """The last line, now that nothing more comes."""
        rest, self._line = self._line, b""
        return self._continued(rest)

    def _continued(self, raw: bytes) -> bytes:
        """Of a line that was begun what was given out stays: a return in it begins another."""
        if self._is_begun:
            first, end, others = raw.partition(b"\n")
            stays, returned, anew = first.rstrip(b"\r").partition(b"\r")
            if returned:
                raw = stays + b"\n" + anew + end + others
        return _shown(raw)

    def _overflow(self) -> bytes:
        """Make room: earlier states of the line are gone, and the beginning of its last one is given out."""
        given, returned = b"", self._line.rstrip(b"\r").rfind(b"\r")
        if returned >= 0:
            if self._is_begun:
                given, self._is_begun = _shown(self._line.partition(b"\r")[0]) + b"\n", False
            self._line = self._line[returned + 1 :]
        if len(self._line) <= LONGEST_LINE:
            return given
        text, whole = codecs.utf_8_decode(self._line, "surrogateescape", False)
        unfinished = _UNFINISHED.search(text)
        kept = unfinished[0] if unfinished and unfinished.start() else ""
        if text.endswith("\r"):  # it may end the line, or begin it anew
            kept = "\r"
        self._line = _bytes(kept) + self._line[whole:]
        self._is_begun = True
        return given + _shown(_bytes(text[: len(text) - len(kept)]))


def _shown(raw: bytes) -> bytes:
    if len(raw.translate(None, _SPECIAL_BYTES)) == len(raw) and _BEFORE_C1 not in raw:
        return raw
    return _bytes(shown(raw.decode(errors="surrogateescape")))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
