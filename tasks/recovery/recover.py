"""Recover: end orphaned runs with their consequences, requeue and reconcile. Repeating it is harmless."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger

from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.shell_result import not_ended
from ocs.store import Lease, Outcome, Store, close_run, finish, leases
from ocs.timing import timing
from tasks.adapter import runtime
from tasks.adapter.children import children_of
from tasks.adapter.naming import page_of
from tasks.adapter.origin import job_behind
from tasks.adapter.publish import publish
from tasks.adapter.states import state_of
from tasks.conditions import evaluate
from tasks.recovery import owner, reconcile
from tasks.recovery.leftovers import end_leftovers, remove_outputs, stop_turns
from tasks.strategies.sessions import Process

CUT_OFF = "Its worker was cut off while it ran."


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many runs ended because their worker was gone, and how many flow runs and dispatches were reconciled."""

    crashed: int = 0
    reconciled: int = 0


async def recover() -> Recovered:
    """End orphaned runs, and have Prefect say the same.

    Owners on this host are known to be gone at once. Others are judged by their leases, at a second look.
    """
    store = await runtime.store()
    async with get_client() as client:
        held = await leases(store)
        gone = [lease for lease in held if owner.is_gone(lease.owner)]
        crashed = await _end_all(client, store, gone)
        reconciled = await reconcile.reconcile(client, store)
        silent = [lease for lease in held if lease not in gone and lease.has_run_out]
        if silent:
            await asyncio.sleep(timing().second_look.total_seconds())
            unchanged = set(await leases(store))
            crashed += await _end_all(client, store, [lease for lease in silent if lease in unchanged])
    return Recovered(crashed, reconciled)


async def _end_all(client: PrefectClient, store: Store, lost: list[Lease]) -> int:
    """End their processes first: a replay, or the next run of a pool, must not meet them.

    A run that cannot end now harms no other, and recovery tries it again.
    """
    survivors, _ = await asyncio.gather(end_leftovers(lost), stop_turns(lost))
    ended = 0
    for lease in lost:
        try:
            outcome = await _end(client, store, lease, survivors.get(lease.context.run_id, []))
        except Exception:
            get_logger(__name__).exception("The run %s could not be recovered", lease.context.run_id)
        else:
            ended += outcome is not None and not outcome.stale
    return ended


async def _end(client: PrefectClient, store: Store, lease: Lease, survivors: Sequence[Process]) -> Outcome | None:
    """Record its end and what follows; None while processes of it live on, unless somebody has cancelled it."""
    flow_run = await flow_run_of(client, lease.context.flow_run_id)
    survived = f" {not_ended([str(process) for process in survivors])}" if survivors else ""
    if survivors and flow_run is not None and not _is_cancelled(flow_run):
        get_logger(__name__).warning(
            "The run %s of %s keeps its place:%s To go on without that, cancel it.",
            lease.context.run_id,
            lease.context.job_id,
            survived,
        )
        return None
    outcome, deployments = await _recorded(client, store, lease, flow_run, CUT_OFF + survived)
    if not outcome.stale:
        get_logger(__name__).warning("The run %s of %s: %s", lease.context.run_id, lease.context.job_id, outcome.why)
        await publish(client, store, (*outcome.consequences, *outcome.released), deployments=deployments)
        await asyncio.to_thread(remove_outputs, lease)
    if flow_run is not None and flow_run.state is not None:
        await _report(client, flow_run.id, flow_run.state, outcome)
    return outcome


def _is_cancelled(flow_run: FlowRun) -> bool:
    return flow_run.state is not None and (flow_run.state.is_cancelled() or flow_run.state.is_cancelling())


async def _report(client: PrefectClient, flow_run_id: UUID, state: State, outcome: Outcome) -> None:
    """Report the end. A worker that took the flow run too late may have called it Skipped, which is untrue."""
    ended = state_of(outcome.status, outcome.why)
    is_untrue = not outcome.stale and (state.type, state.name) != (ended.type, ended.name)
    if not state.is_final() or is_untrue:
        await client.set_flow_run_state(flow_run_id, ended, force=state.is_final())


async def _recorded(
    client: PrefectClient, store: Store, lease: Lease, flow_run: FlowRun | None, cut_off: str
) -> tuple[Outcome, dict[str, UUID]]:
    now = runtime.clock()
    if flow_run is None:
        why = f"{cut_off} Its flow run was deleted in Prefect, so nothing follows from it."
        return await close_run(store, lease, RunStatus.CANCELLED, why=why, now=now), {}
    if _is_cancelled(flow_run):
        why = f"Cancelled. {cut_off}"
        return await close_run(store, lease, RunStatus.CANCELLED, why=why, now=now), {}
    job = await job_behind(client, store, flow_run, lease.context.dispatch.id)
    if job is None:
        why = f"{cut_off} Its job cannot be read any more, so nothing follows from it."
        return await close_run(store, lease, RunStatus.CRASHED, why=why, now=now), {}
    children = await children_of(client, job.id)
    crashed = DispatchResult(RunStatus.CRASHED, error=cut_off)
    outcome = await finish(
        store,
        job,
        lease.context,
        crashed,
        children=children.jobs,
        answers=await evaluate.answers(children.jobs, crashed.ended_as, crashed.content),
        now=now,
        link=page_of(flow_run.id),
        last_heartbeat=lease.until,
    )
    own = {job.id: flow_run.deployment_id} if flow_run.deployment_id else {}
    return outcome, {**children.deployments, **own}


async def flow_run_of(client: PrefectClient, flow_run_id: UUID) -> FlowRun | None:
    """The flow run, None when it was deleted."""
    try:
        return await client.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return None
