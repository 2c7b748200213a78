"""Pages: all flow runs of a question. To one without a limit Prefect answers the first 200, and does not say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterState
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

PAGE = 200


async def all_flow_runs(client: PrefectClient, **filters: Any) -> list[FlowRun]:
    """Every flow run that matches, in an order that does not change while pages are read."""
    found: dict[UUID, FlowRun] = {}
    offset = 0
    while page := await client.read_flow_runs(**filters, sort=FlowRunSort.ID_DESC, limit=PAGE, offset=offset):
        found |= {flow_run.id: flow_run for flow_run in page}
        offset += len(page)
        if len(page) < PAGE:
            break
    return list(found.values())


async def flow_runs_by_id(
    client: PrefectClient, ids: Sequence[UUID], *, state: FlowRunFilterState | None = None
) -> dict[UUID, FlowRun]:
    """Those of them that Prefect has, in such a state; however many they are, no question is longer than a page."""
    found: dict[UUID, FlowRun] = {}
    for start in range(0, len(ids), PAGE):
        some = list(ids[start : start + PAGE])
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=some), state=state)
        found |= {flow_run.id: flow_run for flow_run in await all_flow_runs(client, flow_run_filter=wanted)}
    return found
