"""Somebody deletes in Prefect's UI what is at work: the work ends well in the store, and nothing hangs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocs.rules.dispatch import RunStatus
from ocs.store import audit, pending_dispatches, queries
from tasks.adapter.publish import publish
from tests.e2e.system import RunningSystem

pytestmark = pytest.mark.e2e


async def at_work(ocs: RunningSystem, gate: Path, then: str, **document: object) -> str:
    """A job whose run waits for the gate, with a child; returns its id."""
    job = ocs.write("load", run=f"until [ -e {gate} ]; do sleep 0.05; done; {then}", **document)
    ocs.write("next", after={"job": "load", "on": "complete"}, run="true")
    await ocs.deploy()
    await ocs.run("load")

    async def is_running() -> bool:
        return any(run.pid for run in await ocs.runs_of("load"))

    await ocs.eventually(is_running)
    return job


async def test_a_run_that_was_deleted_while_it_executed_ends_in_the_store_and_its_child_follows(
    ocs: RunningSystem, tmp_path: Path
) -> None:
    await at_work(ocs, tmp_path / "gate", "true")
    (run,) = await ocs.runs_of("load")
    await ocs.client.delete_flow_run(run.flow_run_id)
    (tmp_path / "gate").touch()
    child = await ocs.ended_run("next")
    (run,) = await ocs.runs_of("load")
    assert (run.status, child.status, child.parent_run) == (RunStatus.OK, RunStatus.OK, run.id)
    await ocs.run("load")
    assert (await ocs.ended("next", count=2))[-1].status is RunStatus.OK


async def test_a_job_that_was_deleted_while_it_executed_ends_and_its_child_follows(
    ocs: RunningSystem, tmp_path: Path
) -> None:
    await delete(ocs, await at_work(ocs, tmp_path / "gate", "true"))
    (tmp_path / "gate").touch()
    child = await ocs.ended_run("next")
    run = await ocs.ended_run("load")
    assert (run.status, child.status, child.parent_run) == (RunStatus.OK, RunStatus.OK, run.id)


async def test_a_retry_of_a_job_that_was_deleted_is_given_up_and_that_is_said(
    ocs: RunningSystem, tmp_path: Path
) -> None:
    job = await at_work(ocs, tmp_path / "gate", "exit 3", retry={"max": 1, "delay": "1s"})
    await delete(ocs, job)
    (tmp_path / "gate").touch()
    assert (await ocs.ended_run("load")).status is RunStatus.ERROR
    unsent = await pending_dispatches(ocs.store, created_before=ocs.now(), limit=100)
    await publish(ocs.client, ocs.store, [row for row in unsent if row.job_id == job])  # as every tick does
    events = [event for event in await audit.events(ocs.store, job=job) if event.action == "dispatch-abandoned"]
    assert ["no longer rolled out" in str(event.after) for event in events] == [True]
    assert not await queries.queue(ocs.store, job=job)


async def delete(ocs: RunningSystem, job: str) -> None:
    deployment = await ocs.client.read_deployment_by_name(f"job/{job}")
    await ocs.client.delete_deployment(deployment.id)
