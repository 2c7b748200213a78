"""What is measured: one embedded server, a worker as a process of its own, a trivial job, and what they cost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psutil
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, WorkerStatus
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled
from prefect.workers.base import BaseWorker

from bench.proxy import CountingProxy
from deployments.compile import compile_job
from ocs import settings
from ocs.server import embedded_server
from ocs.spec import Job

PATIENCE = 600.0
CREATED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Contestant:
    """A worker: its pool's type, how it is started on a pool, and with which settings."""

    name: str
    pool_type: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def pool(self) -> str:
        return f"bench-{self.pool_type}"


OURS = Contestant("ocs", "openclaw", ("-m", "ocs.worker", "--name", "bench", "--pool"), {})
STOCK = Contestant(
    "process",
    "process",
    ("-m", "prefect", "worker", "start", "--type", "process", "--limit", "4", "--pool"),
    # It asks every 10 s unless told otherwise, and would lose by that alone.
    {"PREFECT_WORKER_QUERY_SECONDS": "1"},
)


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of CPU used so far by the server, and by the worker with everything it has started."""

    server: float
    worker: float


@contextlib.contextmanager
def server(home: Path) -> Generator[tuple[str, int]]:
    """The address and process id of a server that asks for a password, as `ocs up` does; what is done here says it."""
    with embedded_server(home, auth=True) as (api_url, process):
        if process.pid is None:
            raise RuntimeError("the server has no process")
        known = {PREFECT_API_URL: api_url, PREFECT_API_AUTH_STRING: (home / "password").read_text()}
        with temporary_settings(known):
            yield api_url, process.pid


class System:
    """A worker at work on a pool of its own, and one deployment of a job that runs `true`."""

    def __init__(self, client: PrefectClient, contestant: Contestant, proxy: CountingProxy, server: int) -> None:
        self.client = client
        self.contestant = contestant
        self.proxy = proxy
        self._server = psutil.Process(server)
        self._worker: psutil.Process | None = None
        self._deployment: UUID | None = None

    @contextlib.asynccontextmanager
    async def working(self, home: Path) -> AsyncGenerator[System]:
        """Start the worker, and end it with the context."""
        await self._make_pool()
        self._deployment = await self.deploy(f"bench-{self.contestant.name}", "true")
        home.mkdir(parents=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "OCS_"))}
        environment |= {"PREFECT_API_URL": self.proxy.api_url, "PREFECT_HOME": str(home / "prefect")}
        environment |= {"OCS_HOME": str(home), "DO_NOT_TRACK": "1", **self.contestant.environment}
        environment[PREFECT_API_AUTH_STRING.name] = PREFECT_API_AUTH_STRING.value()
        command = [sys.executable, *self.contestant.arguments, self.contestant.pool]
        with (home / "worker.log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._worker = psutil.Process(process.pid)
            await self._is_online()
            await self.ended(await self.run())  # the first one loads what later ones find loaded
            yield self
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 60)

    async def run(self, at: datetime | None = None, *, deployment: UUID | None = None) -> FlowRun:
        """Create a run, due now or at a time; of the trivial job unless another one is named."""
        wanted = deployment or self._deployment
        if wanted is None:
            raise RuntimeError("the worker does not work yet")
        return await self.client.create_flow_run_from_deployment(wanted, state=Scheduled(scheduled_time=at))

    async def run_many(self, count: int) -> list[FlowRun]:
        """Create many runs, some at once."""
        gate = asyncio.Semaphore(CREATED_AT_ONCE)

        async def create() -> FlowRun:
            async with gate:
                return await self.run()

        return await asyncio.gather(*(create() for _ in range(count)))

    async def ended(self, *flow_runs: FlowRun) -> list[FlowRun]:
        """The runs, once they have all ended; what did not end well ends the measurement.

        Asked for one by one and not often, so that asking costs next to nothing.
        """
        ended: list[FlowRun] = []
        deadline = time.monotonic() + PATIENCE
        for flow_run in flow_runs:
            while True:
                seen = await self.client.read_flow_run(flow_run.id)
                if seen.state is not None and seen.state.is_final():
                    break
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self.contestant.name}: {seen.name} is still {seen.state}")
                await asyncio.sleep(0.5)
            if not seen.state.is_completed() or seen.state.name != "Ok":
                raise RuntimeError(f"{self.contestant.name}: {seen.name} ended as {seen.state!r}")
            ended.append(seen)
        return ended

    def cpu(self) -> Cpu:
        """What server and worker have used so far, ended children included."""
        server = self._server.cpu_times()
        return Cpu(server.user + server.system, _with_children(self._worker) if self._worker else 0.0)

    async def _make_pool(self) -> None:
        worker_type = BaseWorker.get_worker_class_from_type(self.contestant.pool_type)
        if worker_type is None:
            raise RuntimeError(f"There is no worker type {self.contestant.pool_type}.")
        template = worker_type.get_default_base_job_template()
        pool = WorkPoolCreate(name=self.contestant.pool, type=self.contestant.pool_type, base_job_template=template)
        await self.client.create_work_pool(pool)

    def memory(self) -> int:
        """Bytes that the worker holds."""
        return self._worker.memory_info().rss if self._worker else 0

    async def deploy(self, job_id: str, run: object, **more: object) -> UUID:
        """Roll out a job that may overlap with itself, and delivers nothing."""
        nobody = {"when": "never", "opt_out_reason": "a measurement"}
        document = {"id": job_id, "run": run, "limits": {"overlap": "allow"}, "deliver": nobody, **more}
        compiled = replace(compile_job(Job.model_validate(document), "bench"), work_pool=self.contestant.pool)
        return await self.client.create_deployment(
            await self.client.create_flow_from_name(settings.FLOW_NAME),
            compiled.name,
            version=compiled.version,
            entrypoint=compiled.entrypoint,
            parameters=compiled.parameters,
            tags=compiled.tags,
            job_variables=compiled.job_variables,
            work_pool_name=compiled.work_pool,
        )

    async def _is_online(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                workers = await self.client.read_workers_for_work_pool(self.contestant.pool)
                if any(worker.status is WorkerStatus.ONLINE for worker in workers):
                    return
                await asyncio.sleep(0.2)


def _with_children(process: psutil.Process) -> float:
    """CPU of a process, of its children that ended, and of those that live."""
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
