"""Wellness: whether the scheduler does what it is for, as the worker sees it, for those outside who ask or are told."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ocs.timing import timing

if TYPE_CHECKING:
    from ocs.worker.worker import OpenClawWorker

BEATS = timedelta(seconds=15)
"""From one look to the next."""
SILENT = timedelta(seconds=60)
"""An event loop that has not looked for so long stands still."""

ENDING = "it is ending, and takes nothing new"
STANDS_STILL = "its event loop stands still"


@dataclass(frozen=True, slots=True)
class Found:
    """What stood against it at the last look; nothing when all was well."""

    against: tuple[str, ...]
    looked_at: float

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.looked_at < SILENT.total_seconds()


class Wellness:
    """Looks by itself, and says what it found last to whoever asks, from any thread."""

    def __init__(self, worker: OpenClawWorker) -> None:
        self._worker = worker
        self.found = Found(("it has only just started",), time.monotonic())

    @property
    def against(self) -> tuple[str, ...]:
        """What stands against it now: that it is ending counts at once, the rest from the last look."""
        if self._worker.is_draining:
            return (ENDING,)
        return self.found.against if self.found.is_fresh else (STANDS_STILL,)

    async def look(self) -> Found:
        """Look once: the worker, its maintenance, the store, the server, and whether anything is overdue."""
        self.found = Found(tuple(await self._against()), time.monotonic())
        return self.found

    async def keep_looking(self) -> None:
        """For ever. A look that takes too long says so."""
        while True:
            await self.look()
            await asyncio.sleep(BEATS.total_seconds())

    async def _against(self) -> list[str]:
        worker = self._worker
        found = [] if worker.is_asking else ["it has not asked the server for runs lately"]
        if not worker.is_maintaining:
            found.append("its periodic maintenance has not been done lately")
        for what, question in (("store", self._of_store()), ("server", self._of_server())):
            try:
                async with asyncio.timeout(timing().request.total_seconds()):
                    found += await question
            except Exception as failed:  # whatever it is, it does not answer
                found.append(f"the {what} does not answer ({type(failed).__name__})")
        return found

    async def _of_store(self) -> list[str]:
        from ocs.store.figures import standing_against
        from tasks.adapter import runtime

        return await standing_against(await runtime.store(), now=runtime.clock(), overdue=timing().overdue)

    async def _of_server(self) -> list[str]:
        """Runs that Prefect has scheduled, and that nobody has begun though they were due long ago."""
        from prefect.client.schemas.filters import (
            FlowRunFilter,
            FlowRunFilterNextScheduledStartTime,
            FlowRunFilterState,
            FlowRunFilterStateType,
            FlowRunFilterTags,
        )
        from prefect.client.schemas.objects import StateType

        from tasks.adapter import runtime

        due = FlowRunFilterNextScheduledStartTime.model_validate({"before_": runtime.clock() - timing().overdue})
        late = FlowRunFilter(
            tags=FlowRunFilterTags(all_=["ocs"]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            next_scheduled_start_time=due,
        )
        found = await self._worker.client.read_flow_runs(flow_run_filter=late, limit=1)
        return ["a run is overdue"] if found else []
