"""The jobs that are rolled out, as maintenance needs them: document, deployment, and since when they stand so."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse

from ocs.errors import InvalidJob
from ocs.rules.timetable import timetable
from ocs.spec import Job, parse_stored
from tasks.adapter.reading import document_in, instant
from tasks.adapter.schedules import keys_of, schedule_of

PAGE = 200
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Deployed:
    """A job and its deployment."""

    job: Job
    deployment: DeploymentResponse

    @property
    def enabled(self) -> bool:
        """Whether it runs by itself: the document says so, and nobody has paused it."""
        return self.job.enabled and not self.deployment.paused

    @property
    def runs_as_written(self) -> bool:
        """Whether its schedules are those of the document: nobody has paused one of them, or edited them in the UI."""
        written = timetable(self.job.schedule) if self.job.schedule else []
        schedules = self.deployment.schedules
        if not all(schedule.active for schedule in schedules):
            return False
        return keys_of(schedules) == keys_of(map(schedule_of, written))

    @property
    def created(self) -> datetime:
        return _utc(self.deployment.created)

    @property
    def unchanged_since(self) -> datetime:
        """When it was rolled out, edited, paused or resumed last; what was due before then concerns other schedules."""
        schedules = [_utc(schedule.updated) for schedule in self.deployment.schedules]
        return max([_utc(self.deployment.updated), *schedules])


async def deployed_jobs(client: PrefectClient) -> AsyncGenerator[Deployed]:
    """Every job on the server, of all projects; those that cannot be read are left out."""
    async for deployment in tagged_deployments(client, "ocs"):
        if (job := job_in(deployment.parameters)) is not None:
            yield Deployed(job, deployment)


async def tagged_deployments(client: PrefectClient, *tags: str) -> AsyncGenerator[DeploymentResponse]:
    """The deployments that have all of these tags, page by page."""
    async for deployment in _pages(client, DeploymentFilter(tags=DeploymentFilterTags(all_=list(tags)))):
        yield deployment


async def deployments_of(client: PrefectClient, *tags: str, names: Iterable[str]) -> AsyncGenerator[DeploymentResponse]:
    """Those of these names that have all of these tags."""
    wanted_names = sorted(set(names))
    for start in range(0, len(wanted_names), PAGE):
        some = wanted_names[start : start + PAGE]
        wanted = DeploymentFilter(name=DeploymentFilterName(any_=some), tags=DeploymentFilterTags(all_=list(tags)))
        async for deployment in _pages(client, wanted):
            yield deployment


async def _pages(client: PrefectClient, wanted: DeploymentFilter) -> AsyncGenerator[DeploymentResponse]:
    offset = 0
    while page := await client.read_deployments(deployment_filter=wanted, limit=PAGE, offset=offset):
        for deployment in page:
            yield deployment
        offset += len(page)
        if len(page) < PAGE:
            return


def project_in(tags: Iterable[str]) -> str | None:
    """The project that a deployment's tags name."""
    return next((tag.partition(":")[2] for tag in tags if tag.startswith("project:")), None)


def job_in(parameters: Mapping[str, Any]) -> Job | None:
    """The job that a deployment's or a run's parameters say, None when they say none that is valid."""
    try:
        return parse_stored(document_in(parameters))
    except InvalidJob:
        return None


async def delete_deployment(client: PrefectClient, deployment_id: UUID) -> None:
    """Delete a deployment and the automations it owns, which would outlive it.

    Raises:
        ObjectNotFound: it was deleted meanwhile.
    """
    await delete_automations(client, deployment_id)
    await client.delete_deployment(deployment_id)


async def delete_automations(client: PrefectClient, deployment_id: UUID) -> None:
    """Delete the automations that a deployment owns."""
    await client.delete_resource_owned_automations(f"prefect.deployment.{deployment_id}")


def _utc(moment: datetime | None) -> datetime:
    return EPOCH if moment is None else instant(moment)
