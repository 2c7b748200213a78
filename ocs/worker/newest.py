"""The newest runs of jobs that are late: an answer of the server holds the oldest, and not all when there are many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from ocs.worker.due_queue import Held

PAGE = 200
MOST_PAGES = 10


async def newest_of_late(client: PrefectClient, pool: str, held: Sequence[Held], now: datetime) -> list[FlowRun]:
    """Runs of each job that has a late occurrence among `held`, with the newest that is due.

    Read from the newest on until each job has one: jobs that are due often come first, and many at once.
    """
    wanted = {each.flow_run.deployment_id for each in held if each.is_late(now)} - {None}
    found: list[FlowRun] = []
    for _ in range(MOST_PAGES):
        if not wanted:
            break
        page = await _newest(client, pool, [each for each in wanted if each is not None], now)
        found += page
        wanted -= {flow_run.deployment_id for flow_run in page}
        if len(page) < PAGE:
            break
    return found


async def _newest(client: PrefectClient, pool: str, deployments: list[UUID], now: datetime) -> list[FlowRun]:
    return await client.read_flow_runs(
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=deployments)),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"before_": now.astimezone(UTC)}),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=PAGE,
    )
