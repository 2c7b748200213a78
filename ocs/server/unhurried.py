"""The server's background work is looked for once a second, not twenty times: names of Prefect's that we touch.

Prefect's server runs its services by a queue that it keeps in memory. As shipped, a worker of it looks four times a
second for due work, four times for new work, and ten times for orders to cancel some, which Prefect never gives: more
than half of what an idle server costs. New work wakes the worker at once, however long it waits.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from docket import Docket, Worker
from prefect.server.api import background_workers

NEW_WORK = timedelta(seconds=5)
"""How long the worker waits for new work, which wakes it, before it asks anew."""
DUE_WORK = timedelta(seconds=1)
"""How often it looks for work that has become due: its services, each of them every five seconds or less often."""


class Unhurried(Worker):
    """The same worker, at the pace of what it has to do."""

    def __init__(self, docket: Docket, **options: Any) -> None:
        super().__init__(docket, minimum_check_interval=NEW_WORK, scheduling_resolution=DUE_WORK, **options)

    async def _cancellation_listener(self) -> None:
        session = self._processing_session
        if session is not None:
            session.cancellation_ready.set()
            await session.stopping.wait()


def look_less_often() -> None:
    """Have the server's background work done by such a worker."""
    background_workers.Worker = Unhurried  # pyright: ignore[reportPrivateImportUsage]
