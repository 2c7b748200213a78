"""Jobs as they are rolled out: found by id on the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from ocs import settings
from ocs.errors import NotFound
from ocs.rules.occurrences import why_over
from ocs.service import session, several
from ocs.spec import Job, is_slug, parse_stored

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse


async def deployed_job(client: PrefectClient, given: str) -> Job:
    """The job that `given` names, as it is rolled out.

    Raises:
        NotFound: there is none of that id, or it is not rolled out; says what to type next.
    """
    from tasks.adapter.reading import document_in

    deployment = await by_id(client, given)
    if deployment is None:
        rolled_out = await all_deployed(client)
        chosen = session.pick(given, [*rolled_out, *session.catalogue_ids()], _aliases(rolled_out))
        if chosen not in rolled_out:
            raise _not_rolled_out(chosen)
        deployment = rolled_out[chosen]
    return parse_stored(document_in(deployment.parameters))


def _not_rolled_out(job_id: str) -> NotFound:
    """A job whose times are all past is never rolled out: to do that again would lead nowhere."""
    job = session.catalogue().jobs.get(job_id)
    if job is not None and job.schedule and job.enabled and (over := why_over(job.schedule, session.now())):
        hint = f"Name a later time: ocs jobs edit {job_id} --set schedule.at=..., or take its schedule away."
        return NotFound(f'"{job_id}" is not rolled out: it {over}.', hint=hint)
    return NotFound(f'"{job_id}" is not rolled out yet.', hint=f"Do it with: ocs deploy {job_id}")


async def by_id(client: PrefectClient, job_id: str) -> DeploymentResponse | None:
    """The deployment of exactly that job, None when there is none."""
    from prefect.exceptions import ObjectNotFound

    if not is_slug(job_id):  # what is no id must not become part of an address
        return None
    try:
        found = await client.read_deployment_by_name(f"{settings.FLOW_NAME}/{job_id}")
    except ObjectNotFound:
        return None
    return found if "ocs" in found.tags else None


async def all_deployed(client: PrefectClient) -> dict[str, DeploymentResponse]:
    """Every job on the server, of all projects, by id."""
    from tasks.adapter.deployed import tagged_deployments

    return {deployment.name: deployment async for deployment in tagged_deployments(client, "ocs")}


async def tagged_jobs(client: PrefectClient, tag: str) -> list[str]:
    """The ids of jobs that are rolled out with that tag, of all projects.

    Raises:
        NotFound: none has it.
    """
    from tasks.adapter.deployed import deployed_jobs

    return several.tagged([deployed.job async for deployed in deployed_jobs(client)], tag)


async def deployed_of(client: PrefectClient, job_ids: Iterable[str]) -> dict[str, DeploymentResponse]:
    """Those of these jobs that are on the server, by id."""
    from tasks.adapter.deployed import deployments_of

    return {deployment.name: deployment async for deployment in deployments_of(client, "ocs", names=job_ids)}


async def number_deployed(client: PrefectClient) -> int:
    """How many jobs are on the server, of all projects: counted there, since a deployment is large."""
    everything = {"deployments": {"tags": {"all_": ["ocs"]}}}
    return int((await client.request("POST", "/deployments/count", json=everything)).json())


def _aliases(rolled_out: Mapping[str, DeploymentResponse]) -> dict[str, str]:
    """The other names of jobs; what cannot be read of one has none."""
    found: dict[str, str] = {}
    for job_id, deployment in rolled_out.items():
        job: Any = deployment.parameters.get("job")
        aliases: Any = cast("dict[str, Any]", job).get("aliases") if isinstance(job, dict) else None
        if isinstance(aliases, list):
            found.update({str(alias): job_id for alias in cast("list[Any]", aliases)})
    return found


async def descendants(client: PrefectClient, job_id: str) -> list[str]:
    """The jobs that run after this one, and those after them."""
    everything = await all_deployed(client)
    found = [job_id]
    for parent in found:  # grows while it is walked
        found += [name for name, deployment in everything.items() if f"after:{parent}" in deployment.tags]
    return found[1:]
