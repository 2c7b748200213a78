"""Origin: why a flow run exists and what it runs, from the store and the deployment, not from what it says of itself.

Anybody who can reach the API can make a flow run, or change one that waits: its parameters, tags, key and states.
So its approval is its deployment's, and what was dispatched runs with the values that the store has written down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound

from ocs import settings
from ocs.errors import Refused
from ocs.rules.approval import stricter
from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.rules.origin import named_in, objection
from ocs.spec import Job
from ocs.store import Dispatched, Store, dispatched
from tasks.adapter import runtime
from tasks.adapter.children import Seen, deployment_and_children
from tasks.adapter.deployed import job_in, project_in
from tasks.adapter.reading import instant


@dataclass(frozen=True, slots=True)
class Origin:
    """What a flow run runs, why, and the job as it is rolled out, by which project.

    `against` says why it may not run.
    """

    job: Job
    dispatch: Dispatch
    deployed: Job | None
    project: str | None
    against: str | None = None
    seen: Seen | None = None
    """Its children, where the answer about its deployment has named them."""


async def origin_of(client: PrefectClient, store: Store, flow_run: FlowRun, said: Job) -> Origin:
    """Look it up; `said` is what the flow run's own parameters say.

    Raises:
        Refused: its deployment or dispatch cannot be read, or it needs an approval and cannot be resumed.
    """
    deployment, seen = await _deployment(client, flow_run, said)
    deployed = _as_deployed(deployment) if deployment else None
    found = await _dispatch_behind(store, flow_run, deployment.name if deployment else said.id)
    job = _values(found, flow_run, deployed, said)
    gated = stricter(job, deployed) if deployed else job
    if gated.approval.required and flow_run.deployment_id is None:
        raise Refused(
            f"A run of {job.id} needs an approval, and this one belongs to no deployment.",
            hint="Roll the job out, and run it from there: ocs jobs run",
        )
    against = objection(gated, deployment.name if deployment else said.id)
    project = project_in(deployment.tags) if deployment else None
    return Origin(gated, found.dispatch if found else _undispatched(flow_run), deployed, project, against, seen)


async def dispatch_of_flow_run(store: Store, flow_run: FlowRun, job_id: str) -> Dispatch:
    """Why a flow run of that job exists."""
    found = await _dispatch_behind(store, flow_run, job_id)
    return found.dispatch if found else _undispatched(flow_run)


async def job_behind(client: PrefectClient, store: Store, flow_run: FlowRun, dispatch_id: UUID | None) -> Job | None:
    """What a flow run that has begun runs; None when that cannot be read any more."""
    found = await dispatched(store, dispatch_id) if dispatch_id else None
    if found is None or found.parameters is not None:
        return job_in(found.parameters if found and found.parameters else flow_run.parameters)
    try:
        deployment = await client.read_deployment(flow_run.deployment_id) if flow_run.deployment_id else None
    except ObjectNotFound:
        deployment = None
    return job_in(deployment.parameters if deployment else flow_run.parameters)


async def _deployment(
    client: PrefectClient, flow_run: FlowRun, said: Job
) -> tuple[DeploymentResponse | None, Seen | None]:
    """The deployment that rules over the run, always as it is now; None where the job it names is not rolled out."""
    try:
        if flow_run.deployment_id is not None:
            return await deployment_and_children(client, flow_run.deployment_id, said.id)
        return await client.read_deployment_by_name(f"{settings.FLOW_NAME}/{said.id}"), None
    except ObjectNotFound:
        if flow_run.deployment_id is None:
            return None, None
        raise Refused(
            f"The job {said.id} was removed, so that nobody knows whether it may run.",
            hint=f"Roll it out again: ocs deploy {said.id}",
        ) from None


def _as_deployed(deployment: DeploymentResponse) -> Job:
    if (job := job_in(deployment.parameters)) is None:
        raise Refused(
            f"The job {deployment.name} cannot be read as it is rolled out, so that nobody knows whether it may run.",
            hint=f"Roll it out again: ocs deploy {deployment.name}",
        )
    return job


async def _dispatch_behind(store: Store, flow_run: FlowRun, job_id: str) -> Dispatched | None:
    """The job's dispatch that this flow run was published for; a key that names another one's counts for nothing."""
    named = None if flow_run.auto_scheduled else named_in(flow_run.idempotency_key)
    found = await dispatched(store, named[0]) if named else None
    is_its_own = named is not None and found is not None and found.job_id == job_id and named[1] <= found.publication
    return found if is_its_own else None


def _undispatched(flow_run: FlowRun) -> Dispatch:
    """A run that nobody dispatched is the schedule's or a person's."""
    expected = flow_run.expected_start_time or runtime.clock()
    kind = DispatchKind.SCHEDULED if flow_run.auto_scheduled else DispatchKind.MANUAL
    return Dispatch(kind, instant(expected))


def _values(found: Dispatched | None, flow_run: FlowRun, deployed: Job | None, said: Job) -> Job:
    if found is None:
        return said
    if found.parameters is None:
        return deployed or said
    return _dispatched_job(found.parameters, flow_run)


def _dispatched_job(parameters: dict[str, Any], flow_run: FlowRun) -> Job:
    if (job := job_in(parameters)) is None:
        raise Refused(
            f"What {flow_run.name} was dispatched to run cannot be read, so it is not run.",
            hint="Start the job anew: ocs jobs run",
        )
    return job
