"""Recurrence rules of RFC 5545: readable, within what Prefect takes, and whether they ever happen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from ocs.spec.cron import LONGEST_MONTHS
from ocs.spec.values import on_a_line, quoted

LONGEST = 6500
"""Prefect's own limit."""
EXAMPLE = "e.g. FREQ=MONTHLY;BYDAY=-1FR"
_START = datetime(2020, 1, 1)  # noqa: DTZ001  Prefect's anchor: wall clock time of the schedule's zone
_LESS_THAN_A_DAY = {"HOURLY": timedelta(hours=1), "MINUTELY": timedelta(minutes=1)}
_TIMES_OF_DAY = ("BYHOUR", "BYMINUTE", "BYSECOND", "BYSETPOS", "INTERVAL")
_RANGES = {
    "INTERVAL": range(1, 1_000_001),
    "COUNT": range(1, 1_000_001),
    "BYMINUTE": range(60),
    "BYSECOND": range(60),
    "BYHOUR": range(24),
    "BYMONTH": range(1, 13),
    "BYMONTHDAY": range(1, 32),
    "BYYEARDAY": range(1, 367),
    "BYWEEKNO": range(1, 54),
    "BYSETPOS": range(1, 367),
}
_FROM_THE_END = ("BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS")
_UTC_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.IGNORECASE)


def check(rule: str) -> str:
    """The rule as given, if it is one that happens.

    Raises:
        ValueError: it cannot be read, asks for what Prefect would not do, or never happens (W39).
    """
    from dateutil.rrule import rrulestr

    rule = rule.strip()
    if len(rule) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    if "TZID=" in rule.upper():
        raise ValueError("names a zone of its own; take TZID out and set schedule.timezone")
    parts = [_checked_parts(text) for text in _rules(rule)]
    try:
        rrulestr(rule, dtstart=_START, ignoretz=True)
        happens = not parts or any(_happens(one, rule) for one in parts)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as wrong:
        raise ValueError(f"{quoted(rule)} is not a recurrence rule: {_reason(wrong)}; {EXAMPLE}") from None
    if not happens:
        raise ValueError(f"{quoted(rule)} never happens; no date fits it")
    return rule


def in_utc(rule: str) -> bool:
    """Whether the rule has times with a Z, which Prefect reads as wall clock times of the schedule's zone."""
    return _UTC_TIME.search(rule) is not None


def _rules(rule: str) -> Iterator[str]:
    """Each `FREQ=...` of the rule, without its `RRULE:`."""
    for line in rule.upper().split():
        name, _, value = line.rpartition(":")
        if name in ("", "RRULE") and value:
            yield value


def _checked_parts(text: str) -> dict[str, str]:
    parts = {name: value for name, _, value in (part.partition("=") for part in text.split(";"))}
    if parts.get("FREQ") == "SECONDLY":
        raise ValueError("FREQ=SECONDLY is not for schedules; use schedule.every, e.g. 20s")
    for name in parts.keys() & _RANGES.keys():
        for value in parts[name].split(","):
            _check_value(name, value)
    return parts


def _check_value(name: str, value: str) -> None:
    number = value.removeprefix("-") if name in _FROM_THE_END else value
    allowed = _RANGES[name]
    if not number.removeprefix("+").isdecimal() or int(number) not in allowed:
        raise ValueError(f"{name}={on_a_line(value)} is not possible; it takes {allowed[0]} to {allowed[-1]}")


def _happens(parts: Mapping[str, str], whole: str) -> bool:
    """Whether there is a first occurrence. Dateutil looks for one up to the year 9999, so the days come first."""
    from dateutil.rrule import rrulestr

    if _no_such_date(parts):
        return False
    unit = _LESS_THAN_A_DAY.get(parts.get("FREQ", ""))
    if unit is not None and unit * int(parts.get("INTERVAL", 1)) < timedelta(days=1):
        # On a day that fits, some hour and minute does: dateutil itself refuses those that cannot.
        parts = {name: value for name, value in parts.items() if name not in _TIMES_OF_DAY} | {"FREQ": "DAILY"}
    start = "".join(line + "\n" for line in whole.upper().split() if line.startswith("DTSTART"))
    rule = ";".join(f"{name}={value}" for name, value in parts.items())
    return next(iter(rrulestr(f"{start}RRULE:{rule}", dtstart=_START, ignoretz=True)), None) is not None


def _no_such_date(parts: Mapping[str, str]) -> bool:
    days = [int(day) for day in parts.get("BYMONTHDAY", "1").split(",")]
    months = [int(month) for month in parts.get("BYMONTH", "1").split(",")]
    return min(map(abs, days)) > max(LONGEST_MONTHS[month - 1] for month in months)


def _reason(wrong: Exception) -> str:
    return "it has no FREQ" if "'freq'" in str(wrong) else on_a_line(wrong) or "it cannot be read"
