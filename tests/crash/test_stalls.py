"""The store stalls while many runs are due and others end: none is lost, and each ends as it did."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ocs.rules.dispatch import RunStatus
from tests.crash.rig import Rig
from tests.holding import held

pytestmark = pytest.mark.e2e
MANY = 20
"""More than the connections of a process."""
LOOKS_AGAIN = "trying again"


@pytest.mark.postgres
async def test_a_store_that_stalls_while_many_runs_are_due_loses_none(postgres_rig: Rig, tmp_path: Path) -> None:
    """One is at work before and ends meanwhile; the others are due meanwhile. It lasts until the worker has met it."""
    rig, log = postgres_rig, tmp_path / "workers.log"
    moment = rig.system.now().replace(microsecond=0) + timedelta(seconds=60)
    due = {"schedule": {"at": moment.isoformat(), "misfire": "all"}}
    jobs = [rig.scene.write(f"due-{number}", **due) for number in range(MANY)]
    rig.scene.write("load", f"{rig.scene.waiting()}; exit 3")
    rig.scene.write("next", after={"job": "load", "on": "failure"})
    rig.start_worker(limit=2 * MANY)
    await rig.system.deploy()
    await rig.scene.run("load")
    await rig.system.eventually(lambda: at_work(rig))
    before = log.read_text().count(LOOKS_AGAIN)

    async def due_and_met() -> bool:
        away = log.read_text().count(LOOKS_AGAIN) - before
        return rig.system.now() > moment and away >= MANY // 2

    async with held(rig.system.store.engine.url):
        rig.scene.gate.touch()
        await rig.system.eventually(due_and_met, within=180)
    seen = await rig.scene.at_rest(within=180, occurrences={job: [moment] for job in jobs})
    statuses = {run.job_id: run.status for run in seen.runs}
    assert statuses.pop(rig.system.id("load")) is RunStatus.ERROR
    assert set(statuses.values()) == {RunStatus.OK}
    assert len(seen.runs) == MANY + 2
    (load,) = await rig.system.runs_of("load")
    assert load.exit_code == 3


async def at_work(rig: Rig) -> bool:
    return any(run.pid for run in await rig.system.runs_of("load"))
