"""Two workers find what a third has left: one gives it back, the other is slow, and it runs once all the same."""

from __future__ import annotations

import pytest

from ocs.rules.dispatch import RunStatus
from tests.crash.points import GIVING_BACK
from tests.crash.rig import Rig, kill

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("left", "seen"), zip(("after Pending", "after Running, before claim"), GIVING_BACK, strict=True)
)
async def test_a_run_that_two_workers_give_back_runs_once(rig: Rig, left: str, seen: str) -> None:
    rig.start_worker(kill_at=left)
    rig.scene.write("load")
    await rig.system.deploy()
    await rig.scene.run("load")
    await rig.killed()
    slow = rig.start_worker(name="slow", load=seen)
    try:
        await rig.held("load")
        rig.start_worker(name="quick")
        await rig.scene.at_rest()
        rig.let_go()
        await rig.passed("load")
        (run,) = (await rig.scene.at_rest()).runs
        assert run.status is RunStatus.OK
    finally:
        kill(slow)
