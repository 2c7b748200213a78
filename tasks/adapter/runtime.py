"""What a run needs of the process it runs in: the store, one per event loop, Prefect's client, the clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from blocks.connections import close_connections
from ocs.store import Store, open_store

OUTSIDE = "a task of run_job was called outside of its flow"
ONE_RUN = "PREFECT__FLOW_RUN_ID"
"""Set by Prefect's workers for a process of one flow run. It is not public; a test pins it."""

_runs: int | None = None


@dataclass(slots=True)
class _Opening:
    """A store and who closes it: a generator, which the event loop ends with itself if nobody did before."""

    owner: AsyncGenerator[Store]
    store: asyncio.Task[Store] = field(init=False)

    def __post_init__(self) -> None:
        self.store = asyncio.create_task(self._first())

    async def _first(self) -> Store:
        return await anext(self.owner)

    @property
    def has_failed(self) -> bool:
        return self.store.done() and (self.store.cancelled() or self.store.exception() is not None)

    async def close(self) -> None:
        await asyncio.wait({self.store})
        await self.owner.aclose()


_stores: WeakKeyDictionary[asyncio.AbstractEventLoop, _Opening] = WeakKeyDictionary()


def expect_runs(limit: int | None) -> None:
    """Say, before the store is opened, how many runs this process executes at the same time."""
    global _runs  # noqa: PLW0603  as the process itself there is one
    _runs = limit


async def store() -> Store:
    """The store of this event loop, opened and migrated at its first use.

    Raises:
        StoreError: it cannot be opened, or belongs to a newer version.
    """
    loop = asyncio.get_running_loop()
    opening = _stores.get(loop)
    if opening is None or opening.has_failed:
        opening = _stores[loop] = _Opening(_opened())
    return await asyncio.shield(opening.store)


async def close_store() -> None:
    """Close this event loop's store, if it was opened, and its connections to gateways."""
    async with contextlib.AsyncExitStack() as stack:
        opening = _stores.pop(asyncio.get_running_loop(), None)
        if opening is not None:
            stack.push_async_callback(opening.close)
        await close_connections()


async def _opened() -> AsyncGenerator[Store]:
    opened = open_store(runs=_runs)
    try:
        await opened.migrate()
        yield opened
    finally:
        await opened.close()


def flow_client() -> PrefectClient:
    """The client of the flow this code executes in."""
    context = FlowRunContext.get()
    if context is None or not isinstance(context.client, PrefectClient):
        raise RuntimeError(OUTSIDE)
    return context.client


def current_flow_run() -> FlowRun:
    """The flow run this code executes in."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError(OUTSIDE)
    return context.flow_run


def ends_with_its_run() -> bool:
    """Whether this process executes one flow run and ends with it, as Prefect's process worker has it."""
    return ONE_RUN in os.environ


def clock() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
