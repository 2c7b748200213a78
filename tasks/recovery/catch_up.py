"""Catch up: dispatch occurrences that never became flow runs: everything was down, or a schedule was replaced."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
)

from ocs.rules import misfire
from ocs.rules.occurrences import newest_between
from ocs.spec import Job
from ocs.store import PendingDispatch, Store, occurrences
from ocs.timing import timing
from tasks.adapter import runtime
from tasks.adapter.deployed import Deployed, deployed_jobs
from tasks.adapter.pages import all_flow_runs
from tasks.adapter.publish import publish
from tasks.adapter.reading import instant
from tasks.adapter.states import is_broken
from tasks.recovery.isolation import Isolation

FARTHEST = timedelta(days=40)
"""Catch-up does not look farther back."""
LOOKED_AT = 1000
"""Of more occurrences than this it takes the newest, unless the job lets more queue."""


async def catch_up() -> int:
    """Dispatch what the schedules' `misfire` says of occurrences without a run; returns how many were dispatched.

    After a failure it looks at that job again from the same instant on; the others are caught up.

    Raises:
        ExceptionGroup: some jobs failed; the others are caught up.
    """
    store = await runtime.store()
    until = runtime.clock() - timing().catch_up_after
    since = await occurrences.caught_up_until(store)
    dispatched: list[PendingDispatch] = []
    isolation = Isolation("Catching up")
    begun: dict[str, datetime] = {}
    if since is not None and since < until:
        behind = await occurrences.behind(store)
        async with get_client() as client:
            async for deployed in deployed_jobs(client):
                job_id = deployed.job.id
                left_at = behind.since(job_id)
                begun[job_id] = max(left_at or since, until - FARTHEST)
                with isolation.job(job_id):
                    dispatched += await _catch_up(client, store, deployed, begun[job_id], until)
                    if left_at is not None:
                        await occurrences.mark_caught_up_again(store, job_id)
            await publish(client, store, dispatched)
    await occurrences.mark_caught_up(store, until, {job_id: begun[job_id] for job_id in isolation.failed})
    isolation.raise_failures()
    return len(dispatched)


async def _catch_up(
    client: PrefectClient, store: Store, deployed: Deployed, since: datetime, until: datetime
) -> list[PendingDispatch]:
    job = deployed.job
    since = max(since, deployed.unchanged_since)
    if job.schedule is None or not deployed.enabled or not deployed.runs_as_written or since >= until:
        return []
    due = await _due(job, since, until)
    if not due:
        return []
    known = await occurrences.recorded(store, job.id, due[0])
    if not known.issuperset(due):
        known |= await _coming(client, deployed, due)
    chosen = misfire.catch_up(job.schedule, due, known, job.limits.max_queued)
    return await occurrences.dispatch_missed(store, job.id, chosen, runtime.clock())


async def _due(job: Job, since: datetime, until: datetime) -> list[datetime]:
    """The newest ones: after a long pause there may be very many."""
    most = max(LOOKED_AT, job.limits.max_queued)
    return await asyncio.to_thread(newest_between, job.schedule, since, until, most) if job.schedule else []


async def _coming(client: PrefectClient, deployed: Deployed, due: list[datetime]) -> set[datetime]:
    """Those that have a flow run, which begins by itself, perhaps late, or which somebody has cancelled.

    One that failed or crashed without a record in our store has not run, though Prefect calls it ended.
    """
    span = FlowRunFilterExpectedStartTime.model_validate({"after_": due[0], "before_": due[-1]})
    flow_runs = await all_flow_runs(
        client,
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployed.deployment.id])),
        flow_run_filter=FlowRunFilter(expected_start_time=span),
    )
    standing = (each for each in flow_runs if each.auto_scheduled and each.state and not is_broken(each.state))
    starts = (flow_run.expected_start_time for flow_run in standing)
    return {instant(start) for start in starts if start is not None}
