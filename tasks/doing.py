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
from ocs.rules.costs import Call, Price, Tally, Use, cost_of_call
from ocs.store import tasks as tasks_in_store
from ocs.timing import timing
from tasks.adapter import runtime


class Doing:
    """Takes in the messages of a run's session; `show` gets a line for each thing that the agent does."""

    def __init__(self, run_id: UUID, show: Callable[[str], None], prices: Mapping[str, Price]) -> None:
        self._run_id = run_id
        self._show = show
        self._doing: str | None = None
        self._tally = Tally(prices)
        self._is_new = False
        # Set when a model call has ended and the turn goes on.
        self.goes_on = asyncio.Event()
        # Why nobody can say what it costs.
        self.unpriceable: str | None = None

    @property
    def used(self) -> tuple[Use, ...]:
        """What it has used by now, of each model."""
        return tuple(self._tally.uses.values())

    def take(self, message: Mapping[str, Any]) -> None:
        """The next message."""
        if (call := activity.model_call(message)) is not None:
            self._count(call)
            if not activity.is_answer(message):
                self.goes_on.set()
        if (doing := activity.doing(message)) is not None:
            self._doing = doing
            self._show(doing)
        self._is_new = True

    def take_usage(self, usage: object, model: str | None) -> None:
        """What a turn has used whose messages are not seen."""
        self._count(activity.turn_usage(usage, model))
        self._is_new = True

    def take_help(self) -> None:
        """A sub-agent is at work, or was: the gateway does not say here what it uses."""
        self._tally = self._tally.with_call(Call("", None))
        self.unpriceable = "what its sub-agents use is not told"
        self._is_new = True
        self.goes_on.set()

    def _count(self, call: Call) -> None:
        self._tally = self._tally.with_call(call)
        if call.tokens is not None and cost_of_call(call, self._tally.prices) is None:
            self.unpriceable = f"the price of {call.model or 'its model'} is not known"

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
        try:
            await tasks_in_store.note_activity(
                await runtime.store(),
                self._run_id,
                doing=self._doing,
                uses=self.used,
                now=runtime.clock(),
            )
        except StoreAway as away:  # no reason for a run to fail or to wait
            self._is_new = True
            get_logger(__name__).debug("What run %s does was not recorded: %r", self._run_id, away)
