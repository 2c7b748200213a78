"""A compiled deployment goes to the server."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient

from deployments.compile import CompiledDeployment
from tasks.adapter.schedules import schedule_of


async def send_deployment(
    client: PrefectClient, compiled: CompiledDeployment, flow_id: UUID, schema: dict[str, Any]
) -> UUID:
    """Make the deployment, or change the one of that name; its id. Parameters that do not fit `schema` are refused."""
    return await client.create_deployment(
        flow_id=flow_id,
        name=compiled.name,
        version=compiled.version,
        tags=compiled.tags,
        description=compiled.description,
        parameters=compiled.parameters,
        paused=compiled.paused,
        schedules=[schedule_of(schedule) for schedule in compiled.schedules],
        entrypoint=compiled.entrypoint,
        work_pool_name=compiled.work_pool,
        job_variables=compiled.job_variables,
        parameter_openapi_schema=schema,
        enforce_parameter_schema=True,
        pull_steps=[],
    )
