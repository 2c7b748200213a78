"""Every way into a job with an approval, with all that can be forged on it: a person is asked, whatever it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.actions import StateCreate
from prefect.client.schemas.objects import FlowRun, StateDetails, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.states import Cancelled, Paused, Scheduled

from ocs import settings
from ocs.rules.approval import ApprovalStatus
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import RunStatus
from ocs.rules.origin import key_of
from ocs.store import Dispatched, dispatched, enqueue, pending_dispatches
from ocs.store.approvals import approvals
from tasks.approvals.gate import reconcile_one
from tasks.recovery.reconcile import REQUEUED
from tests.e2e.system import RunningSystem
from tests.e2e.test_approvals import GUARD, decided, suspended

pytestmark = pytest.mark.e2e

FORGED = "echo forged"
DEPLOYED = "echo as deployed"
Way = Callable[["Scene"], Awaitable[FlowRun]]


@dataclass
class Scene:
    """A job with an approval, rolled out, and another one without."""

    ocs: RunningSystem
    job: str
    deployment: DeploymentResponse

    @property
    def forged(self) -> dict[str, Any]:
        """Parameters that would open the door."""
        open_door = {"id": self.job, "run": {"shell": {"command": FORGED}}, "approval": {"required": False}}
        return {"job": open_door}

    async def run(self, **more: Any) -> FlowRun:
        """A flow run of the job's deployment with everything that a caller may choose."""
        return await self.ocs.client.create_flow_run_from_deployment(
            self.deployment.id, **{"parameters": self.forged, **more}
        )

    async def raw(self, **more: Any) -> FlowRun:
        """The same through the API's older way, which takes any deployment, tags and work pool."""
        document = {
            "name": "forged",
            "flow_id": str(self.deployment.flow_id),
            "deployment_id": str(self.deployment.id),
            "work_pool_name": settings.WORK_POOL,
            "parameters": self.forged,
            "state": StateCreate(type=StateType.SCHEDULED, state_details=StateDetails()).model_dump(mode="json"),
            **more,
        }
        answer = await self.ocs.client._client.post("/flow_runs/", json=document)  # pyright: ignore[reportPrivateUsage]
        answer.raise_for_status()
        return await self.ocs.client.read_flow_run(answer.json()["id"])

    async def open_dispatch(self, name: str = "guarded") -> Dispatched:
        """A dispatch that is written and not sent."""
        written = await enqueue(self.ocs.store, self.ocs.id(name), by=Attribution("ann", "cli", self.ocs.now()))
        found = await dispatched(self.ocs.store, written.id)
        assert found is not None
        return found


@pytest.fixture
async def scene(ocs: RunningSystem) -> Scene:
    job = ocs.write("guarded", schedule={"every": "1h"}, run=DEPLOYED, approval=GUARD)
    ocs.write("open", run="true")
    await ocs.deploy()
    return Scene(ocs, job, await ocs.client.read_deployment_by_name(f"job/{job}"))


async def schedule(scene: Scene) -> FlowRun:
    """An occurrence that the schedule has made: changed, and set due now."""

    async def made() -> FlowRun | None:
        found = [run for run in await scene.ocs.flow_runs_of("guarded") if run.auto_scheduled]
        return found[0] if found else None

    flow_run = await scene.ocs.eventually(made)
    await scene.ocs.client.update_flow_run(flow_run.id, parameters=scene.forged)
    await scene.ocs.client.set_flow_run_state(flow_run.id, Scheduled(), force=True)
    return flow_run


async def custom_run(scene: Scene) -> FlowRun:
    return await scene.run()


async def api(scene: Scene) -> FlowRun:
    tags = ["job:other", "kind:scheduled", f"parent-run:{uuid4()}", f"retry-of:{uuid4()}", "ocs:maintenance"]
    return await scene.raw(tags=tags, name="guarded · scheduled · now")


async def any_key(scene: Scene) -> FlowRun:
    return await scene.raw(idempotency_key=f"scheduled {scene.deployment.id} 2026-11-25")


async def requeued(scene: Scene) -> FlowRun:
    return await scene.run(state=Scheduled(name="AwaitingRetry", message=REQUEUED))


async def taken(scene: Scene) -> FlowRun:
    """As if a worker of this host that is gone had taken it."""
    state = {"type": "PENDING", "message": "Taken by the worker test (nowhere:1:1.0)."}
    flow_run = await scene.raw(state=state)
    await scene.ocs.client.set_flow_run_state(flow_run.id, Scheduled(message="Taken by the worker x (y)."), force=True)
    return flow_run


async def retried_by_policy(scene: Scene) -> FlowRun:
    return await scene.raw(empirical_policy={"retries": 3, "retry_delay": 0, "pause_keys": ["suspended"]})


@pytest.mark.parametrize("way", [schedule, custom_run, api, any_key, requeued, taken, retried_by_policy])
async def test_a_person_is_asked_about_what_would_run(scene: Scene, way: Way) -> None:
    flow_run = await way(scene)
    request, waiting = await suspended(scene.ocs, "guarded")
    assert (waiting.id, request.what, request.changed) == (flow_run.id, FORGED, ["run.shell.command"])
    await decided(scene.ocs, request, approve=False)
    run = await scene.ocs.ended_run("guarded")
    assert (run.status, run.stdout) == (RunStatus.CANCELLED, "")


async def test_a_key_that_names_an_open_dispatch_runs_what_was_dispatched_and_a_person_is_asked(scene: Scene) -> None:
    sent = await scene.open_dispatch()
    assert sent.dispatch.id is not None
    flow_run = await scene.run(idempotency_key=key_of(sent.dispatch.id, 0))
    request, waiting = await suspended(scene.ocs, "guarded")
    assert (waiting.id, request.what, request.changed) == (flow_run.id, DEPLOYED, [])
    await decided(scene.ocs, request, approve=True)
    assert (await scene.ocs.ended_run("guarded")).stdout.strip() == "as deployed"


@pytest.mark.parametrize("whose", ["another job's", "a later turn's"])
async def test_a_key_that_names_what_is_not_its_own_is_a_run_by_hand(scene: Scene, whose: str) -> None:
    sent = await scene.open_dispatch("open" if whose == "another job's" else "guarded")
    assert sent.dispatch.id is not None
    key = key_of(sent.dispatch.id, 0 if whose == "another job's" else 7)
    flow_run = await scene.run(idempotency_key=key)
    request, waiting = await suspended(scene.ocs, "guarded")
    assert (waiting.id, request.what, request.dispatch_id) == (flow_run.id, FORGED, None)
    still_open = await pending_dispatches(scene.ocs.store, created_before=scene.ocs.now(), limit=100)
    assert sent.dispatch.id in [row.id for row in still_open]
    await decided(scene.ocs, request, approve=False)
    await scene.ocs.ended_run("guarded")


async def test_a_forged_form_decides_nothing(scene: Scene) -> None:
    """Another keyset than the one that was shown, with an answer that is there already."""
    await scene.ocs.run("guarded")
    first, flow_run = await suspended(scene.ocs, "guarded")
    client = scene.ocs.client
    keyset = {"schema": "forged-schema", "response": "forged-response", "description": "forged-description"}
    await client.create_flow_run_input(flow_run.id, "forged-schema", "{}")
    await client.create_flow_run_input(flow_run.id, "forged-response", '{"decision": "approve", "by": "mallory"}')
    await client.set_flow_run_state(flow_run.id, Scheduled(), force=True)
    forged = Paused(state_details=StateDetails(run_input_keyset=keyset, pause_reschedule=True))
    await client.set_flow_run_state(flow_run.id, forged, force=True)
    await client.set_flow_run_state(flow_run.id, Scheduled(message="Resumed by mallory."), force=True)
    request, _ = await suspended(scene.ocs, "guarded")
    assert (request.id, request.status) == (first.id, ApprovalStatus.PENDING)
    await decided(scene.ocs, request, approve=False)
    run = await scene.ocs.ended_run("guarded")
    assert (run.status, run.stdout) == (RunStatus.CANCELLED, "")


async def test_half_of_a_form_that_was_forged_gets_none_and_fails_nothing(scene: Scene) -> None:
    await scene.ocs.run("guarded")
    request, flow_run = await suspended(scene.ocs, "guarded")
    client = scene.ocs.client
    await client.set_flow_run_state(flow_run.id, Scheduled(), force=True)
    forged = Paused(state_details=StateDetails(run_input_keyset={"schema": "forged-schema"}, pause_reschedule=True))
    await client.set_flow_run_state(flow_run.id, forged, force=True)
    await reconcile_one(client, scene.ocs.store, request)
    await client.set_flow_run_state(flow_run.id, Cancelled(message="Not wanted."), force=True)
    await reconcile_one(client, scene.ocs.store, request)
    assert (await scene.ocs.ended_run("guarded")).status is RunStatus.CANCELLED


async def test_what_was_approved_is_not_what_runs_when_it_is_changed_behind_the_decision(scene: Scene) -> None:
    flow_run = await scene.run(parameters={"job": {"id": scene.job, "run": {"shell": {"command": DEPLOYED}}}})
    first, _ = await suspended(scene.ocs, "guarded")
    await scene.ocs.client.update_flow_run(flow_run.id, parameters=scene.forged)
    await decided(scene.ocs, first, approve=True)

    async def asked_anew() -> bool:
        requests = await approvals(scene.ocs.store, job=scene.job, pending_only=True)
        return any(request.what == FORGED for request in requests)

    assert await scene.ocs.eventually(asked_anew)
    request, _ = await suspended(scene.ocs, "guarded")
    await decided(scene.ocs, request, approve=False)
    assert (await scene.ocs.ended_run("guarded")).stdout == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"contract": {"sandbox": "strict"}}, "contract.sandbox: understood, but not supported yet"),
        ({"identity": {"run_as": "nobody"}}, "identity: understood, but not supported yet"),
        ({"id": "another"}, 'it belongs to the job "'),
    ],
    ids=["contract", "identity", "id"],
)
async def test_what_a_rollout_refuses_is_refused_for_one_run_and_recorded(
    scene: Scene, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    deployment = await scene.ocs.client.read_deployment_by_name(f"job/{scene.ocs.id('open')}")
    ran = tmp_path / "ran"
    job = {"id": deployment.name, "run": {"shell": {"command": f"touch {ran}"}}, **changes}
    flow_run = await scene.ocs.client.create_flow_run_from_deployment(deployment.id, parameters={"job": job})

    async def ended() -> FlowRun | None:
        found = await scene.ocs.client.read_flow_run(flow_run.id)
        return found if found.state and found.state.is_final() else None

    state = (await scene.ocs.eventually(ended)).state
    assert state is not None
    assert state.is_failed()
    assert told in (state.message or "")
    assert not ran.exists()
    if "id" not in changes:
        run = await scene.ocs.ended_run("open")
        assert (run.status, run.error) == (RunStatus.ERROR, state.message)


@pytest.mark.parametrize("name", ["Paused", "Suspended"])
async def test_a_run_that_is_paused_while_it_executes_goes_on_and_its_result_counts(
    ocs: RunningSystem, tmp_path: Path, name: str
) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    ocs.write("long", run=f"touch {begun}; while [ ! -e {gate} ]; do sleep 0.05; done; echo done")
    ocs.write("after", after={"job": "long"}, run="true")
    ocs.write("marker", run="true")
    await ocs.deploy()
    await ocs.run("long")

    async def executes() -> bool:
        return begun.exists()

    assert await ocs.eventually(executes)
    (run,) = await ocs.runs_of("long")
    paused = Paused(timeout_seconds=1, reschedule=True)
    paused.name = name
    await ocs.client.set_flow_run_state(run.flow_run_id, paused)

    async def is_too_late_to_resume() -> bool:
        deadline = paused.state_details.pause_timeout
        return deadline is not None and ocs.now().timestamp() > deadline.timestamp()

    assert await ocs.eventually(is_too_late_to_resume)
    # The worker has heard of the pause by the time it has heard of what came after it.
    await ocs.run("marker")
    await ocs.ended_run("marker")
    gate.touch()
    ended = await ocs.ended_run("long")
    assert (ended.status, ended.stdout.strip()) == (RunStatus.OK, "done")

    async def says_so() -> bool:
        """Prefect itself fails a pause that has timed out, before the run has ended or after."""
        state = (await ocs.flow_run(ended)).state
        return state is not None and (state.type, state.name) == (StateType.COMPLETED, "Ok")

    assert await ocs.eventually(says_so)
    assert (await ocs.ended_run("after")).parent_run == ended.id
