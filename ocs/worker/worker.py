"""Our worker type: it holds runs until they are due, executes them as asyncio tasks, and wakes on Prefect's events."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger
from prefect.settings import get_current_settings
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from ocs.signals import on_signals
from ocs.timing import timing
from ocs.worker import engine, process
from ocs.worker.due import due, late_from
from ocs.worker.due_queue import DueQueue, Held
from ocs.worker.execution import Execution
from ocs.worker.loader import Flows
from ocs.worker.maintenance import JobMaintenance, Maintenance
from ocs.worker.newest import newest_of_late
from ocs.worker.periodic import run_periodically, running
from ocs.worker.stopping import Stopping
from ocs.worker.stream import listen

LEAD = timedelta(seconds=1)
"""The worker takes a run (Pending) so long before it is due, so that only the start is left at the instant."""
BREATH = 0.05
"""Seconds between two polls: one poll answers a burst of events."""
PAGE = 200
"""An answer with so many runs may be only the beginning of it."""
RESTS = 4.0
"""The worker rests four times as long as a question took: it keeps a slow server busy a fifth of the time at most."""
SKIP_EVERY = timedelta(seconds=1)
SKIPPED_AT_ONCE = 50


class WorkerResult(BaseWorkerResult):
    """What `run` returns: the run ended here, well or not."""


class OpenClawWorker(BaseWorker[BaseJobConfiguration, BaseVariables, WorkerResult]):
    """Runs async flows inside its own process: a run that waits for something costs the memory for its text only.

    Job variables (environment, command) are Prefect's for processes of their own and have no effect here.
    """

    type = "openclaw"
    job_configuration = BaseJobConfiguration
    _description = "Runs jobs of prefect-openclaw inside one process: quick to start, and never early."

    def __init__(
        self,
        work_pool_name: str,
        work_queues: list[str] | None = None,
        *,
        limit: int | None = None,
        maintenance: Maintenance | None = None,
        **options: Any,
    ) -> None:
        prefetch = options.setdefault("prefetch_seconds", get_current_settings().worker.prefetch_seconds)
        super().__init__(work_pool_name, work_queues, limit=limit, **options)
        self._prefetch = timedelta(seconds=prefetch)
        self._pool = work_pool_name
        self._queues = list(work_queues or ())
        self._most = limit
        self._maintenance = maintenance or JobMaintenance()
        self._log = get_logger("worker.openclaw")
        self._due_queue = DueQueue()
        self._executions: dict[UUID, Execution] = {}
        self._begun: set[UUID] = set()
        self._flows: Flows | None = None
        self._asking = asyncio.Lock()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._draining = asyncio.Event()
        self._ending = asyncio.Event()
        self._synchronized = asyncio.Event()
        self._asked_at = time.monotonic()
        self._maintained_at: float | None = None

    @property
    def limit(self) -> int | None:
        """How many runs may execute at the same time."""
        return self._most

    @property
    def is_draining(self) -> bool:
        """Whether it takes nothing new."""
        return self._draining.is_set()

    @property
    def is_asking(self) -> bool:
        """Whether it has asked the server for runs lately."""
        return self.is_worker_still_polling(timing().poll.total_seconds())

    @property
    def is_maintaining(self) -> bool:
        """Whether its periodic maintenance has gone well lately."""
        lately = (timing().tick + timing().tick_limit).total_seconds()
        return self._maintained_at is not None and time.monotonic() - self._maintained_at < lately

    @property
    def executing(self) -> int:
        """How many runs this process has taken and not ended."""
        return len(self._executions)

    async def start(
        self, run_once: bool = False, with_healthcheck: bool = False, printer: Callable[..., None] = print
    ) -> None:
        """Take and execute runs until `drain`; with `run_once` until what is due now has ended."""
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(engine.signals_stay_ours())
            stack.enter_context(on_signals(self._on_signal, signal.SIGTERM, signal.SIGINT))
            if with_healthcheck:
                stack.enter_context(process.health_check(self))
            self._maintenance.begin(self._most)
            stack.push_async_callback(self._maintenance.close)
            await stack.enter_async_context(engine.shared_client())
            await stack.enter_async_context(self)
            printer(f"Worker {self.name!r} started!")
            await (self._work_once() if run_once else self._work(printer))
        printer(f"Worker {self.name!r} stopped!")

    def drain(self) -> None:
        """Take nothing new, and end once the running runs have ended."""
        self._draining.set()

    def end_runs(self) -> None:
        """Take nothing new, and end the running runs too."""
        self._draining.set()
        self._ending.set()

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Ask the server for runs that are due soon and hold them; returns the new ones."""
        async with self._asking:
            self._begun = set(self._executions)
            now = datetime.now(UTC)
            try:
                found = await self.client.get_scheduled_flow_runs_for_work_pool(
                    work_pool_name=self._pool,
                    work_queue_names=self._queues,
                    scheduled_before=now + self._horizon,
                )
            except ObjectNotFound:
                found = []  # the next heartbeat makes the pool
            held = [_held(entry.flow_run, now) for entry in found]
            is_complete = len(found) < PAGE
            new = self._due_queue.update(held, complete=is_complete, except_for=self._begun)
            self._asked_at = time.monotonic()
            self._changed.set()
            if not is_complete and not self._queues:
                newest = await newest_of_late(self.client, self._pool, held, now)
                also = [_held(flow_run, now) for flow_run in newest]
                new += self._due_queue.update(also, complete=False, except_for=self._begun)
                self._changed.set()
        return [held.flow_run for held in new]

    async def sync_with_backend(self) -> None:
        """Report that the worker is alive, and take over changes of its pool."""
        await super().sync_with_backend()
        if self.get_status()["work_pool"] is not None:
            self._synchronized.set()

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,  # noqa: ARG002  runs share this process and its settings
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> WorkerResult:
        """Execute one run here and now, and wait for its end."""
        now = datetime.now(UTC)
        execution = self._begin(Held(flow_run, now, now))
        if task_status is not None:
            task_status.started(os.getpid())
        await asyncio.wait({execution.task})
        return WorkerResult(identifier=str(flow_run.id), status_code=0)

    def is_worker_still_polling(self, query_interval_seconds: float) -> bool:
        """For the health check: whether the worker has asked the server lately. A draining worker need not."""
        return self._draining.is_set() or time.monotonic() - self._asked_at < query_interval_seconds * 30

    @property
    def _horizon(self) -> timedelta:
        return max(self._prefetch, 2 * timing().poll)

    def _on_signal(self) -> None:
        if self._draining.is_set():
            self.end_runs()
        self.drain()

    async def _work(self, printer: Callable[..., None]) -> None:
        stopping = Stopping(
            self.client,
            pool=self._pool,
            worker=self.name,
            executions=self._executions,
            drop=self._due_queue.drop,
        )
        try:
            await self._note_draining(None)  # one of its name may have been killed while it did
            async with running(self._report(), self._listen(stopping), self._sweep(stopping)):
                async with running(self._poll(), self._dispatch(), self._tick(), self._skip_superseded()):
                    await self._draining.wait()
                self._due_queue.clear()
                if self._executions:
                    await self._note_draining(datetime.now(UTC))
                    printer(f"Waiting for {self.executing} running runs to end; a second signal ends them.")
                await self._ends_of_runs()
        finally:
            await self._end_runs()
            await self._note_draining(None)

    async def _note_draining(self, since: datetime | None) -> None:
        """For people to see: a store that is away keeps nothing from its end."""
        try:
            async with asyncio.timeout(timing().report.total_seconds()):
                await self._maintenance.draining(self.name, since)
        except Exception as failed:
            self._log.warning("That this worker drains, or no longer does, was not noted: %r", failed)

    async def _work_once(self) -> None:
        try:
            await self.get_and_submit_flow_runs()
            async with running(self._dispatch(), self._skip_superseded()):
                while self._due_queue or self._executions:  # noqa: ASYNC110
                    await asyncio.sleep(BREATH)
        finally:
            await self._end_runs()

    async def _dispatch(self) -> None:
        """Begin what is due, as long as there are slots."""
        while True:
            self._changed.clear()
            before = datetime.now(UTC) + LEAD
            while self._has_slot() and (held := self._due_queue.take(before)):
                self._begin(held)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_next(before)):
                    await self._changed.wait()

    def _has_slot(self) -> bool:
        return self._most is None or len(self._executions) < self._most

    def _until_next(self, taken_before: datetime) -> float | None:
        starts_at = self._due_queue.next_start(taken_before) if self._has_slot() else None
        return (starts_at - LEAD - datetime.now(UTC)).total_seconds() if starts_at else None

    def _begin(self, held: Held) -> Execution:
        self._flows = self._flows or Flows(self.client)
        execution = Execution(held, client=self.client, flows=self._flows, worker=self.name, logger=self._log)
        self._executions[execution.id] = execution
        self._begun.add(execution.id)
        execution.task.add_done_callback(lambda _: self._ended(execution))
        return execution

    def _ended(self, execution: Execution) -> None:
        del self._executions[execution.id]
        self._due_queue.ended(execution.id)
        self._changed.set()
        # It may be scheduled again already, and the queue dropped it from answers while it ran.
        # And where the pool has a limit, the server names no more runs than that allows.
        if not execution.is_done or self._pool_has_a_limit():
            self._wake.set()

    def _pool_has_a_limit(self) -> bool:
        return self._synchronized.is_set() and self.is_setup and self.work_pool.concurrency_limit is not None

    async def _poll(self) -> None:
        await run_periodically(
            "ask for runs",
            self.get_and_submit_flow_runs,
            every=timing().poll,
            within=timing().request,
            logger=self._log,
            wake=self._wake,
            at_least_apart=BREATH,
            rests=RESTS,
        )

    async def _skip_superseded(self) -> None:
        await run_periodically(
            "skip superseded occurrences",
            self._skip_some_superseded,
            every=SKIP_EVERY,
            within=timing().report,
            logger=self._log,
            rests=RESTS,
        )

    async def _skip_some_superseded(self) -> None:
        """End occurrences that newer ones supersede, without a slot."""
        superseded = self._due_queue.superseded(datetime.now(UTC), SKIPPED_AT_ONCE)
        if not superseded:
            return
        gone = await self._maintenance.skip_superseded([held.flow_run for each in superseded for held in each.held])
        self._begun |= gone
        self._due_queue.looked_at(superseded, gone)
        self._changed.set()

    async def _report(self) -> None:
        every = timedelta(seconds=self.heartbeat_interval_seconds)
        await run_periodically(
            "report to the server", self.sync_with_backend, every=every, within=timing().report, logger=self._log
        )

    async def _sweep(self, stopping: Stopping) -> None:
        await run_periodically(
            "look for runs to be stopped",
            stopping.sweep,
            every=timing().sweep,
            within=timing().request,
            logger=self._log,
        )

    async def _tick(self) -> None:
        await run_periodically(
            "do periodic maintenance",
            self._maintain,
            every=timing().tick,
            within=timing().tick_limit,
            logger=self._log,
        )

    async def _maintain(self) -> None:
        await self._maintenance.tick()
        self._maintained_at = time.monotonic()

    async def _listen(self, stopping: Stopping) -> None:
        attending: set[asyncio.Task[None]] = set()

        def attend(flow_run_id: UUID) -> None:
            task = asyncio.create_task(stopping.attend(flow_run_id))
            attending.add(task)
            task.add_done_callback(attending.discard)

        await self._synchronized.wait()
        await listen(self.work_pool.id, on_scheduled=self._wake.set, on_stopping=attend, logger=self._log)

    async def _ends_of_runs(self) -> None:
        """Wait until all runs have ended, or somebody wants them ended."""
        ending = asyncio.create_task(self._ending.wait())
        try:
            while self._executions and not ending.done():
                tasks = {execution.task for execution in self._executions.values()}
                await asyncio.wait({*tasks, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()

    async def _end_runs(self) -> None:
        for execution in list(self._executions.values()):
            execution.leave()
        tasks = {execution.task for execution in self._executions.values()}
        if tasks:
            await asyncio.wait(tasks, timeout=timing().worker_stop.total_seconds())
        for execution in list(self._executions.values()):
            execution.abandon()
        if tasks:
            await asyncio.wait(tasks, timeout=1)


def _held(flow_run: FlowRun, now: datetime) -> Held:
    return Held(flow_run, due(flow_run), now, late_from(flow_run))
