"""Outward: what a worker tells those outside, beside its runs. Nothing of it disturbs them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import TYPE_CHECKING, Any

from prefect.logging import get_logger

from ocs.timing import timing
from ocs.worker.periodic import run_periodically, running
from ocs.worker.ping import Ping
from ocs.worker.wellness import Wellness

if TYPE_CHECKING:
    from ocs.worker.address import Address
    from ocs.worker.worker import OpenClawWorker

AGAIN = 30.0


@contextlib.asynccontextmanager
async def outward(worker: OpenClawWorker, ping: str | None, metrics: Address | None) -> AsyncGenerator[None]:
    """Call the address of the ping, and serve metrics, where they are wanted, for as long as the context lasts."""
    if ping is None and metrics is None:
        yield
        return
    wellness = Wellness(worker)
    loops: list[Coroutine[Any, Any, None]] = [wellness.keep_looking()]
    if ping is not None:
        loops.append(_ping(Ping(ping, wellness)))
    if metrics is not None:
        loops.append(_serve(worker, wellness, metrics))
    async with running(*loops):
        yield


async def _ping(ping: Ping) -> None:
    # Nothing is known of a worker that has just begun.
    await asyncio.sleep(min(AGAIN, timing().ping_every.total_seconds()))
    await run_periodically(
        "say outside that all is well",
        ping,
        every=timing().ping_every,
        within=2 * timing().request,
        logger=get_logger("worker.openclaw"),
    )


async def _serve(worker: OpenClawWorker, wellness: Wellness, address: Address) -> None:
    """A port that somebody has taken meanwhile is tried again: runs go on without metrics."""
    from ocs.worker.exposition import Exposition, served
    from ocs.worker.metrics import Metrics
    from tasks.adapter import runtime

    logger = get_logger("worker.openclaw")
    metrics = Metrics(worker, wellness, runtime.clock())
    while True:
        try:
            with served(address, Exposition(metrics.registry, wellness)):
                await metrics.keep_looking()
        except OSError as failed:
            logger.warning("Metrics cannot be served at %s: %s; trying again", address, failed.strerror)
            await asyncio.sleep(AGAIN)
