"""Sending what waits: tried again, given up, never twice, whatever the target does. With a real Prefect server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr
from sqlmodel import select

from blocks.target import DeliveryTarget
from ocs.rules.attribution import Attribution
from ocs.rules.delivery_retry import MOST_ATTEMPTS
from ocs.store import Store, deliveries
from ocs.store.tables_delivery import Delivery, DeliveryStatus
from tasks.adapter import runtime
from tasks.delivery.send import deliver_leftovers, deliver_soon, finish_sending
from tests.delivery.receiver import Answer, Receiver

pytestmark = pytest.mark.e2e
SECRET = "correct-horse-battery"
RUN = uuid4()


@pytest.fixture
async def store(prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setenv("OCS_STORE_URL", f"sqlite+aiosqlite:///{tmp_path / 'store.db'}")
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        yield await runtime.store()
        await finish_sending()
        await runtime.close_store()


Make = Callable[[Block], Awaitable[str]]


@pytest.fixture
async def make(store: Store) -> AsyncIterator[Make]:
    """Saves a block under a name of the test's own."""
    made: list[tuple[type[Block], str]] = []

    async def save(block: Block) -> str:
        name = f"ops-{uuid4().hex[:8]}"
        await block.save(name)  # pyright: ignore[reportGeneralTypeIssues]
        made.append((type(block), name))
        return name

    yield save
    for kind, name in made:
        await kind.adelete(name)


@pytest.fixture
async def ops(make: Make, hook: Receiver) -> str:
    return await make(webhook(hook))


def webhook(hook: Receiver) -> DeliveryTarget:
    return DeliveryTarget(kind="webhook", url=SecretStr(f"{hook.url}/{SECRET}"))


async def write(store: Store, target: str, body: str = "It failed.", **changes: Any) -> None:
    about: dict[str, Any] = {"job_id": "load", "run_id": RUN, "subject": "load: failed", "kind": "run", **changes}
    async with store.transaction() as session:
        deliveries.enqueue(session, targets=(target,), body=body, now=datetime.now(UTC), **about)


async def row_of(store: Store, run_id: UUID = RUN) -> Delivery:
    (row,) = (await deliveries.of_runs(store, [run_id]))[run_id]
    return row


async def time_passes(store: Store) -> None:
    """Whatever waits for a moment has waited long enough."""
    async with store.transaction() as session:
        for row in await session.scalars(select(Delivery)):
            row.next_attempt_at = datetime.now(UTC)
            row.lease_until = datetime.now(UTC) if row.lease_until else None


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await look():
            await asyncio.sleep(0.02)


async def test_a_webhook_that_is_broken_for_a_while_gets_it_once_it_works(
    store: Store, ops: str, hook: Receiver
) -> None:
    hook.answer = lambda received: Answer(500 if len(received) < 4 else 200)
    await write(store, ops)
    await deliver_leftovers()
    row = await row_of(store)
    assert (row.status, row.attempts) == (DeliveryStatus.PENDING, 1)
    assert row.last_error == "The webhook at 127.0.0.1 answered 500 Internal Server Error."
    assert row.next_attempt_at > datetime.now(UTC) + timedelta(seconds=10)
    await deliver_leftovers()
    assert len(hook.received) == 1  # it is not its time yet
    for _ in range(3):
        await time_passes(store)
        await deliver_leftovers()
    row = await row_of(store)
    assert (row.status, row.attempts, row.last_error) == (DeliveryStatus.SENT, 4, None)
    assert len({each.headers["webhook-id"] for each in hook.received}) == 1


async def test_a_webhook_that_stays_broken_ends_as_a_dead_letter_that_a_person_can_send(
    store: Store, ops: str, hook: Receiver
) -> None:
    hook.answer = lambda _: Answer(500)
    await write(store, ops)
    for _ in range(MOST_ATTEMPTS + 3):
        await deliver_leftovers()
        await time_passes(store)
    row = await row_of(store)
    assert (row.status, len(hook.received)) == (DeliveryStatus.FAILED, MOST_ATTEMPTS)
    hook.answer = lambda _: Answer(200)
    await deliveries.try_again(store, row.id, by=Attribution("ann", "cli", datetime.now(UTC)))
    await deliver_leftovers()
    assert (await row_of(store)).status is DeliveryStatus.SENT


async def test_what_can_never_go_well_is_given_up_at_once(store: Store, ops: str, hook: Receiver) -> None:
    hook.answer = lambda _: Answer(400)
    await write(store, ops)
    await deliver_leftovers()
    assert ((await row_of(store)).status, len(hook.received)) == (DeliveryStatus.FAILED, 1)


async def test_a_target_that_is_missing_is_named_and_may_be_made_later(
    store: Store, make: Make, hook: Receiver
) -> None:
    name = f"later-{uuid4().hex[:8]}"
    await write(store, f"@{name}")
    await deliver_leftovers()
    error = (await row_of(store)).last_error or ""
    assert f'There is no delivery target "{name}".' in error
    assert "ocs targets add" in error
    await webhook(hook).save(name)  # pyright: ignore[reportGeneralTypeIssues]
    await time_passes(store)
    await deliver_leftovers()
    await DeliveryTarget.adelete(name)
    assert (await row_of(store)).status is DeliveryStatus.SENT


async def test_a_target_that_was_deleted_is_named(store: Store, ops: str, hook: Receiver) -> None:
    hook.answer = lambda _: Answer(500)
    await write(store, ops)
    await deliver_leftovers()
    saved = await DeliveryTarget.aload(ops)
    await DeliveryTarget.adelete(ops)
    await time_passes(store)
    await deliver_leftovers()
    await saved.save(ops)  # pyright: ignore[reportGeneralTypeIssues]
    row = await row_of(store)
    assert (row.status, row.attempts) == (DeliveryStatus.PENDING, 2)
    assert "There is no delivery target" in (row.last_error or "")


async def test_a_prefect_server_that_is_away_is_waited_for(store: Store, ops: str, hook: Receiver) -> None:
    await write(store, ops)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        await deliver_leftovers()
        await finish_sending()
    row = await row_of(store)
    assert row.status is DeliveryStatus.PENDING
    assert row.last_error == "The Prefect server, which knows the target, cannot be reached."
    await time_passes(store)
    await deliver_leftovers()
    assert hook.texts() == ["It failed."]


async def test_two_senders_at_once_send_it_once(store: Store, ops: str, hook: Receiver) -> None:
    for number in range(5):
        await write(store, ops, f"message {number}")
    await asyncio.gather(*(deliver_leftovers() for _ in range(4)), deliver_soon(RUN))
    assert sorted(hook.texts()) == [f"message {number}" for number in range(5)]


async def test_one_bad_message_stops_no_other(store: Store, ops: str, hook: Receiver) -> None:
    await write(store, "no such target at all")
    await write(store, f"nothing-{uuid4().hex[:8]}")
    await write(store, ops, "the good one")
    await deliver_leftovers()
    assert hook.texts() == ["the good one"]


async def test_a_slow_receiver_delays_nobody(store: Store, ops: str, hook: Receiver) -> None:
    answering = threading.Event()

    def answer(_: Any) -> Answer:
        answering.wait(60)
        return Answer()

    hook.answer = answer
    await write(store, ops)
    (row,) = await deliver_soon(RUN)
    assert row.status is DeliveryStatus.PENDING
    answering.set()

    async def sent() -> bool:
        return (await row_of(store)).status is DeliveryStatus.SENT

    await until(sent)
    assert len(hook.received) == 1


async def test_the_end_of_a_run_waits_for_what_the_tick_took_first(
    store: Store, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCLAW_GATEWAY_URL", hook.url)
    answering = threading.Event()

    def answer(received: list[Any]) -> Answer:
        answering.wait(60)
        return Answer(200, b'{"ok": true}')

    hook.answer = answer
    await write(store, "telegram:1", "hello")
    tick = asyncio.create_task(deliver_leftovers())

    async def on_its_way() -> bool:
        return len(hook.received) == 1

    await until(on_its_way)
    end_of_run = asyncio.create_task(deliver_soon(RUN))
    answering.set()
    (row,) = await end_of_run
    assert row.status is DeliveryStatus.SENT
    await tick


async def test_a_sender_that_dies_is_followed_by_one_that_repeats_no_acknowledged_part(
    store: Store, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCLAW_GATEWAY_URL", hook.url)
    release = threading.Event()

    def answer(received: list[Any]) -> Answer:
        if len(received) == 2:
            release.wait(60)
        return Answer(200, b'{"ok": true}')

    hook.answer = answer
    await write(store, "telegram:1", "word " * 2000)
    dying = asyncio.create_task(deliver_soon(RUN))

    async def second_part_is_on_its_way() -> bool:
        return len(hook.received) == 2

    await until(second_part_is_on_its_way)
    await dying
    for task in [each for each in asyncio.all_tasks() if "_send_all_of" in repr(each.get_coro())]:
        task.cancel()  # as when its process ends
        await asyncio.wait({task})
    release.set()
    assert ((await row_of(store)).parts_sent, (await row_of(store)).parts) == (1, 3)
    await deliver_leftovers()
    assert len(hook.received) == 2  # it may still be alive
    await time_passes(store)
    await deliver_leftovers()
    said = [each.json["args"] for each in hook.received]
    texts = [args["presentation"]["blocks"][0]["text"] for args in said]
    assert [text[:5] for text in texts] == ["[1/3]", "[2/3]", "[2/3]", "[3/3]"]
    assert said[1]["idempotencyKey"] == said[2]["idempotencyKey"]
    assert (await row_of(store)).status is DeliveryStatus.SENT


async def test_a_target_that_was_changed_meanwhile_gets_all_of_it(
    store: Store, make: Make, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCLAW_GATEWAY_URL", hook.url)
    hook.answer = lambda received: Answer(200 if len(received) != 2 else 500, b'{"ok": true}')
    name = await make(DeliveryTarget(kind="gateway", channel="telegram", recipient="1"))
    await write(store, name, "word " * 2000)
    await deliver_leftovers()
    await webhook(hook).save(name, overwrite=True)  # pyright: ignore[reportGeneralTypeIssues]
    await time_passes(store)
    await deliver_leftovers()
    assert hook.received[-1].json["text"].count("word") == 2000


async def test_a_notification_block_is_told_by_its_name_or_through_a_target(
    store: Store, make: Make, hook: Receiver
) -> None:
    block = CustomWebhookNotificationBlock(name="ops", url=hook.url, json_data={"text": "{{subject}} | {{body}}"})
    slug = f"custom-webhook/{await make(block)}"
    through = await make(DeliveryTarget(kind="notification", block=slug))
    for target in (slug, through):
        await write(store, target, images=["/tmp/chart.png"])
    await deliver_leftovers()
    assert hook.texts() == ["load: failed | It failed.\n\nImage: /tmp/chart.png"] * 2


async def test_nothing_secret_is_stored(
    store: Store, ops: str, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    hook.answer = lambda _: Answer(500)
    await write(store, ops)
    await deliver_leftovers()
    assert SECRET not in (await row_of(store)).model_dump_json()
    assert SECRET not in caplog.text
