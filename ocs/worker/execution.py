"""One run from the moment it is taken to its end. A failure ends this run only, and its state says why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort, ObjectNotFound
from prefect.flows import Flow
from prefect.states import Cancelled, Crashed, Pending

from ocs.errors import OcsError
from ocs.transient import is_transient, pauses
from ocs.worker.due import due, sleep_until
from ocs.worker.due_queue import Held
from ocs.worker.engine import InProcessEngine, engine_for
from ocs.worker.loader import Flows
from ocs.worker.periodic import Logger
from tasks import cancellation
from tasks.recovery import owner

FRESH = timedelta(seconds=0.25)
"""Before the worker takes a run of an older answer, it reads the run again."""
TAKEN_BY = "Taken by the worker "
UNSTARTED = "Cancelled before it started; nothing was run."


@dataclass(frozen=True, slots=True)
class Taker:
    """Who took a run: a worker by its name, and as which process."""

    worker: str
    process: str


def taken_by(worker: str, process: str) -> str:
    """The message of the Pending state: who took the run."""
    return f"{TAKEN_BY}{worker} ({process})."


def taker_of(message: str | None) -> Taker | None:
    """Who such a message names, None when it is another message."""
    if not message or not message.startswith(TAKEN_BY):
        return None
    worker, _, process = message.removeprefix(TAKEN_BY).removesuffix(").").rpartition(" (")
    return Taker(worker, process)


class Execution:
    """A run that this process has taken, or is about to take, and its task."""

    def __init__(self, held: Held, *, client: PrefectClient, flows: Flows, worker: str, logger: Logger) -> None:
        self.flow_run = held.flow_run
        self._held = held
        self._client = client
        self._flows = flows
        self._mark = taken_by(worker, owner.me())
        self._logger = logger
        self._engine: InProcessEngine | None = None
        self._stopping = False
        self.task = asyncio.create_task(self._go(), name=f"run {held.flow_run.name}")

    @property
    def id(self) -> UUID:
        return self.flow_run.id

    @property
    def is_done(self) -> bool:
        """Whether the run is in a final state."""
        return self.flow_run.state is not None and self.flow_run.state.is_final()

    def stop(self) -> None:
        """End it and what it has started; it becomes Cancelled. A run whose code has ended keeps its own end."""
        if self._stopping:
            return
        self._stopping = True
        if cancellation.cancel(self.id):
            return
        if self._engine is None or self._engine.stop():
            self.task.cancel()

    def leave(self) -> None:
        """The process ends: stop a run that has begun, and leave one that has not, Pending or Crashed, to others.

        Nobody has decided against it, as Cancelled would say.
        """
        if self._engine is not None and self._engine.code_has_begun:
            self.stop()
        else:
            self.task.cancel()

    def abandon(self) -> None:
        """The process ends, and waits for it no longer."""
        if self._engine is not None:
            self._engine.abandoned = True
        self.task.cancel()

    async def _go(self) -> None:
        try:
            await self._take_and_execute()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            if self._engine is None:
                await self._end(Cancelled(message=UNSTARTED))
        except ObjectNotFound:
            self._logger.info("The run %s was deleted", self.flow_run.name)
        except Abort as refused:
            self._logger.info("The run %s may not run: %s", self.flow_run.name, refused)
        except OcsError as refused:
            await self._end(Crashed(message=f"{refused.message} {refused.hint or ''}".rstrip()))
        except Exception as failed:
            self._logger.exception("The run %s crashed", self.flow_run.name)
            await self._end(Crashed(message=f"The worker could not execute it: {failed!r}"))

    async def _take_and_execute(self) -> None:
        if not await self._is_still_due():
            return
        flow = await self._flows.of(self.flow_run)
        if not await self._take_it():
            return
        await sleep_until(max(self._held.starts_at, due(self.flow_run)))
        await self._execute(flow)

    async def _is_still_due(self) -> bool:
        """False when somebody was quicker or has changed it. Prefect would start a completed run again."""
        if datetime.now(UTC) - self._held.seen_at < FRESH:
            return True
        self.flow_run = await self._client.read_flow_run(self.id)
        state = self.flow_run.state
        return state is not None and state.is_scheduled() and due(self.flow_run) <= self._held.starts_at

    async def _take_it(self) -> bool:
        """Become the one that executes it."""
        try:
            answer = await self._client.set_flow_run_state(self.id, Pending(message=self._mark))
        except httpx.HTTPError as error:
            if not is_transient(error):
                raise
            return await self._was_taken()
        # Refused because another worker was quicker, the answer is that one's Pending.
        if answer.state is None or not self._is_ours(answer.state):
            return False
        self.flow_run.state = answer.state
        return True

    def _is_ours(self, state: State) -> bool:
        return state.is_pending() and state.message == self._mark

    async def _was_taken(self) -> bool:
        """The request's outcome is unknown; re-read the flow run once the server answers."""
        for pause in pauses():
            await asyncio.sleep(pause)
            try:
                self.flow_run = await self._client.read_flow_run(self.id)
            except httpx.HTTPError as error:
                if not is_transient(error):
                    raise
            else:
                break
        state = self.flow_run.state
        return state is not None and self._is_ours(state)

    async def _execute(self, flow: Flow[Any, Any]) -> None:
        self._engine = engine_for(flow, self.flow_run)
        try:
            await self._engine.execute()
        finally:
            self.flow_run = self._engine.flow_run or self.flow_run

    async def _end(self, state: State) -> None:
        try:
            await self._client.set_flow_run_state(self.id, state)
        except ObjectNotFound:
            self._logger.info("The run %s was deleted", self.flow_run.name)
        except httpx.HTTPError as error:
            self._logger.error("The run %s could not be set to %s: %r", self.flow_run.name, state.name, error)
