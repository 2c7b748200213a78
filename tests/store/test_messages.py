"""Messages in the store: order, turns that hold and settle them, readers of a broadcast, receipts, retention."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from ocs.errors import NotFound, Refused
from ocs.rules.dispatch import Dispatch, DispatchContext, DispatchKind, DispatchResult, RunStatus
from ocs.rules.messages import BROADCAST, Draft, Event, InboxMessage, Kind, Priority
from ocs.spec import Job
from ocs.store import Claimed, Store, claim, close_run, deliveries, finish, inbox, leases, messages, open_store
from ocs.store.retention import prune
from ocs.store.tables_messages import Message

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
NOBODY = {"when": "never", "opt_out_reason": "a test"}
BRIEF = {"id": "brief", "run": {"agent": "Write."}, "limits": {"overlap": "allow"}, "deliver": NOBODY}
JOB = Job.model_validate(BRIEF)
OK = DispatchResult(RunStatus.OK, content="done")
FAILED = DispatchResult(RunStatus.ERROR, error="The agent reports a failure.")
DEFERRED = DispatchResult(RunStatus.ERROR, error="Deferred: it is away.", retry_in=MINUTE, skip_delivery=True)
REFUSED = DispatchResult(RunStatus.ERROR, error="The gateway does not accept the token.", retryable=False)


async def send(store: Store, body: str = "Hello.", to: str = "main", *, now: datetime = NOW, **fields: Any) -> Message:
    return await messages.send(store, Draft("ann", to, body, **fields), now=now)


async def begun(store: Store, now: datetime = NOW, job: Job = JOB) -> DispatchContext:
    dispatch = Dispatch(DispatchKind.MANUAL, now)
    verdict = await claim(store, job, dispatch, flow_run_id=uuid4(), owner="worker", now=now)
    assert isinstance(verdict, Claimed), verdict
    return verdict.context


async def take(store: Store, run: DispatchContext, agent: str = "main", now: datetime = NOW) -> list[InboxMessage]:
    return await inbox.take(store, agent, run.run_id, now=now)


async def turn(
    store: Store, result: DispatchResult = OK, *, agent: str = "main", now: datetime = NOW, job: Job = JOB
) -> list[str]:
    """A whole turn; returns the bodies that it was shown."""
    run = await begun(store, now, job)
    shown = await take(store, run, agent, now)
    await finish(store, job, run, result, children=(), now=now)
    return [message.body for message in shown]


async def pending(store: Store, reader: str = "main", *, now: datetime = NOW, **which: bool) -> list[str]:
    return [message.body for message in await inbox.inbox(store, reader, now=now, **which)]


async def events(store: Store, message: Message) -> list[tuple[str, Event]]:
    found = (await messages.receipts_of(store, [message]))[message.id]
    return [(receipt.reader, receipt.event) for receipt in found]


async def test_an_inbox_is_in_order_of_kind_priority_and_age(store: Store) -> None:
    """Acceptance row 88."""
    kinds = ("constraint", "decision", "fact", "task", "preference", "text", "result", "status", "system", "spawn")
    wanted: list[str] = []
    for kind in kinds[:5]:
        for priority in ("urgent", "high", "normal"):
            wanted += [f"{kind} {priority} {age}" for age in ("old", "new")]
    for priority in ("urgent", "high", "normal"):
        wanted += [f"{kind} {priority} {age}" for age in ("old", "new") for kind in kinds[5:]]
    for number, body in enumerate(reversed(wanted)):
        kind, priority, age = body.split()
        at = NOW - DAY + timedelta(hours=age == "new", seconds=len(wanted) - number)
        await send(store, body, kind=Kind(kind), priority=Priority(priority), now=at)
    found = await inbox.inbox(store, "main", now=NOW, limit=100)
    assert [message.body for message in found] == wanted
    assert await turn(store) == wanted[:5]
    assert await turn(store) == wanted[5:10]


async def test_only_what_is_addressed_to_an_agent_is_shown_to_it(store: Store) -> None:
    """Acceptance row 61."""
    await send(store, "for main")
    await send(store, "for research", "research")
    await send(store, "for all", BROADCAST, now=NOW + SECOND)
    assert await turn(store, agent="research") == ["for research", "for all"]
    assert await turn(store, agent="nobody") == ["for all"]
    assert await turn(store) == ["for main", "for all"]


async def test_every_reader_sees_a_broadcast_and_none_takes_it_away(store: Store) -> None:
    """Acceptance row 91, W32."""
    message = await send(store, "for all", BROADCAST)
    for reader in ("main", "research", "ann"):
        assert await turn(store, agent=reader) == ["for all"]
        assert await turn(store, agent=reader) == []
    assert await pending(store, "somebody new") == ["for all"]
    assert sorted(await events(store, message)) == [(reader, Event.DELIVERED) for reader in ("ann", "main", "research")]


@pytest.mark.parametrize("result", [FAILED, DEFERRED, REFUSED, DispatchResult(RunStatus.TIMEOUT, error="slow")])
async def test_a_turn_that_does_not_end_well_leaves_its_messages_waiting(store: Store, result: DispatchResult) -> None:
    await send(store)
    assert await turn(store, result) == ["Hello."]
    assert await pending(store) == ["Hello."]
    assert await turn(store) == ["Hello."]
    assert await turn(store) == []


async def test_each_turn_leaves_a_trail_and_one_that_never_was_leaves_none(store: Store) -> None:
    """Acceptance row 89."""
    message = await send(store)
    for number, result in enumerate((DEFERRED, FAILED, REFUSED, OK)):
        await turn(store, result, now=NOW + number * SECOND)
    assert await events(store, message) == [("main", Event.ERROR), ("main", Event.DELIVERED)]
    failed, delivered = (await messages.receipts_of(store, [message]))[message.id]
    assert failed.detail == FAILED.error
    assert [found.id for found, _ in await inbox.shown_to(store, delivered.run_id or uuid4())] == [message.id]


async def test_a_turn_holds_what_it_is_shown_while_it_goes_on(store: Store) -> None:
    for number in range(7):
        await send(store, str(number), now=NOW + number * SECOND)
    now = NOW + MINUTE
    first, second = await begun(store, now), await begun(store, now)
    assert [message.body for message in await take(store, first, now=now)] == list("01234")
    assert [message.body for message in await take(store, second, now=now)] == list("56")
    assert await pending(store, now=now) == list("0123456")  # nothing is delivered yet
    await finish(store, JOB, first, FAILED, children=(), now=now)
    assert await turn(store, now=now) == list("01234")
    await finish(store, JOB, second, OK, children=(), now=now)
    assert await pending(store, now=now) == []


async def test_asked_again_for_the_same_run_it_gives_the_same(store: Store) -> None:
    """Its answer may have been lost, and what comes meanwhile would count as shown without being so."""
    for number in range(3):
        await send(store, str(number), now=NOW + number * SECOND)
    run = await begun(store, NOW + MINUTE)
    first = await take(store, run, now=NOW + MINUTE)
    await send(store, "urgent", priority=Priority.URGENT, now=NOW + MINUTE)
    assert await take(store, run, now=NOW + MINUTE) == first
    await finish(store, JOB, run, OK, children=(), now=NOW + MINUTE)
    assert await pending(store, now=NOW + MINUTE) == ["urgent"]


async def test_turns_that_begin_at_once_share_an_inbox_and_each_message_is_shown_once(
    store: Store, store_url: str
) -> None:
    others = [open_store(store_url) for _ in range(4)]
    for other in others:
        await inbox.unread(other, "main", now=NOW)  # its connection is there
    for attempt in range(5):
        for number in range(12):
            await send(store, f"{attempt}.{number}", now=NOW + number * SECOND)
        runs = [await begun(store, NOW + MINUTE) for _ in others]
        both = zip(others, runs, strict=True)
        taken = await asyncio.gather(*(take(other, run, now=NOW + MINUTE) for other, run in both))
        shown = sorted(message.body for held in taken for message in held)
        assert shown == sorted(f"{attempt}.{number}" for number in range(12))
        for run in runs:
            await finish(store, JOB, run, OK, children=(), now=NOW + MINUTE)
    for other in others:
        await other.close()


async def crash(store: Store, run: DispatchContext) -> None:
    await finish(store, JOB, run, DispatchResult(RunStatus.CRASHED, error="cut off"), children=(), now=NOW)


async def cancel(store: Store, run: DispatchContext) -> None:
    await finish(store, JOB, run, DispatchResult(RunStatus.CANCELLED), children=(), now=NOW)


async def close(store: Store, run: DispatchContext) -> None:
    (lease,) = [lease for lease in await leases(store) if lease.context.run_id == run.run_id]
    await close_run(store, lease, RunStatus.CANCELLED, why="Its job is unknown.", now=NOW)


async def forget(store: Store, run: DispatchContext) -> None:
    async with store.transaction() as session:
        await session.execute(text("DELETE FROM run"))


@pytest.mark.parametrize("end", [crash, cancel, close, forget])
async def test_whatever_ends_a_turn_lets_go_of_what_it_held(
    store: Store, end: Callable[[Store, DispatchContext], Awaitable[None]]
) -> None:
    message = await send(store)
    run = await begun(store)
    await take(store, run)
    assert await turn(store) == []
    await end(store, run)
    assert await turn(store) == ["Hello."]
    assert sorted(await events(store, message)) == [("main", Event.ATTEMPT), ("main", Event.DELIVERED)]


async def test_a_turn_that_was_taken_for_crashed_delivers_nothing_when_it_comes_back(store: Store) -> None:
    await send(store)
    run = await begun(store)
    await take(store, run)
    await crash(store, run)
    assert (await finish(store, JOB, run, OK, children=(), now=NOW)).stale
    assert await pending(store) == ["Hello."]


async def test_a_message_on_which_every_turn_fails_steps_aside_for_the_others(store: Store) -> None:
    """W50."""
    await send(store, "poison")
    now = NOW
    for _ in range(3):
        assert await turn(store, FAILED, now=now) == ["poison"]
        now += SECOND
    await send(store, "harmless", now=now)
    assert await turn(store, now=now) == ["harmless"]
    assert await pending(store, now=now) == ["poison"]
    assert await turn(store, FAILED, now=now + 10 * MINUTE) == ["poison"]
    assert await turn(store, now=now + 20 * MINUTE) == []
    assert await turn(store, now=now + 31 * MINUTE) == ["poison"]


async def test_an_expired_message_waits_no_more_from_its_instant_on(store: Store) -> None:
    """Acceptance row 90; no sweeper has to come for it."""
    ends = NOW + MINUTE
    await send(store, expires_at=ends)
    assert await pending(store, now=ends - timedelta(microseconds=1)) == ["Hello."]
    assert await pending(store, now=ends, delivered=True) == []
    assert await inbox.unread(store, "main", now=ends) == 0
    assert await turn(store, now=ends) == []
    assert await pending(store, now=ends, everything=True) == ["Hello."]


async def test_a_chat_delivery_is_in_no_inbox_and_no_turn_takes_it(store: Store) -> None:
    """W7."""
    telling = Job.model_validate({**BRIEF, "id": "tell", "deliver": {"when": "always", "to": "telegram:1"}})
    await turn(store, job=telling)
    assert await turn(store, agent="main") == []
    assert await pending(store, "telegram:1", everything=True) == []
    (waiting,) = await deliveries.take_due(store, now=NOW, limit=10)
    assert waiting.target == "telegram:1"


async def test_reading_and_acknowledging_leave_receipts(store: Store) -> None:
    """Acceptance row 89."""
    message = await send(store)
    assert await messages.read(store, message, by=None, login="ann", now=NOW) == "main"
    await messages.read(store, message, by="bob", login="ann", now=NOW + SECOND)
    await messages.acknowledge(store, message, by="bob", login="ann", detail="done", now=NOW + MINUTE)
    await messages.acknowledge(store, message, by=None, login="ann", now=NOW + 2 * MINUTE)
    trail = (await messages.receipts_of(store, [message]))[message.id]
    assert [(receipt.event, receipt.actor, receipt.detail) for receipt in trail] == [
        (Event.READ, "ann", None),
        (Event.ACK, "bob", "done"),
        (Event.ACK, "ann", None),
    ]
    assert await turn(store) == []


async def test_of_a_broadcast_the_reader_is_named(store: Store) -> None:
    message = await send(store, "for all", BROADCAST)
    for by in (None, BROADCAST, " "):
        with pytest.raises(Refused):
            await messages.acknowledge(store, message, by=by, login="ann", now=NOW)
    assert await messages.acknowledge(store, message, by="main", login="ann", now=NOW) == "main"
    assert await pending(store) == []
    assert await pending(store, "research") == ["for all"]


async def test_all_that_waits_for_a_reader_is_read_at_once(store: Store) -> None:
    await send(store, "delivered")
    await turn(store)
    for number in range(4):
        await send(store, str(number))
    await send(store, "for all", BROADCAST)
    await send(store, "for another", "research")
    assert await inbox.unread(store, "main", now=NOW) == 6
    assert sorted(await pending(store, delivered=True)) == sorted(["delivered", *await pending(store)])
    assert await inbox.read_all(store, "main", login="ann", now=NOW) == 6
    assert await inbox.read_all(store, "main", login="ann", now=NOW) == 0
    assert await inbox.unread(store, "main", now=NOW) == 0
    assert sorted(await pending(store, "research")) == ["for all", "for another"]


async def test_a_thread_is_a_message_and_its_direct_answers(store: Store) -> None:
    question = await send(store, "How full?")
    answer = await send(store, "90 percent.", reply_to=question.id, now=NOW + SECOND)
    await send(store, "And now?", reply_to=question.id, now=NOW + MINUTE)
    await send(store, "Thanks.", reply_to=answer.id, now=NOW + MINUTE)
    assert [reply.body for reply in await messages.replies_to(store, question.id)] == ["90 percent.", "And now?"]
    assert [sent.body for sent in await messages.outbox(store, "ann", limit=3)][-1] == "90 percent."
    with pytest.raises(NotFound, match="reply to"):
        await send(store, reply_to=uuid4())
    assert len(await messages.outbox(store, "ann")) == 4


async def test_a_message_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    message = await send(store)
    for given in (str(message.id)[:8], str(message.id), message.id.hex[:10].upper()):
        assert (await messages.by_prefix(store, given)).id == message.id
    for given in ("", str(message.id)[:3], "zzzz", "%", "____"):
        with pytest.raises(NotFound):
            await messages.by_prefix(store, given)


async def test_what_programs_keep_with_a_message_comes_back_as_it_was(store: Store) -> None:
    kept = {"nul": "a\0b", "half": "\ud800", "deep": [{"x": None}], "big": 2**70, "ümlaut": 1.5}
    message = await send(store, metadata=kept)
    assert (await messages.by_prefix(store, str(message.id))).about == kept


@pytest.mark.parametrize("column", ["kind", "priority"])
async def test_the_database_itself_refuses_what_is_no_kind(store: Store, column: str) -> None:
    await send(store)
    with pytest.raises(IntegrityError):
        async with store.transaction() as session:
            await session.execute(text(f"UPDATE message SET {column} = 'splendid'"))


async def kept(store: Store, at: datetime) -> set[str]:
    await prune(store, {}, otherwise=100, now=at)
    return {message.body for message in await messages.outbox(store, "ann", limit=1000)}


async def test_what_was_seen_or_is_over_is_forgotten_after_its_time_and_what_waits_never(store: Store) -> None:
    """B-7.3, without its loss of results and system messages that nobody had seen."""
    for kind in (Kind.TEXT, Kind.RESULT, Kind.SYSTEM):
        await send(store, f"delivered {kind}", kind=kind)
        await turn(store)
    for kind in (Kind.TEXT, Kind.RESULT):
        message = await send(store, f"read {kind}", kind=kind)
        await messages.read(store, message, by=None, login="ann", now=NOW)
        await send(store, f"expired {kind}", kind=kind, expires_at=NOW + SECOND)
    waits = {f"waits {kind}" for kind in Kind}
    for kind in Kind:
        await send(store, f"waits {kind}", kind=kind)
    longer = {"read text", "expired text"}
    short = {"delivered text", "delivered result", "delivered system", "read result", "expired result"}
    assert await kept(store, NOW + 3 * DAY) == waits | longer | short
    assert await kept(store, NOW + 3 * DAY + MINUTE) == waits | longer
    assert await kept(store, NOW + 30 * DAY) == waits | longer
    assert await kept(store, NOW + 30 * DAY + MINUTE) == waits
    assert await kept(store, NOW + 4000 * DAY) == waits
    async with store.reading() as session:
        assert (await session.execute(text("SELECT count(*) FROM message_receipt"))).scalar_one() == 0


async def test_a_broadcast_is_kept_until_it_has_expired_whoever_has_seen_it(store: Store) -> None:
    message = await send(store, "for all", BROADCAST, expires_at=NOW + 90 * DAY)
    await turn(store)
    await messages.read(store, message, by="ann", login="ann", now=NOW)
    assert await kept(store, NOW + 89 * DAY) == {"for all"}
    assert await kept(store, NOW + 121 * DAY) == set()


async def test_an_answer_outlives_its_question(store: Store) -> None:
    question = await send(store, "How full?", expires_at=NOW + SECOND)
    await send(store, "90 percent.", reply_to=question.id)
    assert await kept(store, NOW + 31 * DAY) == {"90 percent."}
