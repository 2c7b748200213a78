"""Two workers on Postgres: whatever happens to one of them disturbs nothing of the other."""

from __future__ import annotations

import os
import signal

import pytest

from ocs.rules.dispatch import RunStatus
from ocs.store.tables import Run
from tests.crash.invariants import Seen
from tests.crash.rig import Rig, kill

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]
JOBS = 8
"""More than one worker takes by itself, see `--limit`."""


async def both_at_work(rig: Rig) -> tuple[int, int]:
    """Two workers, each with runs whose shells wait; returns their process ids."""
    pids = (rig.start_worker(name="one", limit=JOBS // 2), rig.start_worker(name="two", limit=JOBS // 2))
    for number in range(JOBS):
        rig.scene.write(f"load-{number}", rig.scene.waiting())
        rig.scene.write(f"next-{number}", after={"job": f"load-{number}", "on": "complete"})
    await rig.system.deploy()
    for number in range(JOBS):
        await rig.scene.run(f"load-{number}")

    async def all_run() -> bool:
        runs = (await rig.scene.look({})).runs
        return len([run for run in runs if run.pid]) == JOBS

    await rig.system.eventually(all_run)
    return pids


def of(pid: int, seen: Seen) -> list[Run]:
    """The runs that a worker executed before anything happened."""
    return [run for run in seen.runs if "load" in run.job_id and f":{pid}:" in (run.owner or "")]


async def test_a_killed_worker_loses_its_own_runs_and_none_of_the_other(postgres_rig: Rig) -> None:
    one, two = await both_at_work(postgres_rig)
    kill(one)
    await crashed(postgres_rig, one)
    postgres_rig.scene.gate.touch()
    seen = await postgres_rig.scene.at_rest()
    assert {run.status for run in of(one, seen)} == {RunStatus.CRASHED}
    assert {run.status for run in of(two, seen)} == {RunStatus.OK}
    assert len(of(one, seen)) == len(of(two, seen)) == JOBS // 2


async def crashed(rig: Rig, pid: int) -> None:
    """Wait until the other worker has ended the runs of the one that is gone."""

    async def look() -> bool:
        return all(run.status.final for run in of(pid, await rig.scene.look({})))

    await rig.system.eventually(look)


async def test_starting_and_stopping_a_worker_disturbs_no_live_run(postgres_rig: Rig) -> None:
    """The reference took every running run for crashed when a second one started (W4)."""
    one, two = await both_at_work(postgres_rig)
    os.kill(one, signal.SIGTERM)  # it drains
    three = postgres_rig.start_worker(name="three")
    postgres_rig.scene.write("quick")
    await postgres_rig.system.deploy()
    await postgres_rig.scene.run("quick")
    await postgres_rig.system.ended_run("quick")
    before = await postgres_rig.scene.look({})
    assert {run.status for run in (*of(one, before), *of(two, before))} == {RunStatus.RUNNING}
    postgres_rig.scene.gate.touch()
    seen = await postgres_rig.scene.at_rest()
    assert {run.status for run in seen.runs} == {RunStatus.OK}
    assert len(seen.runs) == 2 * JOBS + 1
    assert of(three, seen) == []
