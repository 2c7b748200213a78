"""Drift: what people changed on the server since the last rollout. Pauses stay; the rest is told, and set back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import SCHEDULE_TYPES, CronSchedule, IntervalSchedule, RRuleSchedule

from deployments.compile import CompiledDeployment

ScheduleKey = tuple[str, str | None]


def edited_there(deployed: DeploymentResponse, compiled: CompiledDeployment) -> tuple[str, ...]:
    """What differs although the same document was rolled out; empty when another one was."""
    if deployed.version != compiled.version:
        return ()
    theirs = sorted(_key(schedule.schedule) for schedule in deployed.schedules)
    ours = sorted(_key(schedule_of(spec).schedule) for spec in compiled.schedules)
    differs = {
        "parameters": deployed.parameters != compiled.parameters,
        "schedules": theirs != ours,
        "tags": set(deployed.tags) != set(compiled.tags),
        "description": (deployed.description or "") != compiled.description,
        "entrypoint": deployed.entrypoint != compiled.entrypoint,
    }
    return tuple(name for name, changed in differs.items() if changed)


def paused_there(deployed: DeploymentResponse, compiled: CompiledDeployment) -> bool:
    """Whether a person paused the whole job, or all its schedules, while its rolled-out document was enabled."""
    if compiled.paused or not was_enabled(deployed):
        return False
    return is_paused(deployed)


def is_paused(deployed: DeploymentResponse) -> bool:
    """Whether nothing of it comes by itself: the whole job is paused, or all its schedules."""
    return bool(deployed.paused) or _all_inactive(deployed.schedules)


def keeping_pauses(deployed: DeploymentResponse, compiled: CompiledDeployment) -> CompiledDeployment:
    """The deployment to send, with what a person paused still paused."""
    if compiled.paused or not was_enabled(deployed):
        return compiled
    paused = {_key(schedule.schedule) for schedule in deployed.schedules if not schedule.active}
    every_one = _all_inactive(deployed.schedules)
    schedules = [
        {**spec, "active": spec["active"] and not every_one and _key(schedule_of(spec).schedule) not in paused}
        for spec in compiled.schedules
    ]
    return replace(compiled, paused=bool(deployed.paused), schedules=schedules)


def was_enabled(deployed: DeploymentResponse) -> bool:
    """Whether the rolled-out document had the job enabled: then a pause is a person's, not the document's."""
    return bool(document_of(deployed).get("enabled", True))


def document_of(deployed: DeploymentResponse) -> Mapping[str, Any]:
    """The job document as it stands on the server."""
    document: Any = deployed.parameters.get("job")
    return document if isinstance(document, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def schedule_of(spec: Mapping[str, Any]) -> DeploymentScheduleCreate:
    """A compiled schedule as Prefect takes it."""
    kind = CronSchedule if "cron" in spec else IntervalSchedule if "interval" in spec else RRuleSchedule
    fields = {name: value for name, value in spec.items() if name != "active"}
    return DeploymentScheduleCreate(schedule=kind.model_validate(fields), active=spec["active"])


def _all_inactive(schedules: Sequence[DeploymentSchedule]) -> bool:
    return bool(schedules) and not any(schedule.active for schedule in schedules)


def _key(schedule: SCHEDULE_TYPES) -> ScheduleKey:
    match schedule:
        case CronSchedule():
            return (f"cron {schedule.cron}", schedule.timezone)
        case IntervalSchedule():
            return (f"every {schedule.interval.total_seconds()}", schedule.timezone)
        case RRuleSchedule():
            return (f"rrule {schedule.rrule}", schedule.timezone)
        case _:
            return (repr(schedule), None)
