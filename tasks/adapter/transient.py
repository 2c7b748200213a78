"""Retry with backoff: how a run outlives a server or a store that is away for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from prefect.logging import get_logger

from ocs.timing import timing
from ocs.transient import is_transient, pauses

T = TypeVar("T")


async def retry_transient(what: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do it, and do it again while the store or the server is away; log that once. `what` completes "Could not ...".

    `work` may have succeeded although its answer was lost: repeating it has to be harmless.

    Raises:
        Exception: what `work` raises for another reason, or still raises after an hour.
    """
    began, logged = time.monotonic(), False
    for pause in pauses():
        try:
            return await work()
        except Exception as error:
            waited = timedelta(seconds=time.monotonic() - began)
            if not is_transient(error) or waited > timing().transient_limit:
                raise
            if not logged:
                get_logger(__name__).warning("Could not %s; trying again: %r", what, error)
                logged = True
        await asyncio.sleep(pause)
    raise AssertionError("pauses never end")
