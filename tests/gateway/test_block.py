"""The gateway block against a server that answers well, badly, or not at all."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr, ValidationError

from blocks.event_stream import EventStream, TooLong
from blocks.gateway import ChatTurn, GatewayError, OpenClawGateway
from blocks.gateway_error import LONGEST_WAIT, retry_after
from tests.gateway.server import Connection, Server

TURN = ChatTurn("main", "How is it?", "agent:main:scheduler:check", model="stub/echo")
TOKEN = "gateway-token-of-this-test"


def block(fake: Server, **changes: Any) -> OpenClawGateway:
    return OpenClawGateway(url=fake.url, token=SecretStr(TOKEN), **changes)


async def reply(gateway: OpenClawGateway) -> str:
    async with aclosing(gateway.chat(TURN)) as pieces:
        return "".join([piece async for piece in pieces])


async def failure(gateway: OpenClawGateway) -> GatewayError:
    with pytest.raises(GatewayError) as failed:
        await reply(gateway)
    return failed.value


async def test_a_turn_carries_agent_session_model_and_token(fake: Server) -> None:
    assert await reply(block(fake)) == "All well."
    (request,) = fake.requests
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["x-openclaw-session-key"] == "agent:main:scheduler:check"
    assert request.headers["x-openclaw-model"] == "stub/echo"
    assert request.body == {
        "model": "openclaw/main",
        "messages": [{"role": "user", "content": "How is it?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("status", "retryable", "reached"),
    [(400, False, True), (401, False, True), (429, True, False), (500, True, True), (502, True, False),
     (503, True, False), (529, True, True)],
)  # fmt: skip
async def test_a_refusal_says_whether_to_ask_again(fake: Server, status: int, retryable: bool, reached: bool) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.json(status, {"error": {"message": f"no, {TOKEN}", "type": "x"}}, Retry_After="7")

    fake.answer = refuse
    failed = await failure(block(fake))
    assert (failed.retryable, failed.reached) == (retryable, reached)
    assert f"HTTP {status}" in failed.message
    assert TOKEN not in failed.message
    if retryable:
        assert failed.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("way", ["no gateway", "a failed turn", "garbage", "ok: false"])
async def test_an_answer_that_repeats_the_token_gives_it_to_nobody(fake: Server, way: str) -> None:
    said = f"{'x' * 290} Authorization: Bearer {TOKEN}"

    async def echo(connection: Connection) -> None:
        if way == "no gateway":
            await connection.json(200, [said])
            return
        if way == "ok: false":
            await connection.json(200, {"ok": False, "error": {"message": said}})
            return
        await connection.stream()
        await (
            connection.event({"error": {"message": said}})
            if way == "a failed turn"
            else connection.send(f"data: {said}\n\n")
        )

    fake.answer = echo
    if way == "ok: false":
        with pytest.raises(GatewayError) as refused:
            await block(fake).invoke_tool("sessions_list", {})
        failed = refused.value
    else:
        failed = await failure(block(fake))
    assert "gateway-token" not in failed.message


@pytest.mark.parametrize("begun", [False, True])
async def test_a_drain_told_as_an_error_of_the_turn_means_that_nothing_was_done(fake: Server, begun: bool) -> None:
    async def drain(connection: Connection) -> None:
        await connection.stream()
        if begun:
            await connection.say("First I")
        await connection.event({"error": {"message": "Gateway is draining for restart; new tasks are not accepted"}})

    fake.answer = drain
    failed = await failure(block(fake))
    assert (failed.retryable, failed.reached) == (True, begun)


async def test_an_absent_gateway_was_not_reached(unused_tcp_port: int) -> None:
    gateway = OpenClawGateway(url=f"http://127.0.0.1:{unused_tcp_port}")
    failed = await failure(gateway)
    assert (failed.retryable, failed.reached) == (True, False)
    assert not await gateway.health()
    assert not await gateway.wait_until_up(timedelta(0))


async def test_any_answer_at_all_means_up(fake: Server) -> None:
    async def unwell(connection: Connection) -> None:
        await connection.json(503, {})

    fake.answer = unwell
    assert await block(fake).wait_until_up(timedelta(0))
    assert not await block(fake).health()


async def test_a_web_page_is_no_gateway(fake: Server) -> None:
    async def page(connection: Connection) -> None:
        await connection.head(200, "text/html")
        await connection.send("<html><body>Welcome to nginx</body></html>")

    fake.answer = page
    failed = await failure(block(fake))
    assert "no OpenClaw gateway: it sent a web page" in failed.message
    assert not failed.retryable
    with pytest.raises(GatewayError, match="web page"):
        await block(fake).invoke_tool("sessions_list", {})


@pytest.mark.parametrize("garbage", ["data: {not json}\n\n", "data: [1\n\n", "data: \xff\xfe\n\n"])
async def test_garbage_in_a_stream_fails_the_turn(fake: Server, garbage: str) -> None:
    async def babble(connection: Connection) -> None:
        await connection.stream()
        await connection.send(garbage.encode("latin-1"))

    fake.answer = babble
    assert "cannot be understood" in (await failure(block(fake))).message


async def test_odd_events_are_passed_over(fake: Server) -> None:
    async def odd(connection: Connection) -> None:
        await connection.stream()
        for event in ([], "x", {}, {"choices": []}, {"choices": ["x"]}, {"choices": [{"delta": {"content": 7}}]}):
            await connection.event(event)
        await connection.say("still here")
        await connection.done()

    fake.answer = odd
    assert await reply(block(fake)) == "still here"


async def test_a_stream_that_ends_halfway_is_no_reply(fake: Server) -> None:
    async def half(connection: Connection) -> None:
        await connection.stream()
        await connection.say("I have just begun to")

    fake.answer = half
    failed = await failure(block(fake))
    assert failed.message == "The connection ended before the reply did."
    assert failed.reached


async def test_a_reply_that_never_ends_is_ended(fake: Server) -> None:
    gone = asyncio.Event()

    async def forever(connection: Connection) -> None:
        await connection.stream()
        try:
            while True:
                await connection.say("and " * 50_000)
        finally:
            gone.set()

    fake.answer = forever
    assert "longer than 32 MiB" in (await failure(block(fake))).message
    await asyncio.wait_for(gone.wait(), 60)


async def test_a_reply_of_ten_megabytes_in_one_piece_is_taken(fake: Server) -> None:
    async def long(connection: Connection) -> None:
        await connection.stream()
        await connection.say("x" * 10_000_000)
        await connection.done()

    fake.answer = long
    assert len(await reply(block(fake))) == 10_000_000


async def test_a_reply_comes_in_whole_characters_and_else_as_it_was_said(fake: Server) -> None:
    async def control(connection: Connection) -> None:
        await connection.stream()
        await connection.say("a\x00b\x1b[31mc\r\n\td")
        await connection.send('data: {"choices": [{"delta": {"content": "\\ud83d"}}]}\n\n')
        await connection.send('data: {"choices": [{"delta": {"content": "\\ude00 \\ude00"}}]}\n\n')
        await connection.done()

    fake.answer = control
    assert await reply(block(fake)) == "a\0b\x1b[31mc\r\n\td\N{GRINNING FACE} \N{REPLACEMENT CHARACTER}"


async def test_leaving_a_turn_closes_its_connection(fake: Server) -> None:
    left = asyncio.Event()

    async def slow(connection: Connection) -> None:
        await connection.stream()
        await connection.say("thinking")
        await connection.is_left()
        left.set()

    fake.answer = slow
    async with aclosing(block(fake).chat(TURN)) as pieces:
        assert await anext(pieces) == "thinking"
    await asyncio.wait_for(left.wait(), 60)


async def test_a_tool_gives_its_result(fake: Server) -> None:
    async def answer(connection: Connection) -> None:
        await connection.json(200, {"ok": True, "result": {"sent": 1}})

    fake.answer = answer
    assert await block(fake).invoke_tool("message", {"action": "send"}, session_key="agent:main:x") == {"sent": 1}
    assert fake.requests[0].body == {"tool": "message", "args": {"action": "send"}, "sessionKey": "agent:main:x"}


@pytest.mark.parametrize("answer", [{"ok": False, "error": {"message": "tool execution failed"}}, {"result": {}}, []])
async def test_a_tool_that_does_not_say_ok_has_failed_whatever_the_status(fake: Server, answer: Any) -> None:
    async def failing(connection: Connection) -> None:
        await connection.json(200, answer)

    fake.answer = failing
    with pytest.raises(GatewayError):
        await block(fake).invoke_tool("message", {})


async def test_an_event_needs_the_hooks_token_and_uses_it(fake: Server) -> None:
    async def answer(connection: Connection) -> None:
        await connection.json(200, {"ok": True, "mode": "now", "eventOutcome": "queued"})

    fake.answer = answer
    with pytest.raises(GatewayError, match="hooks token"):
        await block(fake).wake("Look at the inbox.")
    await block(fake, hooks_token=SecretStr("hooks"), hooks_path="in/").wake("Look at the inbox.")
    (request,) = fake.requests
    assert (request.path, request.headers["authorization"]) == ("/in/wake", "Bearer hooks")
    assert request.body == {"text": "Look at the inbox.", "mode": "now", "agentId": "main"}


def test_the_environment_names_a_gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("from-the-file\n")
    monkeypatch.setenv("OPENCLAW_GATEWAY_TOKEN_PATH", str(token_file))
    monkeypatch.delenv("OPENCLAW_GATEWAY_TOKEN", raising=False)
    monkeypatch.setenv("OPENCLAW_GATEWAY_URL", "ws://gate.example:1234/")
    found = OpenClawGateway.from_environment()
    assert found.url == "http://gate.example:1234"
    assert found.token.get_secret_value() == "from-the-file"
    monkeypatch.setenv("OPENCLAW_GATEWAY_TOKEN", "from-the-variable")
    found = OpenClawGateway.from_environment()
    assert found.token.get_secret_value() == "from-the-variable"
    monkeypatch.setenv("OPENCLAW_GATEWAY_TOKEN", "two\nlines")
    with pytest.raises(GatewayError) as refused:
        OpenClawGateway.from_environment()
    assert "two" not in str(refused.value)


@pytest.mark.e2e
async def test_a_block_that_was_saved_when_tokens_could_be_nothing_is_still_loaded(prefect_server: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        saved = await cast("Any", OpenClawGateway(url="http://gate.example:1", token=SecretStr(TOKEN)).save("earlier"))
        for data in ({"token": None, "hooks_token": None}, {"token": TOKEN, "hooks_token": None}):
            async with get_client() as client:
                changed = BlockDocumentUpdate(data={"url": "http://gate.example:1", **data}, merge_existing_data=False)
                await client.update_block_document(saved, changed)
            found = await OpenClawGateway.aload("earlier")
            assert (found.token.get_secret_value(), bool(found.hooks_token)) == (data["token"] or "", False)
        await OpenClawGateway.adelete("earlier")


@pytest.mark.parametrize("url", ["", "gate", "ftp://gate", "http://", "http://me:secret@gate", "http://gate:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        OpenClawGateway(url=url)
    assert "secret@" not in str(refused.value)


NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("7", timedelta(seconds=7)),
        ("-7", timedelta(0)),
        ("1e300", None),
        ("1000000", LONGEST_WAIT),
        ("Tue, 24 Nov 2026 12:01:00 GMT", timedelta(minutes=1)),
    ],
)
def test_how_long_the_gateway_asks_to_wait(header: str | None, wait: timedelta | None) -> None:
    assert retry_after(header, NOW) == wait


@pytest.mark.parametrize("cut", range(1, 12))
def test_events_come_whole_however_they_were_cut(cut: int) -> None:
    stream = b": hello\r\ndata: one\n\nevent: x\r\ndata:two\r\ndata: lines\r\n\r\n\n\ndata: three\n\n"
    events = EventStream()
    pieces = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    assert [data for piece in pieces for data in events.feed(piece)] == ["one", "two\nlines", "three"]


def test_an_event_of_empty_lines_without_end_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocks.event_stream.LONGEST_EVENT", 1000)
    events = EventStream()
    for _ in range(200):
        events.feed(b"data:\n")
    with pytest.raises(TooLong):
        events.feed(b"data:\n")


async def test_an_answer_that_is_nested_too_deeply_is_none(fake: Server) -> None:
    async def deep(connection: Connection) -> None:
        await connection.head(200, "application/json")
        await connection.send("[" * 100_000)

    fake.answer = deep
    with pytest.raises(GatewayError, match="no OpenClaw gateway"):
        await block(fake).invoke_tool("subagents", {})
