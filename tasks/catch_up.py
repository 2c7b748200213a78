"""Catch up: occurrences that never became flow runs, because everything was down, or a schedule was just replaced."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
)

from ocs.rules import misfire
from ocs.rules.occurrences import occurrences_between
from ocs.spec import Schedule
from ocs.store import PendingDispatch, Store, occurrences
from tasks import host
from tasks.deployed import Deployed, deployed_jobs
from tasks.publish import publish

SETTLED = timedelta(seconds=30)
"""Prefect makes runs ahead of time, and a few seconds after a schedule was changed."""
FARTHEST = timedelta(days=40)
"""What was due longer ago is not looked for."""


async def catch_up() -> int:
    """Dispatch what the schedules' `misfire` says of occurrences without a run; returns how many were dispatched."""
    store = await host.store()
    until = host.clock() - SETTLED
    since = await occurrences.caught_up_until(store)
    dispatched: list[PendingDispatch] = []
    if since is not None and since < until:
        async with get_client() as client:
            async for deployed in deployed_jobs(client):
                dispatched += await _catch_up(client, store, deployed, max(since, until - FARTHEST), until)
            await publish(client, store, dispatched)
    await occurrences.mark_caught_up(store, until)
    return len(dispatched)


async def _catch_up(
    client: PrefectClient, store: Store, deployed: Deployed, since: datetime, until: datetime
) -> list[PendingDispatch]:
    job = deployed.job
    since = max(since, deployed.unchanged_since)
    if job.schedule is None or not deployed.enabled or not deployed.runs_as_written or since >= until:
        return []
    due = await _due(job.schedule, since, until)
    if not due:
        return []
    known = await occurrences.recorded(store, job.id, due[0])
    if not known.issuperset(due):
        known |= await _coming(client, deployed, due)
    chosen = misfire.catch_up(job.schedule, due, known, job.limits.max_queued)
    return await occurrences.make_up_for(store, job.id, chosen, host.clock())


async def _due(schedule: Schedule, since: datetime, until: datetime) -> list[datetime]:
    """After a long time there may be very many."""
    return await asyncio.to_thread(occurrences_between, schedule, since, until)


async def _coming(client: PrefectClient, deployed: Deployed, due: list[datetime]) -> set[datetime]:
    """Those that are flow runs and have not begun: they are late, and begin without our help."""
    span = FlowRunFilterExpectedStartTime.model_validate({"after_": due[0], "before_": due[-1]})
    flow_runs = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployed.deployment.id])),
        flow_run_filter=FlowRunFilter(expected_start_time=span),
    )
    starts = (flow_run.expected_start_time for flow_run in flow_runs if flow_run.auto_scheduled)
    return {datetime.fromtimestamp(start.timestamp(), UTC) for start in starts if start is not None}
