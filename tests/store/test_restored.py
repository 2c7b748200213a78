"""What a store that came out of a backup lets run: nothing that may have run since, but what is at-least-once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import select

from ocs.rules.approval import ApprovalStatus
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.rules.guards import SkipReason
from ocs.rules.restored import Restored
from ocs.spec import Job
from ocs.store import (
    ApprovalRequested,
    Claimed,
    Rejected,
    Store,
    claim,
    enqueue,
    finish,
    mark_published,
    pending_dispatches,
    queries,
)
from ocs.store.restored import settle
from ocs.store.tables import Approval

BACKED_UP = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LOST = BACKED_UP + timedelta(hours=1)
NOW = LOST + timedelta(hours=1)
BY = Attribution("ann", "cli", NOW)


def job(**document: Any) -> Job:
    return Job.model_validate({"id": "load", "run": "true", "schedule": "*/10 * * * *", **document})


def due(at: datetime, kind: DispatchKind = DispatchKind.SCHEDULED) -> Dispatch:
    return Dispatch(kind, at)


async def restore(store: Store, lost_at: datetime = LOST, made_by: Any = None) -> None:
    await settle(store, Restored(BACKED_UP, lost_at), BY, made_by)


async def claims(store: Store, a_job: Job, dispatch: Dispatch, now: datetime = NOW, flow_run: Any = None) -> Any:
    return await claim(store, a_job, dispatch, flow_run_id=flow_run or uuid4(), owner="worker", now=now)


@pytest.mark.parametrize("at", [BACKED_UP - timedelta(seconds=1), BACKED_UP + timedelta(minutes=20), LOST])
async def test_what_may_have_run_before_all_was_lost_does_not_run_again(store: Store, at: datetime) -> None:
    await restore(store)
    refused = await claims(store, job(), due(at))
    assert isinstance(refused, Rejected)
    assert refused.skip.reason is SkipReason.MISSED
    assert "a backup of 2026-11-24 12:00:00 UTC" in refused.skip.why


async def test_what_is_at_least_once_runs_and_so_does_what_was_due_after_all_was_lost(store: Store) -> None:
    await restore(store)
    twice = job(run={"shell": "true", "guarantee": "at-least-once"})
    assert isinstance(await claims(store, twice, due(LOST)), Claimed)
    assert isinstance(await claims(store, job(id="other"), due(LOST + timedelta(seconds=1))), Claimed)


async def test_where_nothing_ran_after_the_backup_everything_goes_on(store: Store) -> None:
    await restore(store, lost_at=BACKED_UP)
    assert isinstance(await claims(store, job(), due(BACKED_UP)), Claimed)


async def test_what_ran_before_the_backup_is_known_to_have_run(store: Store) -> None:
    had = await claims(store, job(), due(BACKED_UP - timedelta(minutes=10)), now=BACKED_UP)
    await finish(store, job(), had.context, DispatchResult(RunStatus.OK), children=(), now=BACKED_UP)
    await restore(store)
    again = await claims(store, job(), due(BACKED_UP - timedelta(minutes=10)))
    assert isinstance(again, Rejected)
    assert again.skip.reason is SkipReason.DUPLICATE


async def test_a_retry_that_somebody_presses_runs(store: Store) -> None:
    await restore(store)
    flow_run = uuid4()
    await claims(store, job(), due(LOST), flow_run=flow_run)
    assert isinstance(await claims(store, job(), due(LOST), flow_run=flow_run), Claimed)


async def test_what_prefect_may_lack_is_sent_again(store: Store) -> None:
    sent = await enqueue(store, "load", by=Attribution("ann", "cli", BACKED_UP))
    await mark_published(store, sent, uuid4(), BACKED_UP)
    assert not await pending_dispatches(store, created_before=NOW, limit=10)
    await restore(store)
    assert [each.id for each in await pending_dispatches(store, created_before=NOW, limit=10)] == [sent.id]
    assert (await pending_dispatches(store, created_before=NOW, limit=10))[0].publication == sent.publication


async def test_the_time_that_has_gone_by_approves_nothing_and_a_person_does(store: Store) -> None:
    gated = job(approval={"required": True, "timeout": "30m", "on_timeout": "approve"})
    flow_run = uuid4()
    asked = await claims(store, gated, due(BACKED_UP), now=BACKED_UP, flow_run=flow_run)
    assert isinstance(asked, ApprovalRequested)
    await restore(store)
    await claims(store, gated, due(BACKED_UP), flow_run=flow_run)
    async with store.reading() as session:
        assert (await session.scalars(select(Approval.status))).all() == [ApprovalStatus.TIMED_OUT]


@pytest.mark.parametrize(("decided_at", "expected"), [(BACKED_UP, Rejected), (NOW, Claimed)])
async def test_what_a_person_approves_afterwards_runs_and_what_was_approved_before_does_not(
    store: Store, decided_at: datetime, expected: type
) -> None:
    gated = job(approval={"required": True, "timeout": "30d"})
    flow_run = uuid4()
    await claims(store, gated, due(BACKED_UP), now=BACKED_UP, flow_run=flow_run)
    await restore(store)
    async with store.transaction() as session:
        asked = (await session.scalars(select(Approval))).one()
        asked.status, asked.decided_at = ApprovalStatus.APPROVED, decided_at
    assert isinstance(await claims(store, gated, due(BACKED_UP), flow_run=flow_run), expected)


async def test_the_run_that_made_the_backup_has_ended_well(store: Store) -> None:
    making = await claims(store, job(), due(BACKED_UP), now=BACKED_UP)
    await restore(store, made_by=making.context.run_id)
    (run,) = await queries.runs(store)
    assert run.status is RunStatus.OK
