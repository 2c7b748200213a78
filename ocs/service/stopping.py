"""Stopping for real: runs are told to end through Prefect, whose worker ends everything they started."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import UUID

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.rules.wording import SHORT, count_of
from ocs.service import session
from ocs.service.deployed import deployed_job, descendants
from ocs.service.which_run import the_run
from ocs.timing import seconds, timing

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

    from ocs.store import PendingDispatch, Store
    from ocs.store.tables import Run

"""How long a run may take to end: a shell's own grace is shorter."""
LOOK_AGAIN = 0.1
PAGE = 200


@dataclass(slots=True)
class Stopped:
    """What was ended: dispatches that waited in the store, and flow runs that waited or ran."""

    withdrawn: int = 0
    flow_runs: list[UUID] = field(default_factory=list[UUID])


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What was ended of a job and those after it."""

    job: str
    jobs: list[str]
    flow_runs: list[UUID]
    withdrawn: int


async def cancel_job(client: PrefectClient, store: Store, given: str, *, cascade: bool, by: Attribution) -> Cancelled:
    """End the running runs of a job and withdraw its waiting ones, with `cascade` those of the jobs after it too.

    Raises:
        NotFound: no such job is rolled out.
        Refused: something did not end in time.
    """
    job = await deployed_job(client, given)
    ids = [job.id, *(await descendants(client, job.id) if cascade else [])]
    stopped = await stop_jobs(client, store, ids, by)
    return Cancelled(job.id, ids, stopped.flow_runs, stopped.withdrawn)


async def cancel_run(store: Store, given: str, *, by: Attribution) -> Run:
    """End the running run whose id begins so, and wait until it has ended; returns it as it ended.

    Raises:
        NotFound: there is no such run.
        Refused: it has ended before, or did not end in time.
        ServerUnreachable: there is no server to tell it.
    """
    from ocs.store import queries

    chosen = await the_run(store, given)
    short = str(chosen.id)[:SHORT]
    if chosen.id in await queries.awaiting_retry(store, [chosen.id]):
        hint = f"Withdraw that: ocs jobs cancel {chosen.job_id}"
        raise Refused(f"Run {short} has ended ({chosen.status}); its next attempt waits.", hint=hint)
    if chosen.status.final:
        raise Refused(f"Run {short} of {chosen.job_id} has ended already: {chosen.status}.")
    async with session.server() as client:
        return await stop_run(client, store, chosen, by)


async def stop_jobs(client: PrefectClient, store: Store, job_ids: Sequence[str], by: Attribution) -> Stopped:
    """Withdraw what waits of these jobs and end what runs, and wait until that is so.

    Occurrences to come of their schedules stay.

    Raises:
        Refused: something did not end in time.
    """
    from ocs.store import withdraw

    before = {waiting.id for waiting in await _waiting(store, job_ids)}
    for job_id in job_ids:
        await withdraw(store, job_id, by=by)
    left = {waiting.id for waiting in await _waiting(store, job_ids)}
    of_job = {job_id: await _unfinished(client, job_id) for job_id in job_ids}
    flow_runs = [flow_run for found in of_job.values() for flow_run in found]
    for job_id in (job_id for job_id, found in of_job.items() if found):
        await _note(store, by, job_id=job_id)
    await asyncio.gather(*(tell_to_end(client, flow_run.id, by) for flow_run in flow_runs))
    ended = await asyncio.gather(*(_ends(client, flow_run.id) for flow_run in flow_runs))
    await _withdraw_approvals(store, [flow_run.id for flow_run in flow_runs], by)
    _all_ended(ended)
    return Stopped(len(before - left), [flow_run.id for flow_run in flow_runs])


async def stop_run(client: PrefectClient, store: Store, run: Run, by: Attribution) -> Run:
    """End a run, and wait until it has; returns it as it ended.

    Raises:
        Refused: it ended by itself meanwhile, did not end in time, or Prefect does not know it any more.
    """
    from ocs.store import queries

    short = str(run.id)[:SHORT]
    await _note(store, by, job_id=run.job_id, run_id=run.id)
    if not await tell_to_end(client, run.flow_run_id, by):
        raise Refused(f"Prefect no longer has the flow run of run {short}, so nobody can be told to end it.")
    ends = await _ends(client, run.flow_run_id)
    await _withdraw_approvals(store, [run.flow_run_id], by)
    _all_ended([ends])
    ended = await queries.run_by_prefix(store, str(run.id))
    if ended.status != "cancelled":
        raise Refused(f"Run {short} was not cancelled: it is {ended.status}.", hint=f"See: ocs runs show {short}")
    return ended


async def _withdraw_approvals(store: Store, flow_run_ids: Sequence[UUID], by: Attribution) -> None:
    """Runs that waited for a decision: nobody executes them, so nobody else records their end."""
    from ocs.store.approvals import at_the_gate, withdraw_approval

    for waiting in await at_the_gate(store, flow_run_ids=flow_run_ids):
        await withdraw_approval(store, waiting.approval.id, why=_reason(by), by=replace(by, now=session.now()))


async def _note(store: Store, by: Attribution, *, job_id: str, run_id: UUID | None = None) -> None:
    """Before it ends: what records the end then knows that it was not somebody in Prefect's UI."""
    from ocs.store import audit

    # As of now: a run that has begun since it was asked for is among those that are meant.
    await audit.append(store, "cancel", by=replace(by, now=session.now()), job_id=job_id, run_id=run_id)


def _reason(by: Attribution) -> str:
    return f"Cancelled by {by.actor} with ocs."


async def _waiting(store: Store, job_ids: Sequence[str]) -> list[PendingDispatch]:
    from ocs.store import queries

    return [waiting for waiting in await queries.open_dispatches(store) if waiting.job_id in job_ids]


async def _unfinished(client: PrefectClient, job_id: str) -> list[FlowRun]:
    """The job's flow runs that run or are due; those that its schedule has made in advance are not."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.objects import StateType

    open_states = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=["ocs", f"job:{job_id}"]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=open_states)),
    )
    found: list[FlowRun] = []
    offset = 0
    while page := await client.read_flow_runs(flow_run_filter=wanted, limit=PAGE, offset=offset):
        found += [flow_run for flow_run in page if not _is_to_come(flow_run)]
        offset += len(page)
    return found


def _is_to_come(flow_run: FlowRun) -> bool:
    due = flow_run.expected_start_time
    waits = flow_run.state is not None and flow_run.state.is_scheduled()
    return waits and flow_run.auto_scheduled and due is not None and due > session.now()


async def tell_to_end(client: PrefectClient, flow_run_id: UUID, by: Attribution) -> bool:
    """Whether Prefect has the run; one that has ended meanwhile stays as it ended."""
    from tasks.adapter import states

    return await states.tell_to_end(client, flow_run_id, _reason(by))


async def _ends(client: PrefectClient, flow_run_id: UUID) -> bool:
    from prefect.exceptions import ObjectNotFound

    try:
        async with asyncio.timeout(timing().stop_waits.total_seconds()):
            while True:
                state = (await client.read_flow_run(flow_run_id)).state
                if state is not None and state.is_final():
                    return True
                await asyncio.sleep(LOOK_AGAIN)
    except TimeoutError:
        return False
    except ObjectNotFound:
        return True


def _all_ended(ended: Sequence[bool]) -> None:
    missing = ended.count(False)
    if missing:
        raise Refused(
            f"{count_of(missing, 'run')} told to end, and not ended after {seconds(timing().stop_waits)}.",
            hint="Is a worker alive?  ocs status",
        )
