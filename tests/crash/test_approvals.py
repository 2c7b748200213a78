"""A worker is killed around a person's decision: it is asked for once, holds, and what was approved runs once."""

from __future__ import annotations

import pytest

from ocs.rules.dispatch import RunStatus
from ocs.store.approvals import approvals
from tests.crash.points import ASKING, DECIDED, Reached
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
