"""Budgets: what agents may spend in a day or a month, and how much of it is left."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from ocs.errors import UsageError
from ocs.rules.attribution import Attribution
from ocs.rules.budgets import Action, Budget, Per, Scope, Standing, begins, ends
from ocs.rules.costs import dollars, micros_of
from ocs.rules.wording import utc
from ocs.service import session
from ocs.service.listener import Listener

if TYPE_CHECKING:
    from ocs.store import Store


async def budgets(store: Store) -> list[dict[str, Any]]:
    """How every budget stands."""
    from ocs.store import spending

    return [budget_view(each) for each in await spending.standings(store, now=session.now())]


async def set_budget(
    store: Store,
    amount: str,
    *,
    whose: tuple[Scope, str],
    per: Per,
    action: Action,
    by: Attribution,
    listener: Listener,
) -> dict[str, Any]:
    """Set what a job, an agent or everything may spend in a day or a month.

    Raises:
        UsageError: the amount is none, or 0, or there could be no such job or agent.
    """
    from ocs.store import spending

    scope, subject = whose
    limit = _limit(amount)
    _check(scope, subject)
    budget = Budget(scope, subject, per, limit, action)
    if scope is Scope.JOB and session.has_project() and subject not in session.catalogue().jobs:
        listener.note(f'There is no job "{subject}" in this project; the budget counts once there is one.')
    await spending.set_budget(store, budget, by=by)
    return next(view for view in await budgets(store) if view["name"] == budget.name)


def budget_view(standing: Standing) -> dict[str, Any]:
    """A budget as programs see it: US dollars, and null for the subject of everything."""
    budget, now = standing.budget, session.now().astimezone(UTC)
    return {
        "name": budget.name,
        "scope": str(budget.scope),
        "subject": budget.subject or None,
        "per": str(budget.per),
        "action": str(budget.action),
        "limit_usd": dollars(budget.limit),
        "spent_usd": dollars(standing.spent),
        "held_usd": dollars(standing.held),
        "left_usd": dollars(standing.rest),
        "since": utc(begins(budget.per, now)),
        "until": utc(ends(budget.per, now)),
    }


def _limit(amount: str) -> int:
    try:
        limit = micros_of(amount)
    except ValueError as wrong:
        raise UsageError(f'The amount "{amount}" {wrong}.') from None
    if limit == 0:
        raise UsageError("A budget of 0 lets nothing run.", hint="Disable the job instead: ocs jobs disable ID")
    return limit


def _check(scope: Scope, subject: str) -> None:
    from ocs.spec import violations

    if scope is Scope.PROJECT:
        return
    run = {"agent": {"message": "any", "agent": subject}} if scope is Scope.AGENT else "any"
    fields = {"run": run, "deliver": {"when": "never", "opt_out_reason": "any"}}
    wrong = violations({"id": subject if scope is Scope.JOB else "any", **fields})
    if wrong:
        raise UsageError(f"The {scope}'s id {wrong[0].message}.")
