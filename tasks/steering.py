"""Steering: what people say to the tasks whose agents work in this process is told to those, and none of it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from prefect.logging import get_logger

from blocks import gateway_sessions
from blocks.gateway import GatewayError, OpenClawGateway
from blocks.gateway_sessions import Live
from ocs.errors import StoreAway
from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.session_key import is_of_one_run
from ocs.rules.steering import WAITING, Fate, SteerOutcome, Words, fate, found_in, marks_in, steered
from ocs.rules.wording import count_of
from ocs.store import steers
from ocs.store.tables_tasks import Steer
from ocs.timing import timing
from tasks.adapter import runtime
from tasks.adapter.transient import retry_transient

LOOKED_THROUGH = 200
"""Messages of a session that are looked through for a steer."""

_ears: dict[UUID, Ear] = {}
_looking: asyncio.Task[None] | None = None


class Ear:
    """What people say to the task of one run.

    A steer is noted as told before it is told, so that a crash between the two is seen afterwards: what was told and is
    not known to be read is looked for in the conversation, and told again if it is not there.
    `at_once` asks for the turn to be ended, `waiting` says that something is to be told with the next one.
    """

    def __init__(
        self, task_id: UUID, run_id: UUID, gateway: OpenClawGateway, key: str, note: Callable[[str], None]
    ) -> None:
        self.at_once, self.waiting = asyncio.Event(), asyncio.Event()
        self._task_id = task_id
        self._run_id = run_id
        self._gateway = gateway
        self._key = key
        self._note = note
        # In a conversation of others a live steer could reach the turn of one of those.
        self._is_live = is_of_one_run(key)
        self._is_telling = False
        self._sending: asyncio.Task[None] | None = None
        self._live: set[UUID] = set()
        self._taken: set[UUID] = set()
        self._with_turn: set[UUID] = set()
        self._seen: set[UUID] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Listen while the context lasts."""
        _open(self._task_id, self)
        try:
            yield
        finally:
            _shut(self._task_id, self)
            await self._hush()

    def hear(self, unsettled: Sequence[Steer]) -> None:
        """Take in what stands in the store and is not settled."""
        if self._is_telling:  # it looks itself, and later than this was read
            return
        known = self._live | self._with_turn
        fresh = [steer for steer in unsettled if steer.outcome in WAITING and steer.id not in known]
        if any(steer.at_once for steer in fresh):
            self.at_once.set()
        elif fresh:
            pending = [steer for steer in fresh if steer.outcome is SteerOutcome.PENDING and steer.told == 0]
            if not (self._is_live and pending):
                self.waiting.set()
            if pending and (self._sending is None or self._sending.done()):
                self._sending = asyncio.create_task(self._send(pending[0]) if self._is_live else self._hold(pending))

    def saw(self, message: Mapping[str, Any]) -> None:
        """Take in a message that has come into the conversation."""
        self._seen |= marks_in(message, self._live | self._with_turn)

    async def next(self, *, ended_well: bool) -> str | None:
        """What the next turn is to tell, None: nothing. `ended_well` says that of the turn before."""
        self._is_telling = True
        try:
            await self._hush()
            self.at_once.clear()
            self.waiting.clear()
            return await retry_transient("look for what people say to the task", partial(self._next, ended_well))
        finally:
            self._is_telling = False

    async def end(self, result: DispatchResult) -> str | None:
        """Take no more; what came in meanwhile a turn that went well is told instead, in one more turn."""
        await self._hush()
        leave_unread = result.status is not RunStatus.OK
        while not await retry_transient("close the task's ear", partial(self._close, leave_unread)):
            if (said := await self.next(ended_well=True)) is not None:
                return said
        return None

    async def take_back(self) -> None:
        """Nothing of the turn was done: what it told was not heard."""
        told, self._with_turn = self._with_turn, set()
        if told:
            await retry_transient("take steers back", partial(self._take_back, told, SteerOutcome.PENDING))

    async def _next(self, ended_well: bool) -> str | None:
        store, now = await runtime.store(), runtime.clock()
        waiting = await steers.unsettled(store, [self._task_id])
        if not waiting:
            return None
        fates = await self._fates(waiting, ended_well=ended_well)
        for known, outcome in ((Fate.READ, SteerOutcome.READ), (Fate.UNSURE, SteerOutcome.UNSURE)):
            if settled := [steer.id for steer in waiting if fates[steer.id] is known]:
                await steers.settle(store, settled, outcome, now=now)
        telling = [steer for steer in waiting if fates[steer.id] is Fate.TELL]
        if not telling:
            return None
        ids = {steer.id for steer in telling}
        await steers.tell(store, ids, self._run_id)
        self._with_turn |= ids
        self._live -= ids
        self._taken -= ids
        self._note(f"It is told {count_of(len(ids), 'steer')}.")
        return steered([Words(steer.id, steer.text, steer.actor, steer.told) for steer in telling])

    async def _fates(self, waiting: Sequence[Steer], *, ended_well: bool) -> dict[UUID, Fate]:
        """By what this run has seen, else by the conversation itself, which an attempt before this one may have had."""
        found: dict[UUID, bool | None] = {}
        doubtful: list[UUID] = []
        for steer in waiting:
            if steer.id in self._seen or (ended_well and steer.id in self._with_turn):
                found[steer.id] = True
            elif steer.told:
                doubtful.append(steer.id)
        if doubtful:
            found |= await self._looked_for(doubtful)
        return {
            steer.id: fate(steer.told, found.get(steer.id), trusted=ended_well and steer.id in self._taken)
            for steer in waiting
        }

    async def _looked_for(self, ids: Sequence[UUID]) -> dict[UUID, bool | None]:
        try:
            history = await self._gateway.history(self._key, limit=LOOKED_THROUGH)
        except GatewayError:
            return dict.fromkeys(ids)
        return found_in(history, ids, limit=LOOKED_THROUGH)

    async def _send(self, steer: Steer) -> None:
        """Tell it while the turn goes on, if the gateway takes it."""
        store = await runtime.store()
        if not await steers.tell(store, [steer.id], self._run_id, while_pending=True):
            return
        self._live.add(steer.id)
        words = steered([Words(steer.id, steer.text, steer.actor)])
        try:
            live = await gateway_sessions.steer(self._gateway, self._key, words)
        except GatewayError as failed:
            # Whether it was taken is seen in the conversation.
            get_logger(__name__).debug("Whether a steer was taken is not known: %s", failed.message)
            return
        if live is Live.TAKEN:
            self._taken.add(steer.id)
            self._note(f"{steer.actor} steers it: {steer.text}")
            return
        if live is Live.REFUSED:
            self._is_live = False
        await self._take_back({steer.id}, SteerOutcome.HELD if live is Live.REFUSED else SteerOutcome.PENDING)
        self._live.discard(steer.id)
        self.waiting.set()

    async def _hold(self, pending: Sequence[Steer]) -> None:
        await steers.hold(await runtime.store(), [steer.id for steer in pending])

    async def _take_back(self, ids: set[UUID], outcome: SteerOutcome) -> None:
        await steers.take_back(await runtime.store(), ids, self._run_id, outcome)

    async def _close(self, leave_unread: bool) -> bool:
        return await steers.close(await runtime.store(), self._task_id, self._run_id, leave_unread=leave_unread)

    async def _hush(self) -> None:
        """Tell nothing more beside what comes next. Cut off, it is looked for in the conversation."""
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.cancel()
            await asyncio.wait({sending})
            if not sending.cancelled() and (failed := sending.exception()) is not None:
                get_logger(__name__).debug("A steer was not told while the turn went on: %r", failed)

    async def settle_seen(self) -> None:
        """Note those as read that have come into the conversation, while the turn goes on."""
        if read := self._seen & (self._live | self._with_turn):
            await steers.settle(await runtime.store(), read, SteerOutcome.READ, now=runtime.clock())


def _open(task_id: UUID, ear: Ear) -> None:
    global _looking  # noqa: PLW0603  one look is for all tasks of the process
    _ears[task_id] = ear
    if _looking is None or _looking.done():
        _looking = asyncio.create_task(_look())


def _shut(task_id: UUID, ear: Ear) -> None:
    global _looking  # noqa: PLW0603
    if _ears.get(task_id) is ear:
        del _ears[task_id]
    if not _ears and _looking is not None:
        _looking.cancel()
        _looking = None


async def _look() -> None:
    """One question for all tasks of the process, every two seconds; what is wrong with one of them stops no other."""
    while True:
        await asyncio.sleep(timing().steer_look.total_seconds())
        try:
            unsettled = await steers.unsettled(await runtime.store(), list(_ears))
            for task_id, ear in list(_ears.items()):
                if mine := [steer for steer in unsettled if steer.task_id == task_id]:
                    ear.hear(mine)
                    await ear.settle_seen()
        except StoreAway as away:
            get_logger(__name__).debug("What people say to tasks was not looked for: %r", away)
        except Exception:
            get_logger(__name__).exception("What people say to tasks was not looked for")
