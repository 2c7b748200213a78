"""A job of each kind of cause, from its document to what the store and Prefect say of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelling, Scheduled

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.rules.jitter import offset
from ocs.service.deployed import deployed_job
from ocs.service.listener import Deaf
from ocs.service.running import Outcome, start
from ocs.store.tables import Run
from tests.e2e.system import RunningSystem

pytestmark = pytest.mark.e2e


async def task_names(ocs: RunningSystem, flow_run_id: UUID) -> list[str]:
    only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    runs = await ocs.client.read_task_runs(flow_run_filter=only)
    return sorted(run.name for run in runs)


async def artifact_of(ocs: RunningSystem, flow_run_id: UUID) -> str:
    only = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
    (artifact,) = await ocs.client.read_artifacts(artifact_filter=only)
    return str(artifact.data)


async def log_lines(ocs: RunningSystem, flow_run_id: UUID) -> list[str]:
    logs = await ocs.client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id])), limit=200)
    return [log.message for log in logs]


async def test_a_manual_run_is_seen_in_the_store_and_in_prefect(ocs: RunningSystem) -> None:
    job = ocs.write("hello", run="echo out; echo err >&2", tags=["greeting"])
    await ocs.deploy()
    await ocs.run("hello")
    run = await ocs.ended_run("hello")
    assert (run.status, run.kind, run.exit_code) == (RunStatus.OK, DispatchKind.MANUAL, 0)
    assert (run.stdout.strip(), run.stderr.strip()) == ("out", "err")

    flow_run = await ocs.flow_run(run)
    assert flow_run.state is not None
    assert (flow_run.state.type, flow_run.state.name) == (StateType.COMPLETED, "Ok")
    assert flow_run.name.startswith(f"{job} · manual · ")
    assert {f"job:{job}", "kind:manual", "greeting"} <= set(flow_run.tags)

    async def all_tasks() -> bool:  # Prefect gives a task run another name first
        return await task_names(ocs, flow_run.id) == ["execute", "finalize", "prepare"]

    assert await ocs.eventually(all_tasks)
    assert "**ok**" in await artifact_of(ocs, flow_run.id)

    async def output_in_log() -> bool:
        lines = await log_lines(ocs, flow_run.id)
        return "out" in lines and "err" in lines

    assert await ocs.eventually(output_in_log)


async def test_every_starts_on_time_and_never_early(ocs: RunningSystem) -> None:
    ocs.write("tick", schedule={"every": "5s"}, run="true")
    await ocs.deploy()
    runs = await ocs.ended("tick", count=2)
    for run in runs[:2]:
        assert run.kind is DispatchKind.SCHEDULED
        assert run.started_at >= run.scheduled_for


async def test_cron_with_seconds_runs_once_at_each_of_its_instants(ocs: RunningSystem) -> None:
    ocs.write("cron", schedule={"cron": "*/3 * * * * *"}, run="true", limits={"overlap": "allow"})
    await ocs.deploy()
    (first, *_) = await ocs.ended("cron")
    instants = {first.scheduled_for + number * timedelta(seconds=3) for number in range(4)}

    async def all_of_them() -> list[Run] | None:
        ran = [run for run in await ocs.runs_of("cron") if run.scheduled_for in instants and run.status.final]
        return ran if len(ran) >= len(instants) else None

    runs = await ocs.eventually(all_of_them)
    assert sorted(run.scheduled_for for run in runs) == sorted(instants)
    assert all(run.scheduled_for.second % 3 == 0 and run.started_at >= run.scheduled_for for run in runs)
    assert (await ocs.flow_run(first)).name.startswith(f"{ocs.id('cron')} · scheduled · ")


async def test_at_runs_once(ocs: RunningSystem) -> None:
    moment = (datetime.now(UTC) + timedelta(seconds=8)).replace(microsecond=0)
    ocs.write("once", schedule={"at": moment.isoformat()}, run="true")
    await ocs.deploy()
    run = await ocs.ended_run("once")
    assert run.scheduled_for == moment
    assert run.started_at >= moment
    assert len(await ocs.flow_runs_of("once")) == 1


async def test_a_chain_of_three_goes_on_where_the_output_matches(ocs: RunningSystem) -> None:
    ocs.write("collect", run="echo rows: 3")
    ocs.write("analyse", after={"job": "collect", "match": {"contains": "rows:"}}, run="echo mean: 1.5")
    ocs.write("report", after={"job": "analyse", "match": {"regex": r"mean: \d"}, "delay": "1s"}, run="true")
    ocs.write("alarm", after={"job": "collect", "match": {"contains": "error"}}, run="true")
    ocs.write("rescue", after={"job": "collect", "on": "failure"}, run="true")
    await ocs.deploy()
    await ocs.run("collect")
    report = await ocs.ended_run("report")
    analyse = await ocs.ended_run("analyse")
    collect = await ocs.ended_run("collect")
    assert (analyse.parent_run, report.parent_run) == (collect.id, analyse.id)
    assert {analyse.kind, report.kind} == {DispatchKind.CHAIN}
    assert report.started_at >= analyse.finished_at + timedelta(seconds=1)
    assert not await ocs.runs_of("alarm")
    assert not await ocs.runs_of("rescue")
    assert ocs.id("analyse") in await artifact_of(ocs, collect.flow_run_id)
    tags = (await ocs.flow_run(analyse)).tags
    assert f"parent-run:{collect.flow_run_id}" in tags  # an id that the UI can follow
    assert f"/runs/flow-run/{collect.flow_run_id})" in await artifact_of(ocs, analyse.flow_run_id)


async def test_a_failed_parent_starts_its_failure_child_once_and_after_its_last_attempt(
    ocs: RunningSystem,
) -> None:
    ocs.write("load", run="echo broken >&2; exit 3", retry={"max": 1, "delay": "1s"})
    ocs.write("tell", after={"job": "load", "on": "failure"}, run="echo told")
    await ocs.deploy()
    await ocs.run("load")
    tell = await ocs.ended_run("tell")
    first, last = await ocs.ended("load", count=2)
    assert tell.parent_run == last.id
    assert (last.retry_of, last.attempt, last.kind) == (first.id, 2, DispatchKind.RETRY)
    assert {first.exit_code, last.exit_code} == {3}
    flow_run = await ocs.flow_run(first)
    assert flow_run.state is not None
    assert flow_run.state.type is StateType.FAILED
    assert "3" in (flow_run.state.message or "")


async def test_the_execute_task_of_a_failed_job_is_red_and_the_others_are_not(ocs: RunningSystem) -> None:
    ocs.write("red", run="echo said >&2; exit 4")
    await ocs.deploy()
    await ocs.run("red")
    run = await ocs.ended_run("red")
    only = FlowRunFilter(id=FlowRunFilterId(any_=[run.flow_run_id]))

    async def ended_tasks() -> dict[str, str | None] | None:
        found = {task.name: task.state_name for task in await ocs.client.read_task_runs(flow_run_filter=only)}
        return found if len(found) == 3 and None not in found.values() and "Running" not in found.values() else None

    assert await ocs.eventually(ended_tasks) == {"prepare": "Completed", "execute": "Error", "finalize": "Completed"}

    async def ended_log() -> list[str] | None:
        lines = await log_lines(ocs, run.flow_run_id)
        return lines if any("Finished in state Failed" in line for line in lines) else None

    lines = await ocs.eventually(ended_log)
    assert [line for line in lines if "said" in line] == ["said"]  # once, and no result in full
    assert "Finished in state Completed()" not in lines  # nobody takes the end of prepare for the job's
    assert not any("Traceback" in line or "NoneType" in line for line in lines)


async def test_a_timeout_ends_the_run_and_is_retried(ocs: RunningSystem) -> None:
    ocs.write("slow", run={"shell": {"command": "sleep 600"}, "timeout": "1s"}, retry={"max": 1, "delay": "1s"})
    await ocs.deploy()
    await ocs.run("slow")
    first, last = await ocs.ended("slow", count=2)
    assert {first.status, last.status} == {RunStatus.TIMEOUT}
    flow_run = await ocs.flow_run(last)
    assert flow_run.state is not None
    assert (flow_run.state.type, flow_run.state.name) == (StateType.FAILED, "TimedOut")


async def test_a_cancel_in_prefect_ends_the_processes_and_nothing_follows(
    ocs: RunningSystem, tmp_path_factory: pytest.TempPathFactory
) -> None:
    marker = tmp_path_factory.mktemp("cancel") / "alive"
    command = f"(while true; do date > {marker}; sleep 0.1; done) & wait"
    ocs.write("endless", run=command, retry={"max": 3, "delay": "1s"})
    ocs.write("after", after={"job": "endless", "on": "complete"}, run="true")
    await ocs.deploy()
    await ocs.run("endless")

    async def started() -> bool:
        return marker.exists()

    assert await ocs.eventually(started)
    (run,) = await ocs.runs_of("endless")
    await ocs.client.set_flow_run_state(run.flow_run_id, Cancelling())
    run = await ocs.ended_run("endless")
    assert run.status is RunStatus.CANCELLED
    flow_run = await ocs.flow_run(run)
    assert flow_run.state is not None
    assert flow_run.state.type is StateType.CANCELLED
    marker.unlink()
    # The loop wrote ten times a second: had it survived, the file would be back.
    await asyncio.sleep(1)
    assert not marker.exists()
    assert not await ocs.runs_of("after")
    assert len(await ocs.runs_of("endless")) == 1


async def test_a_run_made_in_the_ui_is_a_manual_run_with_its_changed_parameters(ocs: RunningSystem) -> None:
    job = ocs.write("greet", run="echo hello")
    await ocs.deploy()
    deployment = await ocs.client.read_deployment_by_name(f"job/{job}")
    changed = {"job": {"id": job, "run": {"shell": {"command": "echo changed"}}}}
    await ocs.client.create_flow_run_from_deployment(deployment.id, parameters=changed)
    run = await ocs.ended_run("greet")
    assert (run.kind, run.stdout.strip()) == (DispatchKind.MANUAL, "changed")


async def test_a_custom_run_cannot_pretend_to_be_another_job(ocs: RunningSystem) -> None:
    job = ocs.write("mine", run="echo mine")
    await ocs.deploy()
    deployment = await ocs.client.read_deployment_by_name(f"job/{job}")
    stranger = {"job": {"id": "somebody-else", "run": {"shell": {"command": "echo stolen"}}}}
    flow_run = await ocs.client.create_flow_run_from_deployment(deployment.id, parameters=stranger)

    async def failed() -> str | None:
        state = (await ocs.client.read_flow_run(flow_run.id)).state
        return state.message if state and state.is_final() else None

    assert "somebody-else" in (await ocs.eventually(failed) or "")
    assert not await ocs.runs_of("mine")


async def test_a_missing_secret_block_is_named_and_nothing_runs(ocs: RunningSystem) -> None:
    ocs.write("secretive", run={"shell": {"command": "echo ran", "secrets": {"TOKEN": "no-such-block"}}})
    await ocs.deploy()
    await ocs.run("secretive")
    run = await ocs.ended_run("secretive")
    assert run.status is RunStatus.ERROR
    assert "no-such-block" in run.error
    assert run.exit_code is None


async def test_an_overlapping_run_is_recorded_as_skipped_with_its_reason(
    ocs: RunningSystem, tmp_path_factory: pytest.TempPathFactory
) -> None:
    gate = tmp_path_factory.mktemp("overlap") / "gate"
    ocs.write("single", run=f"until [ -e {gate} ]; do sleep 0.05; done")
    await ocs.deploy()
    await ocs.run("single")

    async def running() -> bool:
        return bool(await ocs.runs_of("single"))

    assert await ocs.eventually(running)
    await ocs.run("single")

    async def skipped() -> bool:
        return any(run.status is RunStatus.SKIPPED for run in await ocs.runs_of("single"))

    assert await ocs.eventually(skipped)
    gate.touch()
    runs = await ocs.ended("single", count=2)
    assert {run.status for run in runs} == {RunStatus.OK, RunStatus.SKIPPED}
    (rejected,) = [run for run in runs if run.status is RunStatus.SKIPPED]
    state = (await ocs.flow_run(rejected)).state
    assert state is not None
    assert (state.type, state.name) == (StateType.COMPLETED, "Skipped")
    assert state.message


async def test_retry_in_the_ui_is_a_further_attempt_with_a_record_of_its_own(
    ocs: RunningSystem, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mended = tmp_path_factory.mktemp("retry") / "mended"
    ocs.write("flaky", run=f"test -e {mended}")
    await ocs.deploy()
    await ocs.run("flaky")
    failed = await ocs.ended_run("flaky")
    mended.touch()
    await ocs.client.set_flow_run_state(failed.flow_run_id, Scheduled(name="AwaitingRetry"), force=True)
    first, again = await ocs.ended("flaky", count=2)
    assert (first.status, again.status) == (RunStatus.ERROR, RunStatus.OK)
    assert (again.retry_of, again.attempt, again.flow_run_id) == (first.id, 2, first.flow_run_id)


async def test_jitter_spreads_and_is_never_early(ocs: RunningSystem) -> None:
    job = ocs.write("spread", schedule={"every": "8s", "jitter": "4s"}, run="true")
    await ocs.deploy()
    (run, *_) = await ocs.ended("spread")
    assert run.started_at >= run.scheduled_for + offset(job, run.scheduled_for, timedelta(seconds=4))


async def test_a_broken_child_harms_only_itself(ocs: RunningSystem) -> None:
    ocs.write("parent", run="true")
    ocs.write("good", after={"job": "parent"}, run="true")
    bad = ocs.write("bad", after={"job": "parent"}, run="true")
    await ocs.deploy()
    deployment = await ocs.client.read_deployment_by_name(f"job/{bad}")
    nonsense = DeploymentUpdate(parameters={"job": {"id": bad, "run": 7}}, enforce_parameter_schema=False)
    await ocs.client.update_deployment(deployment.id, nonsense)
    await ocs.run("parent")
    assert (await ocs.ended_run("good")).status is RunStatus.OK
    parent = await ocs.ended_run("parent")
    assert parent.status is RunStatus.OK

    async def told() -> bool:
        return any(bad in line for line in await log_lines(ocs, parent.flow_run_id))

    assert await ocs.eventually(told)
    assert not await ocs.runs_of("bad")


class Heard(Deaf):
    """Keeps what is to be known while something is waited for."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, sentence: str) -> None:
        self.warnings.append(sentence)


async def test_a_run_that_began_just_before_ours_is_followed(
    ocs: RunningSystem, worker_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ocs jobs run --wait` had looked when nothing ran yet: its dispatch is skipped, and says what was in its way."""
    monkeypatch.setenv("OCS_HOME", str(worker_home))
    gate = tmp_path / "gate"

    async def at_work() -> Run | None:
        return next((run for run in await ocs.runs_of("twice") if run.pid), None)

    ocs.write("twice", run=f"echo begun; until [ -e {gate} ]; do sleep 0.05; done; exit 3")
    await ocs.deploy()
    await ocs.run("twice")
    job = await deployed_job(ocs.client, ocs.id("twice"))
    first = await ocs.eventually(at_work)
    heard, ann = Heard(), Attribution("ann", "cli", ocs.now())
    ours = asyncio.create_task(start(ocs.client, ocs.store, job, {}, wait=True, by=ann, listener=heard))

    async def is_skipped() -> bool:
        return any(run.in_its_way == first.id for run in await ocs.runs_of("twice"))

    await ocs.eventually(is_skipped)
    gate.touch()
    started = await ours
    assert any(f"as run {str(first.id)[:8]}" in warning for warning in heard.warnings)
    assert (started.outcome, started.run and started.run.exit_code) == (Outcome.JOINED, 3)
