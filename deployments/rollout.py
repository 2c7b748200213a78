"""Rollout: compare a catalogue with what the server has, and send only what changed."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events import Automation
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.utilities.callables import parameter_schema

from blocks import BLOCKS
from deployments import triggers
from deployments.buildable import not_built
from deployments.catalogue import JOBS, Catalogue
from deployments.compile import CompiledDeployment, compile_job, project_tag
from deployments.drift import edited_there, keeping_pauses, paused_there
from deployments.maintenance import ensure_maintenance, maintenance_differs
from deployments.send import send_deployment
from flows.job import run_job
from ocs import settings
from ocs.errors import InvalidJob, NotFound, Problem, Refused
from ocs.rules.occurrences import why_over
from ocs.spec import Job, unsupported
from ocs.spec.braces import guard
from ocs.spec.written import on_a_line
from tasks.adapter.deployed import delete_deployment, project_in, tagged_deployments
from tasks.adapter.reading import document_in

AT_ONCE = 6
WORKER_TYPE = "openclaw"
DYNAMIC_TAG = "ocs:dynamic"
BUILT_IN_TAG = "ocs:built-in"
"""Of a deployment that any project may replace by a job of its own."""
UNAUTHORIZED = (401, 403)
NEAR = timedelta(seconds=20)
"""A one-shot that is rolled out so close to its moment is dispatched by the rollout itself."""


class Action(StrEnum):
    """What a rollout does with a job."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    DONE = "done"
    REMOVE = "remove"
    OVER = "over"
    """Nothing of its schedule is to come, so it is not sent."""
    FAILED = "failed"
    """It was to be sent, and was not taken."""


@dataclass(frozen=True, slots=True)
class Step:
    """One job of a plan.

    `paused_in_ui` says that a person paused what the catalogue has enabled; that stays. `edited_in_ui` names what
    else was changed on the server; that is set back. `before` is the document that is rolled out now. `why` says why
    it cannot be sent, or was not taken.
    """

    job_id: str
    action: Action
    compiled: CompiledDeployment | None = None
    deployment_id: UUID | None = None
    paused_in_ui: bool = False
    edited_in_ui: tuple[str, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict[str, Any])
    run_now: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rollout would do. Removals happen only when asked for.

    `maintenance` names what differs of the deployment that keeps the house; a rollout sets it back.
    """

    project: str
    steps: tuple[Step, ...]
    maintenance: tuple[str, ...] = ()

    def having(self, *actions: Action) -> list[Step]:
        return [step for step in self.steps if step.action in actions]


async def plan(
    client: PrefectClient,
    catalogue: Catalogue,
    only: Sequence[str] = (),
    *,
    retired: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """Compare. Nothing is sent.

    `retired` are versions of jobs that their lifecycle has removed: they are done, and not rolled out again.

    Raises:
        InvalidJob: a job is invalid, and none is named in `only`, or asks for what is not supported yet.
        NotFound: a job named in `only` is not in the catalogue.
        Refused: a job's id belongs to another project on this server.
    """
    jobs = _to_roll_out(catalogue if only else catalogue.checked(), only)
    mine = {found.name: found async for found in tagged_deployments(client, "ocs", project_tag(catalogue.name))}
    missing = [job.id for job in jobs if job.id not in mine]
    await _refuse_taken(client, missing, catalogue.name)
    automations = await triggers.automations_of(client, {found.id: found.name for found in mine.values()})
    steps = [_step(job, catalogue.name, mine.get(job.id), retired.get(job.id), automations) for job in jobs]
    if not only:
        steps += [
            Step(name, Action.REMOVE, deployment_id=deployment.id, before=document_in(deployment.parameters))
            for name, deployment in sorted(mine.items())
            if name not in catalogue.jobs and DYNAMIC_TAG not in deployment.tags
        ]
    return Plan(catalogue.name, tuple(steps), await maintenance_differs(client))


async def apply(
    client: PrefectClient, planned: Plan, *, prune: bool = False, on_progress: Callable[[Step], None] | None = None
) -> Plan:
    """Do what the plan says; a job that fails stops no other, and repeating it does the rest.

    `on_progress` hears of each step once it was tried. Returns the plan with what became of it: jobs that were not
    taken are `FAILED`.

    Raises:
        TransportError: the server does not answer.
        HTTPStatusError: it wants another password.
    """
    wanted = planned.having(Action.CREATE, Action.UPDATE) + (planned.having(Action.REMOVE) if prune else [])
    await ensure_work_pool(client)
    await ensure_block_types(client)
    await ensure_maintenance(client)
    if not wanted:
        return planned
    flow_id = await client.create_flow_from_name(settings.FLOW_NAME)
    gate = asyncio.Semaphore(AT_ONCE)

    failed: dict[str, Step] = {}

    async def take(step: Step) -> None:
        async with gate:
            try:
                await _send(client, step, flow_id)
            except Exception as refused:
                if concerns_all(refused):
                    raise
                failed[step.job_id] = replace(step, action=Action.FAILED, why=told(refused))
            if on_progress is not None:
                on_progress(step)

    await asyncio.gather(*(take(step) for step in wanted))
    return replace(planned, steps=tuple(failed.get(step.job_id, step) for step in planned.steps))


async def resume(client: PrefectClient, deployment_id: UUID) -> None:
    """Undo a person's pause, of the whole job, of single schedules and of automations."""
    deployment = await client.read_deployment(deployment_id)
    await client.resume_deployment(deployment_id)
    for automation in (await triggers.automations_of(client, {deployment_id: deployment.name})).get(deployment_id, ()):
        await client.resume_automation(automation.id)
    for schedule in await client.read_deployment_schedules(deployment_id):
        if not schedule.active:
            await client.update_deployment_schedule(deployment_id, schedule.id, active=True)


@functools.cache
def schema() -> dict[str, Any]:
    """The schema of a deployment's parameters."""
    return parameter_schema(run_job).model_dump_for_openapi()


async def ensure_work_pool(client: PrefectClient) -> None:
    """Make the work pool, for our worker; keep one that is there, of any type."""
    try:
        await client.read_work_pool(settings.WORK_POOL)
    except ObjectNotFound:
        pool = WorkPoolCreate(name=settings.WORK_POOL, type=WORKER_TYPE, base_job_template=JOB_TEMPLATE)
        try:
            await client.create_work_pool(pool)
        except ObjectAlreadyExists:
            return


async def ensure_block_types(client: PrefectClient) -> None:
    """Make our block types known, so that the UI offers them; sends only what is missing or changed."""
    for block in BLOCKS:
        await cast("Awaitable[None]", block.register_type_and_schema(client=client))


JOB_TEMPLATE: dict[str, Any] = {
    "job_configuration": {"env": "{{ env }}"},
    "variables": {
        "type": "object",
        "properties": {
            "env": {
                "title": "Environment Variables",
                "type": "object",
                "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "description": "For Prefect's process worker; jobs have their own environment in run.shell.env.",
            }
        },
    },
}


def _to_roll_out(catalogue: Catalogue, only: Sequence[str]) -> list[Job]:
    unknown = [job_id for job_id in only if job_id not in catalogue.jobs]
    if unknown:
        raise NotFound(f"There is no job {', '.join(unknown)}.", hint="See all: ocs jobs list")
    jobs = [job for job_id, job in sorted(catalogue.jobs.items()) if not only or job_id in only]
    refused = [
        Problem(problem.path, problem.message, str(JOBS / f"{job.id}.yaml"))
        for job in jobs
        for problem in (*unsupported(job), *not_built(job))
    ]
    if refused:
        raise InvalidJob("Some jobs ask for what is not supported; nothing was rolled out.", problems=refused)
    return jobs


async def _refuse_taken(client: PrefectClient, job_ids: Iterable[str], project: str) -> None:
    """Two projects cannot have jobs of one id on a server: all that are taken are named."""
    taken: dict[str, list[str]] = {}
    for job_id in job_ids:
        try:
            other = await client.read_deployment_by_name(f"{settings.FLOW_NAME}/{job_id}")
        except ObjectNotFound:
            continue
        owner = project_in(other.tags) or "another project"
        if BUILT_IN_TAG not in other.tags and owner != project:
            taken.setdefault(owner, []).append(job_id)
    if taken:
        whose = "; ".join(f"of {owner}: {', '.join(ids)}" for owner, ids in sorted(taken.items()))
        raise Refused(
            f"On this server there are jobs with these ids already, {whose}; nothing was rolled out.",
            hint="Give the jobs here other ids, or remove them from that project.",
        )


def _step(
    job: Job,
    project: str,
    deployed: DeploymentResponse | None,
    retired: str | None,
    automations: Mapping[UUID, Sequence[Automation]],
) -> Step:
    compiled = compile_job(job, project)
    over = _why_over(job, deployed)
    if deployed is None and retired is not None and (over or compiled.version == retired):
        return Step(job.id, Action.DONE, compiled)
    if over:
        return Step(job.id, Action.OVER, compiled, deployed.id if deployed else None, why=over)
    if deployed is None:
        run_now = job.schedule is not None and job.schedule.run_now
        return Step(job.id, Action.CREATE, compiled, run_now=run_now)
    events = automations.get(deployed.id, ())
    edited = edited_there(deployed, compiled, schema())
    if deployed.version == compiled.version and triggers.differ(events, compiled, deployed.id):
        edited += ("events",)
    action = Action.UNCHANGED if deployed.version == compiled.version and not edited else Action.UPDATE
    return Step(
        job.id,
        action,
        keeping_pauses(deployed, compiled),
        deployed.id,
        paused_there(deployed, compiled) or bool(triggers.paused(events, compiled)),
        edited,
        document_in(deployed.parameters),
    )


def _why_over(job: Job, deployed: DeploymentResponse | None) -> str | None:
    """Why a job that is new, or whose schedule is, would never run; one that has run is as it was."""
    if job.schedule is None or not job.enabled or job.on_event or (job.schedule.run_now and deployed is None):
        return None
    there = document_in(deployed.parameters) if deployed is not None else None
    if there is not None and there.get("schedule") == guard(job.document()).get("schedule"):
        return None
    return why_over(job.schedule, datetime.now(UTC) - NEAR)


def concerns_all(error: Exception) -> bool:
    """Whether the server took nothing of any job: it does not answer, or wants another password."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in UNAUTHORIZED
    return isinstance(error, httpx.TransportError)


def told(error: Exception) -> str:
    """What a job's failure at its rollout is called."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answered {error.response.status_code}: {error.response.text[:200]}"
    return on_a_line(error) or type(error).__name__


async def _send(client: PrefectClient, step: Step, flow_id: UUID) -> None:
    if step.compiled is None:
        if step.deployment_id is not None:
            await delete_deployment(client, step.deployment_id)
        return
    compiled = step.compiled
    deployment_id = await send_deployment(client, compiled, flow_id, schema())
    await triggers.send_triggers(client, deployment_id, compiled, is_new=step.action is Action.CREATE)
