"""Listener: who hears what happens while an operation goes on. The command line prints it."""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Hears of an operation that takes a while."""

    def note(self, sentence: str) -> None:
        """Something went on as it should."""
        ...

    def warn(self, sentence: str) -> None:
        """A person who waits has to know or do something."""
        ...

    def output(self, stream: str, line: str) -> None:
        """A line that the followed run has written to `stdout` or `stderr`."""
        ...


class Deaf:
    """Hears nothing: what there is to know stands in the answer."""

    def note(self, sentence: str) -> None:
        """Pass over it."""

    def warn(self, sentence: str) -> None:
        """Pass over it."""

    def output(self, stream: str, line: str) -> None:
        """Pass over it."""
