"""A worker is killed at each named point of a run's life, and started again: nothing is lost, doubled or stuck."""

from __future__ import annotations

import pytest

from ocs.rules.dispatch import RunStatus
from tests.crash.points import POINTS, Reached
from tests.crash.rig import Rig

pytestmark = pytest.mark.e2e


async def family(rig: Rig, *, ends: str, **run: object) -> None:
    """A job with a child for each way to end, and one that comes after any."""
    rig.write("load", ends, run=run)
    rig.write("left", after={"job": "load", "on": "success"})
    rig.write("right", after={"job": "load", "on": "complete"})
    rig.write("tell", after={"job": "load", "on": "failure"})
    await rig.system.deploy()


@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_killed_at_a_point_leaves_nothing_lost_doubled_or_stuck(rig: Rig, point: str) -> None:
    rig.start_worker(kill_at=point)
    await family(rig, ends=rig.waiting() if POINTS[point].shell_waits else "true")
    await rig.run("load")
    await rig.killed()
    rig.gate.touch()
    rig.start_worker()
    seen = await rig.at_rest()
    (load,) = [run for run in seen.runs if run.job_id == rig.system.id("load")]
    assert load.status is (RunStatus.CRASHED if POINTS[point].reached is Reached.CLAIMED else RunStatus.OK)
