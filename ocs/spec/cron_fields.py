"""The fields of a cron expression: which values each of them names, and how Prefect has to be told of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ocs.spec.written import on_a_line

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MOST = 3650
"""Steps of days that `every` still takes."""
LAST = -1
"""As a number of weeks: the last of the month."""
_VALUE = r"([0-9]+|[a-z]+)"
_ITEM = re.compile(rf"(?:(\*)|{_VALUE}(?:-{_VALUE})?)(?:/([0-9]+))?")
_NTH = re.compile(rf"{_VALUE}(?:-{_VALUE})?#([1-5])")
_LAST_WEEKDAY = re.compile(r"l([0-7])")
_STANDARD = re.compile(r"\*(?:/[0-9]+)?|([0-9]+|[a-z]{3})(?:-([0-9]+|[a-z]{3})(?:/[0-9]+)?)?", re.IGNORECASE)
"""What every cron takes: a step only after * or a range."""


class Unclear(ValueError):
    """It can be read, and people mean something else by it than crons do."""


@dataclass(frozen=True, slots=True)
class FieldKind:
    """A field: its name, its lowest and highest value, names for values, and the unit of its steps for `every`."""

    name: str
    low: int
    high: int
    unit: str = ""
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return self.high - self.low + 1


SECOND = FieldKind("second", 0, 59, "s")
MINUTE = FieldKind("minute", 0, 59, "m")
HOUR = FieldKind("hour", 0, 23, "h")
DAY = FieldKind("day", 1, 31, "d")
MONTH = FieldKind("month", 1, 12, "", MONTHS)
WEEKDAY = FieldKind("weekday", 0, 6, "d", WEEKDAYS)


@dataclass(frozen=True, slots=True)
class Item:
    """What stands between commas. `plain` is the form that Prefect reads as it is meant."""

    plain: str
    values: tuple[int, ...] = ()
    nth: tuple[tuple[int, int], ...] = ()
    is_last_day: bool = False
    goes_round: bool = False
    """It is a range that ends before it begins, as nov-feb."""


@dataclass(frozen=True, slots=True)
class Field:
    """All items of a field. `nth` are weekdays of a month: which, and the how manieth."""

    written: str
    items: tuple[Item, ...]

    @property
    def values(self) -> frozenset[int]:
        return frozenset(value for item in self.items for value in item.values)

    @property
    def nth(self) -> frozenset[tuple[int, int]]:
        return frozenset(each for item in self.items for each in item.nth)

    @property
    def plain(self) -> str:
        return ",".join(item.plain for item in self.items)

    @property
    def is_any(self) -> bool:
        """Whether it says nothing: one way or another it is a plain *."""
        return self.written in ("*", "?", "*/1")


def read_field(written: str, kind: FieldKind) -> Field:
    """The field as it is meant.

    Raises:
        ValueError: it cannot be read, or has no clear meaning.
    """
    if written == "?" and kind in (DAY, WEEKDAY):
        return Field(written, (Item(written, tuple(range(kind.low, kind.high + 1))),))
    items = tuple(_item(item, kind) for item in written.split(","))
    field = Field(written, items)
    if field.nth and field.values:
        raise ValueError(f"{written} has weekdays of every week beside weekdays of a month; write two schedules")
    return field


def not_standard(written: str) -> str | None:
    """The first item of a field that not every cron understands alike."""
    return next((item or "," for item in written.split(",") if not _STANDARD.fullmatch(item)), None)


def _item(written: str, kind: FieldKind) -> Item:
    item = written.lower()
    if kind is DAY and item == "l":
        return Item(written, is_last_day=True)
    if kind is WEEKDAY and (found := _LAST_WEEKDAY.fullmatch(item)):
        return Item(written, nth=((int(found[1]) % 7, LAST),))
    if kind is WEEKDAY and (found := _NTH.fullmatch(item)):
        return _nth(written, found[1], found[2], int(found[3]))
    if kind is DAY and item.endswith("-l"):
        item = f"{item[:-1]}{kind.high}"
    found = _ITEM.fullmatch(item)
    if found is None or (not kind.names and item.strip("0123456789*-/")):
        raise ValueError(f"{on_a_line(written) or 'nothing'} is not what a {kind.name} can be")
    star, first, last, step = found.groups()
    if star:
        # Of two day fields, Prefect takes */1 for a day that is given.
        return Item("*" if step == "1" else written, tuple(range(kind.low, kind.high + 1, _step(step, kind))))
    start = _number(first, kind)
    if last is None and step is None:
        return Item(written, (start % 7 if kind is WEEKDAY else start,))
    return _range(written, start, _number(last, kind) if last else kind.high, _step(step, kind), kind)


def _nth(written: str, first: str, last: str | None, number: int) -> Item:
    """Prefect takes ranges of such weekdays only by names."""
    start = _number(first, WEEKDAY)
    days = _range("", start, _number(last, WEEKDAY), 1, WEEKDAY).values if last else (start % WEEKDAY.size,)
    plain = ",".join(f"{day}#{number}" for day in days) if last else written
    return Item(plain, nth=tuple((day, number) for day in days))


def _range(written: str, start: int, end: int, step: int, kind: FieldKind) -> Item:
    """From a value to another, going round where the second is the lower one; a seventh weekday is Sunday again."""
    if start > kind.high and start > end:
        start -= kind.size
    goes_round = start > end
    counted = range(start, end + 1 + kind.size * goes_round, step)
    values = tuple(value - kind.size * (value > kind.high) for value in counted)
    if start == end:
        # Prefect takes 11-11 for every hour, and 23/2 for every second one.
        return Item(str(start), values)
    if goes_round and step > 1:
        return Item(",".join(map(str, values)), values, goes_round=True)  # Prefect counts on otherwise
    return Item(written, values, goes_round=goes_round)


def _number(value: str, kind: FieldKind) -> int:
    if not value.isdecimal():
        if value not in kind.names:
            raise ValueError(f"{on_a_line(value)} is not a name that cron has for it (the {kind.name})")
        return kind.names.index(value) + kind.low
    number = int(value)
    highest = 7 if kind is WEEKDAY else kind.high
    if not kind.low <= number <= highest:
        raise ValueError(f"{on_a_line(value)} is no value of the {kind.name}; it takes {kind.low} to {highest}")
    return number


def _step(written: str | None, kind: FieldKind) -> int:
    """Every so many values of the field. A larger step than the field has values would come once in it."""
    step = int(written or 1)
    if step == 0:
        raise ValueError(f"a step of 0 in the {kind.name} is none; it takes 1 to {kind.size}")
    if step > kind.size:
        every = f"; write every: {step}{kind.unit}" if kind.unit and step <= MOST else ""
        raise Unclear(f"the {kind.name} has {kind.size} values, and a step of {on_a_line(written)} is longer{every}")
    return step
