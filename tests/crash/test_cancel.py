"""A person cancels runs in Prefect, each at another point of its life: it ends there, and nothing is left over."""

from __future__ import annotations

import asyncio

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelling

from ocs.rules.dispatch import RunStatus
from tasks.adapter.states import state_of
from tests.crash.points import POINTS, Reached
from tests.crash.rig import Rig
from tests.crash.test_servers import HELD, runs_at_every_point

pytestmark = pytest.mark.e2e
DONE = {"before finish"}
"""What the job had to do is done, and its result is recorded as it is."""
RACING = {"after the shell ended"}
"""It ends by itself while the worker hears that it is cancelled: whichever comes first holds."""


async def test_a_run_is_cancelled_at_every_point_or_had_ended_already(rig: Rig) -> None:
    await runs_at_every_point(rig)
    flow_runs = {point: await flow_run_of(rig, name) for name, point in HELD.items()}
    await asyncio.gather(*(rig.system.client.set_flow_run_state(each.id, Cancelling()) for each in flow_runs.values()))
    rig.release()
    states = {point: await ends(rig, flow_run) for point, flow_run in flow_runs.items()}
    seen = await rig.scene.look({})
    for name, point in HELD.items():
        status = next((run.status for run in seen.runs if run.job_id == rig.system.id(name)), RunStatus.CANCELLED)
        had_ended = POINTS[point].reached is Reached.FINISHED or point in DONE
        if point in RACING:
            had_ended = status is RunStatus.OK
        assert status is (RunStatus.OK if had_ended else RunStatus.CANCELLED), point
        assert states[point].name == state_of(status, "").name, point
        if had_ended:
            assert (await rig.system.ended_run(f"after-{name}")).status is RunStatus.OK, point
        else:
            assert not await rig.system.runs_of(f"after-{name}"), point
    assert len(seen.executed) == len(set(seen.executed))
    assert not seen.alive


async def flow_run_of(rig: Rig, name: str) -> FlowRun:
    (flow_run,) = await rig.system.flow_runs_of(name)
    return flow_run


async def ends(rig: Rig, flow_run: FlowRun) -> State:
    async def look() -> State | None:
        state = (await rig.system.client.read_flow_run(flow_run.id)).state
        return state if state is not None and state.is_final() else None

    return await rig.system.eventually(look)
