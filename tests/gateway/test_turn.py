"""The agent strategy against a gateway that hangs, babbles, drains, or is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from blocks.answers import nobody
from blocks.gateway import ChatTurn, OpenClawGateway
from ocs.rules.activity import place_of
from ocs.rules.dispatch import DispatchResult, IdempotencyAction, RunStatus
from ocs.rules.prompt import taken_up
from ocs.spec import Output
from ocs.timing import timing
from tasks.strategies.agent import run_turn, send_event
from tasks.strategies.conversation import TAKE_OVERS, Watch
from tests.conftest import Times
from tests.gateway.server import CHAT, INVOKE, Connection, Server, well

TOKEN = "gateway-token-of-this-test"
KEY = "agent:main:scheduler:check"
OWN = "agent:main:scheduler:check:0b0e1c9e-6f3f-4a52-8f50-6e2a3f0f6f11"
LONG = timedelta(minutes=2)


class Turns:
    """Has turns done, and keeps what was shown of them."""

    def __init__(self, fake: Server, artifacts: Path) -> None:
        self.fake = fake
        self.artifacts = artifacts
        self.lines: list[str] = []
        self.helped: list[bool] = []

    async def run(
        self,
        *,
        idle: timedelta = LONG,
        timeout: timedelta = LONG,
        url: str | None = None,
        key: str = KEY,
        goes_on: bool = False,
        watch: Callable[[Mapping[str, Any]], None] | None = None,
        usage: Callable[[object], None] = nobody,
    ) -> DispatchResult:
        return await run_turn(
            OpenClawGateway(url=url or self.fake.url, token=SecretStr(TOKEN)),
            ChatTurn("main", "How is it?", key),
            idle=idle,
            timeout=timeout,
            output=Output(),
            artifacts=self.artifacts,
            on_line=self.lines.append,
            goes_on=goes_on,
            watch=Watch(watch, usage, lambda: self.helped.append(True)) if watch else None,
        )


@pytest.fixture
def turns(fake: Server, tmp_path: Path, times: Times) -> Turns:
    times(gateway_wait=0, gateway_returns=0, rest_look=0.01)
    return Turns(fake, tmp_path)


def to_turns(answer: Callable[[Connection], Awaitable[None]]) -> Callable[[Connection], Awaitable[None]]:
    """Answers turns so, and is otherwise in good health."""

    async def answering(connection: Connection) -> None:
        await (answer if connection.request.path == CHAT else well)(connection)

    return answering


async def test_a_reply_is_the_result_and_the_output(turns: Turns) -> None:
    result = await turns.run()
    assert (result.status, result.content, result.summary) == (RunStatus.OK, "All well.", "All well.")
    assert (result.stdout.text, result.stdout.bytes, result.session_key) == ("All well.", 9, KEY)
    assert result.idempotency_action is IdempotencyAction.KEEP
    assert turns.lines == ["All well."]


async def test_silence_ends_a_turn_and_closes_its_connection(turns: Turns) -> None:
    """Acceptance row 54."""
    left = asyncio.Event()

    async def hang(connection: Connection) -> None:
        await connection.stream()
        await connection.say("Let me see")
        await connection.is_left()
        left.set()

    turns.fake.answer = to_turns(hang)
    result = await turns.run(idle=timedelta(seconds=0.2))
    assert result.status is RunStatus.TIMEOUT
    assert result.error == "It gave no sign of life for 0.2s; the turn was ended."
    assert result.stdout.text == "Let me see"
    assert result.idempotency_action is IdempotencyAction.RELEASE
    await asyncio.wait_for(left.wait(), 60)


async def test_a_gateway_that_does_not_even_answer_a_turn_is_silent(turns: Turns) -> None:
    async def hang(connection: Connection) -> None:
        await connection.is_left()

    turns.fake.answer = to_turns(hang)
    result = await turns.run(idle=timedelta(seconds=0.2))
    assert (result.status, result.retry_in) == (RunStatus.TIMEOUT, None)


async def test_a_lively_turn_still_ends_at_its_timeout(turns: Turns) -> None:
    """Acceptance row 55."""

    async def chatter(connection: Connection) -> None:
        await connection.stream()
        while True:
            await connection.say("and ")
            await asyncio.sleep(0.02)

    turns.fake.answer = to_turns(chatter)
    result = await turns.run(idle=LONG, timeout=timedelta(seconds=0.5))
    assert (result.status, result.error) == (RunStatus.TIMEOUT, "Timed out after 0.5s; the turn was ended.")


async def test_signs_of_life_without_text_keep_a_turn_alive(turns: Turns) -> None:
    async def slow(connection: Connection) -> None:
        await connection.stream()
        for _ in range(20):
            await connection.send(": still working\n\n")
            await asyncio.sleep(0.1)
        await connection.say("Done.")
        await connection.done()

    turns.fake.answer = to_turns(slow)
    result = await turns.run(idle=timedelta(seconds=1.5))
    assert (result.status, result.content) == (RunStatus.OK, "Done.")


async def test_a_cancelled_turn_closes_its_connection(turns: Turns) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def slow(connection: Connection) -> None:
        await connection.stream()
        begun.set()
        await connection.is_left()
        left.set()

    turns.fake.answer = to_turns(slow)
    turn = asyncio.create_task(turns.run())
    await asyncio.wait_for(begun.wait(), 60)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    await asyncio.wait_for(left.wait(), 60)


async def test_an_absent_gateway_defers_the_run(turns: Turns, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    result = await turns.run(url=url)
    assert (result.status, result.retry_in) == (RunStatus.ERROR, timing().gateway_away)
    assert result.error == f"Deferred: The OpenClaw gateway at {url} does not answer."
    assert result.skip_delivery
    assert result.skip_children
    assert result.idempotency_action is IdempotencyAction.RELEASE


@pytest.mark.parametrize(
    ("status", "headers", "delay"), [(503, {}, timing().gateway_draining), (429, {"Retry_After": "7"}, None)]
)
async def test_a_gateway_that_takes_nothing_now_defers_the_run(
    turns: Turns, status: int, headers: dict[str, str], delay: timedelta | None
) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.json(status, {"error": {"message": "Gateway is restarting"}}, **headers)

    turns.fake.answer = to_turns(refuse)
    assert (await turns.run()).retry_in == (delay or timedelta(seconds=7))


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (401, False), (500, True), (529, True)])
async def test_other_refusals_are_failures(turns: Turns, status: int, retryable: bool) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.json(status, {"error": {"message": "overloaded"}})

    turns.fake.answer = to_turns(refuse)
    result = await turns.run()
    assert (result.status, result.retryable, result.retry_in) == (RunStatus.ERROR, retryable, None)
    assert result.error is not None
    assert "overloaded" in result.error
    assert result.idempotency_action is IdempotencyAction.RELEASE


class Gateway:
    """Answers turns one after the other, each in its own way; its sub-agents are at work for so many looks."""

    def __init__(self, *turns: str, looks: int = 0, last_words: str = "") -> None:
        self.turns = list(turns)
        self.looks = looks
        self.last_words = last_words
        self.left = asyncio.Event()

    async def __call__(self, connection: Connection) -> None:
        if connection.request.path == CHAT:
            await self._turn(connection, self.turns.pop(0) if self.turns else "All well.")
        elif connection.request.path == INVOKE and connection.request.body["tool"] == "subagents":
            await self._subagents(connection)
        elif connection.request.path.startswith("/sessions/"):
            said = {"role": "assistant", "content": [{"type": "text", "text": self.last_words}], "stopReason": "stop"}
            await connection.json(200, {"items": [said]})
        else:
            await well(connection)

    async def _turn(self, connection: Connection, say: str) -> None:
        await connection.stream()
        if say.startswith("error: "):
            await connection.say("")
            await connection.event({"error": {"message": say.removeprefix("error: ")}})
            return
        await connection.say(say.removesuffix("..."))
        if say.endswith("...?"):
            await connection.is_left()
            self.left.set()
        elif not say.endswith("..."):
            await connection.done()

    async def _subagents(self, connection: Connection) -> None:
        if connection.request.body["args"]["action"] == "cancel":
            self.looks = 0
        status, owed = (
            ("running", "pending") if self.looks > 1 else ("completed", "pending" if self.looks else "delivered")
        )
        self.looks = max(0, self.looks - 1)
        task = {"taskId": "t1", "runtime": "subagent", "status": status, "deliveryStatus": owed}
        await connection.json(200, {"ok": True, "result": {"details": {"tasks": [task], "active": []}}})


async def test_a_turn_that_is_cut_off_goes_on_in_the_same_session(turns: Turns) -> None:
    """A gateway that was killed finishes the turn by itself: asked anew elsewhere, it were done twice."""
    turns.fake.answer = Gateway("First I ...", "It is done.")
    result = await turns.run()
    assert (result.status, result.content, result.cut_off) == (RunStatus.OK, "It is done.", False)
    first, second = turns.fake.turns()
    assert [each.headers["x-openclaw-session-key"] for each in (first, second)] == [KEY, KEY]
    assert second.body["messages"][0]["content"] == taken_up("How is it?")
    assert turns.lines == [
        "First I ",
        "The connection ended before the reply did. It is waited for.",
        "The gateway is back; the turn goes on where it was.",
        "It is done.",
    ]


async def test_a_gateway_that_is_back_and_not_ready_is_asked_again(turns: Turns) -> None:
    """It looks after what its end has cut off, and refuses a session that changes while a turn begins."""
    turns.fake.answer = Gateway("First I ...", "error: internal error", "It is done.")
    result = await turns.run()
    assert (result.status, result.content) == (RunStatus.OK, "It is done.")
    assert turns.lines[3] == "The turn failed in the gateway: internal error. It was not begun, and is asked for again."
    turns.fake.answer = Gateway("error: internal error")
    assert (await turns.run()).error == "The turn failed in the gateway: internal error"


async def test_a_turn_that_is_cut_off_again_and_again_is_a_failure_and_what_it_said_is_kept(turns: Turns) -> None:
    turns.fake.answer = Gateway(*["First I..."] * 9)
    result = await turns.run()
    assert (result.status, result.error) == (RunStatus.ERROR, "The connection ended before the reply did.")
    assert (result.stdout.text, result.retry_in, result.cut_off) == ("First I", None, True)
    assert len(turns.fake.turns()) == 1 + TAKE_OVERS
    assert not turns.fake.invoked("sessions")  # it may be at work on it


async def test_an_attempt_that_goes_on_takes_its_session_out_of_the_archive(turns: Turns) -> None:
    assert (await turns.run(key=OWN, goes_on=True)).status is RunStatus.OK
    (reopened,) = turns.fake.invoked("sessions")
    assert (reopened.body["args"], reopened.body["sessionKey"]) == ({"action": "patch", "archived": False}, OWN)


async def test_an_attempt_that_goes_on_and_finds_the_gateway_away_goes_on_later(
    turns: Turns, unused_tcp_port: int
) -> None:
    result = await turns.run(url=f"http://127.0.0.1:{unused_tcp_port}", goes_on=True)
    assert (result.retry_in, result.cut_off) == (timing().gateway_away, True)


async def test_a_turn_is_over_when_its_sub_agents_are_and_the_agent_has_answered(turns: Turns) -> None:
    """What the gateway itself answers, while they work, is no answer of the agent's."""
    turns.fake.answer = Gateway("No response from OpenClaw.", looks=4, last_words="They agree.")
    result = await turns.run(key=OWN)
    assert (result.status, result.content) == (RunStatus.OK, "They agree.")
    assert turns.lines == ["No response from OpenClaw.", "The agent waits for 1 sub-agent.", "They agree."]


async def test_what_an_agent_does_is_a_sign_of_life_and_is_heard_of_once(turns: Turns) -> None:
    """While tools work the reply says nothing; what was in the session before is not this turn's."""
    enough = asyncio.Event()

    def message(place: int) -> dict[str, Any]:
        return {"role": "assistant", "content": [], "__openclaw": {"seq": place}}

    async def answer(connection: Connection) -> None:
        if connection.request.path == CHAT:
            await connection.stream()
            await enough.wait()
            await connection.say("Done.")
            await connection.done()
        elif connection.request.headers.get("accept") == "text/event-stream":
            await connection.stream()
            await connection.event({"items": [message(1), message(2)]})
            for place in range(2, 23):
                await connection.event({"message": message(place)})
                await asyncio.sleep(0.1)
            enough.set()
            await connection.is_left()
        elif connection.request.path.startswith("/sessions/"):
            await connection.json(200, {"items": [message(1)]})
        else:
            await well(connection)

    turns.fake.answer = answer
    seen: list[int] = []
    result = await turns.run(key=OWN, idle=timedelta(seconds=1.5), watch=lambda each: seen.append(place_of(each)))
    assert (result.status, result.content) == (RunStatus.OK, "Done.")
    assert seen == list(range(2, 23))


USAGE = {"prompt_tokens": 1000, "completion_tokens": 50}


async def used_up(connection: Connection) -> None:
    await connection.stream()
    await connection.say("Done.")
    await connection.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    await connection.event({"choices": [], "usage": USAGE})
    await connection.send("data: [DONE]\n\n")


async def test_what_the_last_message_says_is_heard_though_the_reply_ended_before_it(turns: Turns) -> None:
    """It says what the turn has used."""
    message = {"role": "assistant", "content": [], "__openclaw": {"seq": 1}}

    async def answer(connection: Connection) -> None:
        if connection.request.path == CHAT:
            await used_up(connection)
        elif connection.request.headers.get("accept") == "text/event-stream":
            await connection.json(404, {})
        elif connection.request.path.startswith("/sessions/"):
            await connection.json(200, {"items": [message] if turns.fake.turns() else []})
        else:
            await well(connection)

    turns.fake.answer = answer
    seen: list[int] = []
    used: list[object] = []
    await turns.run(key=OWN, watch=lambda each: seen.append(place_of(each)), usage=used.append)
    assert (seen, used) == ([1], [])


@pytest.mark.parametrize(("answer", "used"), [(used_up, [USAGE]), (well, [None])], ids=["told", "not told"])
@pytest.mark.parametrize("key", [KEY, OWN], ids=["shared", "own"])
async def test_what_a_turn_has_used_whose_messages_are_not_seen(
    turns: Turns, answer: Callable[[Connection], Awaitable[None]], used: list[object], key: str
) -> None:
    """Where the gateway does not say it, it is unknown and not nothing."""
    turns.fake.answer = to_turns(answer)
    told: list[object] = []
    await turns.run(key=key, watch=lambda _message: None, usage=told.append)
    assert told == used


async def test_a_turn_that_was_not_begun_has_used_nothing(turns: Turns) -> None:
    async def draining(connection: Connection) -> None:
        await connection.json(503, {"error": {"message": "draining"}})

    turns.fake.answer = to_turns(draining)
    told: list[object] = []
    await turns.run(watch=lambda _message: None, usage=told.append)
    assert told == []


async def test_what_sub_agents_have_used_is_not_known(turns: Turns) -> None:
    turns.fake.answer = Gateway("No response from OpenClaw.", looks=2)
    await turns.run(key=OWN, watch=lambda _message: None)
    assert turns.helped == [True]


async def test_sub_agents_that_were_there_before_are_nothing_to_wait_for(turns: Turns) -> None:
    turns.fake.answer = Gateway("All well.", looks=9**9)
    assert (await turns.run(key="agent:main:main")).content == "All well."


async def test_sub_agents_that_give_no_sign_of_life_end_the_turn_and_are_ended(turns: Turns) -> None:
    turns.fake.answer = Gateway("No response from OpenClaw.", looks=9**9)
    result = await turns.run(key=OWN, idle=timedelta(seconds=0.2))
    assert result.error == "It gave no sign of life for 0.2s; the turn was ended."
    asked = [request.body["args"] for request in turns.fake.requests if request.path == INVOKE]
    assert {"action": "cancel", "taskId": "t1"} in asked
    assert asked.index({"action": "patch", "archived": True}) < asked.index({"action": "cancel", "taskId": "t1"})


@pytest.mark.parametrize(("key", "archived"), [(OWN, 1), ("agent:main:main", 0)])
async def test_a_cancelled_turn_ends_its_session_unless_others_speak_in_it(
    turns: Turns, key: str, archived: int
) -> None:
    gateway = turns.fake.answer = Gateway("Let me see...?")
    turn = asyncio.create_task(turns.run(key=key))
    while "Let me see...?" not in turns.lines and not turns.fake.turns():
        await asyncio.sleep(0.01)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    await asyncio.wait_for(gateway.left.wait(), 60)
    assert len(turns.fake.invoked("sessions")) == archived


@pytest.mark.parametrize(
    ("said", "status", "quiet"),
    [
        ("HEARTBEAT_OK", RunStatus.OK, True),
        ("TASK_FAILED: no disk", RunStatus.ERROR, False),
        ("The model is overloaded.", RunStatus.ERROR, False),
        ("", RunStatus.ERROR, False),
    ],
)
async def test_the_words_of_a_reply_decide(turns: Turns, said: str, status: RunStatus, quiet: bool) -> None:
    async def say(connection: Connection) -> None:
        await connection.stream()
        await connection.say(said)
        await connection.done()

    turns.fake.answer = to_turns(say)
    result = await turns.run()
    assert (result.status, result.skip_delivery) == (status, quiet)


async def test_a_large_reply_is_kept_whole_in_a_file_and_the_token_nowhere(turns: Turns) -> None:
    async def long(connection: Connection) -> None:
        await connection.stream()
        await connection.say(f"my token is {TOKEN}\n")
        for _ in range(100):
            await connection.say("x" * 100_000)
        await connection.done()

    turns.fake.answer = to_turns(long)
    result = await turns.run()
    assert result.status is RunStatus.OK
    assert result.stdout.path is not None
    kept = Path(result.stdout.path).read_text()
    assert len(kept) == result.stdout.bytes > 10_000_000
    assert len(result.content) < 200_000
    assert not any(TOKEN in text for text in (kept, result.content, result.summary, result.stdout.text, *turns.lines))


async def test_an_event_is_sent_and_not_waited_for(fake: Server) -> None:
    async def take(connection: Connection) -> None:
        await connection.json(200, {"ok": True})

    fake.answer = take
    gateway = OpenClawGateway(url=fake.url, hooks_token=SecretStr("hooks"))
    result = await send_event(gateway, "Look at the inbox.", session_key="agent:main:main")
    assert (result.status, result.skip_delivery, result.skip_children) == (RunStatus.OK, True, True)
    assert fake.requests[-1].body["text"] == "Look at the inbox."
    failed = await send_event(OpenClawGateway(url=fake.url), "Look.", session_key="agent:main:main")
    assert (failed.status, failed.retryable) == (RunStatus.ERROR, False)
