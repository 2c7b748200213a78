"""Timetable: a job's schedule in the forms that Prefect has for schedules."""

from __future__ import annotations

from typing import Any

from ocs.rules.occurrences import EVERY_ANCHOR, as_cron, counts_days, on_a_clock
from ocs.spec import Schedule, cron, rrule


def timetable(schedule: Schedule) -> list[dict[str, Any]]:
    """The schedules that a deployment gets, as plain values.

    Jitter is not Prefect's: runs are made for the due time and started a little later by the worker.
    """
    if (expression := as_cron(schedule)) is None:
        return _without_cron(schedule)
    counted, clock = on_a_clock(expression, schedule.timezone)
    return [{"cron": part, "timezone": clock, "active": True} for part in cron.for_prefect(counted)]


def _without_cron(schedule: Schedule) -> list[dict[str, Any]]:
    if schedule.every is not None:
        every = {
            "interval": schedule.every.total_seconds(),
            "anchor_date": EVERY_ANCHOR.isoformat(),
            "timezone": schedule.timezone if counts_days(schedule.every) else "UTC",
            "active": True,
        }
        return [every]
    if schedule.moment is not None:
        once = f"DTSTART:{schedule.moment:%Y%m%dT%H%M%S}\nRRULE:FREQ=DAILY;COUNT=1"
        return [{"rrule": once, "timezone": "UTC", "active": True}]
    rules = rrule.rolled_out(schedule.rrule or "")
    return [{"rrule": rule, "timezone": schedule.timezone, "active": True} for rule in rules]
