"""A worker is killed around a person's decision: it is asked for once, holds, and what was approved runs once."""

from __future__ import annotations

import json

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus

from ocs.rules.dispatch import RunStatus
from ocs.store.approvals import approvals
from tests.crash.points import ASKING, DECIDED, FORMLESS, Reached
from tests.crash.rig import Rig
from tests.e2e.test_approvals import GUARD, decided, suspended

pytestmark = pytest.mark.e2e


async def guarded(rig: Rig) -> None:
    """A job that asks, with a child, and a run of it."""
    rig.scene.write("load", approval=GUARD)
    rig.scene.write("next", after={"job": "load", "on": "complete"})
    await rig.system.deploy()
    await rig.scene.run("load")


async def approve(rig: Rig) -> None:
    request, _ = await suspended(rig.system, "load")
    assert (await decided(rig.system, request, approve=True)).counted


async def ends(rig: Rig) -> dict[str, RunStatus]:
    seen = await rig.scene.at_rest()
    assert len(await approvals(rig.system.store, job=rig.system.id("load"))) == 1
    assert len(seen.runs) == 2
    return {run.job_id.partition("-")[0]: run.status for run in seen.runs}


@pytest.mark.parametrize("point", ASKING)
async def test_a_worker_killed_while_it_asks_asks_once(rig: Rig, point: str) -> None:
    rig.start_worker(kill_at=point)
    await guarded(rig)
    await rig.killed()
    rig.start_worker()
    await approve(rig)
    assert await ends(rig) == {"load": RunStatus.OK, "next": RunStatus.OK}


@pytest.mark.parametrize("point", FORMLESS)
async def test_a_worker_killed_before_it_made_the_form_leaves_that_to_the_next(rig: Rig, point: str) -> None:
    rig.start_worker(kill_at=point)
    await guarded(rig)
    await rig.killed()
    flow_run = await waiting(rig)
    assert await answered(rig, flow_run) is SetStateStatus.REJECT
    rig.start_worker()
    request, _ = await suspended(rig.system, "load")
    assert flow_run.state is not None
    shown = (flow_run.state.state_details.run_input_keyset or {})["description"]
    assert request.what in json.loads(await rig.system.client.read_flow_run_input(flow_run.id, shown))
    assert await answered(rig, flow_run) is SetStateStatus.ACCEPT
    assert not (await decided(rig.system, request, approve=False)).counted
    assert await ends(rig) == {"load": RunStatus.OK, "next": RunStatus.OK}


@pytest.mark.parametrize("point", FORMLESS)
async def test_a_run_whose_form_was_never_made_is_approved_with_ocs(rig: Rig, point: str) -> None:
    """Nobody but whoever decides is there to make it, and Prefect resumes no run without it."""
    rig.start_worker(kill_at=point)
    await guarded(rig)
    await rig.killed()
    flow_run = await waiting(rig)
    (request,) = await approvals(rig.system.store, job=rig.system.id("load"))
    assert (await decided(rig.system, request, approve=True)).counted
    assert await answered(rig, flow_run) is SetStateStatus.ABORT
    rig.start_worker()
    assert await ends(rig) == {"load": RunStatus.OK, "next": RunStatus.OK}


async def waiting(rig: Rig) -> FlowRun:
    """The flow run of the job, which is suspended."""
    (flow_run,) = await rig.system.flow_runs_of("load")
    assert flow_run.state is not None
    assert flow_run.state.is_paused()
    return flow_run


async def answered(rig: Rig, flow_run: FlowRun) -> SetStateStatus:
    """As the form in Prefect's UI answers."""
    answer = {"decision": "approve", "by": "fay"}
    return (await rig.system.client.resume_flow_run(flow_run.id, answer)).status


async def test_a_worker_killed_while_a_run_is_suspended_loses_nothing(rig: Rig) -> None:
    rig.start_worker()
    await guarded(rig)
    await suspended(rig.system, "load")
    rig.kill_worker()
    await approve(rig)
    rig.start_worker()
    assert await ends(rig) == {"load": RunStatus.OK, "next": RunStatus.OK}


@pytest.mark.parametrize("point", DECIDED)
async def test_a_worker_killed_when_it_was_approved_runs_it_once_or_says_so(rig: Rig, point: str) -> None:
    rig.start_worker(kill_at=point)
    await guarded(rig)
    await approve(rig)
    await rig.killed()
    rig.start_worker()
    crashed = DECIDED[point].reached is Reached.CLAIMED
    assert await ends(rig) == {"load": RunStatus.CRASHED if crashed else RunStatus.OK, "next": RunStatus.OK}
