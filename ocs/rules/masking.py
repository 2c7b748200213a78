"""Masking: secrets are taken out of a byte stream, also where a value is split between two pieces of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, cast

MASK = b"********"
SHORTEST = 4
"""Shorter values are not masked: replacing every `1` would hide the output and not the secret."""


class Masker:
    """Feed it the pieces of one stream in order, then flush it."""

    def __init__(self, secrets: Iterable[str]) -> None:
        values = {form.encode() for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
        # Longest first: of two secrets that begin alike, the whole longer one is taken out.
        self._values = sorted(values, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._values))) if self._values else None
        self._first_bytes = frozenset(value[0] for value in self._values)
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """The stream so far without secrets; what may be the beginning of one is held back until it is clear."""
        if self._pattern is None:
            return piece
        raw, done, clean = self._held + piece, 0, bytearray()
        while True:
            unclear = self._first_unclear(raw, done)
            found = self._pattern.search(raw, done)
            if found is None or found.start() >= unclear:
                break
            clean += raw[done : found.start()] + MASK
            done = found.end()
        self._held = raw[unclear:]
        return bytes(clean + raw[done:unclear])

    def flush(self) -> bytes:
        """What was held back, now that nothing more comes."""
        rest, self._held = self._held, b""
        return self._pattern.sub(MASK, rest) if self._pattern else rest

    def _first_unclear(self, raw: bytes, done: int) -> int:
        """From where on the end of `raw` could go on to be a secret."""
        longest = len(self._values[0]) - 1
        for start in range(max(done, len(raw) - longest), len(raw)):
            if raw[start] not in self._first_bytes:
                continue
            end = raw[start:]
            if any(len(end) < len(value) and value.startswith(end) for value in self._values):
                return start
        return len(raw)


def _forms(secret: str) -> Iterator[str]:
    """The secret, and what of it a program prints alone: its lines, and the texts in it when it is JSON."""
    yield secret
    yield from (line.strip() for line in secret.splitlines())
    if secret.lstrip().startswith(("{", "[")):
        try:
            yield from _texts(json.loads(secret))
        except (ValueError, RecursionError):
            return


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        parts = cast("dict[str, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)
        for part in parts:
            yield from _texts(part)


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets."""
    masker = Masker(secrets)
    return (masker.feed(text.encode()) + masker.flush()).decode()
