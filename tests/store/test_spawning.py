"""Spawn in the store: who asks, what is counted, and that a child is one, whoever asks how often and at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func
from sqlmodel import select

from ocs.errors import Refused, SpawnRefused
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchContext, DispatchKind, DispatchResult, RunStatus
from ocs.rules.spawn import Asker, Counted
from ocs.rules.tasks import BUILT_IN, Wish
from ocs.spec import Job, Spawn, parse
from ocs.store import Claimed, Store, audit, claim, dispatch_of, finish, spawning, tasks, withdraw_one
from ocs.store.tables_spawn import RunToken, Spawned
from ocs.store.tasks import Ask, Begun, NewTask

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
BY = Attribution("nightly (run 1)", "run", NOW)
TEMPLATE = Job.model_validate(BUILT_IN)
GRANT = Spawn(may=("subagent",), max_open=3, per_hour=5)
NIGHTLY = parse(
    {
        "id": "nightly",
        "run": "ocs dispatch start",
        "spawn": GRANT.model_dump(mode="json"),
        "limits": {"overlap": "allow"},
        "retry": {"max": 2},
    }
)
FAILED = DispatchResult(RunStatus.ERROR, error="no")


async def run(store: Store, dispatch: Dispatch | None = None, job: Job = NIGHTLY) -> DispatchContext:
    dispatch = dispatch or Dispatch(DispatchKind.MANUAL, NOW)
    verdict = await claim(store, job, dispatch, flow_run_id=uuid4(), owner="worker", now=NOW)
    assert isinstance(verdict, Claimed)
    return verdict.context


async def end(store: Store, context: DispatchContext, result: DispatchResult, job: Job = NIGHTLY) -> list[UUID]:
    outcome = await finish(store, job, context, result, children=(), now=NOW, spread=0)
    return [row.id for row in outcome.consequences]


async def again(store: Store, context: DispatchContext, job: Job = NIGHTLY) -> DispatchContext:
    """The run fails, and its next attempt begins."""
    (following,) = await end(store, context, FAILED, job)
    return await run(store, await dispatch_of(store, following), job)


async def asker(store: Store, context: DispatchContext, grant: Spawn = GRANT) -> Asker:
    return await spawning.asker_by_token(store, await spawning.issue_token(store, context.run_id, grant, ("ops",)))


async def ask(store: Store, who: Asker, label: str, at: datetime = NOW, due: datetime | None = None) -> Begun:
    wish = Wish(text="Look.", label=label, quiet=True)
    document = TEMPLATE.document()
    new = NewTask(label=label, template="subagent", agent="main", text="Look.", document=document, due_at=due)
    by = Attribution(BY.actor, BY.source, at)
    (begun,) = await tasks.start(store, [new], max_queued={"subagent": 500}, ask=Ask(who, [wish]), by=by)
    return begun


async def count(store: Store, who: Asker, at: datetime = NOW) -> Counted:
    async with store.reading() as session:
        return await spawning.counted(session, who, at)


async def work(store: Store, dispatch_id: UUID, result: DispatchResult | None) -> list[UUID]:
    """The child begins, and ends so."""
    context = await run(store, await dispatch_of(store, dispatch_id), TEMPLATE)
    return await end(store, context, result, TEMPLATE) if result else []


async def test_a_token_is_known_while_its_run_runs_and_kept_as_a_hash(store: Store) -> None:
    context = await run(store)
    token = await spawning.issue_token(store, context.run_id, GRANT, ("ops",))
    who = await spawning.asker_by_token(store, token)
    assert (who.run_id, who.root_run, who.lineage) == (context.run_id, context.run_id, ("nightly",))
    assert (who.grant, who.tells, who.depth_left) == (GRANT, ("ops",), 1)
    async with store.reading() as session:
        (kept,) = await session.scalars(select(RunToken))
    assert token.partition(".")[2] not in kept.model_dump_json()
    for forged in ("", "x", token[:-1], f"{uuid4().hex}.{token.partition('.')[2]}", "\udce4.\udce4", token.upper()):
        with pytest.raises(Refused, match="is not the token of a run"):
            await spawning.asker_by_token(store, forged)
    other = await spawning.issue_token(store, (await run(store)).run_id, GRANT, ())
    with pytest.raises(Refused, match="is not the token of a run"):
        await spawning.asker_by_token(store, f"{token.partition('.')[0]}.{other.partition('.')[2]}")
    await end(store, context, DispatchResult(RunStatus.OK))
    with pytest.raises(Refused, match=r"a run that has ended \(ok\)"):
        await spawning.asker_by_token(store, token)


async def test_asked_again_by_a_retry_or_a_replay_it_is_the_first_child(store: Store) -> None:
    context = await run(store)
    first = await ask(store, await asker(store, context), "follow-up")
    second = await again(store, context)
    who = await asker(store, second)
    assert (who.run_id, who.root_run) == (second.run_id, context.run_id)
    same = await ask(store, who, "follow-up")
    assert (same.task.id, same.already) == (first.task.id, True)
    await withdraw_one(store, first.task.id, by=Attribution("ann", "cli", NOW))
    same = await ask(store, await asker(store, await again(store, second)), "follow-up")
    assert (same.task.id, same.already) == (first.task.id, True)  # what a person has withdrawn does not come back
    other_run = await ask(store, await asker(store, await run(store)), "follow-up")
    assert other_run.already is False


async def test_what_was_started_before_is_told_though_nothing_more_may_be_started(store: Store) -> None:
    who = await asker(store, await run(store))
    begun = [await ask(store, who, f"child-{number}") for number in range(3)]
    with pytest.raises(SpawnRefused) as refused:
        await ask(store, who, "child-3")
    assert [problem.path for problem in refused.value.problems] == ["spawn.max_open"]
    assert (await ask(store, who, "child-1")).task.id == begun[1].task.id


async def test_all_that_its_job_s_runs_have_started_is_counted_until_nothing_of_it_follows(store: Store) -> None:
    who, sister = await asker(store, await run(store)), await asker(store, await run(store))
    first, second = await ask(store, who, "one"), await ask(store, sister, "two")
    assert await count(store, who) == Counted(2, 2, 2)
    (following,) = await work(store, first.task.id, FAILED)
    assert await count(store, who) == Counted(2, 2, 2)
    context = await run(store, await dispatch_of(store, following), TEMPLATE)
    assert await count(store, sister) == Counted(2, 2, 2)
    await end(store, context, DispatchResult(RunStatus.OK), TEMPLATE)
    await withdraw_one(store, second.task.id, by=BY)
    assert await count(store, who) == Counted(0, 2, 0)
    assert await count(store, who, NOW + timedelta(hours=1)) == Counted(0, 0, 0)
    stranger = await asker(store, await run(store, job=NIGHTLY.changed({"id": "hourly"})))
    await ask(store, who, "three")
    assert await count(store, stranger) == Counted(0, 0, 1)


async def test_a_child_s_children_count_for_the_first_and_reach_no_deeper(store: Store) -> None:
    deep = Spawn(may=("subagent",), depth=2)
    who = await asker(store, await run(store), deep)
    child = await ask(store, who, "child")
    working = await run(store, await dispatch_of(store, child.task.id), TEMPLATE)
    second_attempt = await again(store, working, TEMPLATE)
    parent = await asker(store, second_attempt, Spawn(may=("subagent",), depth=5))
    assert (parent.root_run, parent.lineage, parent.depth_left) == (who.root_run, ("nightly", "subagent"), 1)
    grandchild = await ask(store, parent, "grandchild")
    assert await count(store, who) == Counted(2, 2, 2)
    last = await asker(store, await run(store, await dispatch_of(store, grandchild.task.id), TEMPLATE), deep)
    with pytest.raises(SpawnRefused) as refused:
        await ask(store, last, "too-deep")
    assert [problem.path for problem in refused.value.problems] == ["spawn.depth"]
    assert (await ask(store, last, "child")).task.id == child.task.id


async def test_runs_that_ask_at_once_never_have_more_than_their_job_may(store: Store) -> None:
    """By max_open, then by per_hour; the same label asked for at once is one child."""
    askers = [await asker(store, await run(store)) for _ in range(3)]

    async def wish(number: int) -> Begun | None:
        try:
            return await ask(store, askers[number % 3], f"child-{number // 2}-of-{number % 3}")
        except SpawnRefused:
            return None

    found = [begun for begun in await asyncio.gather(*(wish(number) for number in range(18))) if begun]
    assert len({begun.task.id for begun in found}) == 3
    assert await count(store, askers[0]) == Counted(3, 3, 3)
    for task_id in {begun.task.id for begun in found}:
        await work(store, task_id, DispatchResult(RunStatus.OK))
    more = [begun for begun in await asyncio.gather(*(wish(number) for number in range(18, 36))) if begun]
    assert len({begun.task.id for begun in more}) == 2
    assert await count(store, askers[0]) == Counted(2, 5, 2)
    same = await asyncio.gather(*(ask(store, askers[0], "x", NOW + timedelta(hours=1)) for _ in range(4)))
    assert len({begun.task.id for begun in same}) == 1


async def test_a_time_that_is_past_is_refused_but_not_for_what_was_started_before(store: Store) -> None:
    who = await asker(store, await run(store))
    begun = await ask(store, who, "later", due=NOW + timedelta(hours=1))
    assert begun.dispatch is not None
    assert begun.dispatch.scheduled_for == NOW + timedelta(hours=1)
    at = NOW + timedelta(hours=2)
    assert (await ask(store, who, "later", at, due=NOW + timedelta(hours=1))).already is True
    with pytest.raises(Refused, match="is past; nothing was started"):
        await ask(store, who, "too-late", at, due=NOW + timedelta(hours=1))


async def test_a_refusal_is_audited_but_not_for_ever(store: Store) -> None:
    who = await asker(store, await run(store))
    with pytest.raises(SpawnRefused) as refused:
        await spawning.objected(store, who, [Wish(text="x", template="other", label=None)], NOW)
    for _ in range(spawning.MOST_REFUSALS + 2):
        await spawning.note_refusal(store, who, ["x"], refused.value, BY)
    found = [event for event in await audit.events(store, limit=1000) if event.action == "spawn-refused"]
    assert (len(found), found[0].actor, found[0].run_id) == (spawning.MOST_REFUSALS, BY.actor, who.run_id)
    why = (found[0].after or {})["why"]
    assert [line.partition(":")[0] for line in why] == ["label", "as"]


async def test_notes_go_when_neither_a_run_nor_a_dispatch_needs_them(store: Store) -> None:
    who = await asker(store, await run(store))
    begun = await ask(store, who, "one")
    await work(store, begun.task.id, DispatchResult(RunStatus.OK))
    assert [row.id for row in await spawning.children(store, [who.run_id])] == [begun.task.id]
    assert await spawning.prune_spawned(store, before=NOW + timedelta(days=90)) == 0
    async with store.transaction() as session:
        session.add(_forgotten(who))
    assert await spawning.prune_spawned(store, before=NOW + timedelta(days=90)) == 1
    async with store.reading() as session:
        assert (await session.scalars(select(func.count()).select_from(Spawned))).one() == 1


def _forgotten(who: Asker) -> Spawned:
    return Spawned(
        id=uuid4(),
        label="gone",
        job_id="subagent",
        spawned_by=who.run_id,
        root_run=who.root_run,
        root_job=who.root_job,
        lineage=list(who.lineage),
        depth_left=0,
        created_at=NOW,
    )
