"""A running system for end-to-end tests: a real server, a real worker process, and a project of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML

from deployments import catalogue, rollout
from ocs import settings
from ocs.rules.attribution import Attribution
from ocs.store import Store, enqueue, open_store, queries
from tasks.adapter.publish import publish

T = TypeVar("T")
LONGEST_PAUSE = 0.25
"""Seconds. Whoever looks takes the processor from what is looked for."""
PATIENCE = 150.0
"""Seconds, on a machine that has much else to do. What never happens is waited for that long, and nothing else."""


@contextlib.contextmanager
def worker_process(
    command: list[str], *, api_url: str, home: Path, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own; ended, with everything it started, when the context ends."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "OCS_"))}
    environment |= {"PREFECT_API_URL": api_url, "OCS_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
    environment |= {"DO_NOT_TRACK": "1", "OCS_TIMING_TICK": "3", **(env or {})}  # tests wait for ticks
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def our_worker(pool: str = settings.WORK_POOL, limit: int = 20) -> list[str]:
    return [sys.executable, "-m", "ocs.worker", "--pool", pool, "--limit", str(limit), "--name", "test"]


def stock_worker(pool: str) -> list[str]:
    return [sys.executable, "-m", "prefect", "worker", "start", "--type", "process", "--pool", pool]


@dataclass
class RunningSystem:
    """What a test sees: write jobs, roll them out, run them, wait for facts in the store and through the API.

    Job ids get a suffix of the test's own, so that tests share one server and never meet.
    """

    project: Path
    store: Store
    client: PrefectClient
    suffix: str = field(default_factory=lambda: secrets.token_hex(3))

    def id(self, name: str) -> str:
        return f"{name}-{self.suffix}"

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)

    def write(self, name: str, **document: Any) -> str:
        """Put a job into the project; a parent named in `after` is one of this test's."""
        job_id = self.id(name)
        if "after" in document:
            document["after"] = {**document["after"], "job": self.id(document["after"]["job"])}
        path = self.project / "deployments" / "jobs" / f"{job_id}.yaml"
        with path.open("w") as file:
            YAML().dump({"id": job_id, **document}, file)
        return job_id

    async def deploy(self, *, prune: bool = False) -> rollout.Plan:
        found = catalogue.read(self.project)
        plan = await rollout.plan(self.client, found)
        await rollout.apply(self.client, plan, prune=prune)
        return plan

    async def tidy_up(self) -> None:
        """Take all of this test's jobs from the server."""
        for path in (self.project / "deployments" / "jobs").iterdir():
            path.unlink()
        await self.deploy(prune=True)

    async def run(self, name: str, **parameters: Any) -> UUID:
        """Dispatch a job by hand; returns the dispatch's id."""
        pending = await enqueue(
            self.store,
            self.id(name),
            by=Attribution("test", "test", datetime.now(UTC)),
            **({"parameters": parameters} if parameters else {}),
        )
        await publish(self.client, self.store, [pending])
        return pending.id

    async def runs_of(self, name: str) -> list[Any]:
        """The job's runs, oldest first."""
        return sorted(await queries.runs(self.store, job=self.id(name)), key=lambda run: run.started_at)

    async def flow_run(self, run: Any) -> FlowRun:
        return await self.client.read_flow_run(run.flow_run_id)

    async def flow_runs_of(self, name: str) -> list[FlowRun]:
        tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"job:{self.id(name)}"]))
        return await self.client.read_flow_runs(flow_run_filter=tagged)

    async def eventually(self, look: Callable[[], Awaitable[T | None]], *, within: float = PATIENCE) -> T:
        """What `look` returns once it is something true; a failed look that ends in time is not an error."""
        pause = 0.03
        async with asyncio.timeout(within):
            while not (seen := await look()):
                await asyncio.sleep(pause := min(1.3 * pause, LONGEST_PAUSE))
            return seen

    async def ended(self, name: str, *, count: int = 1, within: float = PATIENCE) -> list[Any]:
        """The job's runs, once at least `count` of them have ended in the store and in Prefect."""

        async def look() -> list[Any] | None:
            runs = await self.runs_of(name)
            if len([run for run in runs if run.status.final]) < count:
                return None
            flow_runs = [await self.flow_run(run) for run in runs if run.status.final]
            return runs if all(flow_run.state and flow_run.state.is_final() for flow_run in flow_runs) else None

        return await self.eventually(look, within=within)

    async def ended_run(self, name: str, *, within: float = PATIENCE) -> Any:
        """The job's only run, once it has ended."""
        runs = await self.ended(name, within=within)
        assert len(runs) == 1, f"{name} ran {len(runs)} times"
        return runs[0]


@contextlib.asynccontextmanager
async def running_system(
    api_url: str, home: Path, project: Path, *, store_url: str | None = None, password: str | None = None
) -> AsyncIterator[RunningSystem]:
    (project / "deployments" / "jobs").mkdir(parents=True)
    (project / "prefect.yaml").write_text(f"name: {project.name}\n")
    async with contextlib.AsyncExitStack() as stack:
        store = open_store(store_url or f"sqlite+aiosqlite:///{home / 'store.db'}")
        stack.push_async_callback(store.close)
        await store.migrate()
        stack.enter_context(temporary_settings({PREFECT_API_URL: api_url, PREFECT_API_AUTH_STRING: password}))
        system = RunningSystem(project, store, await stack.enter_async_context(get_client()))
        try:
            yield system
        except BaseException as failed:
            # With a server that is gone there is nothing to tidy up, and what the test found wrong is to be seen.
            with contextlib.suppress(Exception):
                await system.tidy_up()
            raise failed
        await system.tidy_up()
