"""Shortened ids: how people name a row by the beginning of its id, or of its key. One rule for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, String, cast, false, func
from sqlalchemy.orm import Mapped

from ocs.errors import NotFound

T = TypeVar("T")

SHORTEST = 4
"""With less a slip of the finger names something else, and an empty word everything."""
SEVERAL = 6
"""As many are asked for, so that the first of them can be named."""
SHOWN = 13
DIGITS = frozenset("0123456789abcdef")


def beginning(given: str) -> str | None:
    """What the hexadecimal digits of an id have to begin with; None when no id does."""
    digits = given.strip().lower().replace("-", "")
    return digits if len(digits) >= SHORTEST and DIGITS.issuperset(digits) else None


def begins(column: Mapped[Any], given: str) -> ColumnElement[bool]:
    """SQL: the id in that column begins so."""
    digits = beginning(given)
    text = func.lower(func.replace(cast(column, String), "-", ""))
    return text.startswith(digits, autoescape=True) if digits else false()


def that_begin(rows: Iterable[T], given: str, *, by: Callable[[T], object]) -> list[T]:
    """Those of some rows whose id begins so."""
    digits = beginning(given)
    return [row for row in rows if digits and str(by(row)).replace("-", "").startswith(digits)]


def the_one(found: Sequence[T], given: str, thing: str, *, by: Callable[[T], object], hint: str) -> T:
    """The row that was meant; `thing` is what people call such a one.

    Raises:
        NotFound: no row begins so, or several do, which are named; or too little was given.
    """
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(str(by(row))[:SHOWN] for row in found[: SEVERAL - 1])
        raise NotFound(f'"{given}" is not enough to tell one {thing}: {several}.', hint="Give more of it.")
    if len(given.strip()) < SHORTEST:
        raise NotFound(f'"{given}" is not enough to tell one {thing}: give {SHORTEST} characters or more.', hint=hint)
    raise NotFound(f'No {thing} begins with "{given}".', hint=hint)
