"""Two workers want the same run: one of them is slow, and it runs once all the same."""

from __future__ import annotations

import pytest

from ocs.rules.dispatch import RunStatus
from tests.crash.points import GIVING_BACK
from tests.crash.rig import Rig, kill

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("left", "seen"), [*zip(("after Pending", "after Running, before claim"), GIVING_BACK, strict=True)]
)
async def test_a_run_that_two_workers_give_back_runs_once(rig: Rig, left: str, seen: str) -> None:
    rig.start_worker(kill_at=left)
    rig.scene.write("load")
    await rig.system.deploy()
    await rig.scene.run("load")
    await rig.killed()
    slow = rig.start_worker(name="slow", load=seen)
    try:
        await rig.held("load", worker="slow")
        rig.start_worker(name="quick")
        await rig.scene.at_rest()
        rig.let_go("slow")
        await rig.passed("load", worker="slow")
        (run,) = (await rig.scene.at_rest()).runs
        assert run.status is RunStatus.OK
    finally:
        kill(slow)


@pytest.mark.parametrize("quick", ["after Pending", "while the shell runs", "before the final state", None])
async def test_a_run_that_two_workers_take_runs_once(rig: Rig, quick: str | None) -> None:
    """The slow one has seen it wait, and takes it when the quick one has come as far as `quick`, or to the end."""
    slow = rig.start_worker(name="slow", load="before Pending")
    try:
        rig.scene.write("load")
        rig.scene.write("other")
        await rig.system.deploy()
        await rig.scene.run("load")
        await rig.held("load", worker="slow")
        rig.start_worker(name="quick", **({"load": quick} if quick else {}))
        if quick is None:
            await rig.scene.at_rest()
        else:
            await rig.held("load", worker="quick")
        rig.let_go("slow")
        await rig.passed("load", worker="slow")
        await rig.scene.run("other")
        await rig.system.ended_run("other")
        rig.let_go("quick")
        (run,) = [run for run in (await rig.scene.at_rest()).runs if run.job_id == rig.system.id("load")]
        assert run.status is RunStatus.OK
    finally:
        kill(slow)
