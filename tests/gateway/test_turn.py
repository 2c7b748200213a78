"""The agent strategy against a gateway that hangs, babbles, drains, or is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from blocks.gateway import ChatTurn, OpenClawGateway
from ocs.rules.dispatch import DispatchResult, IdempotencyAction, RunStatus
from ocs.spec import Output
from ocs.timing import timing
from tasks.strategies.agent import run_turn, send_event
from tests.conftest import Times
from tests.gateway.server import Connection, Server, well

TOKEN = "gateway-token-of-this-test"
KEY = "agent:main:scheduler:check"
TURN = ChatTurn("main", "How is it?", KEY)
LONG = timedelta(minutes=2)


class Turns:
    """Has turns done, and keeps what was shown of them."""

    def __init__(self, fake: Server, artifacts: Path) -> None:
        self.fake = fake
        self.artifacts = artifacts
        self.lines: list[str] = []

    async def run(self, *, idle: timedelta = LONG, timeout: timedelta = LONG, url: str | None = None) -> DispatchResult:
        return await run_turn(
            OpenClawGateway(url=url or self.fake.url, token=SecretStr(TOKEN)),
            TURN,
            idle=idle,
            timeout=timeout,
            output=Output(),
            artifacts=self.artifacts,
            on_line=self.lines.append,
        )


@pytest.fixture
def turns(fake: Server, tmp_path: Path, times: Times) -> Turns:
    times(gateway_wait=0)
    return Turns(fake, tmp_path)


def to_turns(answer: Callable[[Connection], Awaitable[None]]) -> Callable[[Connection], Awaitable[None]]:
    """Answers turns so, and is otherwise in good health."""

    async def answering(connection: Connection) -> None:
        await (well if connection.request.path == "/health" else answer)(connection)

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


async def test_a_reply_that_breaks_off_is_a_failure_and_is_kept(turns: Turns) -> None:
    async def half(connection: Connection) -> None:
        await connection.stream()
        await connection.say("First I")

    turns.fake.answer = to_turns(half)
    result = await turns.run()
    assert (result.status, result.error) == (RunStatus.ERROR, "The connection ended before the reply did.")
    assert (result.stdout.text, result.retry_in) == ("First I", None)


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
