"""Recurrence rules of RFC 5545: read, within what Prefect takes, and in the form in which it counts them quickly."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from ocs.spec.recurrence import LAST_YEAR, MONTHS, UNITS, Recurrence, Rule
from ocs.spec.written import on_a_line, quoted

LONGEST = 6500
"""Prefect's own limit."""
EXAMPLE = "e.g. FREQ=MONTHLY;BYDAY=-1FR"
MOST_IN_A_PERIOD = 50_000
FIRST = datetime(1970, 1, 1)  # noqa: DTZ001
START = datetime(2020, 1, 1)  # noqa: DTZ001  Prefect's anchor: wall clock time of the schedule's zone
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_RANGES = {
    "INTERVAL": range(1, 1_000_001),
    "COUNT": range(1, 1001),
    "BYMINUTE": range(60),
    "BYSECOND": range(60),
    "BYHOUR": range(24),
    "BYMONTH": range(1, 13),
    "BYMONTHDAY": range(1, 32),
    "BYYEARDAY": range(1, 367),
    "BYWEEKNO": range(1, 52),  # weeks that two years share dateutil sees only partly; -1 is the last one
    "BYSETPOS": range(1, 367),
    "BYEASTER": range(251),
}
_FROM_THE_END = ("BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS", "BYEASTER")
_SETS = {
    "BYMINUTE": "minutes",
    "BYSECOND": "seconds",
    "BYHOUR": "hours",
    "BYMONTH": "months",
    "BYMONTHDAY": "month_days",
    "BYYEARDAY": "year_days",
    "BYWEEKNO": "weeks",
    "BYSETPOS": "positions",
    "BYEASTER": "easter",
}
_KNOWN = frozenset({*_RANGES, "FREQ", "UNTIL", "WKST", "BYDAY"})
_UTC_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.IGNORECASE)
_MOMENT = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}(T[0-9]{2}(:?[0-9]{2}){1,2}Z?)?")
_DAY = re.compile(r"([+-]?[0-9]{0,2})(MO|TU|WE|TH|FR|SA|SU)")


@dataclass(frozen=True, slots=True)
class Written:
    """A text taken apart. `start` is Prefect's own where none is written; `rules` are the RRULEs as they stand."""

    recurrence: Recurrence
    start: datetime = START
    has_start: bool = False
    rules: tuple[str, ...] = ()
    also: tuple[datetime, ...] = ()
    without: tuple[datetime, ...] = ()


def check(rule: str) -> str:
    """The rule as given, if it is one that happens.

    Raises:
        ValueError: it cannot be read, asks for what Prefect would not do, or never happens.
    """
    rule = rule.strip()
    if len(rule) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    if "TZID=" in rule.upper():
        raise ValueError("names a zone of its own; take TZID out and set schedule.timezone")
    if "FREQ=SECONDLY" in rule.upper():
        raise ValueError("FREQ=SECONDLY is not for schedules; use schedule.every, e.g. 20s")
    try:
        written = read(rule)
    except ValueError as wrong:
        raise ValueError(f"{quoted(rule)} is not a recurrence rule: {wrong}; {EXAMPLE}") from None
    if next(written.recurrence.times(_before_all(written)), None) is None:
        raise ValueError(f"{quoted(rule)} never happens; no date fits it")
    return rule


def in_utc(rule: str) -> bool:
    """Whether the rule has times with a Z, which Prefect reads as wall clock times of the schedule's zone."""
    return _UTC_TIME.search(rule) is not None


def last_day(rule: str) -> datetime | None:
    """Until when the rule goes on, by the clocks of its zone; None when it does not say so of all its parts."""
    ends = [each.until for each in read(rule).recurrence.rules]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


@lru_cache(maxsize=1024)
def read(rule: str) -> Written:
    """What a text of one or more lines says.

    Raises:
        ValueError: it cannot be read; why.
    """
    lines = list(_lines(rule))
    starts = [moment for name, value in lines if name == "DTSTART" for moment in _moments(value)]
    start = starts[0] if starts else START
    if len(starts) > 1:
        raise ValueError("it has more than one DTSTART")
    rules = tuple(value for name, value in lines if name == "RRULE")
    also, without = (
        tuple(moment for name, value in lines if name == wanted for moment in _moments(value))
        for wanted in ("RDATE", "EXDATE")
    )
    if not rules and not also:
        raise ValueError("it has no FREQ")
    read_rules = tuple(_rule(text, start) for text in rules)
    if any(each.count is not None for each in read_rules) and not starts:
        raise ValueError("COUNT needs a DTSTART to be counted from, a line DTSTART:20270101T080000 before it")
    recurrence = Recurrence(read_rules, frozenset(also), frozenset(without))
    return Written(recurrence, start, bool(starts), rules, also, without)


def rolled_out(rule: str) -> list[str]:
    """The rule in the forms that a deployment has: as written where Prefect reads that, too.

    Several RRULEs are rules of their own, and times have no Z: Prefect takes it in UNTIL only where DTSTART has one.
    """
    written = read(rule)
    return _from(written, START) if written.has_start or len(written.rules) > 1 else [_without_z(rule)]


def from_recently(rule: str, now: datetime) -> str:
    """The rule of a deployment so that it means the same from `now` on, a time of the wall clock.

    Prefect counts from the start of a rule, so that the same rule costs it more and more: it gets a start that is at
    most two periods ago.
    """
    return _from(read(rule), now)[0]


def _from(written: Written, now: datetime) -> list[str]:
    singles = [f"{name}:{_listed(moments)}" for name, moments in (("RDATE", written.also), ("EXDATE", written.without))]
    singles = [line for line in singles if not line.endswith(":")]
    if not written.rules:
        return ["\n".join([f"DTSTART:{_shown(written.start)}", *singles])]
    return [
        "\n".join([f"DTSTART:{_shown(_recent(each, now))}", f"RRULE:{_without_z(text)}", *singles])
        for each, text in zip(written.recurrence.rules, written.rules, strict=True)
    ]


def as_cron(rule: str) -> str | None:
    """The cron expression of a rule that comes in every hour of every day, None of another one.

    It costs nothing to count, and clocks that are set do not make it pause.
    """
    written = read(rule)
    if written.has_start or written.also or written.without or len(written.rules) != 1:
        return None
    (each,) = written.recurrence.rules
    if each != Rule(freq=each.freq, start=START, interval=each.interval, minutes=each.minutes, seconds=each.seconds):
        return None
    if each.freq == "HOURLY" and each.interval == 1:
        minutes = each.minutes or {0}
    elif each.freq == "MINUTELY" and 60 % each.interval == 0:
        minutes = {minute for minute in range(0, 60, each.interval) if not each.minutes or minute in each.minutes}
    else:
        return None
    listed = ",".join(map(str, sorted(minutes)))
    seconds = ",".join(map(str, sorted(each.seconds)))
    return " ".join(filter(None, [seconds, listed, "* * * *"]))


def _lines(rule: str) -> Iterator[tuple[str, str]]:
    for line in rule.upper().split():
        name, colon, value = line.partition(":")
        if not colon:
            name, value = "RRULE", name
        name = name.removesuffix(";VALUE=DATE-TIME")
        if name == "EXRULE":
            raise ValueError("EXRULE is no part of RFC 5545 any more; name the times that are left out in EXDATE")
        if name not in ("RRULE", "DTSTART", "RDATE", "EXDATE"):
            raise ValueError(f"{on_a_line(name)} is not RRULE, DTSTART, RDATE or EXDATE")
        yield name, value


def _moments(value: str) -> Iterator[datetime]:
    for text in value.split(","):
        if not _MOMENT.fullmatch(text):
            raise ValueError(f"{on_a_line(text)} is not a time such as 20270101T080000")
        moment = datetime.fromisoformat(text).replace(tzinfo=None)
        if not FIRST.year <= moment.year <= LAST_YEAR:
            raise ValueError(f"{on_a_line(text)} is not between {FIRST.year} and {LAST_YEAR}")
        yield moment


def _rule(text: str, start: datetime) -> Rule:
    parts = _parts(text)
    freq = parts.get("FREQ")
    if freq is None:
        raise ValueError("it has no FREQ")
    if freq not in {*MONTHS, *UNITS}:
        raise ValueError(f"FREQ={on_a_line(freq)} is none; it takes {', '.join((*MONTHS, *UNITS))}")
    if "BYWEEKNO" in parts and freq != "YEARLY":
        raise ValueError("BYWEEKNO is only for FREQ=YEARLY")
    weekdays, nth = _weekdays(parts, freq)
    rule = Rule(
        freq=freq,
        start=start,
        interval=int(parts.get("INTERVAL", 1)),
        count=int(parts["COUNT"]) if "COUNT" in parts else None,
        until=next(_moments(parts["UNTIL"])) if "UNTIL" in parts else None,
        week_start=_week_start(parts),
        weekdays=weekdays,
        nth=nth,
        **{name: frozenset(map(int, parts[part].split(","))) for part, name in _SETS.items() if part in parts},
    )
    if not rule.meets_its_clock:
        raise ValueError("counted from its start, its interval never meets its BYHOUR, BYMINUTE and BYSETPOS")
    if rule.most_in_a_period > MOST_IN_A_PERIOD:
        raise ValueError(f"it comes more than {MOST_IN_A_PERIOD} times in a period; write it with FREQ=DAILY")
    return rule


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        name = "BYDAY" if name == "BYWEEKDAY" else name
        if name not in _KNOWN or not value:
            raise ValueError(f"{on_a_line(part) or 'nothing'} is no part of a rule")
        for number in value.split(",") if name in _RANGES else ():
            _check_number(name, number)
        parts[name] = value
    return parts


def _check_number(name: str, value: str) -> None:
    number = value.removeprefix("-") if name in _FROM_THE_END else value
    allowed = _RANGES[name]
    number = number.removeprefix("+")
    if not (number.isascii() and number.isdecimal()) or int(number) not in allowed:
        raise ValueError(f"{name}={on_a_line(value)} is not possible; it takes {allowed[0]} to {allowed[-1]}")


def _weekdays(parts: Mapping[str, str], freq: str) -> tuple[frozenset[int], frozenset[tuple[int, int]]]:
    """Weekdays of every week, and weekdays of a period; only months and years have the second."""
    every: set[int] = set()
    nth: set[tuple[int, int]] = set()
    for text in parts["BYDAY"].split(",") if "BYDAY" in parts else ():
        found = _DAY.fullmatch(text)
        if found is None or found[1] in ("+", "-", "0"):
            raise ValueError(f"BYDAY={on_a_line(text)} is not a weekday; it takes MO to SU, or such as -1FR")
        weekday = WEEKDAYS.index(found[2])
        if found[1] and freq in MONTHS:
            nth.add((weekday, int(found[1])))
        else:
            every.add(weekday)
    return frozenset(every), frozenset(nth)


def _week_start(parts: Mapping[str, str]) -> int:
    name = parts.get("WKST", "MO")
    if name not in WEEKDAYS:
        raise ValueError(f"WKST={on_a_line(name)} is not a weekday; it takes MO to SU")
    return WEEKDAYS.index(name)


def _before_all(written: Written) -> datetime:
    return min([written.start, *written.also]) - timedelta(seconds=1)


def _recent(rule: Rule, now: datetime) -> datetime:
    """The start of another period, not long before `now`, from which the rule means the same from `now` on.

    It is the same one whichever of these starts the rule has; one that is to come stays.
    """
    if rule.count is not None or rule.start > now:
        return rule.start
    if rule.freq in MONTHS:
        return _recent_month(rule, now)
    period = UNITS[rule.freq] * rule.interval
    passed = (now - rule.start) // period - 1
    return rule.start if rule.start - FIRST < -passed * period else rule.start + passed * period


def _recent_month(rule: Rule, now: datetime) -> datetime:
    """Months that are too short for the day of the start are passed over; within so many one has it again."""
    period = MONTHS[rule.freq] * rule.interval
    since = (now.year - rule.start.year) * 12 + now.month - rule.start.month
    for passed in range(since // period - 1, since // period - 100, -1):
        year, month = divmod(rule.start.year * 12 + rule.start.month - 1 + passed * period, 12)
        if year < FIRST.year:
            break
        if rule.start.day <= monthrange(year, month + 1)[1]:
            return rule.start.replace(year=year, month=month + 1)
    return rule.start


def _shown(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%S}"


def _listed(moments: tuple[datetime, ...]) -> str:
    return ",".join(map(_shown, moments))


def _without_z(text: str) -> str:
    return re.sub(r"(?<=[0-9])Z", "", text)
