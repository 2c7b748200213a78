"""The server is killed, alone or with the worker, while runs are at every point of their lives."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import takewhile

import pytest

from ocs.rules.dispatch import RunStatus
from tests.crash.points import POINTS, Reached
from tests.crash.rig import Rig

pytestmark = pytest.mark.e2e

HELD = {f"load-{number}": point for number, point in enumerate(POINTS)}
"""A job for each point."""
BEFORE_ITS_END = {*takewhile(lambda point: point != "after the shell ended", POINTS)}
"""Where the shell has not ended, it does so only when the test wants it to."""


async def runs_at_every_point(rig: Rig) -> None:
    """Start the jobs, each with a child, and wait until each has a run that holds at its point."""
    rig.start_worker(**HELD)
    for name, point in HELD.items():
        rig.scene.write(name, rig.scene.waiting() if point in BEFORE_ITS_END else "true")
        rig.scene.write(f"after-{name}", after={"job": name, "on": "complete"})
    await rig.system.deploy()
    await asyncio.gather(*(rig.scene.run(name) for name in HELD))
    await rig.held(*HELD)


async def statuses(rig: Rig) -> Mapping[str, RunStatus]:
    """How the run at each point ended, once everything is at rest."""
    seen = await rig.scene.at_rest()
    by_job = {run.job_id: run.status for run in seen.runs}
    return {point: by_job[rig.system.id(name)] for name, point in HELD.items()}


async def test_runs_at_every_point_outlive_the_death_of_the_server(rig: Rig) -> None:
    await runs_at_every_point(rig)
    rig.kill_server()
    rig.release()
    rig.scene.gate.touch()
    rig.start_server()
    assert await statuses(rig) == dict.fromkeys(POINTS, RunStatus.OK)


async def test_server_and_worker_are_killed_together_while_runs_are_at_every_point(rig: Rig) -> None:
    await runs_at_every_point(rig)
    rig.kill_server()
    rig.kill_worker()
    rig.scene.gate.touch()
    rig.release()
    rig.start_worker()
    rig.start_server()
    assert await statuses(rig) == {
        name: RunStatus.CRASHED if point.reached is Reached.CLAIMED else RunStatus.OK for name, point in POINTS.items()
    }
