"""What a run asks of the API, counted: a request that comes back is noticed here."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun

from ocs.worker import execution
from tasks.adapter import children, runtime
from tests.worker.rig import Rig

pytestmark = pytest.mark.e2e
SHARED = r"/(work_pools/.*|flow_runs/filter|flow_runs/count|admin/.*)$"
"""What a worker asks for itself, and what the test asks."""
EVERY = Counter({"POST flow_runs/ID/set_state": 3, "POST deployments/filter": 1, "POST artifacts/": 1})
NAMED = Counter({"PATCH flow_runs/ID": 1})
CREATED = Counter({"POST deployments/ID/create_flow_run": 1})


@pytest.fixture(autouse=True)
async def however_busy_the_machine_is(rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    await rig.make_pool()
    monkeypatch.setenv("OCS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(execution, "FRESH", timedelta(minutes=5))
    monkeypatch.setattr(children, "BELIEVED", 300.0)


async def deployed(rig: Rig, job_id: str, *tags: str, **document: Any) -> UUID:
    return await rig.deploy(
        "job",
        entrypoint="flows.job.run_job",
        name=job_id,
        tags=["ocs", f"job:{job_id}", "project:requests", *tags],
        parameters={"job": {"id": job_id, **document}},
    )


async def asked_for(rig: Rig, deployments: list[UUID], runs: int) -> Counter[str]:
    """The requests of a run of the first deployment and of what follows from it, so many runs of these all together."""
    requests: Counter[str] = Counter()

    async def count(request: httpx.Request) -> None:
        path = request.url.path.removeprefix("/api/")
        if not re.search(SHARED, f"/{path}"):
            requests[re.sub(r"[0-9a-f-]{36}", "ID", f"{request.method} {path}")] += 1

    async def ended(number: int) -> bool:
        of_them = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=deployments))
        found = await rig.client.read_flow_runs(flow_run_filter=of_them)
        return sum(run.state is not None and run.state.is_final() for run in found) == number

    async def made_in_the_ui() -> FlowRun:
        return await rig.client.create_flow_run_from_deployment(deployments[0])

    try:
        async with rig.worker() as worker:
            await made_in_the_ui()  # with what is asked once for all runs
            assert await rig.eventually(lambda: ended(runs))
            worker.client._client.event_hooks["request"].append(count)
            await made_in_the_ui()
            assert await rig.eventually(lambda: ended(2 * runs))
    finally:
        await runtime.close_store()
    return requests


async def test_a_run_that_somebody_made_in_the_ui(rig: Rig) -> None:
    alone = await deployed(rig, "alone", run="true")
    assert await asked_for(rig, [alone], 1) == EVERY + NAMED


async def test_a_run_that_lasts_looks_for_its_children_at_its_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "BELIEVED", 0.0)
    lasting = await deployed(rig, "lasting", run="true")
    assert await asked_for(rig, [lasting], 1) == EVERY + NAMED + Counter({"POST deployments/filter": 1})


async def test_a_child(rig: Rig) -> None:
    parent = await deployed(rig, "parent", run="true")
    child = await deployed(rig, "child", "after:parent", run="true", after={"job": "parent"})
    assert await asked_for(rig, [parent, child], 2) == EVERY + NAMED + EVERY + CREATED


async def test_a_retry(rig: Rig) -> None:
    failing = await deployed(rig, "failing", run="false", retry={"max": 1, "delay": "1s"})
    assert await asked_for(rig, [failing], 2) == EVERY + NAMED + EVERY + CREATED
