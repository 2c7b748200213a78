"""Budgets: whether what a run may cost still fits, what it reserves, and what becomes of one that does not."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from ocs.rules.costs import MICROS, month_of, usd
from ocs.rules.wording import count_of

if TYPE_CHECKING:
    from ocs.spec import Job


class Scope(StrEnum):
    """Whose runs a budget is for."""

    JOB = "job"
    AGENT = "agent"
    PROJECT = "project"


class Per(StrEnum):
    """After what time a budget is whole again: with the next day, or the next month, in UTC."""

    DAY = "day"
    MONTH = "month"


class Action(StrEnum):
    """What becomes of a run that does not fit: it is skipped, a person is asked, or its target is told and it runs."""

    STOP = "stop"
    ASK = "ask"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in a day or a month, in micro-dollars. `subject` is a job or an agent, empty for all."""

    scope: Scope
    subject: str
    per: Per
    limit: int
    action: Action

    @property
    def name(self) -> str:
        """What it is called: there is one of a name."""
        return ":".join(part for part in (self.scope, self.subject, self.per) if part)

    @property
    def words(self) -> str:
        """It, for people."""
        whose = f"{self.scope} {self.subject}" if self.subject else "everything"
        return f"the budget of {whose} ({usd(self.limit)} a {self.per})"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a budget stands: what was spent in its time, and what runs that have not ended hold of it."""

    budget: Budget
    spent: int = 0
    held: int = 0
    holders: int = 0

    @property
    def rest(self) -> int:
        """What nobody has spent and nobody holds."""
        return max(0, self.budget.limit - self.spent - self.held)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run asks for. `cap` is its contract's, `likely` the most that recent runs of its job have cost.

    `unpriced` says why nobody can know what it costs.
    """

    cap: int | None = None
    likely: int | None = None
    unpriced: str | None = None

    @property
    def amount(self) -> int | None:
        """What it reserves, None for whatever is left."""
        return self.cap if self.cap is not None else self.likely


@dataclass(frozen=True, slots=True)
class Fits:
    """It may run, and holds `amount` while it does; None when it holds nothing, and nothing stops it.

    `warnings` are budgets that it does not fit, and that only warn.
    """

    amount: int | None = None
    warnings: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True)
class Over:
    """It does not fit. `budget` is the one that stands against it, None where the job's own cap does."""

    action: Action
    why: str
    budget: Budget | None = None


def weighed(wanted: Wanted, standings: Sequence[Standing], *, agreed: bool = False) -> Fits | Over:
    """Whether a run fits all budgets that it belongs to. `agreed` says that a person has let it pass those that ask."""
    binding = [each for each in standings if each.budget.action is not Action.WARN]
    if agreed:
        binding = [each for each in binding if each.budget.action is not Action.ASK]
    binding.sort(key=lambda each: each.budget.action is Action.ASK)
    if wanted.cap is None and not binding:
        return Fits(None, _warnings(wanted, standings))
    if wanted.unpriced is not None:
        return _unpriced(wanted, wanted.unpriced, binding)
    for each in binding:
        if (why := _why_not(wanted, each)) is not None:
            return Over(each.budget.action, why, each.budget)
    amount = wanted.amount
    if amount is None:
        amount = min(each.rest for each in binding)
    return Fits(amount, _warnings(wanted, standings))


def extended(spent: int, held: int, standings: Sequence[Standing]) -> int | str:
    """What a run without a cap of its own may hold that has used up what it held, or why it may hold no more.

    The standings are those without the run itself. It takes twice what it has spent, as far as there is so much.
    """
    for each in standings:
        if each.budget.action is not Action.WARN and spent > each.rest:
            return f"Its turn was ended: {each.budget.words} is used up."
    rest = min((each.rest for each in standings if each.budget.action is not Action.WARN), default=2 * spent)
    return max(held, min(rest, 2 * spent))


def past_cap(spent: int, cap: int) -> str:
    """Why a run that has spent more than all that it may cost was ended."""
    return f"Its turn was ended: it has cost {usd(spent)}, and contract.max_cost_usd is {usd(cap)}."


def told_once(budget: Budget | None, job_id: str, now: datetime) -> str:
    """The same for all that is told of a budget, in its time, to the targets of one job; of its own cap, in a day."""
    name, per = (budget.name, budget.per) if budget else ("contract", Per.DAY)
    same = f"{name} {job_id} {begins(per, now):%Y-%m-%d}"
    return f"budget:{hashlib.blake2b(same.encode(), digest_size=16).hexdigest()}"


def begins(per: Per, now: datetime) -> datetime:
    """When the time around a moment began, in that moment's zone."""
    return month_of(now)[0] if per is Per.MONTH else now.replace(hour=0, minute=0, second=0, microsecond=0)


def ends(per: Per, now: datetime) -> datetime:
    """When a budget is whole again."""
    return month_of(now)[1] if per is Per.MONTH else begins(per, now) + timedelta(days=1)


def cap_of(job: Job) -> int | None:
    """What one run of a job may cost, in micro-dollars; None without a cap."""
    cap = job.contract.max_cost_usd if job.contract else None
    # The decimal that somebody wrote, not the binary number nearest to it.
    return int(Decimal(str(cap)) * MICROS) if cap is not None else None


def why_unpriced(models: Collection[str], known: Collection[str], agent: str) -> str | None:
    """Why nobody can know what a turn costs; None when the price of each model that it may use is known."""
    if not models:
        return f"nobody knows which model {agent} uses: name it in run.agent.model"
    unknown = [model for model in models if model not in known]
    return (
        f"the price of {unknown[0]} is not known: ocs prices set {unknown[0]} --input ... --output ..."
        if unknown
        else None
    )


def _why_not(wanted: Wanted, standing: Standing) -> str | None:
    amount, rest = wanted.amount, standing.rest
    if (amount is None and rest > 0) or (amount is not None and amount <= rest):
        return None
    budget = standing.budget
    if wanted.cap is not None:
        asks = f"It may cost {usd(wanted.cap)} (contract.max_cost_usd)"
    else:
        asks = "What it costs is not known" if amount is None else f"Runs of it have cost up to {usd(amount)}"
    held = f", {usd(standing.held)} held by {count_of(standing.holders, 'run')} at work" if standing.held else ""
    return f"{asks}, and {budget.words} has {usd(rest)} left: {usd(standing.spent)} spent{held}."


def _unpriced(wanted: Wanted, why: str, binding: Sequence[Standing]) -> Over:
    """Nothing runs under a cap of which nobody can say what it costs."""
    strictest = binding[0].budget if binding else None
    if wanted.cap is not None:
        return Over(Action.STOP, f"It has contract.max_cost_usd, and {why}.", None)
    action = strictest.action if strictest else Action.STOP
    return Over(action, f"It is under {strictest.words if strictest else 'a budget'}, and {why}.", strictest)


def _warnings(wanted: Wanted, standings: Sequence[Standing]) -> tuple[Standing, ...]:
    amount = wanted.amount or 0
    return tuple(
        each for each in standings if each.budget.action is Action.WARN and (amount > each.rest or each.rest == 0)
    )
