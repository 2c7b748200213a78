"""Somebody has edited the store by hand: what cannot be read or makes no sense harms itself only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.spec import Job
from ocs.store import Claimed, Rejected, Store, claim, enqueue, finish, leases, pending_dispatches, queries

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CRASHED = DispatchResult(RunStatus.CRASHED, error="Cut off.")


async def edit(store: Store, statement: str, **values: Any) -> None:
    async with store.transaction() as session:
        await session.execute(text(statement), values)


async def begun(store: Store, name: str, limits: Mapping[str, str] | None = None) -> Claimed | Rejected:
    job = Job.model_validate({"id": name, "run": "true", "limits": limits or {}})
    dispatch = Dispatch(DispatchKind.MANUAL, NOW)
    result = await claim(store, job, dispatch, flow_run_id=uuid4(), owner="host:1", now=NOW)
    assert isinstance(result, Claimed | Rejected)
    return result


# Postgres takes no such value.
ONLY_SQLITE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@ONLY_SQLITE
@pytest.mark.parametrize("nonsense", ["parameters = '{'", "scheduled_for = 'tomorrow'", "source_run = 'x'"])
async def test_a_dispatch_that_cannot_be_read_holds_up_no_other(store: Store, nonsense: str) -> None:
    await enqueue(store, "broken", by=Attribution("ann", "cli", NOW), parameters={"job": {}})
    whole = await enqueue(store, "whole", by=Attribution("ann", "cli", NOW))
    await edit(store, f"UPDATE dispatch SET {nonsense} WHERE job_id = 'broken'")
    assert await pending_dispatches(store, created_before=NOW, limit=10) == [whole]
    assert await queries.open_dispatches(store) == [whole]


@ONLY_SQLITE
@pytest.mark.parametrize("nonsense", ["lease_until = 'never'", "started_at = ''"])
async def test_a_run_that_cannot_be_read_keeps_no_other_from_being_recovered(store: Store, nonsense: str) -> None:
    await begun(store, "broken")
    await begun(store, "whole")
    await edit(store, f"UPDATE run SET {nonsense} WHERE job_id = 'broken'")
    assert [lease.context.job_id for lease in await leases(store)] == ["whole"]
    assert [run.job_id for run in await queries.runs(store)] == ["whole"]


async def test_a_run_that_was_made_to_run_by_hand_is_ended_as_any_other(store: Store) -> None:
    await begun(store, "load")
    assert isinstance(await begun(store, "load"), Rejected)
    await edit(store, "UPDATE run SET status = 'running' WHERE status = 'skipped'")
    for lease in await leases(store):
        job = Job.model_validate({"id": "load", "run": "true"})
        ended = await finish(store, job, lease.context, CRASHED, children=(), now=NOW, last_heartbeat=lease.until)
        assert not ended.stale
    assert {run.status for run in await queries.runs(store)} == {RunStatus.CRASHED}


async def test_the_database_itself_refuses_a_status_that_is_none(store: Store) -> None:
    await begun(store, "load")
    with pytest.raises(Exception, match="run_status"):
        await edit(store, "UPDATE run SET status = 'fine'")
