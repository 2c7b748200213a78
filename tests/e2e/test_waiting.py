"""Runs that wait for their turn: a pool's slot, or the end of an earlier run; in the store and in Prefect."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from prefect.client.schemas.objects import StateType

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.store import queries, set_slots
from tests.e2e.system import RunningSystem

pytestmark = pytest.mark.e2e


async def test_two_jobs_of_a_pool_never_run_together_and_the_second_runs_right_after(
    ocs: RunningSystem, tmp_path: Path
) -> None:
    pool, gate = ocs.id("database"), tmp_path / "gate"
    ocs.write("holds", run=f"while [ ! -e {gate} ]; do sleep 0.05; done", limits={"pool": pool})
    ocs.write("waits", run="echo done", limits={"pool": pool})
    ocs.write("follows", after={"job": "waits"}, run="true")
    await ocs.deploy()
    await ocs.run("holds")
    await ocs.eventually(lambda: ocs.runs_of("holds"))
    dispatch = await ocs.run("waits")

    async def is_queued() -> bool:
        (flow_run,) = await ocs.flow_runs_of("waits")
        return flow_run.state is not None and flow_run.state.name == "Queued"

    assert await ocs.eventually(is_queued)
    (waiting,) = await queries.queue(ocs.store, job=ocs.id("waits"))
    assert (waiting.id, waiting.pool, waiting.waits_for) == (dispatch, pool, "pool")
    (queued,) = await ocs.flow_runs_of("waits")
    assert queued.state is not None
    assert queued.state.type is StateType.COMPLETED
    assert pool in (queued.state.message or "")
    assert not await ocs.runs_of("waits")

    gate.touch()
    run = await ocs.ended_run("waits")
    holder = await ocs.ended_run("holds")
    assert (run.status, run.kind, run.dispatch_id) == (RunStatus.OK, DispatchKind.MANUAL, dispatch)
    assert run.started_at >= holder.finished_at
    assert len(await ocs.flow_runs_of("waits")) == 2
    follows = await ocs.ended_run("follows")
    assert follows.parent_run == run.id


async def test_a_pool_of_two_runs_two_at_once(ocs: RunningSystem, tmp_path: Path) -> None:
    pool, gate = ocs.id("pair"), tmp_path / "gate"
    await set_slots(ocs.store, pool, 2, by=Attribution("test", "test", ocs.now()))
    names = ("one", "two", "three")
    for name in names:
        ocs.write(name, run=f"while [ ! -e {gate} ]; do sleep 0.05; done", limits={"pool": pool})
    await ocs.deploy()
    for name in names:
        await ocs.run(name)

    async def reconciled() -> bool:
        running = [run for name in names for run in await ocs.runs_of(name)]
        waiting = [row for name in names for row in await queries.queue(ocs.store, job=ocs.id(name))]
        return len(running) == 2 and [row.status for row in waiting] == ["waiting"]

    assert await ocs.eventually(reconciled)
    gate.touch()
    assert {(await ocs.ended_run(name)).status for name in names} == {RunStatus.OK}


async def test_a_queued_overlap_loses_no_run(ocs: RunningSystem) -> None:
    ocs.write("serial", run="sleep 0.3", limits={"overlap": "queue"})
    await ocs.deploy()
    for _ in range(4):
        await ocs.run("serial")
    runs = await ocs.ended("serial", count=4)
    assert {run.status for run in runs} == {RunStatus.OK}
    for earlier, later in pairwise(runs):
        assert later.started_at >= earlier.finished_at
    assert not await queries.queue(ocs.store, job=ocs.id("serial"))


async def test_a_newer_run_replaces_the_older_one_whose_processes_are_gone_before(
    ocs: RunningSystem, tmp_path: Path
) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    command = f"""trap 'sleep 0.5; echo gone >> {log}; exit 1' TERM
        echo begun >> {log}; while [ ! -e {gate} ]; do sleep 0.05; done"""
    ocs.write("newest", run=command, limits={"overlap": "replace"})
    await ocs.deploy()

    async def has_begun(times: int) -> bool:
        return log.exists() and log.read_text().split().count("begun") == times

    await ocs.run("newest")
    assert await ocs.eventually(lambda: has_begun(1))
    await ocs.run("newest")
    assert await ocs.eventually(lambda: has_begun(2))
    gate.touch()
    newer, older = sorted(await ocs.ended("newest", count=2), key=lambda run: run.started_at, reverse=True)
    assert (newer.status, older.status) == (RunStatus.OK, RunStatus.CANCELLED)
    assert "A newer run of the job took its place." in (older.error or "")
    assert log.read_text().split() == ["begun", "gone", "begun"]
    assert older.finished_at <= newer.started_at
