"""What a run needs of the process it runs in: the store, one per event loop, Prefect's client, the clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from prefect.client.orchestration import PrefectClient
from prefect.context import FlowRunContext

from blocks.connections import close_connections
from ocs.store import Store, open_store

_runs: int | None = None
_stores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Store]] = WeakKeyDictionary()


def expect_runs(limit: int | None) -> None:
    """Tell, before the store is opened, how many runs this process executes at the same time."""
    global _runs  # noqa: PLW0603  as the process itself there is one
    _runs = limit


async def store() -> Store:
    """The store of this event loop, opened and migrated at its first use.

    Raises:
        StoreError: it cannot be opened, or belongs to a newer version.
    """
    loop = asyncio.get_running_loop()
    opening = _stores.get(loop)
    if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
        opening = _stores[loop] = asyncio.create_task(_open())
    return await asyncio.shield(opening)


async def close_store() -> None:
    """Close this event loop's store, if it was opened, and its connections to gateways."""
    await close_connections()
    opening = _stores.pop(asyncio.get_running_loop(), None)
    if opening is not None:
        await (await opening).close()


async def _open() -> Store:
    opened = open_store(runs=_runs)
    await opened.migrate()
    return opened


def flow_client() -> PrefectClient:
    """The client of the flow this code executes in."""
    context = FlowRunContext.get()
    if context is None or not isinstance(context.client, PrefectClient):
        raise RuntimeError("a task of run_job was called outside of its flow")
    return context.client


def clock() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
