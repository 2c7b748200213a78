"""Reconcile: make Prefect and the outbox say what the store knows of orphaned runs."""

from __future__ import annotations

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
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from ocs import settings
from ocs.rules.dispatch import RunStatus
from ocs.rules.republish import Republish, republish
from ocs.store import Store, abandon, published_dispatches, queries, send_again
from ocs.store.tables import Run
from ocs.timing import timing
from tasks.adapter import runtime
from tasks.adapter.pages import all_flow_runs, flow_runs_by_id
from tasks.adapter.reading import instant
from tasks.adapter.states import SKIPPED, is_broken, state_of
from tasks.recovery import owner

REQUEUED = "The process that had begun it is gone; nothing had been run, so it begins again."


async def reconcile(client: PrefectClient, store: Store) -> int:
    """Reconcile orphaned flow runs, dispatches whose flow run is gone, and untrue ends; returns how many."""
    orphaned = await _orphaned(client, settings.FLOW_NAME)
    runs = await queries.newest_by_flow_run(store, [flow_run.id for flow_run in orphaned])
    reconciled = 0
    for flow_run in orphaned:
        reconciled += await _reconcile_orphan(client, flow_run, runs.get(flow_run.id))
    for flow_run in await _orphaned(client, settings.MAINTENANCE_FLOW):
        await client.set_flow_run_state(flow_run.id, state_of(RunStatus.CRASHED, "Its worker is gone."))
    return reconciled + await _reconcile_dispatches(client, store) + await _reconcile_ends(client, store)


async def _orphaned(client: PrefectClient, flow: str) -> list[FlowRun]:
    """The flow runs that Prefect calls Running and whose process is gone."""
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    found = await all_flow_runs(
        client,
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        flow_run_filter=FlowRunFilter(state=running),
    )
    return [flow_run for flow_run in found if flow_run.state is not None and _is_orphaned(flow_run.state)]


def _is_orphaned(state: State) -> bool:
    executing = owner.executed_by(state.message)
    if executing is None or executing == owner.me():
        return False
    if owner.is_of_this_host(executing):
        return owner.is_gone(executing)
    return runtime.clock() - instant(state.timestamp) > timing().silent


async def _reconcile_orphan(client: PrefectClient, flow_run: FlowRun, run: Run | None) -> bool:
    if not await _is_still_orphaned(client, flow_run):
        return False
    if run is None or run.status is RunStatus.WAITING_APPROVAL:
        await client.set_flow_run_state(flow_run.id, Scheduled(scheduled_time=runtime.clock(), message=REQUEUED))
        return True
    if not run.status.final:
        return False  # recovery judges it by its lease
    why = run.error or "It had ended before its worker did."
    await client.set_flow_run_state(flow_run.id, state_of(run.status, why))
    return True


async def _is_still_orphaned(client: PrefectClient, flow_run: FlowRun) -> bool:
    """Another worker may have been quicker, and have run it since: nothing is requeued twice."""
    try:
        state = (await client.read_flow_run(flow_run.id)).state
    except ObjectNotFound:
        return False
    return state is not None and state.is_running() and _is_orphaned(state)


async def _reconcile_ends(client: PrefectClient, store: Store) -> int:
    """Correct ends of which Prefect says something else than the store.

    A worker that took a flow run too late may have called it Skipped after another one's run of it had ended; and one
    that was killed between recording an end and reporting it has left a Crashed.
    """
    lately = FlowRunFilterEndTime.model_validate({"after_": runtime.clock() - timing().ended_lately})
    of_jobs = FlowFilter(name=FlowFilterName(any_=[settings.FLOW_NAME]))
    found: list[FlowRun] = []
    for doubtful in (
        FlowRunFilterState(name=FlowRunFilterStateName(any_=[SKIPPED])),
        FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED])),
    ):
        wanted = FlowRunFilter(state=doubtful, end_time=lately)
        found += await all_flow_runs(client, flow_filter=of_jobs, flow_run_filter=wanted)
    runs = await queries.newest_by_flow_run(store, [flow_run.id for flow_run in found])
    reconciled = 0
    for flow_run in found:
        run = runs.get(flow_run.id)
        if run is None or not run.status.final or flow_run.state is None:
            continue
        ended = state_of(run.status, run.error or run.summary)
        if (flow_run.state.type, flow_run.state.name) != (ended.type, ended.name):
            await client.set_flow_run_state(flow_run.id, ended, force=True)
            reconciled += 1
    return reconciled


async def _reconcile_dispatches(client: PrefectClient, store: Store) -> int:
    """A flow run that will never begin leaves a dispatch that would be open for ever.

    When somebody deleted, cancelled or otherwise ended the flow run in Prefect, the dispatch is abandoned. When it
    broke before a claim, nobody has decided that: publish makes another one, for some time.
    """
    sent = await published_dispatches(store, before=runtime.clock() - timing().unclaimed)
    flow_runs = await flow_runs_by_id(client, [each.flow_run_id for each in sent])
    reconciled = 0
    for each in sent:
        flow_run = flow_runs.get(each.flow_run_id)
        state = flow_run.state if flow_run else None
        if flow_run is not None and (state is None or not state.is_final()):
            continue
        next_one = (
            republish(each.ready_at, each.sent_at, runtime.clock()) if state and is_broken(state) else Republish.NEVER
        )
        if next_one is Republish.AGAIN:
            await send_again(store, each)
        elif next_one is Republish.NEVER:
            why = f"its flow run ended as {state.name}" if state else "its flow run was deleted in Prefect"
            await abandon(store, each.id, why=why, now=runtime.clock())
        reconciled += next_one is not Republish.LATER
    return reconciled
