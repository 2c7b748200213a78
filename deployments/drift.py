"""Drift: what people changed on the server since the last rollout. Pauses stay; the rest is told, and set back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse

from deployments.compile import CompiledDeployment
from tasks.adapter.reading import document_in
from tasks.adapter.schedules import key_of, keys_of, schedule_of

DEFAULT_QUEUE = "default"
NO_PATH = (None, "", ".")


def edited_there(
    deployed: DeploymentResponse, compiled: CompiledDeployment, schema: Mapping[str, Any]
) -> tuple[str, ...]:
    """What differs although the same document was rolled out; empty when another one was.

    Everything that a rollout sets is compared, and everything that decides whether and how a run of it is executed.
    `schema` is the one of its flow's parameters. Its automations are compared by `triggers`.
    """
    if deployed.version != compiled.version:
        return ()
    differs = {
        "parameters": deployed.parameters != compiled.parameters,
        "schedules": not _as_scheduled(deployed.schedules, compiled),
        "tags": set(deployed.tags) != set(compiled.tags),
        "description": (deployed.description or "") != compiled.description,
        "entrypoint": deployed.entrypoint != compiled.entrypoint,
        "work pool": deployed.work_pool_name != compiled.work_pool,
        "work queue": deployed.work_pool_name == compiled.work_pool and deployed.work_queue_name != DEFAULT_QUEUE,
        "job variables": deployed.job_variables != compiled.job_variables,
        "concurrency limit": deployed.global_concurrency_limit is not None or deployed.concurrency_options is not None,
        "path": deployed.path not in NO_PATH,
        "pull steps": bool(deployed.pull_steps),
        "storage": deployed.storage_document_id is not None or deployed.infrastructure_document_id is not None,
        "schema": deployed.parameter_openapi_schema != schema,
        "schema enforcement": not deployed.enforce_parameter_schema,
    }
    return tuple(name for name, changed in differs.items() if changed)


def _as_scheduled(schedules: Sequence[DeploymentSchedule], compiled: CompiledDeployment) -> bool:
    """Whether it runs when it was rolled out to, each time with the deployment's own parameters."""
    bare = not any(schedule.parameters or schedule.max_scheduled_runs for schedule in schedules)
    return bare and keys_of(schedules) == keys_of(map(schedule_of, compiled.schedules))


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
    paused = {key_of(schedule.schedule) for schedule in deployed.schedules if not schedule.active}
    every_one = _all_inactive(deployed.schedules)
    schedules = [
        {**spec, "active": spec["active"] and not every_one and key_of(schedule_of(spec).schedule) not in paused}
        for spec in compiled.schedules
    ]
    return replace(compiled, paused=bool(deployed.paused), schedules=schedules)


def was_enabled(deployed: DeploymentResponse) -> bool:
    """Whether a pause can only be a person's: neither the document says so, nor is it a one-shot that is over."""
    document = document_in(deployed.parameters)
    return bool(document.get("enabled", True)) and not _is_over(document)


def _is_over(document: Mapping[str, Any]) -> bool:
    schedule: Any = document.get("schedule")
    at: Any = schedule.get("at") if isinstance(schedule, dict) else None  # pyright: ignore
    return isinstance(at, str) and datetime.fromisoformat(at) <= datetime.now(UTC)


def _all_inactive(schedules: Sequence[DeploymentSchedule]) -> bool:
    return bool(schedules) and not any(schedule.active for schedule in schedules)
