"""Runs that the scheduler makes are named like all others: a private name of Prefect's server that we touch.

As shipped, they carry random names until they start, and are then named by a request of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from prefect.server.models import deployments

from ocs.rules.dispatch import DispatchKind
from tasks.adapter.naming import kind_tag, run_name

OURS, JOB = "ocs", "job:"
Generate = Callable[..., Awaitable[list[dict[str, Any]]]]


def name_scheduled_runs() -> None:
    """Have the server give each run that it makes of our schedules the name and the tag it would get at its start."""
    generate = deployments._generate_scheduled_flow_runs  # pyright: ignore[reportPrivateUsage]
    deployments._generate_scheduled_flow_runs = naming(generate)  # pyright: ignore[reportPrivateUsage]


def naming(generate: Generate) -> Generate:
    """The same runs, with names."""

    @functools.wraps(generate)
    async def named(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
        return [_named(run) for run in await generate(*arguments, **options)]

    return named


def _named(run: dict[str, Any]) -> dict[str, Any]:
    job_id = _job_of(run["tags"])
    if job_id is None or not run["auto_scheduled"]:
        return run
    due = run["state"]["state_details"]["scheduled_time"]
    name = run_name(job_id, DispatchKind.SCHEDULED, 1, due)
    return {**run, "name": name, "tags": [*run["tags"], kind_tag(DispatchKind.SCHEDULED)]}


def _job_of(tags: Iterable[str]) -> str | None:
    """The job that a deployment's tags name, if it is one of ours."""
    if OURS not in tags:
        return None
    return next((tag.removeprefix(JOB) for tag in tags if tag.startswith(JOB)), None)
