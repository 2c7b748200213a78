"""Price times usage in whole micro-dollars, sums with unknown parts, and what a month comes to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.rules.costs import (
    MOST,
    Call,
    Price,
    Tally,
    Tokens,
    Total,
    Use,
    cost_of,
    cost_of_call,
    micros_of,
    micros_told,
    month_of,
    problem_of_model,
    projected,
    told,
    total_of,
    total_of_runs,
    usd,
)

SONNET = Price(input=3_000_000, cached=300_000, stored=3_750_000, output=15_000_000)
PRICES = {"anthropic/sonnet": SONNET}
MONTH = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tokens", "price", "micros"),
    [
        (Tokens(), SONNET, 0),
        (Tokens(input=1_000_000), SONNET, 3_000_000),
        (Tokens(600, 400, 0, 50), SONNET, 600 * 3 + 120 + 50 * 15),
        (Tokens(stored=1000), SONNET, 3750),
        (Tokens(input=1), Price(75_000, 0, 0, 0), 1),
        (Tokens(input=40), Price(75_000, 0, 0, 0), 3),
        (Tokens(input=5, output=5), Price(0, 0, 0, 0), 0),
        (Tokens(MOST, MOST, MOST, MOST), SONNET, MOST),
    ],
    ids=["nothing", "a million", "from a cache", "into a cache", "less than one", "exactly three", "free", "nonsense"],
)
def test_usage_times_price(tokens: Tokens, price: Price, micros: int) -> None:
    assert cost_of(tokens, price) == micros


@pytest.mark.parametrize(
    ("call", "micros"),
    [
        (Call("anthropic/sonnet", Tokens(input=10), told=999), 30),
        (Call("anthropic/other", Tokens(input=10), told=999), 999),
        (Call("anthropic/other", Tokens(input=10)), None),
        (Call("anthropic/sonnet", None), None),
        (Call("", Tokens(input=10)), None),
    ],
    ids=["our price before the gateway's", "the gateway's", "neither", "usage unknown", "model unknown"],
)
def test_what_a_call_costs(call: Call, micros: int | None) -> None:
    assert cost_of_call(call, PRICES) == micros


def test_a_tally_keeps_models_apart_and_what_is_unknown_in_it() -> None:
    tally = Tally(PRICES)
    for call in (
        Call("anthropic/sonnet", Tokens(input=10)),
        Call("anthropic/sonnet", None),
        Call("", Tokens(output=7)),
    ):
        tally = tally.with_call(call)
    assert tally.uses["anthropic/sonnet"] == Use("anthropic/sonnet", 2, Tokens(input=10), 30, unpriced=1)
    assert total_of(tally.uses.values()) == Total(30, at_least=True)
    assert total_of([tally.uses[""]]) == Total()


@pytest.mark.parametrize(
    ("totals", "together", "words"),
    [
        ([], Total(), "unknown"),
        ([Total()], Total(), "unknown"),
        ([Total(0)], Total(0), "$0.00"),
        ([Total(1_500_000), Total(20)], Total(1_500_020), "$1.50"),
        ([Total(2670), Total()], Total(2670, at_least=True), "at least $0.00267"),
        ([Total(2_000_000_000, at_least=True)], Total(2_000_000_000, at_least=True), "at least $2,000.00"),
    ],
    ids=["nothing", "unknown", "free", "known", "one of two unknown", "at least"],
)
def test_sums_say_when_a_part_is_unknown(totals: list[Total], together: Total, words: str) -> None:
    assert total_of_runs(totals) == together
    assert told(together) == words


@pytest.mark.parametrize(
    ("days", "coming"),
    [(0, None), (0.5, None), (1, 3_000_000), (15, 200_000), (30, 100_000), (31, 100_000)],
)
def test_what_a_month_comes_to(days: float, coming: int | None) -> None:
    now = MONTH + timedelta(days=days)
    assert projected(100_000, since=MONTH, now=now, until=MONTH + timedelta(days=30)) == coming


def test_a_month_ends_where_the_next_one_begins() -> None:
    december = datetime(2026, 12, 1, tzinfo=UTC)
    assert month_of(MONTH + timedelta(days=29, hours=23)) == (MONTH, december)
    assert month_of(december) == (december, datetime(2027, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "micros"),
    [("1", 1_000_000), ("0.50", 500_000), ("$3", 3_000_000), ("0", 0), ("0.0000001", 1), (" 2.5 ", 2_500_000)],
)
def test_amounts_as_people_type_them(text: str, micros: int) -> None:
    assert micros_of(text) == micros


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1e3", "1,5", "1.5 EUR", "€1", "1.", ".5", "0x10", "1000001"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="US dollars"):
        micros_of(text)


@pytest.mark.parametrize("value", [0, -1, None, True, "1", float("nan"), float("inf"), 10**9, 10**400])
def test_a_gateway_s_nonsense_is_no_price(value: object) -> None:
    assert micros_told(value) is None


def test_what_a_gateway_reckons_is_rounded_up() -> None:
    assert (micros_told(0.00267), micros_told(0.0000001), micros_told(0.1 + 0.2)) == (2670, 1, 300_001)


@pytest.mark.parametrize("model", ["", "sonnet", "/x", "a/", "a b/c", "a/b c", "x/" + "y" * 255])
def test_what_is_no_model(model: str) -> None:
    assert problem_of_model(model) is not None


@given(st.lists(st.integers(0, 10**9), max_size=30), st.integers(0, 10**8))
def test_a_sum_of_costs_is_never_less_than_the_cost_of_the_sum(calls: list[int], price: int) -> None:
    per_token = Price(price, price, price, price)
    together = sum(cost_of(Tokens(input=tokens), per_token) for tokens in calls)
    exact = sum(calls) * price
    assert exact <= together * 1_000_000 < exact + len(calls) * 1_000_000 + 1


def test_amounts_for_people() -> None:
    assert [usd(micros) for micros in (0, 1, 50_000, 99_999, 100_000, 1_234_567_890)] == [
        "$0.00", "$0.000001", "$0.05", "$0.099999", "$0.10", "$1,234.57",
    ]  # fmt: skip
