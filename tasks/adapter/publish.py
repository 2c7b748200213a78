"""Publish: make each pending dispatch of the outbox a flow run. Repeating that is harmless."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger
from prefect.states import Scheduled

from ocs import settings
from ocs.errors import StoreAway
from ocs.rules.origin import key_of
from ocs.store import PendingDispatch, Store, abandon, mark_published, pending_dispatches, queries, release_all_waiting
from ocs.timing import timing
from tasks.adapter import runtime
from tasks.adapter.naming import kind_tag, lineage_tags, run_name

BATCH = 100
AT_ONCE = 8
REFUSALS = (400, 409, 422)
"""Prefect's answers to what it will never take, such as parameters that do not fit."""


async def publish(
    client: PrefectClient,
    store: Store,
    pending: Sequence[PendingDispatch],
    *,
    deployments: Mapping[str, UUID] | None = None,
) -> dict[UUID, FlowRun]:
    """Create a flow run for each dispatch and mark it published; returns the flow run of each dispatch id.

    `deployments` saves the look-up where the caller knows a job's deployment. The dispatch's id and the number of its
    publication are the flow run's idempotency key, so that a repetition after a crash finds the flow run it already
    made. What the server does not take now stays in the outbox for the next tick.
    """
    gate = asyncio.Semaphore(AT_ONCE)
    came_from = await _forebears(store, pending)

    async def send(dispatch: PendingDispatch) -> FlowRun | None:
        lineage = lineage_tags(*(came_from.get(run_id) for run_id in (dispatch.source_run, dispatch.retry_of)))
        async with gate:
            return await _publish_one(client, store, dispatch, (deployments or {}).get(dispatch.job_id), lineage)

    flow_runs = await asyncio.gather(*(send(dispatch) for dispatch in pending))
    return {
        dispatch.id: flow_run for dispatch, flow_run in zip(pending, flow_runs, strict=True) if flow_run is not None
    }


async def publish_leftovers(older_than: timedelta | None = None) -> int:
    """Publish what a crash or an absent server left in the outbox, or left queued; returns how many.

    Younger rows (default: `publish_after`) the process that wrote them publishes.
    """
    age = timing().publish_after if older_than is None else older_than
    store = await runtime.store()
    await release_all_waiting(store, runtime.clock())
    pending = await pending_dispatches(store, created_before=runtime.clock() - age, limit=BATCH)
    if not pending:
        return 0
    async with get_client() as client:
        return len(await publish(client, store, pending))


async def _forebears(store: Store, pending: Sequence[PendingDispatch]) -> dict[UUID | None, UUID]:
    """The flow runs of the runs that these came from."""
    ids = [run_id for dispatch in pending for run_id in (dispatch.source_run, dispatch.retry_of)]
    try:
        found = await queries.forebears(store, ids)
    except StoreAway:
        return {}  # tags are for people to read: what is to be sent is sent without
    return {run_id: forebear.flow_run_id for run_id, forebear in found.items()}


async def _publish_one(
    client: PrefectClient,
    store: Store,
    dispatch: PendingDispatch,
    deployment: UUID | None,
    lineage: Sequence[str],
) -> FlowRun | None:
    try:
        rolled_out = deployment or await _deployment_of(client, dispatch.job_id)
        flow_run = await _create(client, dispatch, rolled_out, lineage)
    except ObjectNotFound:
        await _give_up(store, dispatch, f'the job "{dispatch.job_id}" is no longer rolled out')
        return None
    except httpx.HTTPError as failed:
        if _is_refused(failed):
            await _give_up(store, dispatch, f"Prefect refused it: {failed}")
        logger = get_logger(__name__)
        logger.warning("%s of %s was not sent to Prefect: %s", dispatch.kind, dispatch.job_id, failed)
        return None
    await _note(store, dispatch, flow_run.id)
    return flow_run


def _is_refused(error: httpx.HTTPError) -> bool:
    """Whether Prefect would refuse it again; anything else stays in the outbox for the next tick."""
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code in REFUSALS


async def _note(store: Store, dispatch: PendingDispatch, flow_run_id: UUID) -> None:
    await _unless_away(dispatch, mark_published(store, dispatch, flow_run_id, runtime.clock()))


async def _give_up(store: Store, dispatch: PendingDispatch, why: str) -> None:
    await _unless_away(dispatch, abandon(store, dispatch.id, why=why, now=runtime.clock()))


async def _unless_away(dispatch: PendingDispatch, noting: Awaitable[None]) -> None:
    """A store that is away now is harmless: the next tick publishes again, and finds what Prefect already has."""
    try:
        await noting
    except StoreAway as away:
        get_logger(__name__).warning("What became of a dispatch of %s was not noted: %r", dispatch.job_id, away)


async def _deployment_of(client: PrefectClient, job_id: str) -> UUID:
    deployment = await client.read_deployment_by_name(f"{settings.FLOW_NAME}/{job_id}")
    return deployment.id


async def _create(
    client: PrefectClient, dispatch: PendingDispatch, deployment: UUID, lineage: Sequence[str]
) -> FlowRun:
    return await client.create_flow_run_from_deployment(
        deployment,
        parameters=dispatch.parameters,
        state=Scheduled(scheduled_time=dispatch.scheduled_for),
        name=run_name(dispatch.job_id, dispatch.kind, dispatch.attempt, dispatch.scheduled_for),
        tags=[kind_tag(dispatch.kind), *lineage],
        idempotency_key=key_of(dispatch.id, dispatch.publication),
    )
