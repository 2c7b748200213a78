"""Every way of sending, against a real server: what arrives, what counts as arrived, and what an error says."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from apprise.plugins.telegram import NotifyTelegram
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from pydantic import SecretStr, ValidationError

from blocks.gateway import OpenClawGateway
from blocks.gateway_transport import GatewayTransport
from blocks.notification_transport import AppriseTransport, NotificationTransport
from blocks.target import DeliveryTarget, transport_of
from blocks.transport import Part, Transport, Undelivered
from blocks.webhook_transport import WebhookTransport
from ocs.rules.parts import numbered
from tests.conftest import Times
from tests.delivery.receiver import Answer, Receiver
from tests.gateway.telegram import telegram_server
from tests.unit.test_deliveries_document import documented_check

PART = Part("5f0c-1", "load: failed", "Exited with code 3.\n\nGrüße", about={"job": "load", "part": 1, "parts": 1})
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SECRET = "correct-horse-battery"


genuine = documented_check()


async def failure(transport: Transport, part: Part = PART) -> Undelivered:
    with pytest.raises(Undelivered) as failed:
        await transport.send(part)
    return failed.value


@pytest.fixture
def chart(tmp_path: Path) -> Part:
    path = tmp_path / "a chart.png"
    path.write_bytes(PIXEL)
    return Part("5f0c-2", "load: done", path.name, path)


def always(*answers: Answer) -> Any:
    """Those answers one after the other, the last one for ever."""
    return lambda received: answers[min(len(received), len(answers)) - 1]


async def test_a_webhook_gets_a_signed_document(hook: Receiver) -> None:
    await WebhookTransport(f"{hook.url}/in", SECRET).send(PART)
    (got,) = hook.received
    assert (got.path, got.json) == (
        "/in",
        {"job": "load", "part": 1, "parts": 1, "subject": PART.subject, "text": PART.text},
    )
    assert genuine(got.headers, got.body, SECRET)
    assert not genuine(got.headers, got.body + b" ", SECRET)
    assert not genuine(got.headers, got.body, "another secret")
    assert got.headers["webhook-id"] == "5f0c-1"


async def test_a_secret_may_be_written_as_other_programs_do(hook: Receiver) -> None:
    await WebhookTransport(hook.url, "whsec_" + base64.b64encode(SECRET.encode()).decode()).send(PART)
    assert genuine(hook.received[0].headers, hook.received[0].body, SECRET)


async def test_without_a_secret_nothing_is_signed(hook: Receiver) -> None:
    await WebhookTransport(hook.url, None).send(PART)
    assert "webhook-signature" not in hook.received[0].headers


@pytest.mark.parametrize(
    ("answer", "retryable", "told"),
    [
        (Answer(500), True, "answered 500"),
        (Answer(429, headers={"retry-after": "7"}), True, "answered 429"),
        (Answer(408), True, "answered 408"),
        (Answer(400), False, "answered 400"),
        (Answer(410), False, "answered 410"),
        (Answer(302, headers={"location": "http://127.0.0.1:1/"}), False, "answered 302"),
        (Answer(200, b'{"ok": false, "error": "channel_not_found"}'), True, "ok: false (channel_not_found)"),
    ],
)
async def test_what_is_no_acknowledgement_says_whether_to_try_again(
    hook: Receiver, answer: Answer, retryable: bool, told: str
) -> None:
    hook.answer = always(answer)
    failed = await failure(WebhookTransport(hook.url, None))
    assert (failed.retryable, told in failed.message) == (retryable, True), failed.message
    assert failed.retry_after == (timedelta(seconds=7) if "retry-after" in answer.headers else None)


async def test_a_receiver_that_repeats_the_address_or_the_secret_gives_them_to_nobody(hook: Receiver) -> None:
    hook.answer = always(
        Answer(200, b'{"ok": false, "error": "no hook of-this-test-0815, signed with top-secret-value"}')
    )
    failed = await failure(WebhookTransport(f"{hook.url}?token=of-this-test-0815", "top-secret-value"))
    assert "0815" not in failed.message
    assert "secret" not in failed.message


@pytest.mark.parametrize("body", [b"", b"thanks", b'{"ok": true}', b"[false]", b"<html>" + b"x" * 200_000, b"[" * 9999])
async def test_whatever_else_is_answered_with_200_is_an_acknowledgement(hook: Receiver, body: bytes) -> None:
    hook.answer = always(Answer(200, body))
    await WebhookTransport(hook.url, None).send(PART)


async def test_nobody_there_is_told_without_the_address(hook: Receiver) -> None:
    failed = await failure(WebhookTransport(f"http://127.0.0.1:9/{SECRET}", SECRET))
    assert failed.retryable
    assert SECRET not in failed.message


async def test_a_receiver_that_never_answers_is_left(hook: Receiver, times: Times) -> None:
    times(part=0.2)
    held: list[None] = []

    def hold(_: list[Any]) -> Answer:
        while not held:
            time.sleep(0.01)
        return Answer()

    hook.answer = hold
    assert "too long" in (await failure(WebhookTransport(hook.url, None))).message
    held.append(None)


async def test_an_image_goes_along(hook: Receiver, chart: Part) -> None:
    await WebhookTransport(hook.url, None).send(chart)
    image = hook.received[0].json["image"]
    assert (image["name"], image["type"], base64.b64decode(image["base64"])) == ("a chart.png", "image/png", PIXEL)
    await AppriseTransport(hook.url.replace("http:", "json:")).send(chart)
    (attached,) = hook.received[1].json["attachments"]
    assert (attached["filename"], base64.b64decode(attached["base64"])) == ("a chart.png", PIXEL)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("passwd", b"x", "name is not that of an image"),
        ("gone.png", None, "No such file"),
        ("big.png", b"x" * 9_000_000, "limit is"),
        ("pipe.png", os.mkfifo, "not a file"),
        ("endless.png", lambda path: path.symlink_to("/dev/zero"), "not a file"),
    ],
)
async def test_an_image_that_cannot_go_along_is_said(
    hook: Receiver, tmp_path: Path, name: str, content: bytes | Callable[[Path], None] | None, why: str
) -> None:
    path = tmp_path / name
    if callable(content):
        content(path)
    elif content is not None:
        path.write_bytes(content)
    part = Part("5f0c-2", "load: done", name, path)
    await WebhookTransport(hook.url, None).send(part)
    await AppriseTransport(hook.url.replace("http:", "json:")).send(part)
    hook.answer = always(Answer(200, b'{"ok": true}'))
    await GatewayTransport(OpenClawGateway(url=hook.url), "slack", "1").send(part)
    webhook, apprise, gateway = (each.json for each in hook.received)
    for text in (webhook["text"], apprise["message"], gateway["args"]["message"]):
        assert why in text
        assert str(path) in text
    assert "image" not in webhook
    assert apprise["attachments"] == []
    assert "buffer" not in gateway["args"]


async def test_a_channel_that_the_real_gateway_cannot_be_given_here_gets_a_message(hook: Receiver) -> None:
    hook.answer = always(Answer(200, b'{"ok": true, "result": {"messageId": "1"}}'))
    await GatewayTransport(OpenClawGateway(url=hook.url, token=SecretStr(SECRET)), "slack", "C1").send(PART)
    (got,) = hook.received
    assert got.json["tool"] == "message"
    assert got.json["args"] == {
        "action": "send",
        "channel": "slack",
        "target": "C1",
        "message": PART.text,
        "idempotencyKey": "5f0c-1",
    }


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"ok": False, "error": {"type": "tool_error", "message": "tool execution failed"}}, "tool execution failed"),
        ({"ok": True, "result": {"details": {"status": "suppressed", "reason": "no_visible_payload"}}}, "suppressed"),
        ({"ok": True, "result": {"details": {"deliveryStatus": "partial_failed"}}}, "partial_failed"),
    ],
)
async def test_an_answer_of_200_that_says_it_failed_is_a_failure(hook: Receiver, said: object, told: str) -> None:
    hook.answer = always(Answer(200, json.dumps(said).encode()))
    failed = await failure(GatewayTransport(OpenClawGateway(url=hook.url), "telegram", "-100"))
    assert "telegram:-100 was not reached" in failed.message
    assert (told in failed.message, failed.retryable, failed.hint and "its log" in failed.hint) == (True, True, True)


async def test_a_gateway_that_does_not_accept_the_token_is_not_asked_again(hook: Receiver) -> None:
    hook.answer = always(Answer(401))
    failed = await failure(GatewayTransport(OpenClawGateway(url=hook.url), "telegram", "-100"))
    assert (failed.retryable, "token" in failed.message) == (False, True)


async def test_only_telegram_is_cut_for(hook: Receiver) -> None:
    gateway = OpenClawGateway(url=hook.url)
    telegram = [GatewayTransport(gateway, "telegram", "1"), AppriseTransport("tgram://123456789:abcdefg_hijklmnop/1/")]
    assert all(transport.limit and transport.limit.most < 4096 for transport in telegram)
    assert [GatewayTransport(gateway, "slack", "1").limit, AppriseTransport("json://localhost").limit] == [None, None]


async def test_apprise_shows_telegram_exactly_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the longest subject, and as long as a part may be."""
    with telegram_server() as telegram:
        telegram.token = "123456789:abcdefghijklmnopqrstuvwxyz-abcdefg"
        monkeypatch.setattr(NotifyTelegram, "notify_url", f"{telegram.url}/bot")
        transport = AppriseTransport(f"tgram://{telegram.token}/4711/")
        assert transport.limit is not None
        text = numbered("a *b* <stdin> & __init__ \N{GRINNING FACE} " * 400, transport.limit)[0]
        await transport.send(Part("5f0c-1", f"{'x' * 100}: timed out", text))
        assert telegram.arrived[0].text.partition("\n")[2] == text


def notifier(hook: Receiver) -> NotificationTransport:
    block = CustomWebhookNotificationBlock(
        name="ops", url=f"{hook.url}/{{{{token}}}}", json_data={"title": "{{subject}}", "text": "{{body}}"},
        secrets={"token": SECRET},  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    return NotificationTransport(block, "custom-webhook/ops")


async def test_a_notification_block_is_told(hook: Receiver) -> None:
    await notifier(hook).send(PART)
    (got,) = hook.received
    assert (got.path, got.json) == (f"/{SECRET}", {"title": PART.subject, "text": PART.text})


async def test_a_notification_block_that_fails_keeps_its_secrets(hook: Receiver) -> None:
    hook.answer = always(Answer(500))
    failed = await failure(notifier(hook))
    assert "500" in failed.message
    assert SECRET not in failed.message


async def test_apprise_that_fails_keeps_its_secrets(hook: Receiver) -> None:
    hook.answer = always(Answer(403))
    failed = await failure(AppriseTransport(f"{hook.url.replace('http:', 'json:')}/{SECRET}"))
    assert "json did not take it" in failed.message
    assert SECRET not in failed.message
    assert not (await failure(AppriseTransport(f"nosuchservice://{SECRET}"))).retryable


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"kind": "gateway", "channel": "telegram", "recipient": "-100"}, "telegram:-100"),
        ({"kind": "webhook", "url": f"https://hooks.example.com/{SECRET}"}, "https://hooks.example.com/..."),
        ({"kind": "webhook", "url": f"http://ann:{SECRET}@127.0.0.1:1/", "secret": " "}, "http://127.0.0.1/..."),
        ({"kind": "notification", "block": "slack-webhook/ops"}, "slack-webhook/ops"),
        ({"kind": "apprise", "url": f"tgram://{SECRET}/1"}, "tgram://..."),
    ],
)
def test_a_target_says_where_it_goes_without_secrets(fields: dict[str, Any], where: str) -> None:
    target = DeliveryTarget(**fields)
    assert target.where == where
    assert SECRET not in repr(target)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"kind": "gateway", "channel": "telegram"}, "needs recipient"),
        ({"kind": "webhook", "url": " "}, "needs url"),
        ({"kind": "webhook", "url": f"ftp://{SECRET}"}, "begins with http"),
        ({"kind": "webhook", "url": "https://a", "secret": f"whsec_{SECRET}!"}, "not base64"),
        ({"kind": "notification", "block": "ops"}, "type and name"),
    ],
)
def test_a_target_that_cannot_work_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told) as refused:
        DeliveryTarget(**fields)
    assert SECRET not in str(refused.value)


async def test_a_target_of_a_kind_that_is_not_here_can_be_read_and_not_sent_to() -> None:
    """Its package may be uninstalled: what is to be told waits, and says why."""
    target = DeliveryTarget(kind="pigeon", url=SecretStr(SECRET))
    assert target.where == "unknown here"
    with pytest.raises(Undelivered, match="There is no kind of target 'pigeon' here; there are gateway") as refused:
        await transport_of(target)
    assert refused.value.retryable
