"""Patience: how a worker outlives a server that is away, and anything else that goes wrong in one round of its work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator

import httpx

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
TOO_MANY_REQUESTS = 429


def pauses() -> Iterator[float]:
    """Seconds between attempts: growing, bounded, without end."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(LONGEST_PAUSE, pause * 2)


def is_outage(error: BaseException) -> bool:
    """Whether a request failed for a reason that passes: the server is away, restarting or overloaded."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == TOO_MANY_REQUESTS
    return isinstance(error, httpx.TransportError | TimeoutError)


async def keep_doing(
    what: str,
    work: Callable[[], Awaitable[object]],
    *,
    every: float,
    within: float,
    logger: Logger,
    wake: asyncio.Event | None = None,
    at_least_apart: float = 0.0,
) -> None:
    """Do it for ever, every so many seconds, or when woken; what goes wrong is told once and tried again.

    A round that takes longer than `within` is given up: the client's own retries would outlast a restarted server.
    """
    wake = wake or asyncio.Event()
    pausing: Iterator[float] | None = None
    while True:
        wake.clear()
        try:
            async with asyncio.timeout(within):
                await work()
        except Exception as error:
            if pausing is None:
                logger.warning("Could not %s; trying again: %r", what, error, exc_info=not is_outage(error))
                pausing = pauses()
        else:
            if pausing is not None:
                logger.info("Could %s again", what)
            pausing = None
        await asyncio.sleep(at_least_apart)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(every, next(pausing)) if pausing else every):
                await wake.wait()
