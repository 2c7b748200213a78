"""Doing: what the agent of a run does now, in the run's log and its record, while it goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any
from uuid import UUID

from prefect.logging import get_logger

from ocs.errors import StoreAway
from ocs.rules import activity
from ocs.rules.activity import Used
from ocs.store import tasks as tasks_in_store
from ocs.timing import timing
from tasks.adapter import runtime


class Doing:
    """Takes in the messages of a run's session; `show` gets a line for each thing that the agent does."""

    def __init__(self, run_id: UUID, show: Callable[[str], None]) -> None:
        self._run_id = run_id
        self._show = show
        self._doing: str | None = None
        self._used = Used()
        self._is_new = False

    @property
    def used(self) -> Used:
        """What it has used by now."""
        return self._used

    def take(self, message: Mapping[str, Any]) -> None:
        """The next message."""
        self._used += activity.used(message)
        if (doing := activity.doing(message)) is not None:
            self._doing = doing
            self._show(doing)
        self._is_new = True

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Keep the record up to date while the context lasts, and at its end."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
            await self._write()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(timing().activity.total_seconds())
            await self._write()

    async def _write(self) -> None:
        if not self._is_new:
            return
        self._is_new = False
        used = self._used
        try:
            await tasks_in_store.note_activity(
                await runtime.store(),
                self._run_id,
                doing=self._doing,
                tokens_in=used.tokens_in,
                tokens_out=used.tokens_out,
                cost_usd=used.cost_usd,
                now=runtime.clock(),
            )
        except StoreAway as away:  # no reason for a run to fail or to wait
            self._is_new = True
            get_logger(__name__).debug("What run %s does was not recorded: %r", self._run_id, away)
