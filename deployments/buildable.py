"""Buildable: whether Prefect takes what a job becomes, found out by building it, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from deployments.compile import compile_job
from ocs.errors import Problem
from ocs.spec import Job, cron


def not_built(job: Job) -> list[Problem]:
    """What of a job Prefect would refuse at its rollout."""
    if _is_plain(job):
        return []
    from prefect.events import DeploymentTriggerTypes

    from tasks.adapter.schedules import schedule_of

    compiled = compile_job(job, "any")
    schedules = _refused("schedule", schedule_of, compiled.schedules)
    trigger = TypeAdapter[DeploymentTriggerTypes](DeploymentTriggerTypes).validate_python
    return [*schedules, *_refused("on_event", trigger, compiled.triggers)]


def _is_plain(job: Job) -> bool:
    """Whether it needs no asking: tests hold that Prefect takes all of cron's own grammar, and Prefect loads slowly."""
    each = job.schedule.each if job.schedule else ()
    if job.on_event or any(times.rrule is not None for times in each):
        return False
    return all(times.cron is None or cron.read(times.cron).is_standard for times in each)


def _refused(path: str, build: Callable[[Any], object], specs: list[dict[str, Any]]) -> Iterator[Problem]:
    for spec in specs:
        try:
            build(spec)
        except ValueError as refused:
            yield Problem(path, f"Prefect does not take it: {_said(refused)}")


def _said(refused: ValueError) -> str:
    told = [error["msg"] for error in refused.errors()] if isinstance(refused, ValidationError) else [str(refused)]
    return "; ".join(message.removeprefix("Value error, ") for message in dict.fromkeys(told))
