"""A person decides: a run waits suspended and without a slot, and goes on, ends or expires as was decided."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Cancelling, Scheduled

from ocs.rules.approval import UI, ApprovalStatus
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import RunStatus
from ocs.server import embedded_server
from ocs.store.approvals import Decided, approvals, decide
from ocs.store.tables import Approval
from tasks.approvals.gate import reconcile_one
from tests.e2e.system import RunningSystem, our_worker, running_system, worker_process

pytestmark = pytest.mark.e2e

GUARD = {"required": True, "timeout": "10m"}


async def suspended(ocs: RunningSystem, name: str) -> tuple[Approval, FlowRun]:
    """The pending request of a job, once its flow run waits in Prefect."""

    async def look() -> tuple[Approval, FlowRun] | None:
        for request in await approvals(ocs.store, job=ocs.id(name), pending_only=True):
            flow_run = await ocs.client.read_flow_run(request.flow_run_id)
            if flow_run.state and flow_run.state.is_paused():
                keyset: dict[str, Any] = flow_run.state.state_details.run_input_keyset or {}
                if await ocs.client.filter_flow_run_input(flow_run.id, keyset["schema"], 1, set()):
                    return request, flow_run
        return None

    return await ocs.eventually(look)


async def decided(ocs: RunningSystem, request: Approval, *, approve: bool, reason: str | None = None) -> Decided:
    """As `ocs approvals` does it: what was decided in the UI meanwhile is heard first."""
    await reconcile_one(ocs.client, ocs.store, request)
    answer = await decide(
        ocs.store,
        request.id,
        approve=approve,
        by=Attribution("ann", "cli", ocs.now()),
        reason=reason,
    )
    await reconcile_one(ocs.client, ocs.store, request)
    return answer


async def request_of(ocs: RunningSystem, name: str) -> Approval:
    return (await approvals(ocs.store, job=ocs.id(name)))[-1]


async def test_an_approved_run_goes_on_in_the_same_flow_run_and_row(ocs: RunningSystem, tmp_path: Path) -> None:
    log = tmp_path / "log"
    ocs.write("deploy", run=f"echo ran >> {log}", approval=GUARD)
    ocs.write("after", after={"job": "deploy"}, run="true")
    await ocs.deploy()
    await ocs.run("deploy")
    request, flow_run = await suspended(ocs, "deploy")
    (waiting,) = await ocs.runs_of("deploy")
    assert waiting.status is RunStatus.WAITING_APPROVAL
    assert flow_run.state is not None
    assert flow_run.state.state_details.pause_timeout is None
    assert not log.exists()

    assert (await decided(ocs, request, approve=True)).counted
    run = await ocs.ended_run("deploy")
    assert (run.id, run.status, run.flow_run_id) == (waiting.id, RunStatus.OK, flow_run.id)
    assert log.read_text() == "ran\n"
    assert len(await ocs.flow_runs_of("deploy")) == 1
    assert (await ocs.ended_run("after")).parent_run == run.id


async def test_a_rejected_run_is_cancelled_with_its_reason_and_its_failure_child_follows(ocs: RunningSystem) -> None:
    ocs.write("collect", run="true")
    ocs.write("publish", after={"job": "collect"}, run="echo published", approval={**GUARD, "on": "chain"})
    ocs.write("tell", after={"job": "publish", "on": "failure"}, run="true")
    await ocs.deploy()
    await ocs.run("collect")
    request, _ = await suspended(ocs, "publish")
    assert request.why.startswith(f"after {ocs.id('collect')}, run ")
    await decided(ocs, request, approve=False, reason="not today")
    run = await ocs.ended_run("publish")
    assert (run.status, run.error, run.stdout) == (RunStatus.CANCELLED, "Rejected by ann: not today.", "")
    state = (await ocs.flow_run(run)).state
    assert state is not None
    assert (state.type, state.message) == (StateType.CANCELLED, "Rejected by ann: not today.")
    assert (await ocs.ended_run("tell")).parent_run == run.id
    # Only chains are asked about.
    await ocs.run("publish")
    _, by_hand = await ocs.ended("publish", count=2)
    assert by_hand.status is RunStatus.OK


async def test_the_form_decides_and_the_server_refuses_what_does_not_fit_it(ocs: RunningSystem) -> None:
    ocs.write("form", run="echo ran", approval=GUARD)
    await ocs.deploy()
    await ocs.run("form")
    request, flow_run = await suspended(ocs, "form")
    fine = {"decision": "approve", "by": "carla", "reason": "looks good"}
    for wrong in (
        None,
        {},
        {"decision": "approve"},
        {**fine, "decision": "perhaps"},
        {**fine, "by": ""},
        {**fine, "by": "  "},
        {**fine, "reason": "x" * 100_000},
        {**fine, "more": 1},
    ):
        answer = await ocs.client.resume_flow_run(flow_run.id, wrong)
        assert answer.status is SetStateStatus.REJECT, wrong
    assert (await ocs.client.resume_flow_run(flow_run.id, fine)).status is SetStateStatus.ACCEPT
    assert (await ocs.client.resume_flow_run(flow_run.id, fine)).status is SetStateStatus.ABORT
    assert (await ocs.ended_run("form")).status is RunStatus.OK
    request = await request_of(ocs, "form")
    assert (request.status, request.decided_by, request.decided_from, request.reason) == (
        ApprovalStatus.APPROVED,
        "carla",
        UI,
        "looks good",
    )


async def test_a_resume_without_an_answer_or_with_a_bad_one_asks_again(ocs: RunningSystem) -> None:
    ocs.write("again", run="echo ran", approval=GUARD)
    await ocs.deploy()
    await ocs.run("again")
    _, flow_run = await suspended(ocs, "again")
    await ocs.client.set_flow_run_state(flow_run.id, Scheduled(), force=True)

    async def asked(times: int) -> bool:
        return (await request_of(ocs, "again")).asked == times

    assert await ocs.eventually(lambda: asked(2))
    await suspended(ocs, "again")
    bell = {"decision": "approve", "by": "dora", "reason": "bell \x07"}
    await ocs.client.resume_flow_run(flow_run.id, bell)
    assert await ocs.eventually(lambda: asked(3))
    _, flow_run = await suspended(ocs, "again")
    (run,) = await ocs.runs_of("again")
    assert run.status is RunStatus.WAITING_APPROVAL
    await ocs.client.resume_flow_run(flow_run.id, {**bell, "decision": "reject", "reason": ""})
    run = await ocs.ended_run("again")
    assert (run.status, run.error) == (RunStatus.CANCELLED, "Rejected by dora.")


async def test_values_changed_for_one_run_do_not_get_around_the_approval(ocs: RunningSystem) -> None:
    job = ocs.write("strict", run="echo as deployed", approval=GUARD)
    await ocs.deploy()
    deployment = await ocs.client.read_deployment_by_name(f"job/{job}")
    open_door = {"job": {"id": job, "run": {"shell": {"command": "echo changed"}}, "approval": {"required": False}}}
    await ocs.client.create_flow_run_from_deployment(deployment.id, parameters=open_door)
    request, _ = await suspended(ocs, "strict")
    assert (request.what, request.changed) == ("echo changed", ["run.shell.command"])
    await decided(ocs, request, approve=True)
    assert (await ocs.ended_run("strict")).stdout.strip() == "changed"
    await ocs.run("strict", job={**open_door["job"], "approval": {"required": True, "on_timeout": "approve"}})
    request, _ = await suspended(ocs, "strict")
    assert request.on_timeout == "reject"


async def test_a_retry_in_the_ui_of_a_rejected_run_asks_again(ocs: RunningSystem) -> None:
    ocs.write("retried", run="echo ran", approval=GUARD)
    await ocs.deploy()
    await ocs.run("retried")
    first, flow_run = await suspended(ocs, "retried")
    await decided(ocs, first, approve=False)
    await ocs.ended_run("retried")
    await ocs.client.set_flow_run_state(flow_run.id, Scheduled(name="AwaitingRetry"), force=True)
    again, _ = await suspended(ocs, "retried")
    assert again.id != first.id
    await decided(ocs, again, approve=True)
    rejected, approved = await ocs.ended("retried", count=2)
    assert (rejected.status, approved.status, approved.retry_of) == (RunStatus.CANCELLED, RunStatus.OK, rejected.id)


@pytest.mark.parametrize(
    ("on_timeout", "status"), [("reject", RunStatus.CANCELLED), ("approve", RunStatus.OK)], ids=["reject", "approve"]
)
async def test_time_decides_when_nobody_does(ocs: RunningSystem, on_timeout: str, status: RunStatus) -> None:
    ocs.write("late", run="echo ran", approval={"required": True, "timeout": "2s", "on_timeout": on_timeout})
    await ocs.deploy()
    await ocs.run("late")
    run = await ocs.ended_run("late")
    assert run.status is status
    assert (await request_of(ocs, "late")).decided_by == "timeout"


async def test_a_cancelled_waiting_run_is_withdrawn(ocs: RunningSystem) -> None:
    ocs.write("unwanted", run="echo ran", approval=GUARD)
    await ocs.deploy()
    await ocs.run("unwanted")
    request, flow_run = await suspended(ocs, "unwanted")
    await ocs.client.set_flow_run_state(flow_run.id, Cancelling(message="Not wanted."))
    await reconcile_one(ocs.client, ocs.store, request)
    run = await ocs.ended_run("unwanted")
    assert run.status is RunStatus.CANCELLED
    assert (await request_of(ocs, "unwanted")).status is ApprovalStatus.WITHDRAWN
    assert not (await decided(ocs, request, approve=True)).counted


@pytest.mark.parametrize("change", ["edited", "disabled", "removed"])
async def test_a_job_that_changes_meanwhile_is_not_run(ocs: RunningSystem, change: str) -> None:
    job = ocs.write("moving", schedule={"every": "5s"}, run="echo ran", approval={**GUARD, "max_pending": 1})
    await ocs.deploy()
    request, flow_run = await suspended(ocs, "moving")
    match change:
        case "edited":
            ocs.write("moving", schedule={"every": "1h"}, run="echo other", approval=GUARD)
            await ocs.deploy()
        case "disabled":
            deployment = await ocs.client.read_deployment_by_name(f"job/{job}")
            await ocs.client.update_deployment(deployment.id, DeploymentUpdate(paused=True))
        case _:
            deployment = await ocs.client.read_deployment_by_name(f"job/{job}")
            await ocs.client.delete_deployment(deployment.id)
            (ocs.project / "deployments" / "jobs" / f"{job}.yaml").unlink()
    await reconcile_one(ocs.client, ocs.store, request)
    run = next(run for run in await ocs.runs_of("moving") if run.id == request.run_id)
    assert run.status is RunStatus.CANCELLED
    assert change in (run.error or "") or "changed" in (run.error or "")
    state = (await ocs.client.read_flow_run(flow_run.id)).state
    assert state is not None
    assert (state.type, state.message) == (StateType.CANCELLED, run.error)


async def test_a_decision_that_did_not_reach_prefect_is_sent_by_the_worker(ocs: RunningSystem) -> None:
    """Whoever decided was killed in between; the form had never been made either."""
    ocs.write("lost", run="echo ran", approval=GUARD)
    await ocs.deploy()
    await ocs.run("lost")
    request, flow_run = await suspended(ocs, "lost")
    assert flow_run.state is not None
    keyset: dict[str, Any] = flow_run.state.state_details.run_input_keyset or {}
    await ocs.client.delete_flow_run_input(flow_run.id, keyset["schema"])
    await decide(ocs.store, request.id, approve=True, by=Attribution("ann", "cli", ocs.now()))
    run = await ocs.ended_run("lost")
    assert run.status is RunStatus.OK
    assert len(await ocs.flow_runs_of("lost")) == 1


async def test_what_was_decided_in_the_ui_in_time_counts_though_no_worker_was_there(
    with_database: Callable[[Path], Path], tmp_path: Path
) -> None:
    """The clock comes later than the form, and hears it first."""
    home = tmp_path / "home"
    home.mkdir()
    with embedded_server(with_database(tmp_path / "server")) as (api_url, _):
        async with running_system(api_url, home, tmp_path / "project") as ocs:
            ocs.write("absent", run="echo ran", approval={"required": True, "timeout": "15s"})
            await ocs.deploy()
            with worker_process(our_worker(), api_url=api_url, home=home, log=tmp_path / "first.log"):
                await ocs.run("absent")
                request, flow_run = await suspended(ocs, "absent")
            answer = {"decision": "reject", "by": "eva", "reason": "no"}
            assert (await ocs.client.resume_flow_run(flow_run.id, answer)).status is SetStateStatus.ACCEPT

            async def is_over() -> bool:
                return ocs.now() > request.expires_at

            assert await ocs.eventually(is_over)
            with worker_process(our_worker(), api_url=api_url, home=home, log=tmp_path / "second.log"):
                run = await ocs.ended_run("absent")
            assert (run.status, run.error) == (RunStatus.CANCELLED, "Rejected by eva: no.")
