"""Prefect's schedules: made from a timetable, and compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import SCHEDULE_TYPES, CronSchedule, IntervalSchedule, RRuleSchedule

from ocs.spec import rrule

ScheduleKey = tuple[str, str | None]


def schedule_of(spec: Mapping[str, Any]) -> DeploymentScheduleCreate:
    """A compiled schedule as Prefect takes it; a rule gets a start from which Prefect has little to count."""
    kind = CronSchedule if "cron" in spec else IntervalSchedule if "interval" in spec else RRuleSchedule
    fields = {name: value for name, value in spec.items() if name != "active"}
    if "rrule" in fields:
        fields["rrule"] = _from_recently(fields["rrule"], fields["timezone"])
    return DeploymentScheduleCreate(schedule=kind.model_validate(fields), active=spec["active"])


def keys_of(schedules: Iterable[DeploymentSchedule | DeploymentScheduleCreate]) -> list[ScheduleKey]:
    """When these run, in any order, active or not."""
    return sorted(key_of(schedule.schedule) for schedule in schedules)


def key_of(schedule: SCHEDULE_TYPES) -> ScheduleKey:
    """When a schedule runs, as a value that equal schedules share."""
    match schedule:
        case CronSchedule():
            return (f"cron {schedule.cron}", schedule.timezone)
        case IntervalSchedule():
            return (f"every {schedule.interval.total_seconds()}", schedule.timezone)
        case RRuleSchedule():
            # Rules that differ in their start alone may be the same one, rolled out at different times.
            return (f"rrule {_from_recently(schedule.rrule, schedule.timezone or 'UTC')}", schedule.timezone)
        case _:
            return (repr(schedule), None)


def _from_recently(rule: str, timezone: str) -> str:
    try:
        return rrule.from_recently(rule, datetime.now(ZoneInfo(timezone)).replace(tzinfo=None))
    except ValueError:
        return rule  # somebody wrote it in the UI, and it is none of ours
