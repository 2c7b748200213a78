"""Messages that really leave the real gateway, for a Telegram of our own: what is seen there, and how often."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from blocks.connections import close_connections
from blocks.gateway import GatewayError, OpenClawGateway
from blocks.gateway_transport import GatewayTransport
from blocks.transport import Part, Undelivered
from ocs.store.deliveries import Sending
from tasks.delivery.send import parts_of
from tests.conftest import Times
from tests.gateway.model import model_server
from tests.gateway.real import TOKEN, RealGateway, real_gateway, skip_unless_installed
from tests.gateway.telegram import Refusal, Telegram, telegram_server

pytestmark = [pytest.mark.e2e, pytest.mark.gateway, pytest.mark.timeout(300)]
PATIENCE = 150.0
CHAT = "4711"
NASTY = """a *b* _c_ __init__ ~~s~~ `code` <b>x</b> <stdin> & &amp; &lt; [l](http://x) ![i](http://y/z.png) ||s|| \\* 🎉
# no heading
- no item
> no quote
| a | b |
|---|---|
    indented   twice
MEDIA:/etc/hostname
[[reply_to_current]] <think>not hidden</think> NO_REPLY
```
a fence of its own
```

http://127.0.0.1/in_the_middle

a last line"""


@pytest.fixture(scope="module")
def telegram() -> Iterator[Telegram]:
    skip_unless_installed()
    with telegram_server() as running:
        yield running


@pytest.fixture(scope="module")
def real(telegram: Telegram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    with model_server() as model, real_gateway(tmp_path_factory.mktemp("gateway") / "home", model, telegram) as running:
        yield running


@pytest.fixture
async def gateway(real: RealGateway, telegram: Telegram) -> AsyncIterator[OpenClawGateway]:
    telegram.arrived.clear()
    yield OpenClawGateway(url=real.url, token=SecretStr(TOKEN))
    await close_connections()


@pytest.fixture
def chat(gateway: OpenClawGateway) -> GatewayTransport:
    return GatewayTransport(gateway, "telegram", CHAT)


def part(text: str, **fields: Any) -> Part:
    return Part(f"{uuid4()}-1", "load: done", text, **fields)


async def failure(transport: GatewayTransport, sent: Part) -> Undelivered:
    with pytest.raises(Undelivered) as failed:
        await transport.send(sent)
    return failed.value


async def eventually(look: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not look():
            await asyncio.sleep(0.05)


def png(size: int = 0) -> bytes:
    """An image, made larger by a comment of so many bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"".join(b"\0" + bytes([200, 30, 30]) * 64 for _ in range(48)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
    comment = chunk(b"tEXt", b"comment\0" + b"x" * size) if size else b""
    return b"\x89PNG\r\n\x1a\n" + head + comment + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("text", [NASTY, "load: failed\n\nExited with code 3.\n\nRun: http://127.0.0.1:4200/runs/1_2"])
async def test_exactly_the_text_is_seen(chat: GatewayTransport, telegram: Telegram, text: str) -> None:
    await chat.send(part(text))
    (message,) = telegram.arrived
    assert (message.chat, message.text) == (CHAT, text)
    assert text is NASTY or '<a href="http://127.0.0.1:4200/runs/1_2">' in message.source


async def test_what_an_agent_wrote_is_rendered(chat: GatewayTransport, telegram: Telegram) -> None:
    await chat.send(part("**Today** & a < b:\n- one 🎉\n- `x_y`", markdown=True))
    (message,) = telegram.arrived
    assert message.text == "Today & a < b:\n\n• one 🎉\n• x_y"
    assert "<b>Today</b>" in message.source


@pytest.mark.parametrize("filling", ["word ", "<&> ", "😀", "a_b: *3*\n", "x"])
async def test_a_long_text_arrives_in_numbered_parts_and_the_gateway_cuts_no_further(
    chat: GatewayTransport, telegram: Telegram, filling: str
) -> None:
    """Acceptance row 93. The Telegram of ours refuses what is too long."""
    body = filling * (9000 // len(filling))
    about: dict[str, Any] = {"parts": 0, "parts_sent": 0, "attempts": 1, "attempt": 1}
    sending = Sending(
        uuid4(), "load", uuid4(), "run", "telegram:4711", "load: done", body, (), datetime.now(UTC), **about
    )
    parts = parts_of(sending, chat)
    assert len(parts) > 2
    for each in parts:
        await chat.send(each)
    assert [message.text for message in telegram.arrived] == [each.text for each in parts]
    assert [message.text.partition(" ")[0] for message in telegram.arrived] == [
        f"[{number}/{len(parts)}]" for number in range(1, len(parts) + 1)
    ]


async def test_images_arrive_and_what_is_none_is_told(
    chat: GatewayTransport, telegram: Telegram, tmp_path: Path
) -> None:
    """Acceptance row 50, as far as the chat. No folder has to be opened for it in the gateway."""
    files = {"chart.png": png(), "large.png": png(1_399_000), "page.svg": b"<svg/>", "broken.png": b"\x89PNG\r\n"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        await chat.send(part(name, image=tmp_path / name))
    small, large, page, broken = telegram.arrived
    assert (small.text, small.name, small.file) == ("chart.png", "chart.png", png())
    assert large.file == files["large.png"]
    for told, name in ((page, "page.svg"), (broken, "broken.png")):
        assert (told.file, told.text.startswith("Not attached")) == (None, True)
        assert str(tmp_path / name) in told.text


async def test_a_moment_of_too_many_requests_is_borne_by_the_gateway(
    chat: GatewayTransport, telegram: Telegram
) -> None:
    telegram.refusing.append(Refusal(429, "Too Many Requests: retry after 1", 1))
    await chat.send(part("patience"))
    assert [message.text for message in telegram.arrived] == ["patience"]


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(429, "Too Many Requests: retry after 300", 300),
        Refusal(500, "Internal Server Error"),
        Refusal(403, "Forbidden: bot was blocked by the user"),
        Refusal(400, "Bad Request: chat not found"),
    ],
    ids=lambda refusal: str(refusal.status),
)
async def test_what_telegram_refuses_is_not_sent_and_can_be_sent_again(
    chat: GatewayTransport, telegram: Telegram, refusal: Refusal, times: Times
) -> None:
    times(part=5)
    telegram.refusing.append(refusal)
    sent = part("again")
    failed = await failure(chat, sent)
    assert (failed.retryable, "telegram:4711 was not reached" in failed.message) == (True, refusal.status != 429)
    assert telegram.arrived == []
    await chat.send(sent)
    assert [message.text for message in telegram.arrived] == ["again"]


async def test_what_could_not_leave_is_not_sent_by_the_gateway_beside_us(
    gateway: OpenClawGateway, chat: GatewayTransport, telegram: Telegram
) -> None:
    """A plain message that it could not send the gateway keeps: it says that it failed, and sends it all the same."""
    plain = {"action": "send", "channel": "telegram", "target": CHAT, "message": "kept by the gateway"}
    telegram.go()
    try:
        assert (await failure(chat, part("ours"))).retryable
        with pytest.raises(GatewayError):
            await gateway.invoke_tool("message", plain)
    finally:
        telegram.come()
    await eventually(lambda: telegram.arrived)
    assert [message.text for message in telegram.arrived] == ["kept by the gateway"]
    await chat.send(part("ours"))
    assert [message.text for message in telegram.arrived] == ["kept by the gateway", "ours"]


async def test_whether_a_chat_is_seen_can_be_asked(
    gateway: OpenClawGateway, chat: GatewayTransport, telegram: Telegram
) -> None:
    assert await chat.look()
    assert not await GatewayTransport(gateway, "telegram", "4712").look()
    with pytest.raises(GatewayError, match="does not accept the token"):
        await GatewayTransport(OpenClawGateway(url=gateway.url, token=SecretStr("wrong")), "telegram", CHAT).look()
    assert telegram.arrived == []


async def test_a_channel_that_is_not_there_is_told_and_so_is_a_wrong_token(gateway: OpenClawGateway) -> None:
    failed = await failure(GatewayTransport(gateway, "pigeon", "12345"), part("x"))
    assert "pigeon:12345 was not reached" in failed.message
    assert failed.hint
    assert "openclaw logs" in failed.hint
    wrong = OpenClawGateway(url=gateway.url, token=SecretStr("wrong"))
    assert not (await failure(GatewayTransport(wrong, "telegram", CHAT), part("x"))).retryable
