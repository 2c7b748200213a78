"""Trackers in the store: closed, told once and followed in the transaction that ends their last member."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from ocs.errors import NotFound, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchContext, DispatchKind, DispatchResult, RunStatus
from ocs.rules.tasks import BUILT_IN
from ocs.rules.trackers import MemberStatus, ThenOn, TrackerStatus
from ocs.spec import Job
from ocs.store import (
    Claimed,
    Store,
    abandon,
    claim,
    close_run,
    deliveries,
    dispatch_of,
    enqueue,
    finish,
    leases,
    queries,
    tasks,
    trackers,
    withdraw,
    withdraw_one,
)
from ocs.store.membership import NewTracker
from ocs.store.tables import DispatchRow, Run
from ocs.store.tasks import NewTask

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
BY = Attribution("ann", "cli", NOW)
JOB = Job.model_validate({**BUILT_IN, "retry": {"max": 0}})
HOUR = timedelta(hours=1)
OK = DispatchResult(RunStatus.OK)
FAILED = DispatchResult(RunStatus.ERROR, error="It broke.")


def new(name: str = "release", *members: str, **fields: Any) -> NewTracker:
    return NewTracker(name=name, members=members, targets=("ops",), then_job="publish", **fields)


async def started(store: Store, *labels: str, track: str = "release", tracker: NewTracker | None = None) -> list[UUID]:
    given = [
        NewTask(label=label, template="subagent", agent="main", text="x", document=JOB.document(), track=track)
        for label in labels
    ]
    begun = await tasks.start(store, given, max_queued={"subagent": 500}, tracker=tracker, by=BY)
    return [each.task.id for each in begun]


async def claimed(store: Store, dispatch_id: UUID, job: Job = JOB) -> DispatchContext:
    dispatch = await dispatch_of(store, dispatch_id)
    assert dispatch is not None
    verdict = await claim(store, job, dispatch, flow_run_id=uuid4(), owner="worker", now=NOW)
    assert isinstance(verdict, Claimed)
    return verdict.context


async def ended(store: Store, dispatch_id: UUID, result: DispatchResult = OK, job: Job = JOB) -> Any:
    return await finish(store, job, await claimed(store, dispatch_id, job), result, children=(), now=NOW)


async def told(store: Store) -> list[str]:
    return [delivery.subject for delivery in await deliveries.unsent(store)]


async def following(store: Store) -> list[str]:
    return [row.job_id for row in await queries.open_dispatches(store) if row.kind is DispatchKind.CHAIN]


async def status(store: Store, name: str = "release") -> TrackerStatus:
    return (await trackers.by_name(store, name))[0].status


async def stands(store: Store, name: str = "release") -> dict[str, str]:
    return {each.member.label: str(each.status) for each in (await trackers.by_name(store, name))[1]}


async def test_a_tracker_ends_with_its_last_member_is_told_once_and_followed(store: Store) -> None:
    """Acceptance rows 95 and 97: a gate is a tracker; it passes when all its members are done."""
    await trackers.create(store, new("release", "writer", "tester", "person"), by=BY)
    writer, tester = await started(store, "writer", "tester")
    assert await stands(store) == {"person": "pending", "tester": "pending", "writer": "pending"}
    await ended(store, writer)
    await trackers.heartbeat(store, "release", "person", by=BY)
    assert await stands(store) == {"person": "running", "tester": "pending", "writer": "completed"}
    await trackers.end_member(store, "release", "person", MemberStatus.COMPLETED, message="Looked.", by=BY)
    assert (await told(store), await following(store)) == ([], [])
    outcome = await ended(store, tester)
    assert await status(store) is TrackerStatus.COMPLETED
    assert await told(store) == ["release: completed (3 of 3 completed)"]
    assert [dispatch.job_id for dispatch in outcome.released] == ["publish"]
    tracker, _ = await trackers.by_name(store, "release")
    assert "- person: completed: Looked." in tracker.summary
    found = await trackers.of_dispatch(store, outcome.released[0].id)
    assert found is not None
    assert {member.label for member in found[1]} == {"writer", "tester", "person"}


@pytest.mark.parametrize(("on", "follows"), [(ThenOn.SUCCESS, []), (ThenOn.FAILURE, ["publish"])])
async def test_a_failed_member_makes_it_fail_once_all_have_ended(store: Store, on: ThenOn, follows: list[str]) -> None:
    first, second = await started(store, "a", "b", tracker=new(then_on=on))
    await ended(store, first, FAILED)
    assert await status(store) is TrackerStatus.OPEN
    await ended(store, second)
    assert (await status(store), await following(store)) == (TrackerStatus.FAILED, follows)
    assert await told(store) == ["release: failed (1 of 2 completed)"]


async def test_a_member_that_is_tried_again_has_not_ended(store: Store) -> None:
    retried = JOB.changed({"retry": {"max": 1}})
    (one,) = await started(store, "a", tracker=new())
    outcome = await ended(store, one, FAILED, retried)
    assert await status(store) is TrackerStatus.OPEN
    await ended(store, outcome.consequences[0].id, OK, retried)
    assert await status(store) is TrackerStatus.COMPLETED


async def test_a_failed_member_that_a_person_tries_again_counts_as_it_ends_then(store: Store) -> None:
    first, second = await started(store, "a", "b", tracker=new())
    await ended(store, first, FAILED)
    run = await queries.run_of_dispatch(store, first)
    assert run is not None
    again = await enqueue(store, "subagent", by=BY, after=run, parameters={"job": JOB.document()})
    await ended(store, second)
    assert await status(store) is TrackerStatus.OPEN
    await ended(store, again.id)
    assert (await status(store), await told(store)) == (
        TrackerStatus.COMPLETED,
        ["release: completed (2 of 2 completed)"],
    )


@pytest.mark.parametrize(
    "way", ["withdrawn", "all withdrawn", "abandoned", "cancelled by recovery", "skipped", "crashed"]
)
async def test_every_way_to_end_a_task_ends_its_member(store: Store, way: str) -> None:
    (one,) = await started(store, "a", tracker=new())
    match way:
        case "withdrawn":
            await withdraw_one(store, one, by=BY)
        case "all withdrawn":
            await withdraw(store, "subagent", by=BY)
        case "abandoned":
            await abandon(store, one, why="its template is gone", now=NOW)
        case "cancelled by recovery":
            await claimed(store, one)
            (lease,) = await leases(store)
            await close_run(store, lease, RunStatus.CANCELLED, why="It was cancelled.", now=NOW)
        case "crashed":
            run = {**BUILT_IN["run"], "guarantee": "at-most-once"}
            once = Job.model_validate({**BUILT_IN, "run": run, "retry": {"max": 0}})
            await ended(store, one, DispatchResult(RunStatus.CRASHED, error="Its worker is gone."), once)
        case _:
            dispatch = await dispatch_of(store, one)
            assert dispatch is not None
            await claim(store, JOB, dispatch, flow_run_id=uuid4(), owner="w", now=NOW, against="It may not run.")
    assert await status(store) is TrackerStatus.FAILED
    assert await told(store) == ["release: failed (0 of 1 completed)"]


async def test_of_members_that_end_at_once_one_closes_the_tracker(store: Store) -> None:
    """The reference never told of a group whose last member ended in another step."""
    labels = [f"m{n}" for n in range(4)]
    ids = await started(store, *labels, tracker=new("release", "person"))
    contexts = [await claimed(store, each) for each in ids]
    ends = [finish(store, JOB, context, OK, children=(), now=NOW) for context in contexts]
    person = trackers.end_member(store, "release", "person", MemberStatus.COMPLETED, message="", by=BY)
    looks = [trackers.look_at(store, tracker_id, NOW) for tracker_id in await trackers.look(store, NOW)]
    await asyncio.gather(*ends, person, *looks)
    assert await told(store) == ["release: completed (5 of 5 completed)"]
    assert (await following(store), await status(store)) == (["publish"], TrackerStatus.COMPLETED)


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["claim", "ok", "fail", "withdraw", "beat", "done", "late", "again"])),
    max_size=12,
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_whatever_happens_in_whatever_order_it_is_told_and_followed_once(store: Store, steps: Any) -> None:
    name = uuid4().hex[:12]
    tracker = new(name, "outside", then_on=ThenOn.COMPLETE, deadline_at=NOW + HOUR)
    ids = await started(store, f"{name}-a", f"{name}-b", track=name, tracker=tracker)
    running: dict[UUID, DispatchContext] = {}
    for which, step in steps:
        task_id = ids[which % 2]
        try:
            match step:
                case "claim" if task_id not in running:
                    running[task_id] = await claimed(store, task_id)
                case "ok" | "fail" if task_id in running:
                    await finish(store, JOB, running[task_id], OK if step == "ok" else FAILED, children=(), now=NOW)
                case "withdraw":
                    await withdraw_one(store, task_id, by=BY)
                case "beat":
                    await trackers.heartbeat(store, name, "outside", by=BY)
                case "done":
                    await trackers.end_member(store, name, "outside", MemberStatus.COMPLETED, message="", by=BY)
                case "late" | "again":
                    for each in await trackers.look(store, NOW):
                        await trackers.look_at(store, each, NOW + (2 * HOUR if step == "late" else timedelta(0)))
                case _:
                    pass
        except (Refused, AssertionError):
            continue
    found, members = await trackers.by_name(store, name)
    over = all(each.status.ended for each in members)
    assert (found.ended_at is not None) == over
    mine = [subject for subject in await told(store) if subject.startswith(name)]
    assert len(mine) == over
    assert (found.then_dispatch is not None) == over
    async with store.reading() as session:
        rows = list(await session.scalars(select(DispatchRow.id).where(DispatchRow.kind == DispatchKind.CHAIN)))
    assert rows.count(found.then_dispatch or uuid4()) == over


async def test_members_that_never_begin_are_dead_at_the_deadline_and_that_is_told(store: Store) -> None:
    """Acceptance row 95: the reference never announced a group that died by its timeout."""
    await trackers.create(store, new("release", "nobody", "outside", deadline_at=NOW + HOUR), by=BY)
    queued, running = await started(store, "queued", "running")
    await claimed(store, running)
    await trackers.heartbeat(store, "release", "outside", by=BY)
    (tracker_id,) = await trackers.look(store, NOW)
    assert not await trackers.look_at(store, tracker_id, NOW + HOUR - timedelta(seconds=1))
    assert not await trackers.look_at(store, tracker_id, NOW + HOUR)
    assert await stands(store) == {"nobody": "dead", "outside": "dead", "queued": "dead", "running": "running"}
    with pytest.raises(Refused, match=r"outside has ended \(dead, .*; nothing was changed\."):
        await trackers.heartbeat(store, "release", "outside", by=BY)
    run = await queries.run_of_dispatch(store, running)
    assert run is not None
    (lease,) = await leases(store)
    await close_run(store, lease, RunStatus.CRASHED, why="Its worker is gone.", now=NOW + HOUR)
    assert await told(store) == ["release: failed (0 of 4 completed)"]
    assert queued != running


async def test_a_member_that_sends_heartbeats_outlives_the_deadline(store: Store) -> None:
    """Acceptance row 96."""
    await trackers.create(store, new("release", "outside", deadline_at=NOW + HOUR), by=BY)
    (tracker_id,) = await trackers.look(store, NOW)
    late = NOW + 3 * HOUR
    await trackers.heartbeat(store, "release", "outside", by=Attribution("ann", "cli", late))
    assert not await trackers.look_at(store, tracker_id, late + timedelta(minutes=4))
    assert await trackers.look_at(store, tracker_id, late + timedelta(minutes=5))


async def test_an_end_that_nobody_noted_is_found_by_the_next_look(store: Store) -> None:
    (one,) = await started(store, "a", tracker=new())
    await claimed(store, one)
    async with store.transaction() as session:
        run = (await session.scalars(select(Run).where(Run.dispatch_id == one))).one()
        run.status, run.finished_at = RunStatus.OK, NOW
    (tracker_id,) = await trackers.look(store, NOW)
    assert await trackers.look_at(store, tracker_id, NOW)
    assert await told(store) == ["release: completed (1 of 1 completed)"]


async def test_closing_it_is_told_and_nothing_follows(store: Store) -> None:
    (one,) = await started(store, "a", tracker=new(then_on=ThenOn.COMPLETE))
    await trackers.close(store, "release", why="not needed", by=BY)
    assert (await status(store), await following(store)) == (TrackerStatus.CLOSED, [])
    assert await told(store) == ["release: closed (0 of 1 completed)"]
    await ended(store, one)
    assert len(await told(store)) == 1
    with pytest.raises(Refused, match=r"release has ended \(closed"):
        await trackers.close(store, "release", why="", by=BY)
    assert (await trackers.by_name(store, "release"))[0].summary.startswith("ann closed it: not needed")


async def test_a_name_is_open_once_and_free_again_afterwards(store: Store) -> None:
    await trackers.create(store, new("release", "a"), by=BY)
    with pytest.raises(Refused, match='The tracker "release" is open already'):
        await trackers.create(store, new("release", "b"), by=BY)
    await trackers.close(store, "release", why="", by=BY)
    await trackers.create(store, new("release", "b"), by=Attribution("ann", "cli", NOW + HOUR))
    assert await stands(store) == {"b": "pending"}


async def test_a_task_for_a_tracker_that_takes_none_is_not_started(store: Store) -> None:
    with pytest.raises(NotFound, match='There is no tracker "release"'):
        await started(store, "a")
    await trackers.create(store, new("release", "a", "b"), by=BY)
    await started(store, "a")
    await trackers.end_member(store, "release", "b", MemberStatus.FAILED, message="", by=BY)
    with pytest.raises(Refused, match=r'"b" of release has ended \(failed\); nothing was started'):
        await started(store, "b")
    with pytest.raises(Refused, match="a is a task: it needs no heartbeat"):
        await trackers.heartbeat(store, "release", "a", by=BY)
    with pytest.raises(NotFound, match='"c" is no member of release'):
        await trackers.heartbeat(store, "release", "c", by=BY)
    assert [each.task.label for each in await tasks.newest(store, limit=9)] == ["a"]


async def test_what_is_said_of_a_tracker_that_is_open_is_not_swallowed(store: Store) -> None:
    await started(store, "a", track="night", tracker=new("night"))
    with pytest.raises(Refused, match="The tracker night is open already"):
        await started(store, "b", track="night", tracker=new("night"))
    await started(store, "b", track="night", tracker=NewTracker(name="night"))
    assert await stands(store, "night") == {"a": "pending", "b": "pending"}


async def test_who_dies_before_its_commit_leaves_the_end_to_the_next(store: Store) -> None:
    (one,) = await started(store, "a", tracker=new())
    await claimed(store, one)

    async def dies() -> None:
        async with store.transaction() as session:
            run = (await session.scalars(select(Run).where(Run.dispatch_id == one))).one()
            run.status, run.finished_at = RunStatus.OK, NOW
            assert [row.job_id for row in await trackers.note_run(session, run, NOW)] == ["publish"]
            raise MemoryError

    with pytest.raises(MemoryError):
        await dies()
    assert (await status(store), await told(store), await following(store)) == (TrackerStatus.OPEN, [], [])
    (lease,) = await leases(store)
    await close_run(store, lease, RunStatus.CRASHED, why="Its worker is gone.", now=NOW)
    assert await told(store) == ["release: failed (0 of 1 completed)"]


async def test_the_same_batch_with_keys_joins_once(store: Store) -> None:
    task = NewTask(
        label="a", template="subagent", agent="main", text="x", document=JOB.document(), track="night", key="k"
    )
    for _ in range(2):
        await tasks.start(store, [task], max_queued={"subagent": 9}, tracker=new("night"), by=BY)
    assert len((await trackers.by_name(store, "night"))[1]) == 1


async def test_who_waited_for_what_follows_hears_that_it_cannot_run(store: Store) -> None:
    (one,) = await started(store, "a", tracker=new())
    outcome = await ended(store, one)
    await abandon(store, outcome.released[0].id, why="it is not rolled out any more", now=NOW)
    assert await told(store) == ["release: completed (1 of 1 completed)", "release: publish did not run"]


async def test_old_trackers_go_with_their_members(store: Store) -> None:
    await trackers.create(store, new("release", "a"), by=BY)
    assert await trackers.prune_trackers(store, before=NOW + HOUR) == 0
    await trackers.close(store, "release", why="", by=BY)
    assert await trackers.prune_trackers(store, before=NOW + HOUR) == 1
    with pytest.raises(NotFound):
        await trackers.by_name(store, "release")
