"""Timetable: a job's schedule in the forms that Prefect has for schedules."""

from __future__ import annotations

from typing import Any

from ocs.rules.occurrences import EVERY_ANCHOR, clock_of, counts_days
from ocs.spec import Schedule
from ocs.spec.cron import apart, with_seconds_last


def timetable(schedule: Schedule) -> list[dict[str, Any]]:
    """The schedules that a deployment gets, as plain values.

    Jitter is not Prefect's: runs are made for the due time and started a little later by the worker.
    """
    if schedule.cron is None:
        return [_schedule(schedule)]
    parts = apart(with_seconds_last(schedule.cron))
    clock = clock_of(schedule.cron, schedule.timezone)
    return [{"cron": part, "timezone": clock, "active": True} for part in parts]


def _schedule(schedule: Schedule) -> dict[str, Any]:
    if schedule.every is not None:
        return {
            "interval": schedule.every.total_seconds(),
            "anchor_date": EVERY_ANCHOR.isoformat(),
            "timezone": schedule.timezone if counts_days(schedule.every) else "UTC",
            "active": True,
        }
    if schedule.moment is not None:
        once = f"DTSTART:{schedule.moment:%Y%m%dT%H%M%S}\nRRULE:FREQ=DAILY;COUNT=1"
        return {"rrule": once, "timezone": "UTC", "active": True}
    return {"rrule": schedule.rrule, "timezone": schedule.timezone, "active": True}
