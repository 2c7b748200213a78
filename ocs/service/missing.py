"""What jobs name and nobody has made: targets, secrets, a gateway. It may be made later, so nothing is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ocs.service.gateway import MAKE_IT, gateway_for
from ocs.service.secrets import missing_secrets
from ocs.service.targets import Unusable, unusable_targets
from ocs.spec import Agent, Job, Main

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient


async def missing(client: PrefectClient, jobs: Iterable[Job]) -> list[Unusable]:
    """What these jobs lack, and the command that mends it."""
    concerned = list(jobs)
    found = [unusable async for unusable in unusable_targets(client, concerned)]
    found += [Unusable(said, mend) for said, mend in await missing_secrets(client, concerned)]
    return [*found, *await _no_gateway(client, concerned)]


async def _no_gateway(client: PrefectClient, jobs: Iterable[Job]) -> list[Unusable]:
    from blocks.connections import close_connections

    spoken = sorted(job.id for job in jobs if job.enabled and isinstance(job.run.work, Agent | Main))
    if not spoken:
        return []
    try:
        found = await gateway_for(client)
    finally:
        await close_connections()
    return [Unusable(f"{', '.join(spoken)}: {found}", MAKE_IT)] if isinstance(found, str) else []
