"""Prepare: find out why this flow run exists, and claim it for execution or record why not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.logging import get_logger

from ocs.errors import Refused
from ocs.rules import jitter
from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.rules.shell_result import not_ended
from ocs.spec import Job
from ocs.store import Asks, Claim, Store, claim, dispatch_of, leases, queries
from tasks import host, owner
from tasks.approvals import Withdrawn, at_gate, entered_again
from tasks.cancellation import scope_of
from tasks.deliver import deliver_soon
from tasks.insisting import insist
from tasks.leftovers import end_leftovers
from tasks.naming import kind_tag, run_name
from tasks.settle import GIVEN_BACK

LATE = "Late"
OURS = (GIVEN_BACK, "The process that had taken it is gone.")
"""What we say ourselves of a flow run that is to start (again)."""
JOB_TAG = "job:"


@task(name="prepare", task_run_name="prepare", cache_policy=NO_CACHE, persist_result=False)
async def prepare(job: Job) -> Claim | Withdrawn:
    """Claim this flow run for execution, record what stood against it, put it in line, or have a person asked.

    Waits out the job's jitter first, so that a stock worker spreads runs too.

    Raises:
        Refused: the run's parameters name another job than its deployment, it cannot be asked for, or processes of
            an earlier start of it live on.
        Cancelled: the run was told to stop while it waited.
    """
    flow_run = current_flow_run()
    check_identity(job, flow_run)

    async def dispatched() -> Dispatch:
        return await dispatch_behind(flow_run, await host.store())

    dispatch = await insist("look up why this run exists", dispatched)
    await _wait_for_turn(job, dispatch, flow_run.id)

    if flow_run.run_count > 1:
        await insist("end what an earlier start has left", partial(_end_earlier_start, flow_run.id))

    async def claimed() -> Claim | Withdrawn:
        return await _claim(job, dispatch, flow_run, await host.store())

    naming = asyncio.create_task(_name(job, dispatch, flow_run))
    try:
        verdict = await insist("claim this run", claimed)
    finally:
        await naming
    if isinstance(verdict, Asks) and verdict.tells:
        await deliver_soon(verdict.run_id)
    return verdict


async def _claim(job: Job, dispatch: Dispatch, flow_run: FlowRun, store: Store) -> Claim | Withdrawn:
    client = host.flow_client()
    gated, shown = await at_gate(client, job, dispatch, flow_run)
    may_have_waited = gated.approval.required or flow_run.run_count > 1
    if may_have_waited and (withdrawn := await entered_again(client, store, flow_run)):
        return withdrawn
    return await claim(
        store,
        gated,
        dispatch,
        flow_run_id=flow_run.id,
        owner=owner.me(),
        now=host.clock(),
        shown=shown,
        entry=flow_run.run_count if await _was_asked_for(client, store, flow_run) else 1,
    )


async def _end_earlier_start(flow_run_id: UUID) -> None:
    """Its run may be on record as running still, of a process that is gone: what that has left must not meet this."""
    running = [lease for lease in await leases(await host.store()) if lease.context.flow_run_id == flow_run_id]
    survivors = await end_leftovers([lease for lease in running if owner.is_gone(lease.owner)])
    if living := [str(process) for processes in survivors.values() for process in processes]:
        raise Refused(f"It cannot begin again: of its earlier start {not_ended(living)}")


async def _was_asked_for(client: PrefectClient, store: Store, flow_run: FlowRun) -> bool:
    """Whether a start after the flow run's last run had ended is somebody's wish: a Retry in the UI.

    A worker that was too late with taking it, and died, leaves it to be given back: that is nobody's wish.
    """
    last = (await queries.newest_by_flow_run(store, [flow_run.id])).get(flow_run.id)
    if last is None or last.finished_at is None:
        return True
    states = await client.read_flow_run_states(flow_run.id)
    asked = [state for state in states if state.is_scheduled() and state.name != LATE and state.message not in OURS]
    return any(state.timestamp.timestamp() > last.finished_at.timestamp() for state in asked)


def current_flow_run() -> FlowRun:
    """The flow run this code executes in."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("a task of run_job was called outside of its flow")
    return context.flow_run


def check_identity(job: Job, flow_run: FlowRun) -> None:
    """A custom run may change anything of the job but which job it is."""
    deployed = [tag.removeprefix(JOB_TAG) for tag in flow_run.tags if tag.startswith(JOB_TAG)]
    if deployed and job.id not in deployed:
        raise Refused(
            f'This run\'s parameters say id "{job.id}", but it belongs to the job "{deployed[0]}".',
            hint="Leave the id as it is; to run another job, start that job.",
        )


async def dispatch_behind(flow_run: FlowRun, store: Store) -> Dispatch:
    """The dispatch this run was published for; a run nobody dispatched is the schedule's or a person's."""
    expected = flow_run.expected_start_time or host.clock()
    scheduled_for = datetime.fromtimestamp(expected.timestamp(), UTC)
    if flow_run.auto_scheduled:
        return Dispatch(DispatchKind.SCHEDULED, scheduled_for)
    known = await dispatch_of(store, published_as) if (published_as := _dispatch_id(flow_run)) else None
    return known or Dispatch(DispatchKind.MANUAL, scheduled_for)


def _dispatch_id(flow_run: FlowRun) -> UUID | None:
    try:
        return UUID((flow_run.idempotency_key or "").partition(":")[0])
    except ValueError:
        return None


async def _wait_for_turn(job: Job, dispatch: Dispatch, flow_run_id: UUID) -> None:
    if dispatch.kind is not DispatchKind.SCHEDULED or job.schedule is None or not job.schedule.jitter:
        return
    turn = dispatch.scheduled_for + jitter.offset(job.id, dispatch.scheduled_for, job.schedule.jitter)
    if (remaining := turn - host.clock()).total_seconds() > 0:
        await scope_of(flow_run_id).sleep(remaining)


async def _name(job: Job, dispatch: Dispatch, flow_run: FlowRun) -> None:
    """Runs that Prefect's scheduler or UI made carry random names; ours got theirs when published."""
    name = run_name(job.id, dispatch.kind, dispatch.attempt, dispatch.scheduled_for)
    kind = kind_tag(dispatch.kind)
    if kind in flow_run.tags:
        return
    try:
        await host.flow_client().update_flow_run(flow_run.id, name=name, tags=[*flow_run.tags, kind])
    except httpx.HTTPError as refused:  # no reason not to run
        get_logger(__name__).warning("The flow run of %s could not be named: %r", job.id, refused)
    else:
        flow_run.name = name
