"""A run's conversation in a session of the gateway: taken up when it was cut off, over when the session is at rest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

from blocks import gateway_sessions
from blocks.answers import nobody
from blocks.gateway import SHOWN_FIRST, ChatTurn, GatewayError, OpenClawGateway
from blocks.tool_calls import Answered, Calls, ToolCall
from ocs.rules import prompt
from ocs.rules.activity import place_of
from ocs.rules.session_key import is_of_one_run
from ocs.rules.subagents import SubAgent, at_rest, how_many_run, messages_in
from ocs.rules.wording import count_of
from ocs.timing import timing
from tasks.strategies.capture import Capture

TAKE_OVERS = 3
"""A gateway that is killed again and again in the middle of a turn is a failure in the end."""

MOST_ANSWERS = 50
"""So often an agent may call tools of ours in a row, in one turn."""

LAST_LOOK = 5.0
"""Seconds for the last messages of a conversation."""
LONGEST_PAUSE = 60.0
"""Seconds between two questions for a history that is not to be had."""


class Silent(Exception):
    """Nothing came for too long."""


class Ear(Protocol):
    """Hears what people say to the agent meanwhile.

    `at_once` asks for the turn to be ended for it, `waiting` says that something is to be told with the next turn, and
    `next` gives that, None when there is nothing (any more); `ended_well` says so of the turn before.
    """

    at_once: asyncio.Event
    waiting: asyncio.Event

    async def next(self, *, ended_well: bool) -> str | None: ...


def no_matter() -> None:
    """Nobody wants to know."""


class Watch(NamedTuple):
    """`message` takes what comes into a session of the run's own.

    `usage` takes what each turn has used, as far as the gateway says, where no message was seen;
    `helped` hears that the agent has sub-agents, once.
    """

    message: Callable[[Mapping[str, Any]], None]
    usage: Callable[[object], None] = nobody
    helped: Callable[[], None] = no_matter


class Tools(Protocol):
    """What the agent may call beside its own tools; a call is answered in the same conversation."""

    @property
    def offered(self) -> Sequence[Mapping[str, Any]]: ...

    async def call(self, name: str, arguments: str) -> str: ...


@dataclass(slots=True)
class Conversation:
    """`said` holds the last reply, in a capture that `capture` makes; `note` takes what is to be known of it.

    `begun` says that the gateway may have taken the turn. `watch` gets each message that comes into the session
    meanwhile, in a conversation of the run's own. What `ear` hears is told in further turns, and calls of `tools` are
    answered; the last reply counts.
    """

    gateway: OpenClawGateway
    turn: ChatTurn
    idle: timedelta
    capture: Callable[[], Capture]
    note: Callable[[str], None]
    watch: Watch | None = None
    ear: Ear | None = None
    tools: Tools | None = None
    begun: bool = False
    said: Capture = field(init=False)
    _has_ended: bool = field(default=False, init=False)
    _sign_of_life: float = field(default=0.0, init=False)
    _seen: int = field(default=0, init=False)
    _had_help: bool = field(default=False, init=False)
    _has_spoken: bool = field(default=False, init=False)
    _usage: list[object] = field(default_factory=list[object], init=False)
    _others: Collection[str] | None = field(default=(), init=False)

    def __post_init__(self) -> None:
        self.said = self.capture()

    async def hold(self) -> None:
        """Have the turn taken, and wait until nothing goes on in the session because of it.

        Raises:
            Silent: nothing came for `idle`.
            GatewayError: as `OpenClawGateway.chat` does; `cut_off` when the gateway has gone and does not come back.
        """
        if not is_of_one_run(self.turn.session_key):
            found = await gateway_sessions.family(self.gateway, self.turn.session_key)
            self._others = None if found is None else [each.id for each in found]
        message: str | None = self.turn.message
        async with self._watched():
            while message is not None:
                message = await self._until_hailed(message, self.ear) if self.ear else await self._to_rest(message)

    async def stop(self) -> None:
        """End what goes on of it in the gateway; harmless when nothing does.

        Of a session that others speak in only the sub-agents that it has got meanwhile.
        """
        if not self.begun or self._others is None:
            return
        key = self.turn.session_key
        archive = is_of_one_run(key)
        if not await gateway_sessions.stop(self.gateway, key, archive=archive, besides=self._others):
            self.note("The gateway could not be asked to end what goes on in the session.")

    def end(self) -> None:
        """No more will come of the reply."""
        if not self._has_ended:
            self.said.finish()
            self._has_ended = True

    def _anew(self) -> None:
        """Another reply takes the place of the one before, which the run's log keeps."""
        self.end()
        self.said, self._has_ended = self.capture(), False

    async def _until_hailed(self, message: str, ear: Ear) -> str | None:
        """Have the message taken, unless somebody wants the turn ended; returns what is to be told next.

        Closing the connection ends the turn in the gateway. The sub-agents go on: they belong to the conversation.
        """
        talking = asyncio.ensure_future(self._to_rest(message))
        hailed = asyncio.ensure_future(ear.at_once.wait())
        try:
            await asyncio.wait({talking, hailed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (talking, hailed):
                each.cancel()
            await asyncio.wait({talking, hailed})
        if not talking.cancelled():
            return talking.result()
        self.end()
        self.note("Somebody says something that is to be read at once; the turn was ended for it.")
        return await ear.next(ended_well=False) or prompt.taken_up(message)

    async def _to_rest(self, message: str) -> str | None:
        """Have the message taken, and wait for the session's rest; returns what is to be told next."""
        await self._taken(message)
        return await self._at_rest() or (await self.ear.next(ended_well=True) if self.ear else None)

    async def _taken(self, asked: str) -> None:
        """Listen to the turn; where a gateway that ends cuts it off, wait for the gateway and take it up again.

        In the same session: then the gateway does not finish the turn by itself, which it does otherwise.
        """
        message = asked
        for taken_up in range(TAKE_OVERS + 1):
            try:
                await self._listen(replace(self.turn, message=message))
            except GatewayError as broken:
                # The gateway looks after what its end has cut off, and may do so just when it is asked.
                not_begun = broken.turn_failed and taken_up > 0 and not self._has_spoken
                if taken_up == TAKE_OVERS or not (broken.cut_off or not_begun):
                    raise
                await (self._back(broken) if broken.cut_off else self._ready(broken))
                message = prompt.taken_up(asked)
            else:
                return

    async def _ready(self, refused: GatewayError) -> None:
        """Give a gateway that has just come back some time."""
        self.note(f"{refused.message}. It was not begun, and is asked for again.")
        await asyncio.sleep(timing().rest_look.total_seconds())

    async def _back(self, broken: GatewayError) -> None:
        """Wait for the gateway.

        Raises:
            GatewayError: what has broken, when it does not come back.
        """
        self.end()
        self.note(f"{broken.message} It is waited for.")
        if not await self.gateway.wait_until_up(timing().gateway_returns):
            raise broken
        self.note("The gateway is back; the turn goes on where it was.")

    async def _listen(self, turn: ChatTurn) -> None:
        """Hear the turn out, and answer the calls that it ends with, until it ends with words."""
        if self.tools is None:
            await self._hear(turn)
            return
        turn = replace(turn, tools=self.tools.offered)
        for _ in range(MOST_ANSWERS):
            if not (made := await self._hear(turn)):
                return
            answered = [Answered(call, await self.tools.call(call.name, call.arguments)) for call in made]
            turn = replace(turn, answered=answered)
        raise GatewayError(f"The turn was ended: its agent called tools {MOST_ANSWERS} times in a row.")

    async def _hear(self, turn: ChatTurn) -> list[ToolCall]:
        self._anew()
        before, self.begun, self._has_spoken = self.begun, True, False
        told: list[object] = []
        calls = Calls()
        try:
            async with aclosing(self.gateway.chat(turn, told.append, calls)) as pieces:
                while (piece := await self._next(pieces)) is not None:
                    before, self._has_spoken = True, self._has_spoken or bool(piece)
                    self.said.feed(piece.encode())
        except GatewayError:
            self.begun = before  # what it refused without a word it has not begun
            raise
        finally:
            if before:
                self._usage.append(told[-1] if told else None)
        return calls.made

    async def _next(self, pieces: AsyncGenerator[str]) -> str | None:
        """The next piece; while the agent calls tools, what the session's history shows is a sign of life too."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        reading = asyncio.ensure_future(anext(pieces, None))
        try:
            while not reading.done():
                left = max(began, self._sign_of_life) + self.idle.total_seconds() - loop.time()
                if left <= 0:
                    raise Silent
                await asyncio.wait({reading}, timeout=left)
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.wait({reading})
        return reading.result()

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncGenerator[None]:
        seen = False
        try:
            if self.watch is None or not is_of_one_run(self.turn.session_key):
                yield
                return
            began = self._seen = await self._last_place()
            watching = asyncio.create_task(self._follow(self.watch.message))
            try:
                yield
            finally:
                watching.cancel()
                await asyncio.wait({watching})
                await self._see_the_last(self.watch.message)
                seen = self._seen > began
        finally:
            self._account(seen=seen)

    def _account(self, *, seen: bool) -> None:
        """Tell what was used where no message was seen that says it."""
        if self.watch is None or seen:
            return
        for usage in self._usage:
            self.watch.usage(usage)

    async def _see_the_last(self, watch: Callable[[Mapping[str, Any]], None]) -> None:
        """The reply can end before its last message has come; that says what it has used."""
        with contextlib.suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(LAST_LOOK):
                history = await self.gateway.history(self.turn.session_key, limit=SHOWN_FIRST)
                for message in messages_in(history):
                    self._take(message, watch)

    async def _last_place(self) -> int:
        """Where an earlier attempt's messages end, if there was one: they are not this one's."""
        try:
            history = await self.gateway.history(self.turn.session_key, limit=1)
        except GatewayError:
            return 0
        return max(map(place_of, messages_in(history)), default=0)

    async def _follow(self, watch: Callable[[Mapping[str, Any]], None]) -> None:
        """The history comes again from its beginning when the stream does, and when it was changed."""
        pause = shortest = timing().activity_again.total_seconds()
        while True:
            with contextlib.suppress(GatewayError):
                async with aclosing(self.gateway.activity(self.turn.session_key)) as coming:
                    async for messages in coming:
                        pause = shortest
                        for message in messages:
                            self._take(message, watch)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _take(self, message: Mapping[str, Any], watch: Callable[[Mapping[str, Any]], None]) -> None:
        place = place_of(message)
        if place > self._seen:
            self._seen = place
            self._sign_of_life = asyncio.get_running_loop().time()
            watch(message)

    async def _at_rest(self) -> str | None:
        """Wait for the sub-agents that the turn has left at work, and for the answer that their end calls forth.

        Returns what is to be told meanwhile: the session is free for a turn.
        """
        family = await self._family()
        if family and not self._had_help:
            self._had_help = True
            if self.watch is not None:
                self.watch.helped()
        if at_rest(family):
            return None
        self.end()
        working = how_many_run(family)
        self.note(f"The agent waits for {count_of(working, 'sub-agent')}." if working else "A sub-agent has ended.")
        loop = asyncio.get_running_loop()
        seen, since = family, loop.time()
        while not at_rest(family):
            if self.ear and self.ear.waiting.is_set() and (said := await self.ear.next(ended_well=True)):
                return said
            await asyncio.sleep(timing().rest_look.total_seconds())
            family = await self._family()
            if family != seen:
                seen, since = family, loop.time()
            silence = loop.time() - since
            if how_many_run(family) == 0 and silence > timing().rest_owed.total_seconds():
                break
            if silence > self.idle.total_seconds():
                raise Silent
        if words := await gateway_sessions.last_words(self.gateway, self.turn.session_key):
            self._anew()
            self.said.feed(words.encode())
        return None

    async def _family(self) -> tuple[SubAgent, ...]:
        """The sub-agents of this turn; a gateway that ends meanwhile is waited for, and goes on with them itself."""
        if self._others is None:
            return ()
        key = self.turn.session_key
        for asked in range(TAKE_OVERS + 1):
            try:
                return await gateway_sessions.family(self.gateway, key, self._others) or ()
            except GatewayError as away:
                if asked == TAKE_OVERS:
                    raise
                await self._back(GatewayError(away.message, hint=away.hint, retryable=True, cut_off=True))
        return ()
