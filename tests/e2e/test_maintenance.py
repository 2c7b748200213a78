"""What keeps the house on a real server: missed occurrences, jobs that are done, the maintenance flow."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed, Failed, Scheduled
from sqlalchemy import text

from deployments import catalogue, rollout
from deployments.rollout import Action
from ocs import settings
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, RunStatus
from ocs.rules.guards import SkipReason
from ocs.rules.misfire import CatchUp
from ocs.store import audit, claim, deliveries, enqueue, incidents, lifecycle, occurrences, queries
from tasks.adapter import pages, runtime
from tasks.adapter.publish import publish
from tasks.adapter.states import state_of
from tasks.delivery import watch
from tasks.recovery import catch_up, owner, reconcile, recover
from tasks.recovery.lifecycle import end_jobs
from tests.conftest import Times
from tests.e2e.system import RunningSystem

pytestmark = pytest.mark.e2e


@pytest.fixture
async def here(
    ocs: RunningSystem, worker_home: Path, monkeypatch: pytest.MonkeyPatch, times: Times
) -> AsyncIterator[RunningSystem]:
    """The tasks of maintenance executed by the test itself, on the worker's store, and without their patience."""
    monkeypatch.setenv("OCS_HOME", str(worker_home))
    times(catch_up_after=0, unclaimed=0)
    # The worker has looked once: only what comes after that can be missed.
    await ocs.eventually(lambda: occurrences.caught_up_until(ocs.store))
    yield ocs
    await runtime.close_store()


async def test_an_occurrence_that_prefect_made_no_run_for_is_made_up_for_once(here: RunningSystem) -> None:
    """As when everything is down: what Prefect makes for it is taken away before it is due."""
    moment = here.now().replace(microsecond=0) + timedelta(seconds=5)
    job = here.write("soon", schedule={"at": moment.isoformat()}, run="echo made up for")
    await here.deploy()

    async def is_past() -> bool:
        for flow_run in await here.flow_runs_of("soon"):
            await here.client.delete_flow_run(flow_run.id)
        return here.now() > moment

    await here.eventually(is_past)
    await here.eventually(catch_up.catch_up)
    assert await catch_up.catch_up() == 0
    run = await here.ended_run("soon")
    assert (run.kind, run.scheduled_for, run.status) == (DispatchKind.SCHEDULED, moment, RunStatus.OK)
    (event,) = [event for event in await audit.events(here.store, job=job) if event.action == "occurrences-missed"]
    assert event.after == {"missed": 1, "first": moment.isoformat(), "last": moment.isoformat(), "dispatched": 1}


async def test_a_job_that_cannot_be_caught_up_keeps_no_other_from_it_and_is_looked_at_again(
    here: RunningSystem,
) -> None:
    moment = here.now().replace(microsecond=0) + timedelta(seconds=12)
    names = ("broken", "whole")
    broken, _ = (here.write(name, schedule={"at": moment.isoformat()}, run="true") for name in names)
    await here.deploy()
    await here.run("broken")
    (by_hand,) = await here.ended("broken")

    async def is_past() -> bool:
        for flow_run in [run for name in names for run in await here.flow_runs_of(name)]:
            if flow_run.auto_scheduled:
                await here.client.delete_flow_run(flow_run.id)
        return here.now() > moment

    async def say_when(value: str) -> None:
        async with here.store.transaction() as session:
            values = {"value": value, "job": broken}
            await session.execute(text("UPDATE run SET scheduled_for = :value WHERE job_id = :job"), values)

    await here.eventually(is_past)
    async with here.store.reading() as session:
        found = await session.execute(text("SELECT scheduled_for FROM run WHERE id = :id"), {"id": by_hand.id.hex})
        written = str(found.scalar_one())
    await say_when("zzz, so that the job's past cannot be read")
    with pytest.raises(ExceptionGroup, match=broken):
        await catch_up.catch_up()
    assert (await here.ended_run("whole")).scheduled_for == moment
    await say_when(written)
    assert await here.eventually(catch_up.catch_up) == 1
    assert [run.scheduled_for for run in await here.ended("broken", count=2)][1:] == [moment]


@contextlib.asynccontextmanager
async def nothing_is_taken(ocs: RunningSystem) -> AsyncGenerator[None]:
    """A worker that polls meanwhile finds none of them, and all of them afterwards."""
    await ocs.client.update_work_pool(settings.WORK_POOL, WorkPoolUpdate(is_paused=True))
    yield
    await ocs.client.update_work_pool(settings.WORK_POOL, WorkPoolUpdate(is_paused=False))


async def test_of_five_occurrences_that_were_missed_one_runs_and_the_others_say_why(ocs: RunningSystem) -> None:
    """Acceptance row 31: everything was down for five hours, and Prefect had made a run for each of them."""
    job = ocs.write("hourly", schedule="@hourly", run="true")
    await ocs.deploy()
    hour = ocs.now().replace(minute=0, second=0, microsecond=0)
    missed = tuple(hour - timedelta(hours=hours) for hours in range(4, -1, -1))
    made = await occurrences.dispatch_missed(ocs.store, job, CatchUp(missed), ocs.now())
    async with nothing_is_taken(ocs):
        await publish(ocs.client, ocs.store, made)
    *past, newest = sorted(await ocs.ended("hourly", count=5), key=lambda run: run.scheduled_for)
    assert (newest.scheduled_for, newest.status) == (hour, RunStatus.OK)
    assert [(run.scheduled_for, run.skip_reason) for run in past] == [(at, SkipReason.MISSED) for at in missed[:-1]]
    begun = [flow_run.id for flow_run in await ocs.flow_runs_of("hourly") if flow_run.run_count]
    assert begun == [newest.flow_run_id], "what is left out is not begun for it"


async def test_what_was_due_before_a_schedule_was_rolled_out_is_not_made_up_for(here: RunningSystem) -> None:
    here.write("young", schedule="* * * * * *", run="true", enabled=False)
    await occurrences.mark_caught_up(here.store, here.now() - timedelta(hours=1))
    await here.deploy()
    await catch_up.catch_up()
    assert not await queries.queue(here.store, job=here.id("young"))
    assert not await here.runs_of("young")


async def test_a_schedule_that_somebody_edited_in_the_ui_is_not_made_up_for_as_it_was(here: RunningSystem) -> None:
    job = here.write("edited", schedule="* * * * * *", run="true")
    await here.deploy()
    deployment = await here.client.read_deployment_by_name(f"job/{job}")
    (schedule,) = deployment.schedules
    yearly = CronSchedule(cron="0 0 1 1 *", timezone="UTC")
    await here.client.update_deployment_schedule(deployment.id, schedule.id, schedule=yearly)
    edited = here.now()

    async def has_been_silent() -> bool:
        for flow_run in await here.flow_runs_of("edited"):
            if flow_run.state and flow_run.state.is_scheduled():
                await here.client.delete_flow_run(flow_run.id)
        return here.now() - edited > timedelta(seconds=3)

    await here.eventually(has_been_silent)
    await catch_up.catch_up()
    assert "occurrences-missed" not in [event.action for event in await audit.events(here.store, job=job)]


async def test_a_one_shot_ends_disabled_and_a_rollout_does_not_take_that_for_a_persons_pause(
    ocs: RunningSystem,
) -> None:
    job = ocs.write("once", schedule={"at": (ocs.now() + timedelta(seconds=8)).isoformat()}, run="true")
    await ocs.deploy()
    await ocs.ended_run("once")

    async def is_paused() -> bool:
        return (await ocs.client.read_deployment_by_name(f"job/{job}")).paused

    assert await ocs.eventually(is_paused)
    (step,) = (await ocs.deploy()).steps
    assert (step.action, step.paused_in_ui) == (Action.UNCHANGED, False)
    # Given another time, it runs again.
    ocs.write("once", schedule={"at": (ocs.now() + timedelta(days=300)).isoformat()}, run="true")
    await ocs.deploy()
    assert not await is_paused()


async def test_a_one_shot_that_is_to_be_deleted_goes_and_its_children_still_run(ocs: RunningSystem) -> None:
    """The reference lost the chain of such a parent, and its history (W8)."""
    moment = ocs.now() + timedelta(seconds=8)
    job = ocs.write(
        "fleeting", schedule={"at": moment.isoformat()}, run="echo rows", lifecycle={"delete_after_run": True}
    )
    ocs.write("follows", after={"job": "fleeting", "delay": "1s"}, run="true")
    await ocs.deploy()
    follows = await ocs.ended_run("follows")
    (fleeting,) = await ocs.runs_of("fleeting")
    assert (follows.status, follows.parent_run) == (RunStatus.OK, fleeting.id)

    async def is_gone() -> bool:
        try:
            await ocs.client.read_deployment_by_name(f"job/{job}")
        except ObjectNotFound:
            return True
        return False

    assert await ocs.eventually(is_gone)
    assert (await ocs.flow_run(fleeting)).state.is_completed()  # type: ignore[union-attr]
    planned = await rollout.plan(ocs.client, catalogue.read(ocs.project), retired=await lifecycle.retired(ocs.store))
    assert {step.job_id: step.action for step in planned.steps}[job] is Action.DONE


async def test_a_recurring_job_that_is_to_be_deleted_goes_after_a_run_that_went_well(
    ocs: RunningSystem, tmp_path: Path
) -> None:
    job = ocs.write(
        "until-it-works",
        schedule={"every": "2s"},
        run=f"test -e {tmp_path / 'there'}",
        backoff=False,
        lifecycle={"delete_after_run": True},
    )
    await ocs.deploy()
    failed = await ocs.ended("until-it-works", count=2)
    assert RunStatus.OK not in {run.status for run in failed}
    (tmp_path / "there").touch()

    async def is_retired() -> bool:
        return job in await lifecycle.retired(ocs.store)

    assert await ocs.eventually(is_retired)


async def test_a_job_that_stays_disabled_is_removed_after_its_ttl(
    here: RunningSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acceptance row 87; its history stays, and a rollout does not bring it back."""
    job = here.write("passing", run="true", lifecycle={"ttl": "1h"})
    await here.deploy()
    await here.run("passing")
    await here.ended_run("passing")
    deployment = await here.client.read_deployment_by_name(f"job/{job}")
    await here.client.pause_deployment(deployment.id)
    await end_jobs()
    await here.client.read_deployment(deployment.id)
    monkeypatch.setattr(runtime, "clock", lambda: here.now() + timedelta(hours=1))
    await end_jobs()
    with pytest.raises(ObjectNotFound):
        await here.client.read_deployment(deployment.id)
    planned = await rollout.plan(here.client, catalogue.read(here.project), retired=await lifecycle.retired(here.store))
    assert [step.action for step in planned.steps] == [Action.DONE]
    assert len(await here.runs_of("passing")) == 1


@pytest.mark.parametrize("how", ["deleted", "cancelled"])
async def test_a_dispatch_whose_flow_run_was_ended_before_it_began_is_given_up(here: RunningSystem, how: str) -> None:
    job = here.write("later", run="true")
    await here.deploy()
    pending = await enqueue(here.store, job, by=Attribution("test", "test", here.now()))
    soon = replace(pending, scheduled_for=here.now() + timedelta(seconds=3))
    flow_run = (await publish(here.client, here.store, [soon]))[pending.id]
    if how == "deleted":
        await here.client.delete_flow_run(flow_run.id)
    else:
        await here.client.set_flow_run_state(flow_run.id, Cancelled(message="By a person."))
    await reconcile.reconcile(here.client, here.store)
    row = await queries.dispatch(here.store, pending.id)
    assert row is not None
    assert row.status == "cancelled"
    assert not await here.runs_of("later")


@pytest.mark.parametrize("broken", [Crashed(), Failed()], ids=["crashed", "failed"])
async def test_a_dispatch_whose_flow_run_broke_before_it_began_is_sent_again_and_runs_once(
    here: RunningSystem, times: Times, broken: State
) -> None:
    """As when its worker had to end before it could claim it. Only the store knows whether a dispatch was had."""
    times(republish_first=0)
    job = here.write("later", run="true")
    await here.deploy()
    pending = await enqueue(here.store, job, by=Attribution("test", "test", here.now()))
    soon = replace(pending, scheduled_for=here.now() + timedelta(days=1))
    flow_run = (await publish(here.client, here.store, [soon]))[pending.id]
    await here.client.set_flow_run_state(flow_run.id, broken, force=True)

    async def is_sent_again() -> bool:
        await reconcile.reconcile(here.client, here.store)
        row = await queries.dispatch(here.store, pending.id)
        return row is not None and row.publication == 1

    await here.eventually(is_sent_again)
    run = await here.ended_run("later")
    assert (run.dispatch_id, run.status) == (pending.id, RunStatus.OK)
    assert run.flow_run_id != flow_run.id


@pytest.mark.parametrize(
    ("ended", "runs"), [(Crashed(), 1), (Failed(), 1), (Cancelled(), 0)], ids=["crashed", "failed", "cancelled"]
)
async def test_an_occurrence_whose_flow_run_broke_is_made_up_for_and_one_that_somebody_cancelled_is_not(
    here: RunningSystem, ended: State, runs: int
) -> None:
    """What has no record with us has not had its turn; a person who cancels it before it begins has decided."""
    moment = here.now().replace(microsecond=0) + timedelta(seconds=20)
    job = here.write("soon", schedule={"at": moment.isoformat()}, run="true")
    await here.deploy()
    (flow_run,) = await here.eventually(lambda: here.flow_runs_of("soon"))
    await here.client.set_flow_run_state(flow_run.id, ended, force=True)

    async def is_past() -> bool:
        return here.now() > moment

    await here.eventually(is_past)
    await catch_up.catch_up()
    missed = [event.after for event in await audit.events(here.store, job=job) if event.action == "occurrences-missed"]
    assert len(missed) == runs
    if runs:
        run = await here.ended_run("soon")
        assert (run.kind, run.scheduled_for, run.status) == (DispatchKind.SCHEDULED, moment, RunStatus.OK)


async def test_all_flow_runs_of_a_question_are_found_however_many_a_page_holds(
    here: RunningSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", 2)
    job = here.write("many", run="true")
    await here.deploy()
    deployment = await here.client.read_deployment_by_name(f"job/{job}")
    later = Scheduled(scheduled_time=here.now() + timedelta(days=1))
    made = {(await here.client.create_flow_run_from_deployment(deployment.id, state=later)).id for _ in range(5)}
    of_it = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    found = await pages.all_flow_runs(here.client, deployment_filter=of_it)
    assert {flow_run.id for flow_run in found} == made
    assert (await pages.flow_runs_by_id(here.client, [*made])).keys() == made


@pytest.mark.parametrize("when", ["before it is recovered", "afterwards"])
async def test_a_crashed_run_that_a_late_taker_called_skipped_is_crashed_in_prefect_too(
    here: RunningSystem, when: str
) -> None:
    """Two workers had taken its flow run: one was killed, and the other had seen that it was being executed."""
    job_id = here.write("taken", run="true")
    await here.deploy()
    deployment = await here.client.read_deployment_by_name(f"job/{job_id}")
    later = Scheduled(scheduled_time=here.now() + timedelta(days=1))
    flow_run = await here.client.create_flow_run_from_deployment(deployment.id, state=later)
    too_late = state_of(RunStatus.SKIPPED, "It is already being executed.")
    if when == "before it is recovered":
        await here.client.set_flow_run_state(flow_run.id, too_late, force=True)
    job, now = catalogue.read(here.project).jobs[job_id], here.now()
    killed = owner.me().rpartition(":")[0] + ":1"
    await claim(here.store, job, Dispatch(DispatchKind.MANUAL, now), flow_run_id=flow_run.id, owner=killed, now=now)
    await recover.recover()
    if when == "afterwards":
        await here.client.set_flow_run_state(flow_run.id, too_late, force=True)
        await recover.recover()
    run = await here.ended_run("taken")
    state = (await here.flow_run(run)).state
    assert state is not None
    assert (run.status, state.name) == (RunStatus.CRASHED, "Crashed")


async def test_a_quiet_job_is_told_once_and_forgotten_while_somebody_has_paused_it(
    here: RunningSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {"expect": {"success_every": "1d"}, "deliver": {"to": "ops"}}
    here.write("parent", schedule="0 2 29 2 *", run="true")
    child = here.write("child", after={"job": "parent"}, run="true", **expected)
    await here.deploy()
    assert await watch.watch() == 0
    now = here.now() + timedelta(days=2)
    monkeypatch.setattr(runtime, "clock", lambda: now)
    assert await watch.watch() == 1
    assert await watch.watch() == 0
    assert [row.subject for row in await deliveries.unsent(here.store, job=child)] == [f"{child}: quiet"]
    deployment = await here.client.read_deployment_by_name(f"{settings.FLOW_NAME}/{child}")
    await here.client.pause_deployment(deployment.id)
    now += timedelta(hours=1)
    assert await watch.watch() == 0
    assert await incidents.open_incidents(here.store, job=child) == []
    await here.client.resume_deployment(deployment.id)
    assert await watch.watch() == 0, "it counts anew"
    assert len(await deliveries.unsent(here.store, job=child)) == 1


async def test_maintenance_is_a_flow_of_its_own_that_everybody_sees(ocs: RunningSystem) -> None:
    ocs.write("any", run="true")
    await ocs.deploy()
    deployment = await ocs.client.read_deployment_by_name("maintenance/every-10-minutes")
    flow_run = await ocs.client.create_flow_run_from_deployment(deployment.id)

    async def ended() -> FlowRun | None:
        found = await ocs.client.read_flow_run(flow_run.id)
        return found if found.state and found.state.is_final() else None

    done = await ocs.eventually(ended)
    assert done.state is not None
    assert done.state.is_completed(), done.state
    only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))

    async def all_tasks() -> bool:
        names = {run.name for run in await ocs.client.read_task_runs(flow_run_filter=only)}
        return names == {"recover", "catch-up", "watch", "lifecycle", "prune"}

    assert await ocs.eventually(all_tasks)
