# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Bounds of a YAML document, kept before anything is built from it: depth, values with all aliases spelled out, digits.

A few hundred bytes of aliases to aliases stand for thousands of millions of values. The parser's events name them
without building them, so counting costs what the text is long.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    ScalarEvent,
)
from ruamel.yaml.nodes import ScalarNode

DEEPEST = 64
MOST_VALUES = 50_000
MOST_DIGITS = 100


class TooMuch(MarkedYAMLError):
    """The document is larger than any job; `problem` says in what, `problem_mark` where."""


def check(text: str) -> None:
    """Count what the text would become.

    Raises:
        TooMuch: more than is ever built.
        YAMLError: it is not YAML.
    """
    counted = _Counted()
    for event in YAML(typ="safe", pure=True).parse(text):
        counted.add(event)
        if counted.values > MOST_VALUES:
            raise _too_much(event, f"has more than {MOST_VALUES:,} values, its aliases spelled out")


@dataclass(slots=True)
class _Counted:
    """How many values there are so far, and how many stand behind each anchor."""

    values: int = 0
    _behind: dict[str, int] = field(default_factory=dict[str, int])
    _open: list[tuple[str | None, int]] = field(default_factory=list[tuple[str | None, int]])

    def add(self, event: Any) -> None:
        match event:
            case AliasEvent():
                if any(event.anchor == anchor for anchor, _ in self._open):
                    raise _too_much(event, f"*{event.anchor} refers to what it stands in; spell it out")
                self.values += self._behind.get(event.anchor, 1)
            case CollectionStartEvent():
                if len(self._open) >= DEEPEST:
                    raise _too_much(event, f"is nested more than {DEEPEST} levels deep")
                self._open.append((event.anchor, self.values))
                self.values += 1
            case CollectionEndEvent():
                anchor, before = self._open.pop()
                self._note(anchor, self.values - before)
            case ScalarEvent():
                self.values += 1
                self._note(event.anchor, 1)
            case _:
                pass

    def _note(self, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self._behind[anchor] = size


def checked_digits(node: ScalarNode) -> None:
    """A number of thousands of digits costs much and means nothing.

    Raises:
        TooMuch: it has more than any number that a job holds.
    """
    if len(node.value) > MOST_DIGITS:
        said = f"is a number of {len(node.value):,} digits; at most {MOST_DIGITS} are read. Put a text in quotes"
        raise TooMuch(problem=said, problem_mark=node.start_mark)


def _too_much(event: Any, said: str) -> TooMuch:
    return TooMuch(problem=said, problem_mark=event.start_mark)
