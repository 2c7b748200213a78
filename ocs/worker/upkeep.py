"""What jobs want done around a worker: sending what a crash left unsent, and closing the store at the end."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Upkeep(Protocol):
    """Done beside the runs; the worker knows no more of it."""

    async def tick(self) -> object:
        """Called at the start and every 30 seconds."""
        ...

    async def close(self) -> None:
        """Called when the last run has ended."""
        ...


class JobUpkeep:
    """The upkeep of `flows.job`. Imports wait until a worker runs: Prefect imports worker types into every process."""

    async def tick(self) -> object:
        from tasks.deliver import deliver_leftovers
        from tasks.publish import publish_leftovers

        return await asyncio.gather(publish_leftovers(), deliver_leftovers())

    async def close(self) -> None:
        from tasks.deliver import settle
        from tasks.host import close_store

        await settle()
        await close_store()
