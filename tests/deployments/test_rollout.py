"""Rollout on a real server: only what changed is sent, only what is ours is touched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.client.schemas.schedules import RRuleSchedule
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
    with pytest.raises(Refused, match="of theirs: "):
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


async def test_a_job_that_the_server_refuses_keeps_no_other_from_being_rolled_out(ours: RunningSystem) -> None:
    for name in ("a", "b", "refused", "z"):
        ours.write(name, run="true", schedule="@daily")
    plan = await rollout.plan(ours.client, catalogue.read(ours.project))
    steps = [_with_cron(step, "0 0 15W * *") if step.job_id == ours.id("refused") else step for step in plan.steps]
    tried: list[str] = []
    done = await rollout.apply(
        ours.client, replace(plan, steps=tuple(steps)), on_progress=lambda step: tried.append(step.job_id)
    )
    (failed,) = done.having(Action.FAILED)
    assert failed.job_id == ours.id("refused")
    assert "15W" in failed.why
    assert sorted(tried) == sorted(step.job_id for step in steps)
    for name in ("a", "b", "z"):
        await ours.client.read_deployment_by_name(f"job/{ours.id(name)}")
    assert actions(await ours.deploy()) == {"a": Action.UNCHANGED, "b": Action.UNCHANGED, "refused": Action.CREATE,
                                            "z": Action.UNCHANGED}  # fmt: skip


def _with_cron(step: rollout.Step, expression: str) -> rollout.Step:
    assert step.compiled is not None
    (schedule,) = step.compiled.schedules
    return replace(step, compiled=replace(step.compiled, schedules=[{**schedule, "cron": expression}]))


async def test_what_would_never_run_is_not_rolled_out_and_the_others_are(ours: RunningSystem) -> None:
    past = (ours.now() - timedelta(hours=1)).isoformat()
    ours.write("past", run="true", schedule={"at": past})
    ours.write(
        "ended", run="true", schedule={"rrule": "DTSTART:20200101T000000\nRRULE:FREQ=DAILY;UNTIL=20200105T000000"}
    )
    ours.write("disabled", run="true", schedule={"at": past}, enabled=False)
    ours.write("good", run="true")
    plan = await ours.deploy()
    assert actions(plan) == {"past": Action.OVER, "ended": Action.OVER, "disabled": Action.CREATE,
                             "good": Action.CREATE}  # fmt: skip
    assert all("never runs" in step.why for step in plan.having(Action.OVER))
    await ours.client.read_deployment_by_name(f"job/{ours.id('good')}")
    with pytest.raises(ObjectNotFound):
        await ours.client.read_deployment_by_name(f"job/{ours.id('past')}")


async def test_a_rule_to_which_a_start_was_added_is_the_same_rule(ours: RunningSystem) -> None:
    rules = {
        "daily": "FREQ=DAILY;BYHOUR=9",
        "often": "FREQ=MINUTELY;INTERVAL=7",
        "old": "DTSTART:20100103T000500\nRRULE:FREQ=HOURLY;INTERVAL=5",
        "until": "DTSTART:20270101T080000Z\nRRULE:FREQ=DAILY;UNTIL=20400101T000000Z",
        "two": "RRULE:FREQ=DAILY;BYHOUR=9\nRRULE:FREQ=WEEKLY;BYHOUR=11",
    }
    for name, rule in rules.items():
        ours.write(name, run="true", schedule={"rrule": rule})
    await ours.deploy()
    assert set(actions(await ours.deploy()).values()) == {Action.UNCHANGED}
    # As stock Prefect rolls it out, which adds a start of its own; and as somebody edits it in the UI.
    for rule, expected in (
        ("FREQ=MINUTELY;INTERVAL=7", Action.UNCHANGED),
        ("FREQ=MINUTELY;INTERVAL=11", Action.UPDATE),
    ):
        deployment = await ours.client.read_deployment_by_name(f"job/{ours.id('often')}")
        (schedule,) = deployment.schedules
        changed = RRuleSchedule(rrule=rule, timezone="UTC")
        await ours.client.update_deployment_schedule(deployment.id, schedule.id, schedule=changed)
        plan = await rollout.plan(ours.client, catalogue.read(ours.project))
        assert actions(plan)["often"] is expected


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
