"""Stopping a run that executes in this process: the worker or a signal asks, and knows nothing of the run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

T = TypeVar("T")


class Cancelled(Exception):
    """The run was told to stop, and what it did has ended."""


@dataclass(slots=True)
class Scope:
    """The span in which one run can be told to stop."""

    flow_run_id: UUID
    _requested: asyncio.Event = field(default_factory=asyncio.Event)

    def request(self) -> None:
        self._requested.set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`, ending it when the run is told to stop.

        Raises:
            Cancelled: the run was told to stop, before or while `work` ran, and `work` has ended.
        """
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._requested.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not working.done():
                working.cancel()
                await asyncio.wait({working})
        if working.cancelled():
            raise Cancelled
        return working.result()

    async def sleep(self, duration: timedelta) -> None:
        """Sleep, unless the run is told to stop first.

        Raises:
            Cancelled: the run was told to stop.
        """
        await self.run(asyncio.sleep(max(0.0, duration.total_seconds())))


_scopes: dict[UUID, Scope] = {}


def cancel(flow_run_id: UUID) -> bool:
    """Tell a run to stop. False when it does not execute in this process (any more)."""
    scope = _scopes.get(flow_run_id)
    if scope is None:
        return False
    scope.request()
    return True


@contextmanager
def cancellable(flow_run_id: UUID) -> Generator[Scope]:
    """Let `cancel` find a run while the context lasts."""
    scope = _scopes[flow_run_id] = Scope(flow_run_id)
    try:
        yield scope
    finally:
        if _scopes.get(flow_run_id) is scope:
            del _scopes[flow_run_id]


def scope_of(flow_run_id: UUID) -> Scope:
    """The scope the flow opened for this run."""
    return _scopes[flow_run_id]
