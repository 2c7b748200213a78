"""Superseded: end late occurrences that a newer one of their job supersedes, without beginning them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.store import LateOccurrence, Store, skip_superseded
from tasks.adapter import runtime
from tasks.adapter.deployed import job_in
from tasks.adapter.origin import dispatch_of_flow_run
from tasks.adapter.states import state_of

BATCH = 50
"""Recorded in one transaction."""
AT_ONCE = 4
JOB_TAG = "job:"


async def skip_superseded_runs(flow_runs: Sequence[FlowRun]) -> set[UUID]:
    """Record those that are missed, and end them in Prefect; returns which. All others begin as ever.

    A machine that is too slow for its schedules leaves many behind: begun only to be skipped, each would cost most of
    what a run costs, and leave less for those that run.
    """
    store = await runtime.store()
    passed: set[UUID] = set()
    async with get_client() as client:
        for first in range(0, len(flow_runs), BATCH):
            looked_at = [await _late_comer(store, flow_run) for flow_run in flow_runs[first : first + BATCH]]
            late = [each for each in looked_at if each is not None]
            if late and (missed := await skip_superseded(store, late, runtime.clock())):
                await _end_all(client, missed)
                passed |= missed.keys()
    return passed


async def _late_comer(store: Store, flow_run: FlowRun) -> LateOccurrence | None:
    """None for what is unreadable or no occurrence: prepare says what is wrong with it."""
    job = job_in(flow_run.parameters)
    if job is None:
        return None
    named = [tag for tag in flow_run.tags if tag.startswith(JOB_TAG)]
    if named and f"{JOB_TAG}{job.id}" not in named:
        return None
    dispatch = await dispatch_of_flow_run(store, flow_run, job.id)
    return LateOccurrence(flow_run.id, job, dispatch) if dispatch.kind is DispatchKind.SCHEDULED else None


async def _end_all(client: PrefectClient, missed: dict[UUID, str]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def end(flow_run_id: UUID, why: str) -> None:
        async with gate:
            try:
                await client.set_flow_run_state(flow_run_id, state_of(RunStatus.SKIPPED, why))
            except ObjectNotFound:
                return  # deleted meanwhile; its record stays

    await asyncio.gather(*(end(flow_run_id, why) for flow_run_id, why in missed.items()))
