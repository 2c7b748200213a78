"""Spending: what runs hold of budgets. It is reserved in the transaction that claims a run, and settled in finish.

Claims of agents' turns lock one name, so that of two that do not both fit one comes second. What is spent and what is
held is read in one statement: a run that ends meanwhile is counted as one or the other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, func
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import NotFound
from ocs.rules import budgets
from ocs.rules.approval import ApprovalStatus, Recorded, spec_digest
from ocs.rules.attribution import Attribution
from ocs.rules.budgets import Budget, Fits, Over, Scope, Standing, Wanted
from ocs.rules.costs import Use, total_of, usd
from ocs.rules.dispatch import RunStatus
from ocs.rules.guards import SkipReason
from ocs.spec import Agent, Job, Main
from ocs.store import deliveries
from ocs.store.audit import record
from ocs.store.costs import note_use
from ocs.store.engine import Store
from ocs.store.tables import Run
from ocs.store.tables_costs import BudgetRow, ModelUse, PriceRow, Reservation
from ocs.store.tables_delivery import Delivery

LOCK = "spending"
RECENT = 20
"""Of so many runs of a job the dearest says what the next one may cost."""
LATELY = timedelta(days=30)
MAIN = "main"
"""The agent whose main session a job with run.main speaks to, unless its gateway says otherwise."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a run that is at work holds; `is_cap` when it is all that it may cost."""

    amount: int
    is_cap: bool


def lock_of(job: Job) -> tuple[str, ...]:
    """What a claim locks: nothing, for a job that calls no model."""
    return (LOCK,) if isinstance(job.run.work, Agent | Main) else ()


async def weighed(session: AsyncSession, job: Job, asked: Recorded | None, now: datetime) -> Fits | Over:
    """Whether what a run of the job may cost fits its budgets. Nobody else claims meanwhile."""
    if not isinstance(job.run.work, Agent | Main):
        return Fits()
    standings = await _standings_of(session, job, now)
    cap = budgets.cap_of(job)
    if cap is None and not standings:
        return Fits()
    unpriced = await _why_unpriced(session, job, now)
    wanted = Wanted(cap, await _dearest(session, job.id), unpriced)
    return budgets.weighed(wanted, standings, agreed=_has_agreed(asked, job))


async def reserve(session: AsyncSession, job: Job, run: Run, costs: Fits | Over, now: datetime) -> None:
    """Have a run that is claimed hold what it may cost, and tell of budgets that only warn."""
    if isinstance(costs, Over):
        return
    if costs.amount is not None:
        held = Reservation(
            run_id=run.id,
            job_id=job.id,
            agent=_agent_of(job),
            at=run.started_at,
            amount=costs.amount,
            is_cap=budgets.cap_of(job) is not None,
        )
        session.add(held)
    for each in costs.warnings:
        words, left, spent = each.budget.words.capitalize(), usd(each.rest), usd(each.spent)
        body = f"{words} has {left} left: {spent} spent. {job.id} runs all the same."
        await _tell(session, job, run, each.budget, f"{job.id} is over a budget", body, now)


async def settle(session: AsyncSession, run_id: UUID) -> None:
    """Let go of what a run held: it has ended, and counts as what it has spent."""
    await session.execute(delete(Reservation).where(col(Reservation.run_id) == run_id))


async def held_by(store: Store, run_id: UUID) -> Held | None:
    """What a run holds; None when nothing limits what it spends."""
    async with store.reading() as session:
        row = await session.get(Reservation, run_id)
        return Held(row.amount, row.is_cap) if row is not None else None


async def extend(store: Store, run_id: UUID, uses: Sequence[Use]) -> Held | str | None:
    """Note what a run has spent that has used up what it held, and let it hold more; or why it may not go on."""
    async with store.transaction(lock=(LOCK,)) as session:
        row = await session.get(Reservation, run_id)
        run = await session.get(Run, run_id, with_for_update=True)
        if row is None or run is None or run.status is not RunStatus.RUNNING:
            return None
        await note_use(session, run, uses)
        spent = row.spent = total_of(uses).micros or 0
        await session.flush()
        found = await _budgets(session, row.job_id, row.agent)
        others = [await _standing(session, budget, row.at, besides=run_id) for budget in found]
        more = budgets.extended(spent, row.amount, others)
        if isinstance(more, str):
            return more
        row.amount = more
        return Held(more, is_cap=False)


async def note_over(session: AsyncSession, job: Job, run: Run, costs: Fits | Over, now: datetime) -> None:
    """Have the job's failure target told that a run did not fit, once in the budget's time."""
    if isinstance(costs, Fits) or run.skip_reason is not SkipReason.BUDGET:
        return
    until = budgets.ends(costs.budget.per, now.astimezone(UTC)) if costs.budget else None
    again = f" It is whole again at {until:%Y-%m-%d %H:%M} UTC." if until else ""
    subject = f"{job.id} was not run: its costs do not fit"
    await _tell(session, job, run, costs.budget, subject, f"{costs.why}{again}", now)


async def standings(store: Store, *, now: datetime) -> list[Standing]:
    """How all budgets stand, by name."""
    async with store.reading() as session:
        rows = list(await session.scalars(select(BudgetRow).order_by(BudgetRow.name)))
        return [await _standing(session, _budget(row), now) for row in rows]


async def set_budget(store: Store, budget: Budget, *, by: Attribution) -> None:
    """Set a budget, or change the one of its name; what was spent in its time counts."""
    async with store.transaction(lock=(LOCK,)) as session:
        row = await session.get(BudgetRow, budget.name)
        before = _said(_budget(row)) if row is not None else None
        row = BudgetRow(
            name=budget.name,
            scope=budget.scope,
            subject=budget.subject,
            per=budget.per,
            limit=budget.limit,
            action=budget.action,
            updated_by=by.actor,
            updated_at=by.now,
        )
        await session.merge(row)
        record(session, "budget-set", by=by, before=before, after=_said(budget))


async def remove_budget(store: Store, name: str, *, by: Attribution) -> None:
    """Take a budget away.

    Raises:
        NotFound: there is none of that name.
    """
    async with store.transaction(lock=(LOCK,)) as session:
        row = await session.get(BudgetRow, name)
        if row is None:
            raise NotFound(f'There is no budget "{name}".', hint="See them: ocs budgets list")
        record(session, "budget-removed", by=by, before=_said(_budget(row)))
        await session.delete(row)


async def _tell(
    session: AsyncSession, job: Job, run: Run, budget: Budget | None, subject: str, body: str, now: datetime
) -> None:
    dedup = budgets.told_once(budget, job.id, now.astimezone(UTC))
    known = set(await session.scalars(select(col(Delivery.target)).where(col(Delivery.dedup) == dedup)))
    targets = job.deliver.of_failures if job.deliver and job.deliver.when != "never" else ()
    deliveries.enqueue(
        session,
        job_id=job.id,
        run_id=run.id,
        targets=[target for target in targets if target not in known],
        subject=subject,
        body=body,
        kind="budget",
        dedup=dedup,
        now=now,
    )


async def _standings_of(session: AsyncSession, job: Job, now: datetime) -> list[Standing]:
    return [await _standing(session, budget, now) for budget in await _budgets(session, job.id, _agent_of(job))]


async def _budgets(session: AsyncSession, job_id: str, agent: str) -> list[Budget]:
    rows = await session.scalars(select(BudgetRow).where(col(BudgetRow.subject).in_((job_id, agent, ""))))
    mine = {Scope.JOB: job_id, Scope.AGENT: agent, Scope.PROJECT: ""}
    return [_budget(row) for row in rows if mine[row.scope] == row.subject]


async def _standing(session: AsyncSession, budget: Budget, now: datetime, besides: UUID | None = None) -> Standing:
    """What is spent and held, in one statement; without the run `besides`."""
    at = now.astimezone(UTC)
    since, until = budgets.begins(budget.per, at), budgets.ends(budget.per, at)
    spent = select(func.coalesce(func.sum(col(ModelUse.cost)), 0)).where(
        col(ModelUse.at) >= since, col(ModelUse.at) < until, *_of(budget, ModelUse)
    )
    left = case(
        (col(Reservation.amount) > col(Reservation.spent), col(Reservation.amount) - col(Reservation.spent)), else_=0
    )
    # A run that has ended holds nothing, whatever has ended it.
    at_work = (
        col(Reservation.run_id) == col(Run.id),
        col(Run.status) == RunStatus.RUNNING,
        col(Reservation.at) >= since,
        col(Reservation.at) < until,
        *_of(budget, Reservation),
    )
    held = select(func.coalesce(func.sum(left), 0)).where(*at_work)
    holders = select(func.count()).select_from(Reservation).where(*at_work)
    if besides is not None:
        spent = spent.where(col(ModelUse.run_id) != besides)
        held = held.where(col(Reservation.run_id) != besides)
        holders = holders.where(col(Reservation.run_id) != besides)
    sums = select(spent.scalar_subquery(), held.scalar_subquery(), holders.scalar_subquery())
    row = (await session.execute(sums)).one()
    return Standing(budget, int(row[0]), int(row[1]), int(row[2]))


def _of(budget: Budget, table: type[ModelUse] | type[Reservation]) -> tuple[ColumnElement[bool], ...]:
    match budget.scope:
        case Scope.JOB:
            return (col(table.job_id) == budget.subject,)
        case Scope.AGENT:
            return (col(table.agent) == budget.subject,)
        case Scope.PROJECT:
            return ()


async def _dearest(session: AsyncSession, job_id: str) -> int | None:
    """The most that a recent run of the job has cost of which all is known."""
    recent = (
        select(col(Run.cost))
        .where(col(Run.job_id) == job_id, col(Run.cost).is_not(None), ~col(Run.cost_at_least))
        .order_by(col(Run.started_at).desc())
        .limit(RECENT)
    )
    return max((cost for cost in await session.scalars(recent) if cost is not None), default=None)


async def _why_unpriced(session: AsyncSession, job: Job, now: datetime) -> str | None:
    """A price is known that was set, or that the gateway has told lately."""
    agent, work = _agent_of(job), job.run.work
    named = [work.model, *work.fallback_models] if isinstance(work, Agent) else []
    models: Collection[str] = [model for model in named if model is not None]
    lately = col(ModelUse.at) > now - LATELY
    if not models or (isinstance(work, Agent) and work.model is None):
        used = (
            select(col(ModelUse.model))
            .where(col(ModelUse.agent) == agent, lately, col(ModelUse.model) != "")
            .distinct()
        )
        models = [*models, *await session.scalars(used)]
    prices = await session.scalars(select(col(PriceRow.model)).where(col(PriceRow.model).in_(models)))
    priced = select(col(ModelUse.model)).where(col(ModelUse.model).in_(models), lately).group_by(col(ModelUse.model))
    told = await session.scalars(priced.having(func.sum(ModelUse.cost) > 0))
    return budgets.why_unpriced(models, {*prices, *told}, agent)


def _has_agreed(asked: Recorded | None, job: Job) -> bool:
    """Whether a person has approved exactly this job, knowing that it does not fit."""
    if asked is None or asked.status is not ApprovalStatus.APPROVED:
        return False
    return asked.over_budget and asked.digest == spec_digest(job)


def _agent_of(job: Job) -> str:
    return job.run.work.agent if isinstance(job.run.work, Agent) else MAIN


def _budget(row: BudgetRow) -> Budget:
    return Budget(row.scope, row.subject, row.per, row.limit, row.action)


def _said(budget: Budget) -> dict[str, object]:
    return {"budget": budget.name, "limit": usd(budget.limit), "action": str(budget.action)}
