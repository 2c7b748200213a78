"""What the worker's tests see: deploy a flow of `tests.worker.flows`, run it, wait for facts."""

from __future__ import annotations

import asyncio
import gc
import inspect
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled
from websockets.asyncio.connection import Connection

from ocs.worker import OpenClawWorker

T = TypeVar("T")
PATIENCE = 150.0
LONGEST_PAUSE = 0.15
"""Seconds. Who looks takes the processor from what is looked for."""


class CountingUpkeep:
    """Upkeep that has nothing to do."""

    def __init__(self) -> None:
        self.ticks = 0
        self.closed = False
        self.drains: list[bool] = []

    def begin(self, limit: int | None) -> None:
        pass

    async def tick(self) -> None:
        self.ticks += 1

    async def skip_superseded(self, flow_runs: Sequence[FlowRun]) -> set[UUID]:
        return set()

    async def draining(self, worker: str, since: datetime | None) -> None:
        self.drains.append(since is not None)

    async def close(self) -> None:
        self.closed = True


@dataclass
class Rig:
    client: PrefectClient
    folder: Path
    pool: str = field(default_factory=lambda: f"pool-{uuid.uuid4().hex[:8]}")
    maintenance: CountingUpkeep = field(default_factory=CountingUpkeep)

    @property
    def notes_file(self) -> Path:
        return self.folder / "notes"

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    @asynccontextmanager
    async def worker(self, limit: int | None = 10, name: str = "tested") -> AsyncIterator[OpenClawWorker]:
        """A worker at work; drained, and then ended, when the context ends."""
        worker = OpenClawWorker(self.pool, name=name, limit=limit, maintenance=self.maintenance)
        started = asyncio.Event()
        working = asyncio.create_task(worker.start(printer=lambda *_: started.set()))
        await asyncio.wait({working, asyncio.create_task(started.wait())}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield worker
        finally:
            worker.end_runs()
            await working
            await _websockets_closed()

    async def make_pool(self) -> None:
        """For tests that need the pool before there is a worker."""
        template = OpenClawWorker.get_default_base_job_template()
        pool = WorkPoolCreate(name=self.pool, type=OpenClawWorker.type, base_job_template=template)
        await self.client.create_work_pool(pool)

    async def deploy(self, flow: str, **options: Any) -> UUID:
        flow_id = await self.client.create_flow_from_name(flow.replace("_", "-"))
        options = {"entrypoint": f"tests.worker.flows.{flow}", "name": f"{flow}-{self.pool}", **options}
        return await self.client.create_deployment(flow_id, work_pool_name=self.pool, **options)

    async def run(self, deployment: UUID, *, at: datetime | None = None, **parameters: Any) -> FlowRun:
        """Create a run; what it notes goes to this test's file unless it says otherwise."""
        return await self.client.create_flow_run_from_deployment(
            deployment, parameters={"to": str(self.notes_file), **parameters}, state=Scheduled(scheduled_time=at)
        )

    def notes(self) -> list[str]:
        return [line.rsplit(" ", 1)[0] for line in self._lines()]

    def noted_at(self, what: str) -> datetime:
        (line,) = [line for line in self._lines() if line.startswith(f"{what} ")]
        return datetime.fromtimestamp(float(line.rsplit(" ", 1)[1]), UTC)

    def _lines(self) -> list[str]:
        return self.notes_file.read_text().splitlines() if self.notes_file.exists() else []

    async def state(self, flow_run: FlowRun) -> State:
        state = (await self.client.read_flow_run(flow_run.id)).state
        assert state is not None
        return state

    async def reaches(self, flow_run: FlowRun, holds: Callable[[State], bool]) -> State:
        """The run's state, once it is as told."""

        async def look() -> State | None:
            state = await self.state(flow_run)
            return state if holds(state) else None

        return await self.eventually(look)

    async def ends(self, flow_run: FlowRun) -> State:
        return await self.reaches(flow_run, State.is_final)

    async def eventually(
        self, look: Callable[[], T | None] | Callable[[], Awaitable[T | None]], within: float = PATIENCE
    ) -> T:
        """What `look` returns once it is something true."""
        pause = 0.02
        async with asyncio.timeout(within):
            while True:
                seen: Any = look()
                if inspect.isawaitable(seen):
                    seen = await seen
                if seen:
                    return seen
                await asyncio.sleep(pause := min(1.3 * pause, LONGEST_PAUSE))


async def _websockets_closed() -> None:
    """Prefect begins to close its worker channel and does not wait for the answer; a test's loop may end before it."""
    loop = asyncio.get_running_loop()
    found = [thing for thing in gc.get_objects() if isinstance(thing, Connection) and thing.loop is loop]
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(connection.wait_closed() for connection in found))


async def _told_everything() -> None:
    """What runs of this process have to tell is told while their server is there, not when the tests have ended."""
    for service in (EventsWorker, APILogWorker):
        await service.drain_all(timeout=PATIENCE)


@asynccontextmanager
async def rig_on(api_url: str) -> AsyncIterator[Rig]:
    with temporary_settings({PREFECT_API_URL: api_url}), tempfile.TemporaryDirectory() as folder:
        async with get_client() as client:
            yield Rig(client, Path(folder))
        await _told_everything()
