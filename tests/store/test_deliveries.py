"""Deliveries in the store: written with what causes them, taken by one sender, given up after a bound (W50)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.spec import Job
from ocs.store import Claimed, Outcome, Store, claim, deliveries, finish, open_store
from ocs.store.deliveries import Sending
from ocs.store.retention import prune
from ocs.store.tables_delivery import Delivery, DeliveryStatus
from tests.store.expiry import leases_run_out

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FAILED = DispatchResult(RunStatus.ERROR, error="Exited with code 3.", exit_code=3, images=("/tmp/chart.png",))


async def write(store: Store, *, run_id: UUID | None = None, dedup: str | None = None, now: datetime = NOW) -> None:
    async with store.transaction() as session:
        deliveries.enqueue(
            session,
            job_id="load",
            run_id=run_id,
            targets=["ops"],
            subject="load: failed",
            body="It failed.\x00",
            kind="crash",
            now=now,
            dedup=dedup,
        )


async def take(store: Store, now: datetime = NOW, **which: Any) -> list[Sending]:
    return await deliveries.take_due(store, now=now, limit=10, **which)


async def only(store: Store) -> Delivery:
    (row,) = await deliveries.unsent(store)
    return row


async def end(store: Store, document: dict[str, Any], result: DispatchResult) -> tuple[UUID, Outcome]:
    job = Job.model_validate({"id": "load", "run": "true", "deliver": {"to": "ops"}, **document})
    claimed = await claim(store, job, Dispatch(DispatchKind.MANUAL, NOW), flow_run_id=uuid4(), owner="w", now=NOW)
    assert isinstance(claimed, Claimed)
    link = "http://127.0.0.1:4200/runs/flow-run/1"
    ended = await finish(store, job, claimed.context, result, children=(), now=NOW, spread=0, link=link)
    return claimed.context.run_id, ended


async def test_a_delivery_is_written_with_the_end_of_its_run(store: Store) -> None:
    run_id, _ = await end(store, {"retry": {"max": 1}}, FAILED)
    (row,) = (await deliveries.of_runs(store, [run_id]))[run_id]
    assert (row.job_id, row.kind, row.target, row.subject) == ("load", "run", "ops", "load: failed")
    assert row.body.startswith("Exited with code 3. Retry 1 of 1 follows in 30s.")
    assert row.body.endswith("Run: http://127.0.0.1:4200/runs/flow-run/1")
    assert (row.images, row.status, row.attempts) == (["/tmp/chart.png"], DeliveryStatus.PENDING, 0)


async def test_a_run_that_was_cut_off_is_told_with_what_follows(store: Store) -> None:
    """The reference lost at-most-once runs in silence (W52)."""
    crashed = DispatchResult(RunStatus.CRASHED, error="Its worker was cut off while it ran.")
    run_id, _ = await end(store, {}, crashed)
    (row,) = (await deliveries.of_runs(store, [run_id]))[run_id]
    assert row.subject == "load: crashed"
    assert row.body.startswith("Its worker was cut off while it ran.")


@pytest.mark.parametrize(
    ("document", "result"),
    [
        ({}, DispatchResult(RunStatus.OK)),
        ({}, DispatchResult(RunStatus.CANCELLED)),
        ({"deliver": {"when": "never"}}, FAILED),
        ({"deliver": None}, FAILED),
    ],
)
async def test_nobody_is_told_what_nobody_wants_to_hear(
    store: Store, document: dict[str, Any], result: DispatchResult
) -> None:
    await end(store, document, result)
    assert await deliveries.unsent(store) == []


async def test_each_of_several_targets_is_told_once_and_by_itself(store: Store) -> None:
    await end(store, {"deliver": {"when": "always", "to": "news", "on_failure": ["ops", "night-shift"]}}, FAILED)
    sendings = await take(store)
    assert {sending.target for sending in sendings} == {"ops", "night-shift"}
    again = next(sending for sending in sendings if sending.target == "ops")
    other = next(sending for sending in sendings if sending.target == "night-shift")
    await deliveries.mark_failed(store, again, error="away", again_at=NOW, now=NOW)
    await deliveries.mark_sent(store, other, now=NOW)
    assert [sending.target for sending in await take(store)] == ["ops"]


async def test_a_transaction_that_fails_leaves_no_delivery(store: Store) -> None:
    async def write_and_fail() -> None:
        async with store.transaction() as session:
            deliveries.enqueue(
                session, job_id="a", run_id=None, targets=["ops"], subject="a", body="b", kind="crash", now=NOW
            )
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write_and_fail()
    assert await deliveries.unsent(store) == []


async def test_of_many_senders_one_gets_it(store: Store, store_url: str) -> None:
    others = [store, open_store(store_url), open_store(store_url)]
    for number in range(5):
        await write(store, now=NOW - timedelta(seconds=number))
    taken = await asyncio.gather(*(take(others[number % 3]) for number in range(30)))
    for other in others[1:]:
        await other.close()
    ids = [sending.id for sendings in taken for sending in sendings]
    assert len(ids) == len(set(ids)) == 5


async def test_what_two_wrote_at_the_same_time_is_sent_once(store: Store, store_url: str) -> None:
    second = open_store(store_url)
    await asyncio.gather(*(write((store, second)[number % 2], dedup="crash:1") for number in range(10)))
    await second.close()
    (sending,) = await take(store)
    await deliveries.mark_sent(store, sending, now=NOW)
    await write(store, dedup="crash:1", now=NOW - timedelta(hours=1))  # its clock is behind
    assert await take(store) == []
    assert await deliveries.unsent(store) == []


async def test_a_sender_that_died_is_followed_after_its_lease_by_one_that_goes_on(store: Store) -> None:
    await write(store)
    (first,) = await take(store)
    assert await deliveries.note_part(store, first, sent=1, parts=3)
    assert await take(store, NOW + timedelta(days=1)) == []  # its clock is ahead
    await leases_run_out(store, Delivery)
    (second,) = await take(store)
    assert (second.parts_sent, second.attempt) == (1, 2)
    # The first was only slow: what it does now changes nothing.
    assert not await deliveries.note_part(store, first, sent=2, parts=3)
    await deliveries.mark_failed(store, first, error="late", again_at=None, now=NOW)
    await deliveries.mark_sent(store, first, now=NOW)
    row = await only(store)
    assert (row.status, row.parts_sent, row.last_error) == (DeliveryStatus.PENDING, 1, None)


async def test_a_failed_attempt_waits_for_its_time_and_the_last_one_is_a_dead_letter(store: Store) -> None:
    await write(store)
    (sending,) = await take(store)
    soon = NOW + timedelta(seconds=30)
    await deliveries.mark_failed(store, sending, error="It answered 500.\x1b[31m", again_at=soon, now=NOW)
    assert await take(store, soon - timedelta(seconds=1)) == []
    (sending,) = await take(store, soon)
    await deliveries.mark_failed(store, sending, error="x" * 9999, again_at=None, now=soon)
    assert await take(store, soon + timedelta(days=1)) == []
    row = await only(store)
    assert (row.status, row.attempts, row.ended_at, len(row.last_error or "")) == (DeliveryStatus.FAILED, 2, soon, 500)


async def test_a_person_tries_a_dead_letter_again_and_its_parts_are_not_repeated(store: Store) -> None:
    await write(store)
    (sending,) = await take(store)
    await deliveries.note_part(store, sending, sent=2, parts=3)
    await deliveries.mark_failed(store, sending, error="gone", again_at=None, now=NOW)
    await deliveries.try_again(store, sending.id, by=Attribution("ann", "cli", NOW))
    (again,) = await take(store)
    assert (again.parts_sent, again.attempts, again.attempt) == (2, 2, 1)
    await deliveries.mark_sent(store, again, now=NOW)
    assert await deliveries.unsent(store) == []
    with pytest.raises(Refused, match="was sent"):
        await deliveries.try_again(store, sending.id, by=Attribution("ann", "cli", NOW))


async def test_a_withdrawn_delivery_is_not_sent_and_a_sender_stops(store: Store) -> None:
    await write(store)
    (sending,) = await take(store)
    await deliveries.withdraw_delivery(store, sending.id, by=Attribution("ann", "cli", NOW))
    assert not await deliveries.note_part(store, sending, sent=1, parts=2)
    assert await take(store, NOW + timedelta(days=1)) == []
    with pytest.raises(Refused, match="does not wait"):
        await deliveries.withdraw_delivery(store, sending.id, by=Attribution("ann", "cli", NOW))


async def test_the_deliveries_of_one_run_can_be_taken_alone(store: Store) -> None:
    run_id = uuid4()
    await write(store)
    await write(store, run_id=run_id)
    assert [sending.run_id for sending in await take(store, run_id=run_id)] == [run_id]
    assert [sending.run_id for sending in await take(store)] == [None]
    assert {row.body for row in await deliveries.unsent(store, job="load")} == {"It failed."}


async def test_what_was_sent_is_forgotten_after_a_while_and_a_dead_letter_is_not(store: Store) -> None:
    for _ in range(3):
        await write(store)
    sent, dead, _ = await take(store)
    await deliveries.mark_sent(store, sent, now=NOW)
    await deliveries.mark_failed(store, dead, error="gone", again_at=None, now=NOW)
    later = NOW + timedelta(days=40)
    assert await deliveries.prune_deliveries(store, before=NOW) == 0
    assert (await prune(store, {}, otherwise=1, now=later)).deliveries == 1
    assert len(await deliveries.unsent(store)) == 2
