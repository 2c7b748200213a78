"""Children: the jobs that run after another one, as they are rolled out right now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from prefect.client.orchestration import PrefectClient

from ocs.errors import InvalidJob
from ocs.spec import Job, parse_stored
from tasks.adapter.deployed import tagged_deployments
from tasks.adapter.reading import document_in

PARENT_TAG = "after:"


@dataclass(frozen=True, slots=True)
class Children:
    """The enabled children of a job, their deployments, and a sentence for each that cannot be read."""

    jobs: Sequence[Job] = ()
    deployments: Mapping[str, UUID] = field(default_factory=dict[str, UUID])
    broken: Sequence[str] = ()


async def children_of(client: PrefectClient, parent: str) -> Children:
    """Find the children of `parent` by tag. A paused deployment is a disabled child; a broken one harms only itself."""
    jobs: list[Job] = []
    deployments: dict[str, UUID] = {}
    broken: list[str] = []
    async for deployment in tagged_deployments(client, "ocs", f"{PARENT_TAG}{parent}"):
        if deployment.paused:
            continue
        try:
            job = parse_stored(document_in(deployment.parameters))
        except InvalidJob as invalid:
            broken.append(f'Child "{deployment.name}" was not considered: {invalid.message}')
            continue
        jobs.append(job)
        deployments[job.id] = deployment.id
    return Children(jobs, deployments, broken)
