"""Budgets: how many dispatches are open, and how much output runs have left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import col, select

from ocs.rules.guards import WaitsFor
from ocs.store.engine import Store
from ocs.store.outbox import OPEN
from ocs.store.tables import DispatchRow, DispatchStatus, Run


@dataclass(frozen=True, slots=True)
class Budgets:
    """Counts over the whole store. `waiting` has each job's dispatches that have not become runs."""

    waiting: Mapping[str, int]
    pool_queued_dispatches: int
    overlap_queued_dispatches: int
    shell_output_bytes: int
    offloaded_shell_runs: int


async def budgets(store: Store) -> Budgets:
    """Count them."""
    not_yet = select(DispatchRow.job_id, DispatchRow.status, DispatchRow.waits_for).where(
        col(DispatchRow.status).in_(OPEN)
    )
    output = select(
        func.coalesce(func.sum(col(Run.stdout_bytes) + col(Run.stderr_bytes)), 0),
        func.count().filter(col(Run.stdout_path).is_not(None) | col(Run.stderr_path).is_not(None)),
    )
    async with store.reading() as session:
        rows = (await session.execute(not_yet)).all()
        size, offloaded = (await session.execute(output)).one()
    queued = Counter(waits_for for _, status, waits_for in rows if status == DispatchStatus.QUEUED)
    return Budgets(
        Counter(job_id for job_id, _, _ in rows),
        queued[WaitsFor.POOL],
        queued[WaitsFor.OVERLAP],
        int(size),
        int(offloaded),
    )
