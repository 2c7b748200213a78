"""Cancelling a run, wherever it is: executing, taken, held, left behind."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prefect.states import Cancelling, Pending, Running, Scheduled

from ocs.worker.execution import UNSTARTED, taken_by
from ocs.worker.stopping import ORPHANED
from tasks.recovery import owner
from tests.conftest import Times
from tests.worker.rig import Rig

pytestmark = pytest.mark.e2e


async def test_a_run_that_knows_how_to_stop_is_told_and_ends_by_itself(rig: Rig) -> None:
    async with rig.worker():
        flow_run = await rig.run(await rig.deploy("cancellable"))
        await rig.eventually(lambda: "started" in rig.notes())
        await rig.client.set_flow_run_state(flow_run.id, Cancelling())
        state = await rig.ends(flow_run)
        assert (state.is_cancelled(), state.message) == (True, "Told to stop.")
    assert rig.notes() == ["started", "told to stop"]


async def test_any_other_flow_is_cancelled_where_it_waits_and_may_clean_up(rig: Rig) -> None:
    async with rig.worker() as worker:
        flow_run = await rig.run(await rig.deploy("until_gate"), gate=str(rig.gate))
        await rig.eventually(lambda: "started" in rig.notes())
        await rig.client.set_flow_run_state(flow_run.id, Cancelling())
        assert (await rig.ends(flow_run)).is_cancelled()
        await rig.eventually(lambda: worker.executing == 0)
    assert rig.notes() == ["started", "cancelled"]


async def test_a_run_that_was_taken_and_waits_for_its_instant_is_cancelled_unstarted(rig: Rig) -> None:
    async with rig.worker():
        due = datetime.now(UTC) + timedelta(seconds=2.5)
        flow_run = await rig.run(await rig.deploy("three_tasks"), at=due)
        await rig.reaches(flow_run, lambda state: state.is_pending())
        await rig.client.set_flow_run_state(flow_run.id, Cancelling())
        state = await rig.ends(flow_run)
        assert (state.is_cancelled(), state.message) == (True, UNSTARTED)
        await rig.ends(await rig.run(await rig.deploy("counts"), at=due))
    assert rig.notes() == ["count 1"]


async def test_a_cancelled_run_that_is_run_again_is_not_stopped_by_what_is_past(rig: Rig) -> None:
    """A new connection to the events stream repeats the last minute, the old cancellation with it."""
    async with rig.worker():
        flow_run = await rig.run(await rig.deploy("until_gate"), gate=str(rig.gate))
        await rig.eventually(lambda: "started" in rig.notes())
        await rig.client.set_flow_run_state(flow_run.id, Cancelling())
        await rig.ends(flow_run)
        await rig.client.set_flow_run_state(flow_run.id, Scheduled(), force=True)
    async with rig.worker():
        await rig.eventually(lambda: rig.notes().count("started") == 2)
        later = await rig.run(await rig.deploy("cancellable"), to=str(rig.folder / "later"))
        await rig.reaches(later, lambda state: state.is_running())
        await rig.client.set_flow_run_state(later.id, Cancelling())
        await rig.ends(later)  # told after everything that was repeated
        assert (await rig.state(flow_run)).is_running()
        rig.gate.touch()
        assert (await rig.ends(flow_run)).is_completed()


async def test_a_run_that_nobody_executes_any_more_is_cancelled_when_no_other_worker_could(rig: Rig) -> None:
    await rig.make_pool()
    deployment = await rig.deploy("three_tasks")
    left = await rig.run(deployment)
    for state in (Pending(), Running(), Cancelling()):
        await rig.client.set_flow_run_state(left.id, state)
    async with rig.worker():
        state = await rig.ends(left)
    assert (state.is_cancelled(), state.message) == (True, ORPHANED)
    assert not rig.notes()


async def test_a_run_that_another_worker_may_be_ending_is_left_to_it(rig: Rig) -> None:
    await rig.make_pool()
    await rig.client.send_worker_heartbeat(rig.pool, "another", heartbeat_interval_seconds=30)
    deployment = await rig.deploy("three_tasks")
    theirs = await rig.run(deployment)
    for state in (Pending(), Running(), Cancelling()):
        await rig.client.set_flow_run_state(theirs.id, state)
    async with rig.worker():
        await rig.ends(await rig.run(deployment))
        assert (await rig.state(theirs)).is_cancelling()


async def test_a_run_that_a_process_had_taken_that_is_gone_is_run(rig: Rig, times: Times) -> None:
    times(taken_unstarted=0)
    ended_here = owner.me().rpartition(":")[0] + ":0"
    elsewhere = "another-host:1:2:3:4"
    await rig.make_pool()
    deployment = await rig.deploy("three_tasks")
    here, foreign, left = [await rig.run(deployment) for _ in range(3)]
    await rig.client.send_worker_heartbeat(rig.pool, "another", heartbeat_interval_seconds=300)
    await rig.client.set_flow_run_state(here.id, Pending(message=taken_by("tested", ended_here)))
    await rig.client.set_flow_run_state(foreign.id, Pending(message=taken_by("another", elsewhere)))
    await rig.client.set_flow_run_state(left.id, Pending(message=taken_by("a worker that is gone", elsewhere)))
    async with rig.worker(name="tested"):
        assert (await rig.ends(here)).is_completed()
        assert (await rig.ends(left)).is_completed()
        assert (await rig.state(foreign)).is_pending()


async def test_a_cancel_that_comes_while_the_end_is_told_changes_nothing(rig: Rig) -> None:
    telling, may_tell = asyncio.Event(), asyncio.Event()

    async def hold_the_end(request: httpx.Request) -> None:
        if request.url.path.endswith("set_state") and b'"COMPLETED"' in request.content:
            telling.set()
            await may_tell.wait()

    async with rig.worker() as worker:
        worker.client._client.event_hooks["request"].append(hold_the_end)
        flow_run = await rig.run(await rig.deploy("three_tasks"))
        await telling.wait()
        await rig.client.set_flow_run_state(flow_run.id, Cancelling())
        await rig.eventually(lambda: worker._executions[flow_run.id]._stopping)
        may_tell.set()
        assert (await rig.ends(flow_run)).is_completed()
