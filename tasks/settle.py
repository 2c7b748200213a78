"""Settle: Prefect and the outbox are made to say what the store says of runs that nobody executes any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from ocs import settings
from ocs.rules.dispatch import RunStatus
from ocs.store import Store, abandon, published_dispatches, queries
from ocs.store.tables import Run
from tasks import host, owner
from tasks.states import SKIPPED, state_of

SILENT = timedelta(minutes=5)
"""A flow run of another host that has run so long without a run in the store, or with an ended one, is left."""
PUBLISHED = timedelta(minutes=2)
"""A dispatch that was due and sent so long ago has become a run, or something is wrong with its flow run."""
LATELY = timedelta(minutes=5)
"""A flow run that became Skipped longer ago was looked at before."""
GIVEN_BACK = "The process that had begun it is gone; nothing had been run, so it begins again."


async def settle(client: PrefectClient, store: Store) -> int:
    """Settle flow runs that are Running and left, and dispatches whose flow run is gone; returns how many."""
    left = await _left(client, settings.FLOW_NAME)
    runs = await queries.newest_by_flow_run(store, [flow_run.id for flow_run in left])
    settled = 0
    for flow_run in left:
        settled += await _settle(client, flow_run, runs.get(flow_run.id))
    for flow_run in await _left(client, settings.MAINTENANCE_FLOW):
        await client.set_flow_run_state(flow_run.id, state_of(RunStatus.CRASHED, "Its worker is gone."))
    return settled + await _settle_dispatches(client, store) + await _settle_skipped(client, store)


async def _left(client: PrefectClient, flow: str) -> list[FlowRun]:
    """The flow runs that are Running for Prefect and whose process is gone."""
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    found = await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])), flow_run_filter=FlowRunFilter(state=running)
    )
    return [flow_run for flow_run in found if flow_run.state is not None and _is_left(flow_run.state)]


def _is_left(state: State) -> bool:
    executing = owner.executed_by(state.message)
    if executing is None or executing == owner.me():
        return False
    began = datetime.fromtimestamp(state.timestamp.timestamp(), UTC)
    return owner.is_gone(executing) or (not owner.is_of_this_host(executing) and host.clock() - began > SILENT)


async def _settle(client: PrefectClient, flow_run: FlowRun, run: Run | None) -> bool:
    if not await _is_still_left(client, flow_run):
        return False
    if run is None or run.status is RunStatus.WAITING_APPROVAL:
        await client.set_flow_run_state(flow_run.id, Scheduled(scheduled_time=host.clock(), message=GIVEN_BACK))
        return True
    if not run.status.final:
        return False  # its lease tells
    why = run.error or "It had ended before its worker did."
    await client.set_flow_run_state(flow_run.id, state_of(run.status, why))
    return True


async def _is_still_left(client: PrefectClient, flow_run: FlowRun) -> bool:
    """Another worker may have been quicker, and have run it since: what was given back once must not be twice."""
    try:
        state = (await client.read_flow_run(flow_run.id)).state
    except ObjectNotFound:
        return False
    return state is not None and state.is_running() and _is_left(state)


async def _settle_skipped(client: PrefectClient, store: Store) -> int:
    """A worker that took a flow run too late may have called it Skipped after another one's run of it had ended."""
    skipped = FlowRunFilterState(name=FlowRunFilterStateName(any_=[SKIPPED]))
    lately = FlowRunFilterEndTime.model_validate({"after_": host.clock() - LATELY})
    found = await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[settings.FLOW_NAME])),
        flow_run_filter=FlowRunFilter(state=skipped, end_time=lately),
        sort=FlowRunSort.END_TIME_DESC,
    )
    settled = 0
    for run in (await queries.newest_by_flow_run(store, [flow_run.id for flow_run in found])).values():
        if run.status.final and run.status is not RunStatus.SKIPPED:
            ended = state_of(run.status, run.error or run.summary)
            await client.set_flow_run_state(run.flow_run_id, ended, force=True)
            settled += 1
    return settled


async def _settle_dispatches(client: PrefectClient, store: Store) -> int:
    """A flow run that was deleted or ended in Prefect before it began leaves a dispatch that would wait for ever."""
    before = host.clock() - PUBLISHED
    settled = 0
    for dispatch_id, flow_run_id in await published_dispatches(store, before=before):
        why = await _why_it_never_begins(client, flow_run_id)
        if why is not None:
            await abandon(store, dispatch_id, why=why, now=host.clock())
            settled += 1
    return settled


async def _why_it_never_begins(client: PrefectClient, flow_run_id: UUID) -> str | None:
    try:
        state = (await client.read_flow_run(flow_run_id)).state
    except ObjectNotFound:
        return "its flow run was deleted in Prefect"
    return f"its flow run ended as {state.name}" if state is not None and state.is_final() else None
