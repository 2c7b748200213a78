"""The built-in templates of tasks: rolled out when a task needs one, unless a project has a job of that id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from deployments.compile import CompiledDeployment, compile_job
from deployments.rollout import BUILT_IN_TAG, ensure_block_types, ensure_work_pool, schema
from deployments.send import send_deployment
from ocs import settings
from ocs.rules.tasks import BUILT_IN
from ocs.spec import Job

PROJECT = "built-in"


async def ensure_template(client: PrefectClient, document: Mapping[str, Any] = BUILT_IN) -> None:
    """Roll it out where there is none of that id, or one of another version of this program."""
    compiled = _compiled(document)
    try:
        deployed = await client.read_deployment_by_name(f"{settings.FLOW_NAME}/{compiled.name}")
    except ObjectNotFound:
        deployed = None
    if deployed is not None and (BUILT_IN_TAG not in deployed.tags or deployed.version == compiled.version):
        return
    await ensure_work_pool(client)
    await ensure_block_types(client)
    flow_id = await client.create_flow_from_name(settings.FLOW_NAME)
    await send_deployment(client, compiled, flow_id, schema())


def _compiled(document: Mapping[str, Any]) -> CompiledDeployment:
    compiled = compile_job(Job.model_validate(document), PROJECT)
    return replace(compiled, tags=[*compiled.tags, BUILT_IN_TAG])
