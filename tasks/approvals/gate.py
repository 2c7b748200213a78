"""Approvals between store and Prefect: the gate a run enters, decisions that reach their run, and what time brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger
from prefect.states import Cancelled

from ocs.rules.approval import ApprovalStatus, spec_digest
from ocs.rules.approval_text import form
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchKind
from ocs.store import Store
from ocs.store.approval_gate import request_of
from ocs.store.approvals import AtGate, at_the_gate, expire, said_of, withdraw_approval
from ocs.store.tables import Approval
from tasks.adapter import runtime
from tasks.adapter.deployed import job_in
from tasks.adapter.naming import page_of
from tasks.adapter.pages import flow_runs_by_id
from tasks.approvals.form import answer_of, give_form, has_form, hear
from tasks.recovery.isolation import Isolation

PAGE = 100
GATE = "gate"


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The run waited, and what it waited for is not what would run now."""

    why: str


async def entered_again(client: PrefectClient, store: Store, flow_run: FlowRun) -> Withdrawn | None:
    """A run that waited is here again: hear what was decided in the UI, or that nothing is left to decide."""
    for waiting in await at_the_gate(store, flow_run_ids=[flow_run.id]):
        if waiting.is_decided:
            continue
        deployment = await _deployment(client, flow_run.deployment_id)
        if why := _outdated(waiting.approval, deployment):
            await _withdraw(store, waiting, why)
            return Withdrawn(why)
        heard = await hear(client, store, waiting.approval)
        if heard and not heard.counted:
            get_logger(__name__).warning("It had been decided before, and that counts: %s", said_of(heard.approval))
    return None


async def reconcile_approvals() -> int:
    """Reconcile all: let time decide, and make store and Prefect agree after a crash, a person's act or a rollout.

    Recovery requeues a run that was left Running while it asked, as one that has not begun.

    Returns how many runs wait for approval. Doing it twice, or in two workers at once, does nothing more.

    Raises:
        ExceptionGroup: some requests could not be reconciled; the others are.
    """
    store = await runtime.store()
    waiting = [each for each in await at_the_gate(store) if not each.is_queued]
    if waiting:
        async with get_client() as client:
            flow_runs = await flow_runs_by_id(client, [each.flow_run_id for each in waiting])
            deployments = await _deployments(client, flow_runs)
            isolation = Isolation("Reconciling approvals")
            for each in waiting:
                flow_run = flow_runs.get(each.flow_run_id)
                deployment = deployments.get(flow_run.deployment_id) if flow_run and flow_run.deployment_id else None
                with isolation.job(each.approval.job_id):
                    await _reconcile(client, store, each, flow_run, deployment)
            isolation.raise_failures()
    return len(waiting)


async def reconcile_one(client: PrefectClient, store: Store, request: Approval) -> None:
    """The same for one request: before a person decides it, and to send the decision on its way."""
    for waiting in await at_the_gate(store, flow_run_ids=[request.flow_run_id]):
        if waiting.is_queued:
            continue
        flow_run = (await flow_runs_by_id(client, [waiting.flow_run_id])).get(waiting.flow_run_id)
        deployment = await _deployment(client, flow_run.deployment_id) if flow_run else None
        if flow_run and flow_run.state and not flow_run.state.is_paused() and not waiting.is_decided:
            await hear(client, store, waiting.approval)  # decided in the UI, and no worker has come yet
        await _reconcile(client, store, waiting, flow_run, deployment)


async def _reconcile(
    client: PrefectClient,
    store: Store,
    waiting: AtGate,
    flow_run: FlowRun | None,
    deployment: DeploymentResponse | None,
) -> None:
    state = flow_run.state if flow_run else None
    if flow_run is None or state is None:
        await _withdraw(store, waiting, "Its flow run was deleted in Prefect.", source="prefect")
    elif state.is_final():
        await _withdraw(store, waiting, state.message or f"It was ended in Prefect: {state.name}.", source="prefect")
    elif state.is_paused():
        await _reconcile_suspended(client, store, waiting, state, deployment)


async def _reconcile_suspended(
    client: PrefectClient, store: Store, waiting: AtGate, state: State[Any], deployment: DeploymentResponse | None
) -> None:
    request = waiting.approval
    if not waiting.is_decided and (why := _outdated(request, deployment)):
        await client.set_flow_run_state(waiting.flow_run_id, Cancelled(message=why))
        await _withdraw(store, waiting, why)
        return
    if not waiting.is_decided and request.expires_at <= runtime.clock():
        request = (await expire(store, request.id, runtime.clock())).approval
    if not await has_form(client, waiting.flow_run_id, state):
        await give_form(waiting.flow_run_id, state, form(request_of(request, page_of(waiting.flow_run_id))))
    if request.status is not ApprovalStatus.PENDING:
        await _resume(client, waiting.flow_run_id, request)


async def _resume(client: PrefectClient, flow_run_id: UUID, request: Approval) -> None:
    """Have the flow run entered again. The server takes one resume; what counts is what the store has recorded."""
    approve = request.status is ApprovalStatus.APPROVED
    await client.resume_flow_run(flow_run_id, answer_of(approve, request.decided_by or "timeout", request.reason))


async def _withdraw(store: Store, waiting: AtGate, why: str, *, source: str = GATE) -> None:
    actor = "somebody" if source == "prefect" else "scheduler"
    await withdraw_approval(store, waiting.approval.id, why=why, by=Attribution(actor, source, runtime.clock()))


def _outdated(request: Approval, deployment: DeploymentResponse | None) -> str | None:
    """Why a run that was asked about is not to run any more; None when all is as it was."""
    if deployment is None:
        return "Its job was removed while it waited for approval."
    if deployment.paused and request.kind is not DispatchKind.MANUAL:
        return "Its job was disabled while it waited for approval."
    job = job_in(deployment.parameters)
    if job is None or (request.deployed_digest and spec_digest(job) != request.deployed_digest):
        return "Its job was changed while it waited for approval; the next run asks anew."
    return None


async def _deployment(client: PrefectClient, deployment_id: UUID | None) -> DeploymentResponse | None:
    try:
        return await client.read_deployment(deployment_id) if deployment_id else None
    except ObjectNotFound:
        return None


async def _deployments(client: PrefectClient, flow_runs: Mapping[UUID, FlowRun]) -> dict[UUID, DeploymentResponse]:
    ids = list({flow_run.deployment_id for flow_run in flow_runs.values() if flow_run.deployment_id})
    found: dict[UUID, DeploymentResponse] = {}
    for start in range(0, len(ids), PAGE):
        page = DeploymentFilter(id=DeploymentFilterId(any_=ids[start : start + PAGE]))
        found |= {each.id: each for each in await client.read_deployments(deployment_filter=page, limit=PAGE)}
    return found
