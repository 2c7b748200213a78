"""Periodic maintenance, which each worker does by itself, and closing the store at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from ocs.timing import timing

NOBODY_ELSE_DOES = timedelta(0)
"""At the start the process that wrote a row may just have been killed; publishing twice is harmless."""


class Maintenance(Protocol):
    """What a worker does beside its runs; it knows no more of it."""

    def begin(self, limit: int | None) -> None:
        """Called before the first run, with how many may execute at the same time."""
        ...

    async def tick(self) -> object:
        """Called at the start and every 30 seconds."""
        ...

    async def skip_superseded(self, flow_runs: Sequence[FlowRun]) -> set[UUID]:
        """Called with occurrences that newer ones supersede; ends those that need not begin, and names them."""
        ...

    async def draining(self, worker: str, since: datetime | None) -> None:
        """Called when a worker of that name begins to drain; without a moment when it begins or ends to work."""
        ...

    async def close(self) -> None:
        """Called when the last run has ended."""
        ...


class JobMaintenance:
    """The maintenance of `flows.job`. Imports wait for a worker: Prefect imports worker types into every process."""

    def __init__(self) -> None:
        self._has_begun = False
        self._caught_up_at: float | None = None
        self._watched_at: float | None = None

    def begin(self, limit: int | None) -> None:
        from tasks.adapter.runtime import expect_runs

        expect_runs(limit)

    async def tick(self) -> object:
        """Do every chore, even when another one fails."""
        from tasks.approvals.gate import reconcile_approvals
        from tasks.delivery.send import deliver_leftovers
        from tasks.recovery.recover import recover

        chores = (
            self._publish(),
            deliver_leftovers(),
            reconcile_approvals(),
            recover(),
            self._catch_up(),
            self._watch(),
        )
        done = await asyncio.gather(*chores, return_exceptions=True)
        if failed := [end for end in done if isinstance(end, Exception)]:
            raise ExceptionGroup("some periodic maintenance failed", failed)
        return done

    async def _publish(self) -> None:
        from tasks.adapter.publish import publish_leftovers

        await (publish_leftovers() if self._has_begun else publish_leftovers(NOBODY_ELSE_DOES))
        self._has_begun = True

    async def _catch_up(self) -> None:
        """At the start, when everything may have been down, and every five minutes."""
        from tasks.recovery.catch_up import catch_up

        every = timing().catch_up_every.total_seconds()
        if self._caught_up_at is None or time.monotonic() - self._caught_up_at > every:
            await catch_up()
            self._caught_up_at = time.monotonic()

    async def _watch(self) -> None:
        """At the start, since nobody has looked while everything was down, and every minute."""
        from tasks.delivery.overdue import look_for_overdue
        from tasks.delivery.watch import watch

        every = timing().watch_every.total_seconds()
        if self._watched_at is None or time.monotonic() - self._watched_at > every:
            try:
                await look_for_overdue()
            finally:
                await watch()
            self._watched_at = time.monotonic()

    async def skip_superseded(self, flow_runs: Sequence[FlowRun]) -> set[UUID]:
        from tasks.recovery.superseded import skip_superseded_runs

        return await skip_superseded_runs(flow_runs)

    async def draining(self, worker: str, since: datetime | None) -> None:
        from ocs.store.draining import note_draining
        from tasks.adapter import runtime

        await note_draining(await runtime.store(), worker, since)

    async def close(self) -> None:
        from tasks.adapter.runtime import close_store
        from tasks.delivery.send import finish_sending

        try:
            await finish_sending()
        finally:
            await close_store()
