"""Workers: whether one is there to execute runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from ocs import settings
from ocs.timing import timing

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

LOOK_AGAIN = 0.2


async def wait_until_online(
    client: PrefectClient, since: datetime, given_up: Callable[[], bool], on_wait: Callable[[float], None]
) -> bool:
    """Wait until a worker has told the server, after `since`, that it works; False when `given_up` says that there is
    no point any more, or it takes too long. One that was killed is still said to be online for a while.

    `on_wait` hears how many seconds it took so far.
    """
    import asyncio

    began = time.monotonic()
    while (waited := time.monotonic() - began) < timing().server_start.total_seconds() and not given_up():
        if await _is_online(client, since):
            return True
        on_wait(waited)
        await asyncio.sleep(LOOK_AGAIN)
    return False


async def _is_online(client: PrefectClient, since: datetime) -> bool:
    from prefect.client.schemas.objects import WorkerStatus
    from prefect.exceptions import ObjectNotFound

    try:
        workers = await client.read_workers_for_work_pool(settings.WORK_POOL)
    except ObjectNotFound:  # a worker makes its work pool, if no rollout has
        return False
    heard = [worker.last_heartbeat_time for worker in workers if worker.status is WorkerStatus.ONLINE]
    return any(at is not None and at > since for at in heard)
