"""Runs that somebody wants stopped: executed here, held here, or orphaned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Scheduled

from ocs.timing import timing
from ocs.worker import engine
from ocs.worker.execution import UNSTARTED, Execution, taker_of
from tasks.adapter.pages import all_flow_runs, flow_runs_by_id
from tasks.adapter.reading import instant
from tasks.recovery import owner

ORPHANED = "Cancelled. No worker was executing it any more; what it had started may have gone on."


class Stopping:
    """Ends runs that are Cancelling, suspends those that are Paused, requeues those whose process is gone."""

    def __init__(
        self,
        client: PrefectClient,
        *,
        pool: str,
        worker: str,
        executions: Mapping[UUID, Execution],
        drop: Callable[[UUID], None],
    ) -> None:
        self._client = client
        self._pool = pool
        self._worker = worker
        self._executions = executions
        self._drop = drop

    async def attend(self, flow_run_id: UUID) -> None:
        """An event says that a run is Cancelling or Suspended. It may be old, so read the run."""
        try:
            flow_run = await self._client.read_flow_run(flow_run_id)
        except ObjectNotFound:
            return
        state = flow_run.state
        if state is not None and state.is_cancelling():
            await self._stop(flow_run, state)
        elif state is not None and state.is_paused():
            engine.suspend(flow_run_id, state)

    async def sweep(self) -> None:
        """Find the runs of which no event has come."""
        states = FlowRunFilterStateType(any_=[StateType.CANCELLING, StateType.PENDING])
        found = await all_flow_runs(
            self._client,
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=states)),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._pool])),
        )
        for flow_run in found:
            if flow_run.state is None:
                continue
            if flow_run.state.is_cancelling():
                await self._stop(flow_run, flow_run.state)
            elif await self._was_orphaned(flow_run, flow_run.state):
                await self._requeue(flow_run)
        if self._executions:
            await self._sweep_executions([*self._executions])

    async def _sweep_executions(self, flow_run_ids: list[UUID]) -> None:
        """Thousands of runs may be suspended that nobody executes: ask for ours only."""
        suspended = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
        for flow_run in (await flow_runs_by_id(self._client, flow_run_ids, state=suspended)).values():
            if flow_run.state is not None:
                engine.suspend(flow_run.id, flow_run.state)

    async def _requeue(self, flow_run: FlowRun) -> None:
        """Another worker may have been quicker, and have run it since, so read it again."""
        now = await self._client.read_flow_run(flow_run.id)
        if now.state is None or not now.state.is_pending() or not await self._was_orphaned(now, now.state):
            return
        at = now.state.state_details.scheduled_time or now.expected_start_time
        requeued = Scheduled(scheduled_time=at, message="The process that had taken it is gone.")
        await self._client.set_flow_run_state(now.id, requeued)

    async def _stop(self, flow_run: FlowRun, state: State) -> None:
        if execution := self._executions.get(flow_run.id):
            execution.stop()
            return
        self._drop(flow_run.id)
        if flow_run.start_time is None:
            await self._client.set_flow_run_state(flow_run.id, Cancelled(message=UNSTARTED))
        elif _age(state) > timing().other_worker_stops or not await self._others():
            await self._client.set_flow_run_state(flow_run.id, Cancelled(message=ORPHANED))

    async def _others(self) -> bool:
        """Whether another worker could be executing it."""
        return any(name != self._worker for name in await self._online())

    async def _online(self) -> list[str]:
        workers = await self._client.read_workers_for_work_pool(self._pool)
        return [worker.name for worker in workers if worker.status is WorkerStatus.ONLINE]

    async def _was_orphaned(self, flow_run: FlowRun, state: State) -> bool:
        """Whether a process took it and died before it began."""
        taker = taker_of(state.message)
        if taker is None or flow_run.id in self._executions:
            return False
        if owner.is_gone(taker.process):
            return True
        is_mine = taker.process == owner.me()
        return _age(state) > timing().taken_unstarted and (is_mine or taker.worker not in await self._online())


def _age(state: State) -> timedelta:
    return datetime.now(UTC) - instant(state.timestamp)
