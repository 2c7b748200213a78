"""One of several processes that claim the same occurrences at once: `python -m tests.store.claimer URL TRACES`.

Every claimed run writes a line when it begins and one when it ends, into one file: what is appended there has one order
for all processes.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.spec import Job
from ocs.store import (
    Claimed,
    PendingDispatch,
    Store,
    claim,
    dispatch_of,
    finish,
    open_store,
    pending_dispatches,
    queries,
    release_all_waiting,
)

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
OCCURRENCES = 20
AT_ONCE = 10
A_LOOK = 0.1
"""Seconds between two looks at what waits: a worker's upkeep looks less often."""
QUIET = {"max_queued": 10_000}
JOBS: Sequence[Job] = [
    Job.model_validate({"id": name, "run": "true", "backoff": False, "limits": {**QUIET, **limits}})
    for name, limits in {
        "pooled-a": {"pool": "two", "overlap": "allow"},
        "pooled-b": {"pool": "two", "overlap": "allow"},
        "queued": {"overlap": "queue"},
        "alone": {"overlap": "skip"},
    }.items()
]
BY_ID = {job.id: job for job in JOBS}


class Claimer:
    """Takes what it can get, and executes it for an instant."""

    def __init__(self, store: Store, traces: Path) -> None:
        self._store = store
        self._traces = os.open(traces, os.O_APPEND | os.O_WRONLY | os.O_CREAT)
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def work(self) -> None:
        """All occurrences in an order of its own, then what had to wait, until nothing waits any more."""
        occurrences = [(job, START + timedelta(seconds=number)) for job in JOBS for number in range(OCCURRENCES)]
        random.shuffle(occurrences)
        await asyncio.gather(*(self._try(job, Dispatch(DispatchKind.SCHEDULED, at)) for job, at in occurrences))
        while await queries.open_dispatches(self._store):
            await asyncio.sleep(A_LOOK)
            await release_all_waiting(self._store, now())
            await self._go_on(await pending_dispatches(self._store, created_before=now(), limit=100))

    async def _go_on(self, released: Sequence[PendingDispatch]) -> None:
        dispatches = [(row.job_id, await dispatch_of(self._store, row.id)) for row in released]
        await asyncio.gather(*(self._try(BY_ID[job_id], dispatch) for job_id, dispatch in dispatches if dispatch))

    async def _try(self, job: Job, dispatch: Dispatch) -> None:
        async with self._gate:
            claimed = await claim(
                self._store, job, dispatch, flow_run_id=uuid4(), owner=f"claimer {os.getpid()}", now=now()
            )
            if not isinstance(claimed, Claimed):
                return
            context = claimed.context
            self._note(f"+ {job.id} {context.run_id} {dispatch.scheduled_for.isoformat()}")
            await asyncio.sleep(random.uniform(0, 0.01))
            self._note(f"- {job.id} {context.run_id} {dispatch.scheduled_for.isoformat()}")
            result = DispatchResult(random.choice((RunStatus.OK, RunStatus.ERROR)))
            outcome = await finish(self._store, job, context, result, children=(), now=now())
        await self._go_on(outcome.released)

    def _note(self, line: str) -> None:
        os.write(self._traces, f"{line}\n".encode())


def now() -> datetime:
    return datetime.now(UTC)


async def main(url: str, traces: str) -> None:
    """Work until nothing is left."""
    store = open_store(url)
    await Claimer(store, Path(traces)).work()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
