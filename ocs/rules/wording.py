"""Wording: how moments, spans, counts and ids are written, for people and for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

SHORT = 8
"""Characters of an id that tell it from others where people read it."""


def local(moment: datetime | str | None) -> str:
    """A moment (or its ISO 8601 form) in the local zone with its offset."""
    known = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{known.astimezone():%Y-%m-%d %H:%M:%S %z}" if known else ""


def in_zone(moment: datetime, zone: str) -> str:
    """A moment as clocks in that zone show it, with its offset."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %z}"


def utc(moment: datetime | None) -> str | None:
    """A moment in UTC, ISO 8601."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def seconds(span: timedelta | None) -> float | None:
    """A span as seconds with milliseconds."""
    return round(span.total_seconds(), 3) if span is not None else None


def took(duration: float | None) -> str:
    """A number of seconds for people."""
    return "" if duration is None else f"{duration:.1f} s"


def first_line(text: str | None, width: int = 80) -> str:
    """The first line that says something, cut to `width`."""
    line = next((line.strip() for line in (text or "").splitlines() if line.strip()), "")
    return line if len(line) <= width else f"{line[: width - 1]}\N{HORIZONTAL ELLIPSIS}"


def count_of(number: int, thing: str) -> str:
    """A number and what it counts: 1 job, 2 jobs."""
    return f"{number} {thing}{'s' * (number != 1)}"
