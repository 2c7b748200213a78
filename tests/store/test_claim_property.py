"""Claims, ends and withdrawals in any order, and some at once: no guard of B-3 is got around, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Literal
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import builds, integers, lists, sampled_from
from sqlmodel import col, select

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.spec import Job
from ocs.store import (
    Claimed,
    PendingDispatch,
    Store,
    claim,
    dispatch_of,
    enqueue,
    finish,
    open_store,
    release_all_waiting,
    withdraw,
)
from ocs.store.outbox import OPEN
from ocs.store.tables import DispatchRow, DispatchStatus, Run

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
EXAMPLES = count()
LIMITS = {
    "alone": {"overlap": "skip"},
    "queued": {"overlap": "queue", "max_queued": 3},
    "free": {"overlap": "allow"},
    "pooled": {"overlap": "allow", "pool": "database", "max_queued": 3},
    "both": {"overlap": "queue", "pool": "database"},
    "child": {"overlap": "queue", "max_queued": 2},
}
"""The pool has its one slot; the child follows `free`, which is retried once."""


@dataclass(frozen=True)
class Step:
    """Something that happens; what has the same `moment` as the step before happens at the same time."""

    what: Literal["occurrence", "by hand", "ends", "fails", "goes on", "withdrawn"]
    job: str
    number: int
    at_once: int


steps = builds(
    Step,
    sampled_from(["occurrence", "occurrence", "by hand", "ends", "ends", "fails", "goes on", "goes on", "withdrawn"]),
    sampled_from([*LIMITS]),
    integers(0, 2),
    integers(0, 2),
)


@dataclass
class World:
    """The jobs of one example, under ids of their own, and what goes on."""

    store: Store
    suffix: str
    running: list[tuple[Job, Claimed]] = field(default_factory=list[tuple[Job, Claimed]])
    unsent: list[PendingDispatch] = field(default_factory=list[PendingDispatch])
    asked: set[tuple[str, datetime]] = field(default_factory=set[tuple[str, datetime]])

    def __post_init__(self) -> None:
        self.jobs = {self.id(name): self._job(name) for name in LIMITS}

    def id(self, name: str) -> str:
        return f"{name}-{self.suffix}"

    def _job(self, name: str) -> Job:
        limits = {**LIMITS[name], **({"pool": self.id("pool")} if "pool" in LIMITS[name] else {})}
        document = {"id": self.id(name), "run": "true", "backoff": False, "limits": limits}
        document |= {"after": {"job": self.id("free"), "on": "complete"}} if name == "child" else {}
        return Job.model_validate(document | ({"retry": {"max": 1}} if name == "free" else {}))

    async def does(self, step: Step) -> None:
        job = self.jobs[self.id(step.job)]
        match step.what:
            case "occurrence":
                at = NOW + timedelta(minutes=step.number)
                self.asked.add((job.id, at))
                await self.claims(job, Dispatch(DispatchKind.SCHEDULED, at))
            case "by hand":
                with contextlib.suppress(Refused):
                    most = job.limits.max_queued
                    sent = await enqueue(self.store, job.id, by=Attribution("a", "b", NOW), max_queued=most)
                    self.unsent.append(sent)
            case "ends" | "fails":
                await self.ends(step.number, RunStatus.OK if step.what == "ends" else RunStatus.ERROR)
            case "goes on":
                await self.goes_on()
            case "withdrawn":
                await withdraw(self.store, job.id, by=Attribution("a", "b", NOW))

    async def claims(self, job: Job, dispatch: Dispatch) -> None:
        claimed = await claim(self.store, job, dispatch, flow_run_id=uuid4(), owner="w", now=NOW)
        if isinstance(claimed, Claimed):
            self.running.append((job, claimed))

    async def ends(self, number: int, status: RunStatus) -> None:
        if self.running:
            job, claimed = self.running.pop(number % len(self.running))
            children = [child for child in self.jobs.values() if child.after and child.after.job == job.id]
            outcome = await finish(self.store, job, claimed.context, DispatchResult(status), children=children, now=NOW)
            self.unsent += [*outcome.consequences, *outcome.released]

    async def goes_on(self) -> None:
        """What is in the outbox becomes runs."""
        sent, self.unsent = self.unsent, []
        for pending in sent:
            dispatch = await dispatch_of(self.store, pending.id)
            assert dispatch is not None
            await self.claims(self.jobs[pending.job_id], dispatch)

    async def rows(self) -> tuple[list[Run], list[DispatchRow]]:
        async with self.store.reading() as session:
            runs = list(await session.scalars(select(Run).where(col(Run.job_id).in_(self.jobs))))
            return runs, list(await session.scalars(select(DispatchRow).where(col(DispatchRow.job_id).in_(self.jobs))))

    async def is_in_order(self) -> None:
        runs, dispatches = await self.rows()
        executed = [run for run in runs if run.status is not RunStatus.SKIPPED]
        running = Counter(run.job_id for run in runs if run.status is RunStatus.RUNNING)
        assert sum(running[self.id(name)] for name in ("pooled", "both")) <= 1
        assert max(running[job.id] for job in self.jobs.values() if job.limits.overlap != "allow") <= 1
        occurrences = Counter((r.job_id, r.scheduled_for) for r in executed if r.kind is DispatchKind.SCHEDULED)
        assert max(occurrences.values(), default=0) <= 1
        assert max(Counter(run.dispatch_id for run in executed if run.dispatch_id).values(), default=0) <= 1
        waiting = Counter(row.job_id for row in dispatches if row.status is DispatchStatus.QUEUED)
        assert all(number <= self.jobs[job].limits.max_queued for job, number in waiting.items())

    async def comes_to_rest(self) -> None:
        goes_on = True
        while goes_on:
            await self.ends(0, RunStatus.OK)
            self.unsent += [
                row for row in await release_all_waiting(self.store, NOW) if row.job_id in self.jobs
            ]  # upkeep
            goes_on = bool(self.running or self.unsent)
            await self.goes_on()
        runs, dispatches = await self.rows()
        assert all(run.status.final for run in runs)
        assert not [row for row in dispatches if row.status in OPEN]
        recorded = {(each.job_id, each.scheduled_for) for each in (*runs, *dispatches)}
        assert recorded >= self.asked
        with_run = {run.dispatch_id for run in runs}
        assert all(row.id in with_run for row in dispatches if row.status is DispatchStatus.DONE)
        followed: Counter[UUID | None] = Counter(row.source_run for row in dispatches if row.kind is DispatchKind.CHAIN)
        for run in runs:
            retried = any(row.retry_of == run.id for row in dispatches)
            assert followed[run.id] <= int(run.job_id == self.id("free") and not retried and bool(run.finished_at))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happens=lists(steps, min_size=5, max_size=40))
def test_no_guard_is_got_around_in_any_order(store: Store, store_url: str, happens: list[Step]) -> None:
    asyncio.run(play(store_url, happens))


async def play(store_url: str, happens: list[Step]) -> None:
    world = World(open_store(store_url), f"e{next(EXAMPLES)}")
    try:
        batch: list[Step] = []
        for step in happens:
            batch.append(step)
            if not step.at_once:
                await asyncio.gather(*map(world.does, batch))
                batch = []
                await world.is_in_order()
        await world.comes_to_rest()
        await world.is_in_order()
    finally:
        await world.store.close()
