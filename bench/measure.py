"""The measurements: how soon a run starts, whether it starts on time, and what many runs at once cost."""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect.client.schemas.objects import FlowRun

from bench.system import System

SCHEDULED_AHEAD = timedelta(seconds=4)
SPREAD = timedelta(seconds=0.73)
"""Between due times: never a whole second, so that no timer's rhythm helps."""
SHARED = ("/work_pools/", "/events", "/logs", "/flow_runs/filter", "/csrf-token", "/admin/version")
"""Asked by a worker for itself, however many runs it executes."""


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds between two instants, over several runs."""

    p50: float
    least: float
    most: float
    runs: int


@dataclass(frozen=True, slots=True)
class Burst:
    """Many trivial runs at once. CPU seconds and requests are per run; `polls` are the requests of all together."""

    runs: int
    runs_per_second: float
    server_cpu: float
    worker_cpu: float
    requests: float
    polls: int
    by_path: dict[str, float]


async def run_now_to_start(system: System, runs: int) -> Delays:
    """From asking for a run to its start, one at a time."""
    delays: list[float] = []
    for _ in range(runs):
        asked = datetime.now(UTC)
        (ended,) = await system.ended(await system.run())
        delays.append(_seconds(asked, _started(ended)))
    return _delays(delays)


async def due_to_start(system: System, runs: int) -> Delays:
    """From the due time to the start; less than zero is too early."""
    first = datetime.now(UTC) + SCHEDULED_AHEAD
    due = [first + number * SPREAD for number in range(runs)]
    created = [await system.run(at) for at in due]
    return _delays(due_to_start_of(due, await system.ended(*created)))


def due_to_start_of(due: Sequence[datetime], ended: Sequence[FlowRun]) -> list[float]:
    """How late each run began, in seconds."""
    return [_seconds(at, _started(run)) for at, run in zip(due, ended, strict=True)]


async def burst(system: System, runs: int) -> Burst:
    """Many runs at once: from asking for the first to the end of the last."""
    cpu, requests = system.cpu(), Counter(system.proxy.requests)
    began = datetime.now(UTC)
    ended = await system.ended(*await system.run_many(runs))
    last = max(_aware(run.end_time) for run in ended)
    await asyncio.sleep(3)  # what is recorded a little later belongs to these runs too
    used, asked = system.cpu(), system.proxy.requests - requests
    about_runs = {path: count for path, count in asked.items() if not any(shared in path for shared in SHARED)}
    return Burst(
        runs=runs,
        runs_per_second=runs / _seconds(began, last),
        server_cpu=(used.server - cpu.server) / runs,
        worker_cpu=(used.worker - cpu.worker) / runs,
        requests=1 + sum(about_runs.values()) / runs,  # one more: the bench itself created the run
        polls=asked.total() - sum(about_runs.values()),
        by_path={path: count / runs for path, count in sorted(asked.items())},
    )


def _delays(delays: Sequence[float]) -> Delays:
    return Delays(statistics.median(delays), min(delays), max(delays), len(delays))


def _started(flow_run: FlowRun) -> datetime:
    return _aware(flow_run.start_time)


def _aware(at: datetime | None) -> datetime:
    if at is None:
        raise RuntimeError("a run that ended has no start or end")
    return datetime.fromtimestamp(at.timestamp(), UTC)


def _seconds(begin: datetime, end: datetime) -> float:
    return (end - begin).total_seconds()
