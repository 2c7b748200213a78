"""The maintenance flow's deployment: made with the first rollout, the same for every project of a server."""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema

from deployments.compile import compile_maintenance
from deployments.drift import keeping_pauses
from deployments.send import send_deployment
from flows.maintenance import maintain
from ocs import settings


async def ensure_maintenance(client: PrefectClient) -> None:
    """Make or update it; a pause that a person made stays. The work pool has to be there."""
    compiled = compile_maintenance()
    try:
        deployed = await client.read_deployment_by_name(f"{settings.MAINTENANCE_FLOW}/{compiled.name}")
    except ObjectNotFound:
        pass
    else:
        if deployed.version == compiled.version:
            return
        compiled = keeping_pauses(deployed, compiled)
    flow_id = await client.create_flow_from_name(settings.MAINTENANCE_FLOW)
    await send_deployment(client, compiled, flow_id, parameter_schema(maintain).model_dump_for_openapi())
