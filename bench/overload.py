"""`python -m bench.overload`: more is due than the machine can run. How much of what it can do does it still do?

First as many runs as there are jobs are asked for at once, which is what the machine can do. Then each of the jobs gets
a schedule, and all of them together are due twice as often as that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule
from rich.console import Console
from rich.table import Table

from bench.proxy import CountingProxy
from bench.system import Contestant, Cpu, System, server
from ocs.rules.dispatch import RunStatus
from ocs.rules.occurrences import EVERY_ANCHOR
from ocs.store import open_store, queries
from ocs.store.tables import Run

DEMAND = 2.0
"""How many times as many runs are due as the machine can do."""


@dataclass(frozen=True, slots=True)
class Overload:
    """Runs a second alone and under overload; of each job how many ran, and for how long none did.

    CPU seconds are those of server and worker together, for each run that ran: they say what a machine of our own
    could do, whatever else this one has to do meanwhile.
    """

    jobs: int
    every: float
    capacity: float
    goodput: float
    by_minute: list[int]
    fewest: int
    most: int
    longest_gap: float
    passed_over: int
    cpu_alone: float
    cpu_overloaded: float
    requests: dict[str, int]

    @property
    def ratio(self) -> float:
        """How much of what it can do it does."""
        return self.cpu_alone / self.cpu_overloaded


async def measure(jobs: int, seconds: float, limit: int, api_url: str, pid: int, home: Path) -> Overload:
    """Both in one run, on one server."""
    command = ("-m", "ocs.worker", "--name", "bench", "--limit", str(limit), "--pool")
    worker = Contestant("overload", "openclaw", command, {})
    async with (
        get_client() as client,
        CountingProxy(api_url).running() as proxy,
        System(client, worker, proxy, pid).working(home) as system,
    ):
        return await _measure(system, jobs, seconds, home)


async def _measure(system: System, jobs: int, seconds: float, home: Path) -> Overload:
    began, before = datetime.now(UTC), system.cpu()
    await system.ended(*await system.run_many(jobs))
    capacity = jobs / (datetime.now(UTC) - began).total_seconds()
    cpu_alone = _used(before, system.cpu()) / jobs
    every = jobs / capacity / DEMAND
    interval = IntervalSchedule(interval=timedelta(seconds=round(every)), anchor_date=EVERY_ANCHOR)
    deployments: list[UUID] = []
    for number in range(jobs):
        job = f"bench-every-{number}"
        deployments.append(await system.deploy(job, "true", schedule={"every": f"{round(every)}s"}))
    for deployment in deployments:
        await system.client.create_deployment_schedules(deployment, [DeploymentScheduleCreate(schedule=interval)])
    began = datetime.now(UTC)
    before, asked = system.cpu(), Counter(system.proxy.requests)
    await asyncio.sleep(seconds)
    until, cpu, asked = datetime.now(UTC), _used(before, system.cpu()), system.proxy.requests - asked
    ended = await _runs(home, began, until)
    for deployment in deployments:
        await system.client.pause_deployment(deployment)
    measured = _overload(ended, jobs, every, capacity, began, until)
    ran = max(1, round(measured.goodput * (until - began).total_seconds()))
    return replace(measured, cpu_alone=cpu_alone, cpu_overloaded=cpu / ran, requests=dict(asked.most_common()))


def _used(before: Cpu, after: Cpu) -> float:
    return after.server + after.worker - before.server - before.worker


async def _runs(home: Path, began: datetime, until: datetime) -> list[Run]:
    store = open_store(f"sqlite+aiosqlite:///{home / 'store.db'}")
    try:
        found = await queries.runs(store, since=began, limit=1_000_000)
    finally:
        await store.close()
    return [run for run in found if run.started_at <= until and run.job_id.startswith("bench-every-")]


def _overload(runs: list[Run], jobs: int, every: float, capacity: float, began: datetime, until: datetime) -> Overload:
    starts: defaultdict[str, list[datetime]] = defaultdict(list)
    for run in runs:
        if run.status is not RunStatus.SKIPPED:
            starts[run.job_id].append(run.started_at)
    gaps = [
        (later - sooner).total_seconds()
        for each in starts.values()
        for sooner, later in zip([began, *sorted(each)], [*sorted(each), until], strict=True)
    ]
    minutes = Counter(int((at - began).total_seconds() // 60) for each in starts.values() for at in each)
    counts = [len(each) for each in starts.values()] + [0] * (jobs - len(starts))
    return Overload(
        jobs=jobs,
        every=every,
        capacity=capacity,
        goodput=sum(counts) / (until - began).total_seconds(),
        by_minute=[minutes[minute] for minute in range(max(minutes, default=0) + 1)],
        fewest=min(counts),
        most=max(counts),
        longest_gap=max(gaps, default=0.0),
        passed_over=sum(run.status is RunStatus.SKIPPED for run in runs),
        cpu_alone=0.0,
        cpu_overloaded=0.0,
        requests={},
    )


def table(measured: Overload) -> Table:
    """What it could do, what it did, and whether it was fair."""
    made = Table(
        title=f"{measured.jobs} jobs, each due every {measured.every:.0f} s: {DEMAND:g} times what can be done"
    )
    made.add_column("")
    made.add_column("", justify="right")
    made.add_row("alone", f"{measured.capacity:.2f} runs/s")
    made.add_row("under overload", f"{measured.goodput:.2f} runs/s")
    made.add_row("CPU a run, alone", f"{measured.cpu_alone:.2f} s")
    made.add_row("CPU a run, under overload", f"{measured.cpu_overloaded:.2f} s")
    made.add_row("of what it can do", f"{measured.ratio:.0%}")
    made.add_row("runs in each minute", ", ".join(map(str, measured.by_minute)))
    made.add_row("runs of a job, fewest to most", f"{measured.fewest} to {measured.most}")
    made.add_row("longest without a run", f"{measured.longest_gap:.0f} s")
    made.add_row("passed over", str(measured.passed_over))
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long everything is due too often")
    parser.add_argument("--limit", type=int, default=50, help="runs at the same time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with server(home / "server") as (api_url, pid):
            measured = asyncio.run(measure(given.jobs, given.seconds, given.limit, api_url, pid, home / "worker"))
    Console().print(table(measured))
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
