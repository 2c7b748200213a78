"""Rollout on a real server: only what changed is sent, only what is ours is touched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prefect.exceptions import ObjectNotFound

from deployments import catalogue, rollout
from deployments.rollout import Action
from ocs.errors import InvalidJob, NotFound, Refused
from tests.e2e.system import RunningSystem, running_system

pytestmark = pytest.mark.e2e


@pytest.fixture
async def ours(prefect_server: str, tmp_path: Path) -> AsyncIterator[RunningSystem]:
    async with running_system(prefect_server, tmp_path, tmp_path / "ours") as system:
        yield system


@pytest.fixture
async def theirs(prefect_server: str, tmp_path: Path, ours: RunningSystem) -> AsyncIterator[RunningSystem]:
    """Another project on the same server, which may want the same ids."""
    async with running_system(prefect_server, tmp_path, tmp_path / "theirs") as system:
        system.suffix = ours.suffix
        yield system


def actions(plan: rollout.Plan) -> dict[str, Action]:
    return {step.job_id.rpartition("-")[0]: step.action for step in plan.steps}


async def test_only_what_changed_is_sent(ours: RunningSystem) -> None:
    ours.write("a", run="true", schedule="@daily")
    ours.write("b", run="true")
    assert actions(await ours.deploy()) == {"a": Action.CREATE, "b": Action.CREATE}
    before = await ours.client.read_deployment_by_name(f"job/{ours.id('a')}")
    ours.write("b", run="false")
    assert actions(await ours.deploy()) == {"a": Action.UNCHANGED, "b": Action.UPDATE}
    assert (await ours.client.read_deployment_by_name(f"job/{ours.id('a')}")).updated == before.updated


async def test_what_is_gone_is_removed_only_when_asked(ours: RunningSystem) -> None:
    job = ours.write("a", run="true")
    await ours.deploy()
    catalogue.remove(ours.project, job)
    assert actions(await ours.deploy()) == {"a": Action.REMOVE}
    await ours.client.read_deployment_by_name(f"job/{job}")
    await ours.deploy(prune=True)
    with pytest.raises(ObjectNotFound):
        await ours.client.read_deployment_by_name(f"job/{job}")


async def test_another_projects_jobs_are_neither_taken_nor_removed(ours: RunningSystem, theirs: RunningSystem) -> None:
    theirs.write("a", run="echo theirs")
    await theirs.deploy()
    ours.write("a", run="echo ours")
    with pytest.raises(Refused, match='belongs to the project "theirs"'):
        await ours.deploy()
    catalogue.remove(ours.project, ours.id("a"))
    ours.write("b", run="true")
    assert actions(await ours.deploy(prune=True)) == {"b": Action.CREATE}
    await theirs.client.read_deployment_by_name(f"job/{theirs.id('a')}")


async def test_one_bad_job_stops_the_whole_rollout(ours: RunningSystem) -> None:
    ours.write("good", run="true")
    ours.write(
        "agent",
        run={"agent": {"message": "hello", "session": "cron:x"}},
        deliver={"when": "never", "opt_out_reason": "a test"},
    )
    with pytest.raises(InvalidJob) as refused:
        await ours.deploy()
    assert [problem.path for problem in refused.value.problems] == ["run.agent.session"]
    with pytest.raises(ObjectNotFound):
        await ours.client.read_deployment_by_name(f"job/{ours.id('good')}")
    catalogue.remove(ours.project, ours.id("agent"))


async def test_a_part_can_be_rolled_out(ours: RunningSystem) -> None:
    ours.write("a", run="true")
    ours.write("b", run="true")
    found = catalogue.read(ours.project)
    await rollout.apply(ours.client, await rollout.plan(ours.client, found, [ours.id("a")]))
    assert actions(await rollout.plan(ours.client, found)) == {"a": Action.UNCHANGED, "b": Action.CREATE}
    with pytest.raises(NotFound, match="no job zzz"):
        await rollout.plan(ours.client, found, ["zzz"])


async def test_a_pause_in_the_ui_is_seen_and_kept(ours: RunningSystem) -> None:
    job = ours.write("a", run="true", schedule="@daily")
    await ours.deploy()
    deployment = await ours.client.read_deployment_by_name(f"job/{job}")
    await ours.client.pause_deployment(deployment.id)
    ours.write("a", run="echo changed", schedule="@daily")
    plan = await ours.deploy()
    assert [(step.action, step.paused_in_ui) for step in plan.steps] == [(Action.UPDATE, True)]
    assert (await ours.client.read_deployment_by_name(f"job/{job}")).paused


async def test_changing_a_schedule_leaves_no_run_of_the_old_one(ours: RunningSystem) -> None:
    job = ours.write("a", run="true", schedule={"every": "1h"})
    await ours.deploy()

    async def planned() -> set[int]:
        runs = await ours.flow_runs_of("a")
        return {run.expected_start_time.minute for run in runs if run.expected_start_time}

    assert await ours.eventually(planned) == {0}
    ours.write("a", run="true", schedule="30 * * * *")
    await ours.deploy()
    assert await ours.eventually(planned) == {30}
    ours.write("a", run="true", schedule="30 * * * *", enabled=False)
    await ours.deploy()
    assert (await ours.client.read_deployment_by_name(f"job/{job}")).paused
    assert await planned() == set()
