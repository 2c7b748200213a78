"""Heartbeats: renew a run's lease while it executes here, and stop it when recovery has ended it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from prefect.logging import get_logger

from ocs.rules.dispatch import DispatchContext
from ocs.store import renew_leases
from ocs.timing import timing
from tasks.adapter import runtime
from tasks.cancellation import scope_of


@contextlib.asynccontextmanager
async def leased(context: DispatchContext) -> AsyncGenerator[None]:
    """Renew the run's lease for as long as the context lasts."""
    renewal = asyncio.create_task(_renew(context))
    try:
        yield
    finally:
        renewal.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await renewal


async def _renew(context: DispatchContext) -> None:
    """A store that is away ends no run; a run that has ended in the store is stopped here."""
    pause = timing().renewal
    while True:
        await asyncio.sleep(pause.total_seconds())
        try:
            ours = await renew_leases(await runtime.store(), [context.run_id])
        except Exception as failed:
            get_logger(__name__).debug("The lease of run %s was not renewed: %r", context.run_id, failed)
            pause = timing().renewal_retry
            continue
        if context.run_id not in ours:
            scope_of(context.flow_run_id).request()
            return
        pause = timing().renewal
