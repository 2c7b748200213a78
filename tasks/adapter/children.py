"""Children: the jobs that run after another one, as they are rolled out right now.

A run asks for its own deployment when it begins, and for its children when it ends. One request answers both, and a run
that is over within a second believes what that said of its children: one more request would cost as much as a state.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import DeploymentFilter, Operator
from prefect.client.schemas.responses import DeploymentResponse

from ocs.errors import InvalidJob
from ocs.spec import Job, parse_stored
from tasks.adapter.deployed import tagged_deployments
from tasks.adapter.reading import document_in

PARENT_TAG = "after:"
FEW = 6
"""So many deployments are read on the chance that the run is short; each costs the server as much as a state."""
BELIEVED = 1.0
"""Seconds for which an answer counts as what is rolled out now."""


@dataclass(frozen=True, slots=True)
class Children:
    """The enabled children of a job, their deployments, and a sentence for each that cannot be read."""

    jobs: Sequence[Job] = ()
    deployments: Mapping[str, UUID] = field(default_factory=dict[str, UUID])
    broken: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """The deployments of a job's children, as they were at `asked_at`, by a clock that never jumps."""

    parent: str
    deployments: Sequence[DeploymentResponse]
    asked_at: float

    def still_holds(self, parent: str) -> bool:
        """Whether it is an answer about that job, and young enough."""
        return parent == self.parent and time.monotonic() - self.asked_at < BELIEVED


async def deployment_and_children(
    client: PrefectClient, deployment_id: UUID, parent: str
) -> tuple[DeploymentResponse, Seen | None]:
    """A deployment, and the children of a job unless it has many.

    Raises:
        ObjectNotFound: there is no such deployment (any more).
    """
    asked_at = time.monotonic()
    tags = _tags_of_children(parent)
    either = DeploymentFilter.model_validate(  # its types do not know of the operator
        {"operator": Operator.or_, "id": {"any_": [deployment_id]}, "tags": {"all_": tags}}
    )
    found = await client.read_deployments(deployment_filter=either, limit=FEW)
    own = next((each for each in found if each.id == deployment_id), None)
    if own is None or len(found) == FEW:
        return await client.read_deployment(deployment_id), None
    return own, Seen(parent, [each for each in found if set(tags) <= set(each.tags)], asked_at)


async def children_of(client: PrefectClient, parent: str, seen: Seen | None = None) -> Children:
    """Find the children of `parent` by tag, or in what was `seen` just now."""
    if seen is not None and seen.still_holds(parent):
        return _children(seen.deployments)
    return _children([each async for each in tagged_deployments(client, *_tags_of_children(parent))])


def _tags_of_children(parent: str) -> list[str]:
    return ["ocs", f"{PARENT_TAG}{parent}"]


def _children(found: Iterable[DeploymentResponse]) -> Children:
    """A paused deployment is a disabled child; a broken one harms only itself."""
    jobs: list[Job] = []
    deployments: dict[str, UUID] = {}
    broken: list[str] = []
    for deployment in found:
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
