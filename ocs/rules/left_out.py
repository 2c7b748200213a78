"""Left out: the days on which a schedule does not run, by their date or because they are public holidays."""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ocs.spec.left_out import holidays_of

if TYPE_CHECKING:
    from ocs.spec import Schedule


def why_left_out(schedule: Schedule, due: datetime) -> str | None:
    """Why an occurrence due then does not run, None when it does. Days are those of the schedule's time zone."""
    left_out = schedule.except_
    if not left_out.dates and left_out.holidays is None:
        return None
    day = due.astimezone(ZoneInfo(schedule.timezone)).date()
    if day in left_out.dates:
        return f"Left out: the schedule does not run on {day}."
    if left_out.holidays is not None and (name := _in_year(left_out.holidays, day.year).get(day)):
        return f"Left out: {day} is {name} in {left_out.holidays}."
    return None


@lru_cache(maxsize=256)
def _in_year(where: str, year: int) -> dict[date, str]:
    return holidays_of(where, year)
