"""What people say to a task while its turn goes on, with a stand-in for the gateway and a store of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ocs.errors import Refused
from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.steering import SteerOutcome, mark
from ocs.store import steers
from tasks.adapter import runtime
from tests.conftest import Times
from tests.gateway.server import CHAT, INVOKE, Connection, Server, well
from tests.gateway.steered import Steered, steered_task

STEERED: dict[str, Any] = {"status": "accepted", "targetDisposition": "steered"}
IDLE: dict[str, Any] = {"status": "error", "error": "Target has no active run that accepts steering."}


class Gateway:
    """Its first turn goes on until `enough`; `live` is what it says of words for it, None: that tool is not allowed.

    `items` is the session's history, None: it has none to show. `hangs` are turns that nothing but closing ends.
    """

    def __init__(self, live: dict[str, Any] | None = None, *, hangs: int = 0) -> None:
        self.live = live
        self.hangs = hangs
        self.items: list[dict[str, Any]] | None = None
        self.begun, self.enough, self.sent, self.left = (asyncio.Event() for _ in range(4))
        self.prompts: list[str] = []

    async def __call__(self, connection: Connection) -> None:
        request = connection.request
        if request.path == CHAT:
            await self._turn(connection, request.body["messages"][0]["content"])
        elif request.path == INVOKE and request.body["tool"] == "sessions_send":
            await self._send(connection, request.body["args"])
        elif request.path.startswith("/sessions/"):
            await self._history(connection)
        else:
            await well(connection)

    async def _turn(self, connection: Connection, prompt: str) -> None:
        self.prompts.append(prompt)
        await connection.stream()
        await connection.say("Reply ")
        self.begun.set()
        if len(self.prompts) <= self.hangs:
            await connection.is_left()
            self.left.set()
            return
        if len(self.prompts) == 1:
            await self.enough.wait()
        await connection.say(f"{len(self.prompts)}.")
        await connection.done()

    async def _history(self, connection: Connection) -> None:
        if self.items is None:
            await connection.json(404, {"error": {"message": "no such session"}})
        elif connection.request.headers.get("accept") != "text/event-stream":
            await connection.json(200, {"items": self.items})
        else:
            await connection.stream()
            await self.sent.wait()
            await connection.event({"items": self.items})
            await connection.is_left()

    async def _send(self, connection: Connection, said: dict[str, Any]) -> None:
        assert (said["mode"], said["timeoutSeconds"]) == ("steer", 0)
        if self.live is STEERED and self.items is not None:
            self.items.append({"role": "user", "content": said["message"], "__openclaw": {"seq": 7}})
        self.sent.set()
        if self.live is None:
            await connection.json(404, {"error": {"message": "Tool not available: sessions_send"}})
            return
        await connection.json(200, {"ok": True, "result": {"details": self.live}})


@pytest.fixture
async def steered(
    fake: Server, tmp_path: Path, times: Times, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Steered]:
    times(gateway_wait=0, gateway_returns=0, rest_look=0.01, steer_look=0.05, activity_again=0.05)
    async with steered_task(fake.url, tmp_path, monkeypatch) as running:
        yield running


async def test_a_turn_reads_what_is_said_while_it_goes_on(steered: Steered, fake: Server) -> None:
    gateway = fake.answer = Gateway(STEERED)
    gateway.items = []
    turn = asyncio.create_task(steered.turn())
    await gateway.begun.wait()
    said = await steered.say()
    await steered.until("read")  # the conversation shows it, while the turn goes on
    gateway.enough.set()
    result = await turn
    assert (result.status, result.content, len(gateway.prompts)) == (RunStatus.OK, "Reply 1.", 1)
    (sent,) = fake.invoked("sessions_send")
    assert (sent.body["sessionKey"], sent.body["args"]["sessionKey"]) == (steered.key, steered.key)
    assert f"{mark(said.id)} of ann" in sent.body["args"]["message"]
    assert "ann steers it: Leave it." in steered.lines


async def test_what_the_gateway_has_taken_is_read_though_its_history_does_not_show_it(
    steered: Steered, fake: Server
) -> None:
    """The real one hides from the history what it was told live."""
    gateway = fake.answer = Gateway({**STEERED})
    gateway.items = [{"role": "user", "content": "Mend it."}]
    turn = asyncio.create_task(steered.turn())
    await gateway.begun.wait()
    await steered.say()
    async with asyncio.timeout(60):
        while "ann steers it: Leave it." not in steered.lines:
            await asyncio.sleep(0.02)
    gateway.enough.set()
    assert ((await turn).content, len(gateway.prompts)) == ("Reply 1.", 1)
    assert await steered.stands() == [("read", 1)]


@pytest.mark.parametrize(("live", "stands"), [(None, "held"), (IDLE, "pending")])
async def test_a_gateway_that_takes_nothing_now_is_told_after_the_turn_in_the_same_session(
    steered: Steered, fake: Server, live: dict[str, Any] | None, stands: str
) -> None:
    gateway = fake.answer = Gateway(live)
    turn = asyncio.create_task(steered.turn())
    await gateway.begun.wait()
    said = [await steered.say(), await steered.say("Hurry.")]
    await gateway.sent.wait()
    if live is None:
        await steered.until(stands, stands)
    gateway.enough.set()
    result = await turn
    assert (result.content, len(gateway.prompts)) == ("Reply 2.", 2)
    assert [gateway.prompts[1].count(mark(each.id)) for each in said] == [1, 1]
    assert len({turn.headers["x-openclaw-session-key"] for turn in fake.turns()}) == 1
    # One that was on its way as the turn ended may have been taken; nobody can look, so it is told again.
    assert [outcome for outcome, _ in await steered.stands()] == ["read", "read"]


async def test_what_was_on_its_way_as_the_turn_ended_is_told_after_it(steered: Steered, fake: Server) -> None:
    """Whether the gateway took it was never heard."""

    class Slow(Gateway):
        async def _send(self, connection: Connection, said: dict[str, Any]) -> None:
            self.sent.set()
            await connection.is_left()

    gateway = fake.answer = Slow()
    turn = asyncio.create_task(steered.turn())
    await gateway.begun.wait()
    said = await steered.say()
    await gateway.sent.wait()
    gateway.enough.set()
    assert (await turn).content == "Reply 2."
    assert mark(said.id) in gateway.prompts[1]
    assert await steered.stands() == [("read", 2)]


async def test_what_is_to_be_read_at_once_ends_the_turn_and_goes_on_in_the_same_session(
    steered: Steered, fake: Server
) -> None:
    gateway = fake.answer = Gateway(STEERED, hangs=1)
    turn = asyncio.create_task(steered.turn())
    await gateway.begun.wait()
    said = await steered.say(at_once=True)
    result = await turn
    await asyncio.wait_for(gateway.left.wait(), 60)
    assert (result.status, result.content) == (RunStatus.OK, "Reply 2.")
    assert mark(said.id) in gateway.prompts[1]
    assert len({turn.headers["x-openclaw-session-key"] for turn in fake.turns()}) == 1
    assert not fake.invoked("sessions_send")
    assert not fake.invoked("sessions")  # the session is not put away, nor are its sub-agents ended
    assert await steered.stands() == [("read", 1)]


async def test_a_session_that_waits_for_its_sub_agents_is_told_at_once(steered: Steered, fake: Server) -> None:
    class Waiting(Gateway):
        async def __call__(self, connection: Connection) -> None:
            request = connection.request
            if request.path == INVOKE and request.body["tool"] == "subagents":
                status = "completed" if len(self.prompts) > 1 else "running"
                told = {"taskId": "t1", "runtime": "subagent", "status": status, "deliveryStatus": "delivered"}
                await connection.json(200, {"ok": True, "result": {"details": {"tasks": [told], "active": []}}})
            else:
                await super().__call__(connection)

    gateway = fake.answer = Waiting(IDLE)
    gateway.enough.set()
    turn = asyncio.create_task(steered.turn())
    await gateway.begun.wait()
    said = await steered.say()
    assert (await turn).content == "Reply 2."
    assert mark(said.id) in gateway.prompts[1]


@pytest.mark.parametrize(
    ("shows", "again", "stands"),
    [
        ("it", False, ("read", 1)),
        ("something else", True, ("sent", 2)),
        (None, True, ("sent", 2)),
    ],
)
async def test_after_a_crash_it_is_told_again_unless_the_conversation_has_it(
    steered: Steered, fake: Server, shows: str | None, again: bool, stands: tuple[str, int]
) -> None:
    """The worker dies between the note and the telling, or after it: nobody knows."""
    gateway = fake.answer = Gateway()
    said = await steered.say()
    store = await runtime.store()
    await steers.tell(store, [said.id], steered.run_id)
    if shows is not None:
        gateway.items = [{"role": "user", "content": mark(said.id) if shows == "it" else shows}]
    told = await steered.ear(uuid4()).next(ended_well=False)
    assert (told is not None) is again
    assert await steered.stands() == [stands]


async def test_where_nobody_can_look_it_is_told_twice_at_most(steered: Steered, fake: Server) -> None:
    fake.answer = Gateway()
    await steered.say()
    told = [await steered.ear(uuid4()).next(ended_well=False) for _ in range(3)]
    assert [each is not None for each in told] == [True, True, False]
    assert await steered.stands() == [("unsure", 2)]


async def test_what_a_turn_was_to_tell_that_never_began_is_told_with_the_next(steered: Steered, fake: Server) -> None:
    fake.answer = Gateway()
    await steered.say()
    ear = steered.ear()
    for _ in range(3):  # a gateway that is away for long uses nothing up
        assert await ear.next(ended_well=False)
        await ear.take_back()
    assert await steered.stands() == [("pending", 0)]


async def test_what_was_looked_up_before_it_was_told_is_not_heard_once_more(steered: Steered, fake: Server) -> None:
    """A worker's look may be older than the turn that tells it: it would end that turn for nothing."""
    ear, store = steered.ear(), await runtime.store()
    doubtful, new = await steered.say(), await steered.say("Stop.", at_once=True)
    before = await steers.unsettled(store, [steered.task.id])
    await steers.tell(store, [doubtful.id], steered.run_id)

    class Late(Gateway):
        async def __call__(self, connection: Connection) -> None:
            ear.hear(before)
            await super().__call__(connection)

    fake.answer = Late()
    told = await ear.next(ended_well=False)
    ear.hear(before)
    assert told is not None
    assert mark(new.id) in told
    assert not ear.at_once.is_set()
    assert await steered.stands() == [("sent", 2), ("sent", 1)]


async def test_a_task_ends_for_those_who_speak_when_nothing_is_left_to_be_told(steered: Steered, fake: Server) -> None:
    fake.answer = Gateway()
    ear, well_ended = steered.ear(), DispatchResult(RunStatus.OK)
    said = await steered.say()
    more = await ear.end(well_ended)
    assert more is not None
    assert mark(said.id) in more
    assert await ear.end(well_ended) is None
    assert await steered.stands() == [("read", 1)]
    with pytest.raises(Refused, match="one is ending"):
        await steered.say()


async def test_what_a_failed_turn_leaves_is_for_the_next_attempt(steered: Steered, fake: Server) -> None:
    fake.answer = Gateway()
    await steered.say()
    assert await steered.ear().end(DispatchResult(RunStatus.TIMEOUT)) is None
    assert await steered.stands() == [("pending", 0)]
    assert await steered.ear(uuid4()).next(ended_well=False)


def test_every_outcome_has_words() -> None:
    from ocs.cli.commands.dispatch_steer import OUTCOMES

    assert set(OUTCOMES) == set(SteerOutcome)
