"""Timetable: a job's schedule in the forms that Prefect has for schedules."""

from __future__ import annotations

from typing import Any

from ocs.rules.occurrences import EVERY_ANCHOR, as_cron, counts_days, on_a_clock
from ocs.spec import Schedule, Times, cron, rrule


def timetable(schedule: Schedule) -> list[dict[str, Any]]:
    """The schedules that a deployment gets, as plain values, each once.

    Jitter is not Prefect's: runs are made for the due time and started a little later by the worker. Nor are days that
    are left out: runs are made for them too, and the claim skips them.
    """
    if (moment := schedule.moment) is not None:
        once = f"DTSTART:{moment:%Y%m%dT%H%M%S}\nRRULE:FREQ=DAILY;COUNT=1"
        return [{"rrule": once, "timezone": "UTC", "active": True}]
    specs = [spec for times in schedule.each for spec in _of(times, times.timezone or schedule.timezone)]
    return [spec for number, spec in enumerate(specs) if spec not in specs[:number]]


def _of(times: Times, timezone: str) -> list[dict[str, Any]]:
    if (expression := as_cron(times)) is not None:
        counted, clock = on_a_clock(expression, timezone)
        return [{"cron": part, "timezone": clock, "active": True} for part in cron.for_prefect(counted)]
    if times.every is not None:
        every = {
            "interval": times.every.total_seconds(),
            "anchor_date": EVERY_ANCHOR.isoformat(),
            "timezone": timezone if counts_days(times.every) else "UTC",
            "active": True,
        }
        return [every]
    return [{"rrule": rule, "timezone": timezone, "active": True} for rule in rrule.rolled_out(times.rrule or "")]
