"""Costs: what turns have used, by job, agent, model or day, this month's projection, and the prices of models."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ocs.errors import UsageError
from ocs.rules.attribution import Attribution
from ocs.rules.costs import By, Price, Use, dollars, micros_of, month_of, problem_of_model, projected, total_of
from ocs.rules.wording import utc
from ocs.service import session
from ocs.service.listener import Listener
from ocs.service.story import sum_view

if TYPE_CHECKING:
    from ocs.store import Store


async def costs(store: Store, by: By, *, since: datetime) -> dict[str, Any]:
    """What was used since then, and this month (UTC) with what it comes to if it goes on like that."""
    from ocs.store import costs as kept

    lines = await kept.summed(store, by, since=since)
    now = session.now().astimezone(UTC)
    first, end = month_of(now)
    month = [line.use for line in await kept.summed(store, By.MODEL, since=first)]
    total = total_of(month)
    coming = projected(total.micros, since=first, now=now, until=end) if total.micros is not None else None
    return {
        "by": str(by),
        "since": utc(since),
        "costs": [{"name": line.name or None, "runs": line.runs, **sum_view(line.use)} for line in lines],
        "total": _sum([line.use for line in lines]),
        "month": {**_sum(month), "since": utc(first), "projected_usd": dollars(coming)},
    }


async def prices(store: Store) -> list[dict[str, Any]]:
    """The prices that were set."""
    from ocs.store import costs as kept

    return [price_view(model, price) for model, price in (await kept.prices(store)).items()]


async def set_price(
    store: Store, model: str, given: Mapping[str, str | None], *, by: Attribution, listener: Listener
) -> Price:
    """Set what a model costs from now on, in US dollars for a million tokens.

    What is read from the provider's cache, or put into it, costs what other input does unless it is given.

    Raises:
        UsageError: an amount is none, or the model's name cannot be one.
    """
    from ocs.store import costs as kept

    if problem := problem_of_model(model):
        raise UsageError(
            f'"{model}" {problem}.', hint="Such as: ocs prices set anthropic/claude-sonnet --input 3 --output 15"
        )
    amounts = {option: _amount(option, text) for option, text in given.items() if text is not None}
    read = amounts["--input"]
    price = Price(read, amounts.get("--cached", read), amounts.get("--stored", read), amounts["--output"])
    await kept.set_price(store, model, price, by=by)
    if not (await kept.has_used(store, model) or model in _named()):
        listener.note(f"No turn has used {model} yet, and no job here names it; see the names:  ocs costs --by model")
    return price


def price_view(model: str, price: Price) -> dict[str, Any]:
    """A price as programs see it: US dollars for a million tokens."""
    return {
        "model": model,
        "input": dollars(price.input),
        "cached": dollars(price.cached),
        "stored": dollars(price.stored),
        "output": dollars(price.output),
    }


def _amount(option: str, text: str) -> int:
    try:
        return micros_of(text)
    except ValueError as wrong:
        raise UsageError(f'{option} "{text}" {wrong}.') from None


def _named() -> set[str]:
    """The models that jobs of the project name."""
    from ocs.spec import Agent

    jobs = session.catalogue().jobs.values() if session.has_project() else ()
    agents = [job.run.work for job in jobs if isinstance(job.run.work, Agent)]
    return {model for agent in agents for model in (agent.model, *agent.fallback_models) if model}


def _sum(uses: list[Use]) -> dict[str, Any]:
    total = total_of(uses)
    return {"cost_usd": dollars(total.micros), "cost_at_least": total.at_least}
