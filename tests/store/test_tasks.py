"""Tasks in the store: written with their dispatches, all or none, and told by all their attempts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from ocs.errors import NotFound, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.costs import Tokens, Use
from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.tasks import BUILT_IN, Report, TaskStatus
from ocs.spec import Job
from ocs.store import Claimed, Store, abandon, claim, deliveries, dispatch_of, finish, queries, tasks, withdraw_one
from ocs.store.tasks import Begun, NewTask

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
BY = Attribution("ann", "cli", NOW)
JOB = Job.model_validate(BUILT_IN)
MOST = {"subagent": 500}


def task(label: str | None = "one", **fields: Any) -> NewTask:
    given: dict[str, Any] = {
        "template": "subagent",
        "agent": "main",
        "text": "Look.",
        "document": JOB.document(),
        **fields,
    }
    return NewTask(label=label, **given)


async def start(store: Store, *new: NewTask, most: int = 500, at: datetime = NOW) -> list[Begun]:
    return await tasks.start(store, new, max_queued={"subagent": most}, by=replace(BY, now=at))


async def attempt(
    store: Store, dispatch_id: Any, result: DispatchResult | None, at: timedelta, job: Job = JOB
) -> list[Any]:
    """Claim a dispatch, and finish it; returns the dispatches that follow."""
    dispatch = await dispatch_of(store, dispatch_id)
    assert dispatch is not None
    verdict = await claim(store, job, dispatch, flow_run_id=uuid4(), owner="worker", now=NOW + at)
    assert isinstance(verdict, Claimed)
    if result is None:
        return []
    outcome = await finish(store, job, verdict.context, result, children=(), now=NOW + at, spread=0)
    return [row.id for row in outcome.consequences]


async def status(store: Store, label: str = "one") -> TaskStatus:
    return (await tasks.by_label(store, label)).status


async def test_a_task_is_its_dispatch_and_all_its_attempts(store: Store) -> None:
    (begun,) = await start(store, task())
    assert begun.dispatch is not None
    assert (begun.task.id, begun.task.conversation) == (begun.dispatch.id, begun.dispatch.id)
    assert begun.dispatch.parameters == {"job": JOB.document()}
    assert await status(store) is TaskStatus.QUEUED
    failed = DispatchResult(RunStatus.ERROR, error="It is overloaded.")
    (second,) = await attempt(store, begun.task.id, failed, timedelta(0))
    assert await status(store) is TaskStatus.RETRYING
    (third,) = await attempt(store, second, DispatchResult(RunStatus.CRASHED, error="x"), timedelta(minutes=1))
    await attempt(store, third, None, timedelta(minutes=2))
    assert await status(store) is TaskStatus.RUNNING
    told = await tasks.by_label(store, "one")
    assert [run.attempt for run in told.runs] == [1, 2, 2]
    assert [told.task.id for told in await tasks.open_ones(store)] == [begun.task.id]


async def test_people_hear_of_a_task_once_when_nothing_more_of_it_follows(store: Store) -> None:
    told = JOB.changed({"deliver": {"when": "always", "to": "ops"}, "retry": {"max": 1}, "name": "one"})
    (begun,) = await start(store, task(document=told.document()))
    failed = DispatchResult(RunStatus.ERROR, error="It is overloaded.")
    (second,) = await attempt(store, begun.task.id, failed, timedelta(0), told)
    assert await deliveries.unsent(store) == []
    await attempt(store, second, failed, timedelta(minutes=1), told)
    (delivery,) = await deliveries.unsent(store)
    assert delivery.subject == "one: failed"


async def test_a_label_belongs_to_one_task_until_that_has_ended(store: Store) -> None:
    (first,) = await start(store, task())
    with pytest.raises(Refused, match='"one" is queued already'):
        await start(store, task("two"), task("one"))
    with pytest.raises(NotFound):
        await tasks.by_label(store, "two")
    await attempt(store, first.task.id, None, timedelta(0))
    with pytest.raises(Refused, match=r'"one" is running already \(run '):
        await start(store, task())
    (other,) = await start(store, task("other"))
    await attempt(store, other.task.id, DispatchResult(RunStatus.OK), timedelta(0))
    later = NOW + timedelta(seconds=1)
    (again,) = await start(store, replace(task("other"), goes_on_with=other.task), at=later)
    assert (again.task.id != other.task.id, again.task.conversation) == (True, other.task.id)


async def test_one_that_is_withdrawn_frees_its_label(store: Store) -> None:
    (first,) = await start(store, task())
    await withdraw_one(store, first.task.id, by=BY)
    assert await status(store) is TaskStatus.WITHDRAWN
    await start(store, task(), at=NOW + timedelta(seconds=1))
    assert await status(store) is TaskStatus.QUEUED


async def test_the_same_wish_twice_at_once_is_one_task(store: Store) -> None:
    """By its key; acceptance row 105."""
    found = await asyncio.gather(*(start(store, task(f"label-{n}", key="ticket 42")) for n in range(4)))
    begun = [each for (each,) in found]
    assert len({each.task.id for each in begun}) == 1
    assert [each.already for each in begun].count(False) == 1
    assert len(await queries.open_dispatches(store)) == 1


async def test_of_many_none_is_started_when_one_cannot_be(store: Store) -> None:
    with pytest.raises(Refused, match='"x" stands there twice'):
        await start(store, task("x"), task("y"), task("x"))
    await start(store, *(task(None) for _ in range(3)))
    with pytest.raises(Refused, match='3 tasks of "subagent" wait already, 2 more would be too many'):
        await start(store, task("a"), task("b"), most=4)
    assert len(await queries.open_dispatches(store)) == 3


async def test_a_key_that_stands_twice_among_many_starts_none(store: Store) -> None:
    with pytest.raises(Refused, match='"k" stands there twice') as refused:
        await start(store, task("x", key="k"), task("y", key="k"))
    assert refused.value.hint == "Give each task its own key."
    assert await tasks.newest(store, limit=9) == []


@pytest.mark.parametrize("has_begun", [False, True])
async def test_who_handed_over_a_task_hears_that_it_can_never_begin(store: Store, has_begun: bool) -> None:
    told = JOB.changed({"deliver": {"when": "always", "to": "ops"}, "name": "one"})
    (begun,) = await start(store, task(document=told.document()))
    open_one = begun.task.id
    if has_begun:
        failed = DispatchResult(RunStatus.ERROR, error="It is overloaded.")
        (open_one,) = await attempt(store, begun.task.id, failed, timedelta(0), told)
    for _ in range(2):
        await abandon(store, open_one, why="its template is not rolled out any more", now=NOW)
    (delivery,) = await deliveries.unsent(store)
    assert (delivery.subject, delivery.target) == ("one: withdrawn", "ops")
    begins = "It is not tried again" if has_begun else "It never began"
    assert delivery.body.startswith(f"{begins}: its template is not rolled out any more.")


async def test_of_a_quiet_task_that_can_never_begin_nobody_hears(store: Store) -> None:
    (begun,) = await start(store, task())
    await abandon(store, begun.task.id, why="it is gone", now=NOW)
    assert await deliveries.unsent(store) == []


async def test_a_conversation_is_gone_on_with_by_one_task_at_a_time(store: Store) -> None:
    (first,) = await start(store, task())
    await attempt(store, first.task.id, DispatchResult(RunStatus.OK), timedelta(0))
    with pytest.raises(Refused, match='The conversation of "one" can be gone on with by one task at a time'):
        await start(store, *(task(label, goes_on_with=first.task) for label in ("two", "three")))
    (second,) = await start(store, task("two", goes_on_with=first.task))
    with pytest.raises(Refused, match='"two" goes on in the conversation of "one", and is queued'):
        await start(store, task("three", goes_on_with=first.task))
    await attempt(store, second.task.id, DispatchResult(RunStatus.OK), timedelta(0))
    await start(store, task("three", goes_on_with=first.task))


async def test_what_an_agent_does_is_kept_while_it_runs_and_not_after(store: Store) -> None:
    (begun,) = await start(store, task())
    await attempt(store, begun.task.id, None, timedelta(0))
    (run,) = (await tasks.by_label(store, "one")).runs
    use = Use("stub/echo", 2, Tokens(input=2**40 - 5, cached=5, output=7), cost=250_000, unpriced=1)
    await tasks.note_activity(store, run.id, doing="exec: make", now=NOW, uses=[use])
    (run,) = (await tasks.by_label(store, "one")).runs
    assert (run.doing, run.last_activity_at) == ("exec: make", NOW)
    assert (run.tokens_in, run.tokens_cached, run.tokens_out) == (2**40, 5, 7)
    assert (run.cost, run.cost_at_least) == (250_000, True)


async def test_the_last_report_counts_and_is_audited(store: Store) -> None:
    (begun,) = await start(store, task())
    for summary in ("nearly", "It works."):
        await tasks.write_report(store, begun.task, Report(summary, {"work_complete": True}, "abcdef1"), by=BY)
    told = await tasks.by_label(store, "one")
    assert told.task.reported_at == NOW
    assert told.task.report == {
        "summary": "It works.", "checklist": {"work_complete": True}, "sha": "abcdef1", "by": "ann",
    }  # fmt: skip


async def test_a_task_is_kept_as_long_as_its_runs_or_its_dispatch(store: Store) -> None:
    await start(store, task())
    assert await tasks.prune_tasks(store, before=NOW + timedelta(days=90)) == 0
