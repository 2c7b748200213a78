"""Costs: what model calls have used and what that costs, in whole micro-dollars; what is unknown stays unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from enum import StrEnum

MICROS = 1_000_000
"""Micro-dollars of a dollar. Sums of money are whole numbers of them, never floats."""
MILLION = 1_000_000
"""Prices are for so many tokens."""
MOST = 2**53 - 1
"""Of anything: sums of it still fit a column. Nonsense of a gateway must not keep a run from being recorded."""
MOST_USD = 1_000_000
LONG_ENOUGH = timedelta(days=1)
"""Less of a month says nothing about the rest of it."""
_USD = re.compile(r"\d{1,12}(\.\d{1,12})?")
_MODEL = re.compile(r"[^\s/]+/\S+")


class By(StrEnum):
    """What costs are summed up by."""

    JOB = "job"
    AGENT = "agent"
    MODEL = "model"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What model calls have read and written.

    `input` was read anew, `cached` from the provider's cache, `stored` went into that, `output` was written.
    """

    input: int = 0
    cached: int = 0
    stored: int = 0
    output: int = 0

    @property
    def read(self) -> int:
        """All that was read."""
        return min(self.input + self.cached + self.stored, MOST)

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            min(self.input + other.input, MOST),
            min(self.cached + other.cached, MOST),
            min(self.stored + other.stored, MOST),
            min(self.output + other.output, MOST),
        )


@dataclass(frozen=True, slots=True)
class Price:
    """What a model takes for a million tokens of each sort, in micro-dollars."""

    input: int
    cached: int
    stored: int
    output: int


@dataclass(frozen=True, slots=True)
class Call:
    """One model call, as the gateway tells of it.

    `model` is provider/model, empty where it is not said. `tokens` is None where nothing is known of them. `told` are
    the micro-dollars that the gateway reckons with, None where it knows no price.
    """

    model: str
    tokens: Tokens | None
    told: int | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """What the calls of one model have used together. `cost` is that of the calls whose cost is known.

    `unpriced` counts the others: of those the price, or what they have used, is not known.
    """

    model: str
    calls: int = 0
    tokens: Tokens = Tokens()
    cost: int = 0
    unpriced: int = 0

    def __add__(self, other: Use) -> Use:
        return Use(
            self.model,
            self.calls + other.calls,
            self.tokens + other.tokens,
            min(self.cost + other.cost, MOST),
            self.unpriced + other.unpriced,
        )


@dataclass(frozen=True, slots=True)
class Total:
    """A sum of costs: `micros` is None when nothing is known; `at_least` says that some of it is not known."""

    micros: int | None = None
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """What a run's model calls have used so far, by model."""

    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])
    uses: Mapping[str, Use] = field(default_factory=dict[str, Use])

    def with_call(self, call: Call) -> Tally:
        """The same with one more call, at the price of now."""
        cost = cost_of_call(call, self.prices)
        tokens = call.tokens or Tokens()
        use = Use(call.model, 1, tokens, cost or 0, unpriced=int(cost is None))
        before = self.uses.get(call.model)
        return Tally(self.prices, {**self.uses, call.model: before + use if before else use})


def cost_of_call(call: Call, prices: Mapping[str, Price]) -> int | None:
    """What a call costs in micro-dollars: by our own price, else as the gateway says; None when neither is known."""
    if call.tokens is None:
        return None
    price = prices.get(call.model)
    return cost_of(call.tokens, price) if price is not None else call.told


def cost_of(tokens: Tokens, price: Price) -> int:
    """Usage times price in micro-dollars, rounded up: a sum of costs is never less than what is charged."""
    product = (
        tokens.input * price.input
        + tokens.cached * price.cached
        + tokens.stored * price.stored
        + tokens.output * price.output
    )
    return min(-(-product // MILLION), MOST)


def tokens_of(uses: Iterable[Use]) -> Tokens:
    """What they have read and written together."""
    return sum((use.tokens for use in uses), Tokens())


def total_of(uses: Iterable[Use]) -> Total:
    """What they cost together."""
    found = list(uses)
    unpriced = sum(use.unpriced for use in found)
    if sum(use.calls for use in found) == unpriced:
        return Total()
    return Total(min(sum(use.cost for use in found), MOST), at_least=unpriced > 0)


def total_of_runs(totals: Iterable[Total]) -> Total:
    """The sum of the costs of several runs."""
    found = list(totals)
    known = [total.micros for total in found if total.micros is not None]
    if not known:
        return Total()
    return Total(min(sum(known), MOST), len(known) < len(found) or any(total.at_least for total in found))


def projected(spent: int, *, since: datetime, now: datetime, until: datetime) -> int | None:
    """What `since` to `until` costs if it goes on like that; None as long as too little of it is over to say."""
    over = now - since
    if over < LONG_ENOUGH:
        return None
    if now >= until:
        return spent
    return min(spent * ((until - since) // timedelta(seconds=1)) // (over // timedelta(seconds=1)), MOST)


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """The calendar month around a moment, in that moment's zone: its first instant, and that of the next one."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first, (first + timedelta(days=32)).replace(day=1)


def micros_of(text: str) -> int:
    """An amount of US dollars, as people type it, in micro-dollars; what is finer is rounded up.

    Raises:
        ValueError: it is none; the message says what is wrong.
    """
    typed = text.strip().removeprefix("$")
    if not _USD.fullmatch(typed):
        raise ValueError("is no amount of US dollars; write a number such as 0.50")
    amount = Decimal(typed)
    if amount > MOST_USD:
        raise ValueError(f"is more than {MOST_USD:,} US dollars")
    return int((amount * MICROS).to_integral_value(ROUND_CEILING))


def micros_told(value: object) -> int | None:
    """What a gateway reckons a call costs, in micro-dollars; None for nothing and for nonsense.

    It says 0 of a model whose price it does not know.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_USD:
        return None
    try:
        return int((Decimal(str(value)) * MICROS).to_integral_value(ROUND_CEILING))
    except InvalidOperation:
        return None


def usd(micros: int) -> str:
    """An amount for people: cents, and finer where it is less than ten of them."""
    amount = Decimal(micros) / MICROS
    digits = 2 if micros == 0 or micros >= MICROS // 10 else 6
    text = f"{amount:,.{digits}f}"
    return f"${text.rstrip('0') if digits > 2 else text}"


def told(total: Total) -> str:
    """A sum for people: unknown is never nothing."""
    if total.micros is None:
        return "unknown"
    return f"at least {usd(total.micros)}" if total.at_least else usd(total.micros)


def dollars(micros: int | None) -> float | None:
    """An amount for programs."""
    return micros / MICROS if micros is not None else None


def of_dollars(amount: float | None, *, at_least: bool) -> Total:
    """What programs are shown of a sum, as a sum again."""
    return Total(round(amount * MICROS) if amount is not None else None, at_least)


def problem_of_model(model: str) -> str | None:
    """What is wrong with a model's name as that of a price."""
    if len(model) > 256 or not _MODEL.fullmatch(model):
        return "is no model; write provider/model, as ocs costs --by model shows it"
    return None
