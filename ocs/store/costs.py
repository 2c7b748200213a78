"""Costs: prices of models, and what runs have used and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from ocs.errors import NotFound
from ocs.rules.attribution import Attribution
from ocs.rules.costs import By, Price, Tokens, Use, tokens_of, total_of
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.tables import Run
from ocs.store.tables_costs import ModelUse, PriceRow, Reservation


@dataclass(frozen=True, slots=True)
class Line:
    """What one job, agent, model or day has cost; `runs` counts the runs that have used something."""

    name: str
    runs: int
    use: Use


async def note_use(session: AsyncSession, run: Run, uses: Sequence[Use]) -> None:
    """Keep what a run has used so far, in the caller's transaction. Nothing measured changes nothing."""
    if not uses:
        return
    tokens, total = tokens_of(uses), total_of(uses)
    run.tokens_in, run.tokens_out, run.tokens_cached = tokens.read, tokens.output, tokens.cached
    run.cost, run.cost_at_least = total.micros, total.at_least
    for use in uses:
        row = ModelUse(
            run_id=run.id,
            model=use.model,
            job_id=run.job_id,
            agent=run.agent or "",
            at=run.started_at,
            calls=use.calls,
            input=use.tokens.input,
            cached=use.tokens.cached,
            stored=use.tokens.stored,
            output=use.tokens.output,
            cost=use.cost,
            unpriced=use.unpriced,
        )
        await session.merge(row)
    await session.execute(update(Reservation).where(col(Reservation.run_id) == run.id).values(spent=total.micros or 0))


async def summed(store: Store, by: By, *, since: datetime) -> list[Line]:
    """What was used since then, by job, agent, model or day (UTC); the dearest first, days in their order."""
    name = {By.JOB: col(ModelUse.job_id), By.AGENT: col(ModelUse.agent), By.MODEL: col(ModelUse.model)}.get(by)
    if name is None:
        name = func.date(col(ModelUse.at)) if store.on_sqlite else func.date(func.timezone("UTC", col(ModelUse.at)))
    sums = [
        func.sum(column)
        for column in (
            ModelUse.calls,
            ModelUse.input,
            ModelUse.cached,
            ModelUse.stored,
            ModelUse.output,
            ModelUse.cost,
            ModelUse.unpriced,
        )
    ]
    of_each = select(name, func.count(func.distinct(ModelUse.run_id)), *sums).where(col(ModelUse.at) >= since)
    async with store.reading() as session:
        found = (await session.execute(of_each.group_by(name))).all()
    lines = [_line(str(row[0]), *(int(figure) for figure in row[1:])) for row in found]
    if by is By.DAY:
        return sorted(lines, key=lambda line: line.name)
    return sorted(lines, key=lambda line: (-line.use.cost, line.name))


async def uses_of(store: Store, run_id: UUID) -> list[Use]:
    """What a run has used, by model."""
    async with store.reading() as session:
        rows = await session.scalars(select(ModelUse).where(col(ModelUse.run_id) == run_id).order_by(ModelUse.model))
        return [
            Use(row.model, row.calls, Tokens(row.input, row.cached, row.stored, row.output), row.cost, row.unpriced)
            for row in rows
        ]


async def has_used(store: Store, model: str) -> bool:
    """Whether a turn on record has used a model."""
    async with store.reading() as session:
        one = select(col(ModelUse.run_id)).where(col(ModelUse.model) == model).limit(1)
        return (await session.scalars(one)).first() is not None


async def prices(store: Store) -> dict[str, Price]:
    """The prices that were set, by model."""
    async with store.reading() as session:
        rows = await session.scalars(select(PriceRow).order_by(PriceRow.model))
        return {row.model: Price(row.input, row.cached, row.stored, row.output) for row in rows}


async def set_price(store: Store, model: str, price: Price, *, by: Attribution) -> None:
    """Say what a model costs from now on; what was used before stays at the price of then."""
    async with store.transaction(lock=(f"price:{model}",)) as session:
        row = await session.get(PriceRow, model)
        before = _said(row) if row is not None else None
        row = row or PriceRow(
            model=model, input=0, cached=0, stored=0, output=0, updated_by=by.actor, updated_at=by.now
        )
        row.input, row.cached, row.stored, row.output = price.input, price.cached, price.stored, price.output
        row.updated_by, row.updated_at = by.actor, by.now
        session.add(row)
        record(session, "price-set", by=by, before=before, after=_said(row))


async def remove_price(store: Store, model: str, *, by: Attribution) -> None:
    """Forget the price of a model; from then on the gateway's own counts, where it knows one.

    Raises:
        NotFound: none was set.
    """
    async with store.transaction(lock=(f"price:{model}",)) as session:
        row = await session.get(PriceRow, model)
        if row is None:
            raise NotFound(f'No price was set for "{model}".', hint="See them: ocs prices list")
        record(session, "price-removed", by=by, before=_said(row))
        await session.delete(row)


async def prune_uses(store: Store, *, before: datetime) -> int:
    """Delete what was used long ago."""
    async with store.transaction() as session:
        gone = await session.execute(delete(ModelUse).where(col(ModelUse.at) < before))
        return int(getattr(gone, "rowcount", 0))


def _line(name: str, runs: int, calls: int, *figures: int) -> Line:
    read, cached, stored, written, cost, unpriced = figures
    return Line(name, runs, Use(name, calls, Tokens(read, cached, stored, written), cost, unpriced))


def _said(row: PriceRow) -> Mapping[str, object]:
    return {"model": row.model, "input": row.input, "cached": row.cached, "stored": row.stored, "output": row.output}
