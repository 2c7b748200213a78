"""Prepare: find out why this flow run exists, and claim it for execution or record why not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_logger, get_run_logger

from ocs.errors import Refused
from ocs.rules import jitter
from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.rules.shell_result import not_ended
from ocs.spec import Job
from ocs.store import ApprovalContext, ApprovalRequested, Claim, Queued, Store, claim, leases, queries
from ocs.store.replacing import REPLACED
from tasks.adapter import runtime
from tasks.adapter.children import Seen
from tasks.adapter.naming import kind_tag, page_of, run_name
from tasks.adapter.origin import Origin, origin_of
from tasks.adapter.states import tell_to_end
from tasks.adapter.transient import retry_transient
from tasks.approvals.gate import Withdrawn, entered_again
from tasks.cancellation import scope_of
from tasks.delivery.send import deliver_soon
from tasks.recovery import owner
from tasks.recovery.leftovers import end_leftovers
from tasks.recovery.reconcile import REQUEUED

LATE = "Late"
OURS = (REQUEUED, "The process that had taken it is gone.")
"""What we say ourselves of a flow run that is to start (again)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was decided about a flow run, and the job that it runs, which its own parameters need not say.

    `project` is the one that has rolled the job out, `seen` its children at that moment, where they were looked at.
    """

    job: Job
    project: str | None
    verdict: Claim | Withdrawn
    seen: Seen | None = None


@task(name="prepare", task_run_name="prepare", cache_policy=NO_CACHE, persist_result=False)
async def prepare(job: Job) -> Prepared:
    """Claim this flow run for execution, record what stands against it, queue it, or request an approval.

    Waits out the job's jitter first, so that a worker of Prefect's spreads runs too.

    Raises:
        Refused: nobody knows any more what the run is to do, nobody can approve it, or processes of an earlier entry
            of it live on.
        Cancelled: the run was told to stop while it waited.
    """
    flow_run = runtime.current_flow_run()

    async def looked_up() -> Origin:
        return await origin_of(runtime.flow_client(), await runtime.store(), flow_run, job)

    origin = await retry_transient("look up why this run exists", looked_up)
    if origin.job.run != job.run:
        get_run_logger().warning("It runs what it was dispatched for, not what this flow run's parameters say.")
    await _wait_out_jitter(origin.job, origin.dispatch, flow_run.id)

    if flow_run.run_count > 1:
        await retry_transient("end what an earlier entry has left", partial(_end_earlier_entry, flow_run.id))

    async def claimed() -> Claim | Withdrawn:
        return await _claim(origin, flow_run, await runtime.store())

    naming = asyncio.create_task(_name(origin.job, origin.dispatch, flow_run))
    try:
        verdict = await retry_transient("claim this run", claimed)
    finally:
        await naming
    if isinstance(verdict, ApprovalRequested) and verdict.notifies:
        await deliver_soon(verdict.run_id)
    if isinstance(verdict, Queued) and verdict.ends:
        await retry_transient("end what this run replaces", partial(_end_replaced, verdict.ends))
    return Prepared(origin.job, origin.project, verdict, origin.seen)


async def _end_replaced(flow_run_ids: tuple[UUID, ...]) -> None:
    for flow_run_id in flow_run_ids:
        await tell_to_end(runtime.flow_client(), flow_run_id, REPLACED)


async def _claim(origin: Origin, flow_run: FlowRun, store: Store) -> Claim | Withdrawn:
    client = runtime.flow_client()
    may_have_waited = origin.job.approval.required or flow_run.run_count > 1
    if may_have_waited and (withdrawn := await entered_again(client, store, flow_run)):
        return withdrawn
    return await claim(
        store,
        origin.job,
        origin.dispatch,
        flow_run_id=flow_run.id,
        owner=owner.me(),
        now=runtime.clock(),
        shown=ApprovalContext(origin.deployed, page_of(flow_run.id)),
        entry=flow_run.run_count if await _was_asked_for(client, store, flow_run) else 1,
        against=origin.against,
    )


async def _end_earlier_entry(flow_run_id: UUID) -> None:
    """The store may still say that its run executes, in a process that is gone: end what that has left."""
    running = [lease for lease in await leases(await runtime.store()) if lease.context.flow_run_id == flow_run_id]
    survivors = await end_leftovers([lease for lease in running if owner.is_gone(lease.owner)])
    if living := [str(process) for processes in survivors.values() for process in processes]:
        raise Refused(f"It cannot begin again: of its earlier start {not_ended(living)}")


async def _was_asked_for(client: PrefectClient, store: Store, flow_run: FlowRun) -> bool:
    """Whether somebody pressed Retry in the UI, after the flow run's last run had ended.

    A worker that took it too late, and died, leaves it to be requeued: nobody wished that.
    """
    last = (await queries.newest_by_flow_run(store, [flow_run.id])).get(flow_run.id)
    if last is None or last.finished_at is None:
        return True
    states = await client.read_flow_run_states(flow_run.id)
    asked = [state for state in states if state.is_scheduled() and state.name != LATE and state.message not in OURS]
    return any(state.timestamp.timestamp() > last.finished_at.timestamp() for state in asked)


async def _wait_out_jitter(job: Job, dispatch: Dispatch, flow_run_id: UUID) -> None:
    """Our worker has held the run until then already; a worker of Prefect's has not."""
    if dispatch.kind is not DispatchKind.SCHEDULED or job.schedule is None:
        return
    starts_at = jitter.starts_at(job.id, dispatch.scheduled_for, job.schedule.jitter)
    if (remaining := starts_at - runtime.clock()).total_seconds() > 0:
        await scope_of(flow_run_id).sleep(remaining)


async def _name(job: Job, dispatch: Dispatch, flow_run: FlowRun) -> None:
    """Runs that Prefect's scheduler or UI made carry random names; ours got theirs when published."""
    name = run_name(job.id, dispatch.kind, dispatch.attempt, dispatch.scheduled_for)
    kind = kind_tag(dispatch.kind)
    if kind in flow_run.tags:
        return
    try:
        await runtime.flow_client().update_flow_run(flow_run.id, name=name, tags=[*flow_run.tags, kind])
    except httpx.HTTPError as refused:  # no reason not to run
        get_logger(__name__).warning("The flow run of %s could not be named: %r", job.id, refused)
    else:
        flow_run.name = name
