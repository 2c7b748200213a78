"""How a job document writes durations, sizes and ids, and how our messages show what its author wrote."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SIZES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
LONGEST = timedelta(days=3650)
LONGEST_SLUG = 64
SLUG = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])", re.IGNORECASE)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(" + "|".join(SIZES) + ")")
LONGEST_QUOTE = 130
_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def on_a_line(text: object) -> str:
    """What others wrote, as our messages show it: on one line, not endless, and printable everywhere."""
    given = str(text)
    shown = given if len(given) <= LONGEST_QUOTE else given[:LONGEST_QUOTE] + "..."
    return _NOT_SHOWN.sub(lambda found: repr(found[0])[1:-1], shown)


def quoted(text: str) -> str:
    """What the author of a document wrote, in quotes."""
    return f'"{on_a_line(text)}"'


def parse_duration(text: str) -> timedelta:
    """A decimal number and one of s, m, h, d: `30s`, `1.5h`.

    Raises:
        ValueError: it is not of that form, or longer than ten years.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        number = text.strip()
        bare = number.isdecimal() and len(number) < 10
        hint = f"write {number}s or {number}m" if bare else "write 30s, 15m, 2h, 1d or 1.5h"
        raise ValueError(f"{quoted(text)} is not a duration; {hint}")
    return span_of(Decimal(found[1]) * UNITS[found[2].lower()])


def format_duration(value: timedelta) -> str:
    """The shortest form that `parse_duration` reads back to the same."""
    for unit in ("d", "h", "m"):
        count, rest = divmod(value, timedelta(seconds=UNITS[unit]))
        if count and not rest:
            return f"{count}{unit}"
    whole, fraction = divmod(value, timedelta(seconds=1))
    return f"{whole}.{fraction.microseconds:06d}".rstrip("0").rstrip(".") + "s"


def parse_size(text: str) -> int:
    """Bytes from `64KiB`, `2KB` or `512B`.

    Raises:
        ValueError: it is not of that form.
    """
    found = _SIZE.fullmatch(text.strip())
    size = Decimal(found[1]) * SIZES[found[2]] if found else None
    if size is None or size != size.to_integral_value():
        raise ValueError(f"{quoted(text)} is not a size; write 64KiB, 2KB or a number of bytes")
    return int(size)


def format_size(value: int) -> str:
    """The shortest form that `parse_size` reads back to the same."""
    divisible = [unit for unit, factor in SIZES.items() if value and value % factor == 0]
    unit = max(divisible, key=lambda unit: SIZES[unit], default="B")
    return f"{value // SIZES[unit]}{unit}"


def span_of(count: Decimal | float) -> timedelta:
    """That many seconds.

    Raises:
        ValueError: it is negative, or longer than ten years.
    """
    if count > LONGEST.total_seconds():
        raise ValueError(f"must be at most {format_duration(LONGEST)}")
    if count < 0:
        raise ValueError("must not be negative")
    return timedelta(microseconds=round(count * 1_000_000))


def no_control_characters(value: str) -> str:
    """The text, if it has no control characters but tab and the ends of lines."""
    if found := _CONTROL.search(value):
        raise ValueError(f"contains the control character {found[0]!r}; take it out")
    return value


def is_slug(text: str) -> bool:
    """Whether a text can be a job's id."""
    return len(text) <= LONGEST_SLUG and re.fullmatch(SLUG, text) is not None
