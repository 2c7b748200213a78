"""Masking: secrets are taken out of what a job says, in every form that programs print, however it is split.

This is the one place that does it: what was masked here goes to the log, the store, the artifact, files and messages.

A form is looked for by four bytes at a time: looking up every fourth place of a text finds one of the first four words
of each form of eight bytes or more, so that the cost of a text does not grow with the number of forms. Between the
bytes of such a form there may be white space, as where a long line was folded, and NULs, as in UTF-16; shorter ones
are found as they are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import compress, islice

from ocs.rules.secret_forms import SHORTEST, forms_of

MASK = b"********"
FOLDED_FROM = 8
"""So long a form is found with white space between its bytes, too."""
MOST_SPACES = 1024
"""How much white space, beyond its own length, a form may have in it and be found wherever the stream is cut."""
GIVEN_EARLY = 3
"""So many bytes at the end of a line, which may begin a secret, are not held back; what follows them is masked."""
_WORD = 4
_SPACES = b" \t\r\n\0"
_IS_SEEN = bytes(code not in _SPACES for code in range(256))

__all__ = ["MASK", "SHORTEST", "Masker", "Masking", "mask"]


class Masking:
    """All forms of some secrets, made ready to be looked for."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in forms_of(secret)}
        compact = {form.translate(None, _SPACES) for form in forms}
        short = sorted({form for form in forms if len(form.translate(None, _SPACES)) < FOLDED_FROM}, key=len)
        self._short = re.compile(b"|".join(map(re.escape, reversed(short)))) if short else None
        self._begun_short = {form[:length] for form in short for length in range(1, len(form))}
        ends = ((form, form.find(b"\n") + 1) for form in forms)
        self._first_lines = {form[:end] for form, end in ends if end}
        self._longest_short = max(map(len, short), default=0)
        self._words: dict[int, list[tuple[bytes, int]]] = defaultdict(list)
        self._begun: dict[bytes, list[bytes]] = defaultdict(list)
        long = sorted(form for form in compact if len(form) >= FOLDED_FROM)
        for form in long:
            for offset in range(_WORD):
                self._words[_words(form[offset : offset + _WORD])[0]].append((form, offset))
            for length in range(1, _WORD + 1):
                self._begun[form[:length]].append(form)
        self._first_words = frozenset(_words(form[:_WORD])[0] for form in long)
        self._longest = max(map(len, long), default=0)

    def __bool__(self) -> bool:
        return self._longest + self._longest_short > 0

    def text(self, text: str) -> str:
        """The text without the secrets."""
        if not self:
            return text
        masker = Masker(self)
        return (masker.feed(text.encode(errors="replace")) + masker.flush()).decode()

    def found(self, raw: bytes) -> list[tuple[int, int]]:
        """From where to where secrets stand, in order; those that overlap are one."""
        merged: list[tuple[int, int]] = []
        for start, end in sorted([*self._found_short(raw), *self._found_long(raw)]):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def begins_at(self, raw: bytes) -> int:
        """From where on the end of `raw` could go on to be a secret; its length, when it could nowhere."""
        return min(self._short_begins_at(raw), self._long_begins_at(raw))

    def may_be_given(self, beginning: bytes) -> bool:
        """Whether what may begin a secret is so little, at the end of a line, that it is not worth waiting for more."""
        is_little = len(beginning.translate(None, _SPACES)) <= GIVEN_EARLY
        return is_little and beginning.endswith(b"\n") and beginning not in self._first_lines

    def _found_short(self, raw: bytes) -> Iterator[tuple[int, int]]:
        if self._short is not None:
            yield from (found.span() for found in self._short.finditer(raw))

    def _found_long(self, raw: bytes) -> list[tuple[int, int]]:
        seen = raw.translate(None, _SPACES)
        words = _words(seen)
        if self._words.keys().isdisjoint(words):
            return []
        places = list(_places(raw))
        return [
            (places[start], places[start + len(form) - 1] + 1)
            for number, word in enumerate(words)
            for form, offset in self._words.get(word, ())
            if (start := number * _WORD - offset) >= 0 and seen.startswith(form, start)
        ]

    def _short_begins_at(self, raw: bytes) -> int:
        for start in range(max(0, len(raw) - self._longest_short + 1), len(raw)):
            if raw[start:] in self._begun_short:
                return start
        return len(raw)

    def _long_begins_at(self, raw: bytes) -> int:
        before = max(0, len(raw) - 2 * self._longest - MOST_SPACES)
        end = raw[before:]
        seen = end.translate(None, _SPACES)
        first = 0 if self._has_beginning(seen) else max(0, len(seen) - _WORD + 1)
        for at in range(first, len(seen)):
            for form in self._begun.get(seen[at : at + _WORD], ()):
                if len(seen) - at < len(form) and form.startswith(seen[at:]):
                    return before + next(islice(_places(end), at, None))
        return len(raw)

    def _has_beginning(self, seen: bytes) -> bool:
        """Whether the first word of a form stands anywhere."""
        return not all(self._first_words.isdisjoint(_words(seen[shift:])) for shift in range(_WORD))


def _words(seen: bytes) -> memoryview[int]:
    return memoryview(seen)[: len(seen) // _WORD * _WORD].cast("I")


def _places(raw: bytes) -> Iterator[int]:
    """Where what is no white space stands."""
    return compress(range(len(raw)), raw.translate(_IS_SEEN))


class Masker:
    """Feed it the pieces of one stream in order, then flush it."""

    def __init__(self, secrets: Iterable[str] | Masking) -> None:
        self._masking = secrets if isinstance(secrets, Masking) else Masking(secrets)
        self._held = b""
        self._given = self._masked = 0
        """How many of the bytes that are held have been given out already, and how many of those as a mask."""

    def feed(self, piece: bytes) -> bytes:
        """The stream so far without secrets; what may be the beginning of one is held back until it is clear."""
        if not self._masking:
            return piece
        raw = self._held + piece
        return self._give(raw, self._masking.begins_at(raw))

    def flush(self) -> bytes:
        """What was held back, now that nothing more comes."""
        return self._give(self._held, len(self._held))

    def _give(self, raw: bytes, clear: int) -> bytes:
        """What is clear of it. A secret that goes on from what was given out is masked from there."""
        given, at, masked = bytearray(), self._given, self._masked
        for start, end in self._masking.found(raw):
            if start >= clear:
                break
            given += raw[at:start]
            if start >= masked:
                given += MASK
            at, masked = max(at, end), end
        given += raw[at:clear]
        at = max(at, clear)
        if self._masking.may_be_given(raw[clear:]):
            given += raw[at:]
            at = len(raw)
        self._held, self._given, self._masked = raw[clear:], at - clear, max(0, masked - clear)
        return bytes(given)


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets."""
    return Masking(secrets).text(text)
