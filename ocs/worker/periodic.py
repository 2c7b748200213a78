"""Work that goes on beside a worker's runs, and that it goes on repeating when one round of it fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any

from ocs.transient import is_transient, pauses

LONGEST_REST = 30.0
Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


@contextlib.asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run these loops beside the context, and end them with it."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def run_periodically(
    what: str,
    work: Callable[[], Awaitable[object]],
    *,
    every: timedelta,
    within: timedelta,
    logger: Logger,
    wake: asyncio.Event | None = None,
    at_least_apart: float = 0.0,
    rests: float = 0.0,
) -> None:
    """Do it for ever, `every` so long, or when woken; log the first failure in a row, and try again.

    A round that takes longer than `within` is given up: the client's own retries would outlast a restarted server.
    After a round the worker rests `rests` times as long as that took, so that a slow server has time for other things
    than to answer it.
    """
    wake = wake or asyncio.Event()
    interval = every.total_seconds()
    pausing: Iterator[float] | None = None
    while True:
        wake.clear()
        began = time.monotonic()
        try:
            async with asyncio.timeout(within.total_seconds()):
                await work()
        except Exception as error:
            if pausing is None:
                logger.warning("Could not %s; trying again: %r", what, error, exc_info=not is_transient(error))
                pausing = pauses()
        else:
            if pausing is not None:
                logger.info("Could %s again", what)
            pausing = None
            await asyncio.sleep(min(LONGEST_REST, rests * (time.monotonic() - began)))
        await asyncio.sleep(at_least_apart)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(interval, next(pausing)) if pausing else interval):
                await wake.wait()
