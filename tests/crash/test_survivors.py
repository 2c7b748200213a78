"""Commands that leave their process group: nothing takes their place before all of it has been ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prefect.states import Cancelled

from deployments import catalogue
from ocs import settings
from ocs.rules.dispatch import Dispatch, DispatchContext, DispatchKind, RunStatus
from ocs.store import Claimed, claim, queries, record_process
from tasks.adapter import runtime
from tasks.recovery import owner, recover
from tasks.strategies import sessions
from tests.conftest import Times
from tests.crash.rig import MARK, Rig, marked_processes

pytestmark = pytest.mark.e2e


async def at_work(rig: Rig, runs: int = 1) -> None:
    """So many runs have begun."""

    async def look() -> bool:
        return len(rig.scene.executed()) >= runs

    await rig.system.eventually(look)


@pytest.mark.parametrize("reaper_too", [False, True], ids=["the worker dies", "its reaper, too"])
async def test_a_replay_and_the_next_of_the_pool_wait_until_all_of_a_crashed_run_is_ended(
    rig: Rig, reaper_too: bool
) -> None:
    rig.start_worker()
    document = {"limits": {"overlap": "queue", "pool": rig.system.id("pool")}, "run": {"guarantee": "at-least-once"}}
    for name in ("load", "other"):
        rig.scene.write(name, rig.scene.alone("pool", rig.scene.waiting()), **document)
    await rig.system.deploy()
    await rig.scene.run("load")
    await at_work(rig)
    await rig.scene.run("other")
    await rig.system.eventually(lambda: queries.open_dispatches(rig.system.store))
    rig.kill_worker(reaper_too=reaper_too)
    rig.start_worker()
    await at_work(rig, runs=2)
    rig.scene.gate.touch()
    seen = await rig.scene.at_rest()
    assert sorted(run.status for run in seen.runs) == [RunStatus.CRASHED, RunStatus.OK, RunStatus.OK]


@pytest.fixture
def refusals() -> Iterator[pytest.MonkeyPatch]:
    """The system refuses to signal anybody until they are undone."""
    system = pytest.MonkeyPatch()
    system.setattr(os, "killpg", refuse)
    yield system
    system.undo()


def refuse(_group: int, _signum: int) -> None:
    raise PermissionError


@pytest.fixture
async def held(
    rig: Rig, crash_home: Path, refusals: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch, times: Times
) -> AsyncIterator[DispatchContext]:
    """A run whose worker is gone, and whose processes the system refuses to signal: another user's, after `sudo`."""
    monkeypatch.setenv("OCS_HOME", str(crash_home))
    times(orphan_grace=0.1, kill=0.1)
    job_id = rig.scene.write("load", run={"guarantee": "at-least-once"})
    await rig.system.deploy()
    deployment = await rig.system.client.read_deployment_by_name(f"job/{job_id}")
    flow_run = await rig.system.client.create_flow_run_from_deployment(deployment.id)
    job, now = catalogue.read(rig.system.project).jobs[job_id], rig.system.now()
    killed = owner.me().rpartition(":")[0] + ":1"
    by_hand = Dispatch(DispatchKind.MANUAL, now)
    claimed = await claim(rig.system.store, job, by_hand, flow_run_id=flow_run.id, owner=killed, now=now)
    assert isinstance(claimed, Claimed)
    command = f"{MARK}={rig.scene.mark} timeout 600 sleep 601; true"
    shell = await asyncio.create_subprocess_shell(command, start_new_session=True)
    started_at = sessions.started_at(shell.pid) or 0.0
    await record_process(rig.system.store, claimed.context.run_id, shell.pid, started_at)
    outputs = settings.outputs_of(claimed.context.run_id)
    outputs.mkdir(parents=True)
    (outputs / "stdout.txt").write_text("half of it")
    yield claimed.context
    assert not outputs.exists()
    refusals.undo()
    sessions.end([sessions.Session("", shell.pid, started_at)], 0, 5)
    await shell.wait()
    await runtime.close_store()


async def test_a_run_whose_processes_cannot_be_ended_keeps_its_place(
    rig: Rig, held: DispatchContext, refusals: pytest.MonkeyPatch
) -> None:
    await recover.recover()
    (run,) = await rig.system.runs_of("load")
    assert run.status is RunStatus.RUNNING
    assert marked_processes(rig.scene.mark)
    assert await queries.queue(rig.system.store, job=held.job_id) == []
    refusals.undo()
    await recover.recover()
    (run,) = await rig.system.runs_of("load")
    assert run.status is RunStatus.CRASHED
    assert marked_processes(rig.scene.mark) == []
    assert len(await queries.queue(rig.system.store, job=held.job_id)) == 1


async def test_a_run_whose_processes_cannot_be_ended_is_given_up_by_a_cancel(rig: Rig, held: DispatchContext) -> None:
    await rig.system.client.set_flow_run_state(held.flow_run_id, Cancelled(), force=True)
    await recover.recover()
    (run,) = await rig.system.runs_of("load")
    assert run.status is RunStatus.CANCELLED
    assert "could not be ended: " in str(run.error)
    assert "(sleep)" in str(run.error)
