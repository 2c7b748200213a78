"""Steers in the store: taken while a task goes on, refused once it ends, none between the two."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.steering import MOST_UNREAD, SteerOutcome
from ocs.store import Store, audit, steers, tasks, withdraw_one
from ocs.store.tables_tasks import Steer, Task
from tests.store.test_tasks import BY, JOB, NOW, attempt, start, task

FAILED = DispatchResult(RunStatus.ERROR, error="It is overloaded.")


async def running(store: Store) -> tuple[Task, UUID]:
    (begun,) = await start(store, task())
    await attempt(store, begun.task.id, None, timedelta(0))
    last = (await tasks.by_label(store, "one")).last
    assert last is not None
    return begun.task, last.id


async def say(
    store: Store, to: Task, text: str = "Leave the fixtures.", *, at_once: bool = False, by: Attribution = BY
) -> Steer:
    return (await steers.add(store, to, text, at_once=at_once, by=by))[0]


async def outcomes(store: Store, of: Task) -> list[tuple[str, int]]:
    return [(str(each.outcome), each.told) for each in await steers.of_task(store, of.id)]


async def test_a_steer_is_kept_and_audited_whatever_the_task_waits_for(store: Store) -> None:
    (begun,) = await start(store, task())
    first = await say(store, begun.task, by=replace(BY, now=NOW))
    (second,) = await attempt(store, begun.task.id, FAILED, timedelta(0))
    await say(store, begun.task, "And hurry.", at_once=True, by=replace(BY, now=NOW + timedelta(seconds=1)))
    await attempt(store, second, None, timedelta(minutes=1))
    found = await steers.unsettled(store, [begun.task.id, uuid4()])
    assert [(each.id, each.text, each.actor, each.at_once) for each in found] == [
        (first.id, "Leave the fixtures.", "ann", False),
        (found[1].id, "And hurry.", "ann", True),
    ]
    steered = [event for event in await audit.events(store) if event.action == "task-steered"]
    assert sorted(event.after["text"] for event in steered if event.after) == ["And hurry.", "Leave the fixtures."]


async def test_one_that_has_ended_hears_nothing_any_more(store: Store) -> None:
    (begun,) = await start(store, task())
    await attempt(store, begun.task.id, DispatchResult(RunStatus.OK), timedelta(0))
    with pytest.raises(Refused, match=r"one has ended \(ok, .*\)") as refused:
        await say(store, begun.task)
    assert refused.value.hint == "Go on with it: ocs dispatch start --continue one"
    (other,) = await start(store, task("other"))
    await withdraw_one(store, other.task.id, by=BY)
    with pytest.raises(Refused, match=r"other has ended \(withdrawn\)"):
        await say(store, other.task)
    assert await steers.of_task(store, begun.task.id) == []


async def test_what_a_person_decides_on_is_not_changed_by_a_steer(store: Store) -> None:
    guarded = JOB.changed({"approval": {"required": True}})
    (begun,) = await start(store, task(document=guarded.document()))
    with pytest.raises(Refused, match="waits for a person who decides on it as it stands"):
        await say(store, begun.task)


async def test_only_so_much_may_be_unread(store: Store) -> None:
    to, run_id = await running(store)
    said = [await say(store, to, f"{number}") for number in range(MOST_UNREAD)]
    with pytest.raises(Refused, match=f"one has {MOST_UNREAD} steers unread"):
        await say(store, to)
    await steers.tell(store, [said[0].id], run_id)
    await say(store, to)


async def test_a_task_ends_when_nothing_is_left_to_be_told(store: Store) -> None:
    to, run_id = await running(store)
    steer = await say(store, to)
    assert not await steers.close(store, to.id, run_id)
    await steers.tell(store, [steer.id], run_id)
    assert not await steers.close(store, to.id, run_id)
    await steers.settle(store, [steer.id], SteerOutcome.READ, now=NOW)
    assert await steers.close(store, to.id, run_id)
    with pytest.raises(Refused, match="one is ending: its agent has said its last word"):
        await say(store, to)


async def test_what_one_attempt_leaves_the_next_one_hears(store: Store) -> None:
    (begun,) = await start(store, task())
    await say(store, begun.task)
    (second,) = await attempt(store, begun.task.id, FAILED, timedelta(0))
    first = (await tasks.by_label(store, "one")).last
    assert first is not None
    assert await steers.close(store, begun.task.id, first.id, leave_unread=True)
    await say(store, begun.task, "More.")  # it is to be tried again
    await attempt(store, second, None, timedelta(minutes=1))
    await say(store, begun.task, "And more.")
    assert len(await steers.unsettled(store, [begun.task.id])) == 3


async def test_a_steer_that_comes_as_the_task_ends_is_told_or_refused(store: Store) -> None:
    """Never taken and swallowed: whichever of the two is first, the other one sees it."""
    for _ in range(5):
        (begun,) = await start(store, task(label=None))
        await attempt(store, begun.task.id, None, timedelta(0))
        last = (await tasks.by_label(store, begun.task.label)).last
        assert last is not None
        said, closed = await asyncio.gather(
            say(store, begun.task), steers.close(store, begun.task.id, last.id), return_exceptions=True
        )
        assert isinstance(said, Refused) is closed


async def test_telling_is_noted_before_and_taken_back_when_it_was_not_done(store: Store) -> None:
    to, run_id = await running(store)
    steer = await say(store, to)
    assert await steers.tell(store, [steer.id], run_id, while_pending=True) == 1
    assert await steers.tell(store, [steer.id], uuid4(), while_pending=True) == 0  # another process was first
    assert await outcomes(store, to) == [("sent", 1)]
    await steers.take_back(store, [steer.id], uuid4(), SteerOutcome.PENDING)  # by one that had not told it
    assert await outcomes(store, to) == [("sent", 1)]
    await steers.take_back(store, [steer.id], run_id, SteerOutcome.HELD)
    assert await outcomes(store, to) == [("held", 0)]
    assert await steers.tell(store, [steer.id], run_id, while_pending=True) == 0
    assert await steers.tell(store, [steer.id], run_id) == 1
    await steers.settle(store, [steer.id], SteerOutcome.READ, now=NOW)
    await steers.settle(store, [steer.id], SteerOutcome.UNSURE, now=NOW)
    assert await steers.tell(store, [steer.id], run_id) == 0
    assert await outcomes(store, to) == [("read", 1)]


async def test_another_conversation_is_told_all_again(store: Store) -> None:
    to, run_id = await running(store)
    read, new = await say(store, to), await say(store, to, "New.")
    await steers.tell(store, [read.id], run_id)
    await steers.settle(store, [read.id], SteerOutcome.READ, now=NOW)
    await steers.renew(store, to.id)
    assert {each.id for each in await steers.unsettled(store, [to.id])} == {read.id, new.id}
    assert await outcomes(store, to) == [("pending", 0), ("pending", 0)]


async def test_steers_go_with_their_task(store: Store) -> None:
    (begun,) = await start(store, task())
    await say(store, begun.task)
    async with store.transaction() as session:
        await session.delete(await session.get_one(Task, begun.task.id))
    assert await steers.of_task(store, begun.task.id) == []
