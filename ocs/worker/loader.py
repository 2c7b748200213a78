"""The flow of a deployment: the worker loads it once, or says in a sentence why not."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.results import should_persist_result
from prefect.settings import get_current_settings

from ocs.errors import OcsError

USE_PROCESS_WORKER = "Deploy it to a work pool of type process."


class CannotRun(OcsError):
    """The run's flow cannot be executed by this worker."""

    code = "cannot_run"


class Flows:
    """Flows by deployment. The worker reads a deployment again when its version has changed."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        self._entrypoints: dict[tuple[UUID, str | None], str] = {}
        self._flows: dict[str, Flow[Any, Any]] = {}
        self._loading = asyncio.Lock()

    async def of(self, flow_run: FlowRun) -> Flow[Any, Any]:
        """The flow that this run runs.

        Raises:
            CannotRun: there is no such deployment or flow (any more), or it is not one for this worker.
        """
        if flow_run.deployment_id is None:
            raise CannotRun("This run belongs to no deployment, so that its flow is unknown.")
        key = (flow_run.deployment_id, flow_run.deployment_version)
        async with self._loading:
            if key not in self._entrypoints:
                self._entrypoints[key] = await self._entrypoint(flow_run.deployment_id)
            entrypoint = self._entrypoints[key]
            if entrypoint not in self._flows:
                self._flows[entrypoint] = await self._load(entrypoint)
            return self._flows[entrypoint]

    async def _entrypoint(self, deployment_id: UUID) -> str:
        try:
            return _entrypoint_of(await self._client.read_deployment(deployment_id))
        except ObjectNotFound:
            raise CannotRun("The deployment of this run was deleted.") from None

    async def _load(self, entrypoint: str) -> Flow[Any, Any]:
        try:
            flow = await asyncio.to_thread(_flow, entrypoint)
        # A module may raise anything when it is imported, and may want to end the process.
        except (Exception, SystemExit) as failed:
            raise CannotRun(f"The flow {entrypoint} cannot be loaded: {failed!r}") from failed
        if not flow.isasync or flow.isgenerator:
            raise CannotRun(
                f"The flow {entrypoint} is not an async function. This worker runs flows inside its own "
                "process, where a blocking one would hold up all others.",
                hint=f"Write it as `async def`. Or: {USE_PROCESS_WORKER}",
            )
        return await self._with_known_storage(flow)

    async def _with_known_storage(self, flow: Flow[Any, Any]) -> Flow[Any, Any]:
        """Set the default result storage where nobody chose one: else each run asks the server, blocking the others."""
        if flow.result_storage is not None or get_current_settings().results.default_storage_block is not None:
            return flow
        if (await self._client.read_server_default_result_storage()).default_result_storage_block_id is not None:
            return flow
        persist = should_persist_result() if flow.persist_result is None else flow.persist_result
        return flow.with_options(
            result_storage=get_current_settings().results.local_storage_path, persist_result=persist
        )


def _flow(entrypoint: str) -> Flow[Any, Any]:
    """An installed module before one of the same name in the current folder, which Prefect would look at first."""
    module, dot, name = entrypoint.rpartition(".")
    if dot and ":" not in entrypoint:
        with contextlib.suppress(ModuleNotFoundError):
            found = getattr(importlib.import_module(module), name, None)
            if isinstance(found, Flow):
                return cast("Flow[Any, Any]", found)
    return load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)


def _entrypoint_of(deployment: DeploymentResponse) -> str:
    """What to load: a module path, or a file on this machine."""
    entrypoint = deployment.entrypoint
    if not entrypoint:
        raise CannotRun(f"The deployment {deployment.name} names no entrypoint.")
    if ":" not in entrypoint:
        return entrypoint
    if deployment.pull_steps or deployment.storage_document_id:
        raise CannotRun(
            f"The deployment {deployment.name} fetches its code with pull steps, which change the folder of the "
            "whole process; this worker runs many flows in one.",
            hint=USE_PROCESS_WORKER,
        )
    return str(Path(deployment.path or ".") / entrypoint)
