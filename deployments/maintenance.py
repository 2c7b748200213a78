"""The maintenance flow's deployment: made with the first rollout, the same for every project of a server."""

from __future__ import annotations

from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema

from deployments.compile import CompiledDeployment, compile_maintenance
from deployments.drift import edited_there, keeping_pauses
from deployments.send import send_deployment
from flows.maintenance import maintain
from ocs import settings


async def ensure_maintenance(client: PrefectClient) -> None:
    """Make it, or set it back; a pause that a person made stays. The work pool has to be there."""
    compiled = compile_maintenance()
    deployed = await _deployed(client)
    if deployed is not None:
        if not _differs(deployed, compiled):
            return
        compiled = keeping_pauses(deployed, compiled)
    flow_id = await client.create_flow_from_name(settings.MAINTENANCE_FLOW)
    await send_deployment(client, compiled, flow_id, _schema())


async def maintenance_differs(client: PrefectClient) -> tuple[str, ...]:
    """What a rollout would set back of it."""
    deployed = await _deployed(client)
    return _differs(deployed, compile_maintenance()) if deployed is not None else ("all of it",)


async def _deployed(client: PrefectClient) -> DeploymentResponse | None:
    try:
        return await client.read_deployment_by_name(f"{settings.MAINTENANCE_FLOW}/{compile_maintenance().name}")
    except ObjectNotFound:
        return None


def _differs(deployed: DeploymentResponse, compiled: CompiledDeployment) -> tuple[str, ...]:
    if deployed.version != compiled.version:
        return ("version",)
    return edited_there(deployed, compiled, _schema())


def _schema() -> dict[str, Any]:
    return parameter_schema(maintain).model_dump_for_openapi()
