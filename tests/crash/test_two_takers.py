"""Two workers want the same run: one of them is slow, and it runs once all the same."""

from __future__ import annotations

import pytest

from ocs.rules.dispatch import RunStatus
from tests.crash.points import GIVING_BACK
from tests.crash.rig import Rig

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("quick", ["while the shell runs", None])
@pytest.mark.parametrize(
    ("left", "seen"), [*zip(("after Pending", "after Running, before claim"), GIVING_BACK, strict=True)]
)
async def test_a_run_that_two_workers_give_back_runs_once(rig: Rig, left: str, seen: str, quick: str | None) -> None:
    """The slow one gives it back when the quick one executes it already, or has executed it."""
    rig.start_worker(kill_at=left)
    rig.scene.write("load")
    await rig.system.deploy()
    await rig.scene.run("load")
    await rig.killed()
    rig.start_worker(name="slow", limit=0, load=seen)  # it takes nothing itself
    await rig.held("load", worker="slow")
    rig.start_worker(name="quick", **({"load": quick} if quick else {}))
    if quick is None:
        await rig.scene.at_rest()
    else:
        await rig.held("load", worker="quick")
    (flow_run,) = await rig.system.flow_runs_of("load")
    known = len(await rig.system.client.read_flow_run_states(flow_run.id))
    rig.release("slow")
    rig.start_worker(name="third")

    async def taken_and_left_again() -> bool:
        states = await rig.system.client.read_flow_run_states(flow_run.id)
        return any(state.is_final() for state in states[known:])

    await rig.system.eventually(taken_and_left_again)
    rig.release("quick")
    (run,) = (await rig.scene.at_rest()).runs
    assert run.status is RunStatus.OK


@pytest.mark.parametrize("quick", ["after Pending", "while the shell runs", "before the final state", None])
async def test_a_run_that_two_workers_take_runs_once(rig: Rig, quick: str | None) -> None:
    """The slow one has seen it wait, and takes it when the quick one has come as far as `quick`, or to the end."""
    rig.start_worker(name="slow", load="before Pending")
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
    rig.release("slow")
    await rig.passed("load", worker="slow")
    await rig.scene.run("other")
    await rig.system.ended_run("other")
    rig.release("quick")
    (run,) = [run for run in (await rig.scene.at_rest()).runs if run.job_id == rig.system.id("load")]
    assert run.status is RunStatus.OK


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("dies", "does", "status"),
    [("after Pending", "true", RunStatus.OK), ("after Running, before claim", "exit 3", RunStatus.ERROR)],
)
async def test_a_late_take_over_a_run_that_has_ended_runs_nothing_again(
    postgres_rig: Rig, dies: str, does: str, status: RunStatus
) -> None:
    """Prefect lets the slow one have what has ended meanwhile, and it dies: nobody has asked to run that again."""
    rig = postgres_rig
    # It has room for the run it holds only, so that it dies in that one and not in another.
    slow = rig.start_worker(kill_at=dies, name="slow", limit=1, load="before Pending")
    rig.scene.write("load", does)
    rig.scene.write("next", after={"job": "load", "on": "complete"})
    await rig.system.deploy()
    await rig.scene.run("load")
    await rig.held("load", worker="slow")
    rig.start_worker(name="quick")
    (before,) = [run for run in (await rig.scene.at_rest()).runs if run.job_id == rig.system.id("load")]
    rig.release("slow")
    await rig.killed(slow)
    rig.start_worker(name="third")
    seen = await rig.scene.at_rest()
    assert {run.job_id: run.status for run in seen.runs} == {
        rig.system.id("load"): status,
        rig.system.id("next"): RunStatus.OK,
    }
    assert len(seen.runs) == 2
    assert before.id in {run.id for run in seen.runs}
    states = await rig.system.client.read_flow_run_states(before.flow_run_id)
    ends = [number for number, state in enumerate(states) if state.is_final()]
    assert ends[0] < len(states) - 1, "the slow worker took it before it had ended"
