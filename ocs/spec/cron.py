"""Cron expressions: five fields, six with seconds first, or a nickname; and whether they ever happen."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import datetime

from ocs.spec.values import on_a_line, quoted

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FORM = "write five fields (minute hour day month weekday), six with seconds first, or @hourly, @daily..."
LONGEST = 128
LAST_DAY_OF_EVERY_MONTH = 28
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FIELD_NAMES = ("minute", "hour", "day", "month", "weekday", "second")
_HASHED = re.compile(r"(^|,)[hr](\(|/|,|$)", re.IGNORECASE)
"""Croniter's hashed and random values: their instants are not the same everywhere, and Prefect refuses them."""
_SEVEN = re.compile(r"(^|[,\-l])7")
_WHERE = re.compile(r"^\[.*?\] (is not acceptable[.,]? ?)?|\[.*?\] ")
_SOME_DAY = datetime(2000, 1, 1)  # noqa: DTZ001  the search is over wall clock times


def check(expression: str) -> str:
    """The expression with single spaces, if it is one that happens.

    Raises:
        ValueError: it cannot be read, or names a date that never comes (W39).
    """
    from croniter import CroniterBadDateError, CroniterError, croniter

    if len(expression) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    expression = " ".join(expression.split())
    fields = _fields(expression)
    if len(fields) not in (5, 6) or any(_HASHED.search(field) for field in fields):
        raise ValueError(f"{quoted(expression)} is not a cron expression; {FORM}")
    if len(fields) == 6 and _SEVEN.search(fields[5]):
        raise ValueError(f"{quoted(expression)} has the weekday 7 beside seconds; write 0 or sun")
    never: str | None = None
    try:
        never = _why_never(expression)
        croniter(with_seconds_last(expression), _SOME_DAY).get_next(datetime)
    except CroniterBadDateError:
        never = never or "no date in fifty years fits"
    except (CroniterError, ValueError, KeyError, IndexError) as wrong:
        raise ValueError(f"{quoted(expression)} is not a cron expression: {_reason(wrong)}; {FORM}") from None
    if never:
        raise ValueError(f"{quoted(expression)} never happens ({never}).")
    return expression


def with_seconds_last(expression: str) -> str:
    """The same instants in the order croniter and Prefect read them, where a sixth field is the last."""
    fields = _fields(expression)
    return " ".join([*fields[1:], fields[0]] if len(fields) == 6 else fields)


def apart(expression: str) -> list[str]:
    """Expressions with seconds last that together mean the same, in a form in which Prefect loses nothing.

    Given early and late days of the month together (`1,31`, `*/10`), Prefect 3.9.1 leaves out the first of
    March. So the days after the 28th get expressions of their own, if they ever come.
    """
    from croniter import CroniterBadDateError, croniter

    fields = expression.split()
    days: Sequence[int | str] = croniter.expand(expression)[0][2]
    late = [day for day in days if isinstance(day, int) and day > LAST_DAY_OF_EVERY_MONTH]
    early = [day for day in days if isinstance(day, int) and day <= LAST_DAY_OF_EVERY_MONTH]
    if not late or not early or len(late) + len(early) != len(days):
        return [expression]
    parts = [" ".join([*fields[:2], ",".join(map(str, early)), *fields[3:]])]
    for day in late:
        # With a weekday too, cron means either; the first expression has the weekdays already.
        part = " ".join([*fields[:2], str(day), fields[3], "*", *fields[5:]])
        with contextlib.suppress(CroniterBadDateError):
            croniter(part, _SOME_DAY).get_next(datetime)
            parts.append(part)
    return parts


def _fields(expression: str) -> list[str]:
    return NICKNAMES.get(expression.strip().lower(), expression).split()


def _why_never(expression: str) -> str | None:
    """Why the days of the month never come. A weekday beside them does not help: Prefect looks for both first."""
    from croniter import croniter

    expanded, _ = croniter.expand(with_seconds_last(expression))
    days = [day for day in expanded[2] if isinstance(day, int)]
    months = [month for month in expanded[3] if isinstance(month, int)]
    if len(days) < len(expanded[2]) or not months:
        return None
    if min(days) > max(LONGEST_MONTHS[month - 1] for month in months):
        return _no_such_day(min(days), months)
    return None


def _no_such_day(day: int, months: Sequence[int]) -> str:
    """`day` does not exist in any of the `months`, as people say it."""
    names = [MONTHS[month - 1] for month in sorted(months)]
    suffix = {1: "st", 21: "st", 31: "st", 2: "nd", 22: "nd", 3: "rd", 23: "rd"}.get(day, "th")
    if len(names) == 1:
        return f"{names[0]} has no {day}{suffix}"
    return f"{', '.join(names[:-1])} and {names[-1]} have no {day}{suffix}"


def _reason(wrong: Exception) -> str:
    words = _WHERE.sub("", on_a_line(wrong).strip()).rstrip(".")
    for position, name in enumerate(_FIELD_NAMES):
        words = words.replace(f"in field {position}", f"in the field of the {name}")
    return words[:1].lower() + words[1:] if words else "it cannot be read"
