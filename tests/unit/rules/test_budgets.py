"""Whether what a run may cost fits its budgets, what it holds, and when a budget is whole again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.rules.budgets import (
    Action,
    Budget,
    Fits,
    Over,
    Per,
    Scope,
    Standing,
    Wanted,
    begins,
    cap_of,
    ends,
    extended,
    told_once,
    weighed,
    why_unpriced,
)
from ocs.spec import Job

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


def standing(spent: int, held: int = 0, *, action: Action = Action.STOP, scope: Scope = Scope.JOB) -> Standing:
    subject = "" if scope is Scope.PROJECT else "brief"
    return Standing(Budget(scope, subject, Per.DAY, 100, action), spent, held, holders=int(held > 0))


WARN = standing(90, action=Action.WARN)
ASK = standing(90, action=Action.ASK)


@pytest.mark.parametrize(
    ("wanted", "standings", "amount"),
    [
        (Wanted(), [], None),
        (Wanted(cap=70), [], 70),
        (Wanted(likely=70), [], None),
        (Wanted(cap=70), [standing(30)], 70),
        (Wanted(cap=70, likely=99), [standing(30)], 70),
        (Wanted(likely=70), [standing(10, 20)], 70),
        (Wanted(), [standing(30)], 70),
        (Wanted(), [standing(30), standing(60, scope=Scope.PROJECT)], 40),
        (Wanted(likely=50), [WARN], None),
        (Wanted(unpriced="x"), [WARN], None),
    ],
    ids=[
        "no budget", "a cap alone", "no budget, dear", "exactly", "its cap before the past", "as dear as lately",
        "all that is left", "the least that is left", "only a warning", "a warning needs no price",
    ],
)  # fmt: skip
def test_what_fits_and_is_held(wanted: Wanted, standings: list[Standing], amount: int | None) -> None:
    fits = weighed(wanted, standings)
    assert isinstance(fits, Fits)
    assert fits.amount == amount


@pytest.mark.parametrize(
    ("wanted", "standings", "action", "why"),
    [
        (Wanted(cap=71), [standing(30)], Action.STOP, "It may cost $0.000071 (contract.max_cost_usd), and the"),
        (Wanted(likely=71), [standing(20, 10)], Action.STOP, "Runs of it have cost up to $0.000071"),
        (Wanted(), [standing(99, 1)], Action.STOP, "$0.00 left: $0.000099 spent, $0.000001 held by 1 run at work."),
        (Wanted(cap=1), [standing(250)], Action.STOP, "$0.00 left"),
        (Wanted(cap=50), [ASK], Action.ASK, "budget of job brief"),
        (Wanted(cap=50), [ASK, standing(90, scope=Scope.PROJECT)], Action.STOP, "the budget of everything"),
        (Wanted(cap=5, unpriced="no price"), [], Action.STOP, "It has contract.max_cost_usd, and no price."),
        (Wanted(unpriced="no price"), [ASK], Action.ASK, "and no price."),
        (Wanted(unpriced="no price"), [ASK, standing(0)], Action.STOP, "and no price."),
    ],
    ids=[
        "a cent too much", "dear lately", "all is held", "overspent", "asks", "the strictest decides",
        "a cap without a price", "asks without a price", "stops without a price",
    ],
)  # fmt: skip
def test_what_does_not_fit(wanted: Wanted, standings: list[Standing], action: Action, why: str) -> None:
    over = weighed(wanted, standings)
    assert isinstance(over, Over)
    assert over.action is action
    assert why in over.why


def test_who_has_agreed_passes_what_asks_and_nothing_else() -> None:
    assert weighed(Wanted(cap=50), [ASK], agreed=True) == Fits(50)
    assert isinstance(weighed(Wanted(cap=50), [ASK, standing(90)], agreed=True), Over)
    assert isinstance(weighed(Wanted(cap=50, unpriced="no price"), [ASK], agreed=True), Over)


def test_a_budget_that_warns_is_named_and_stops_nothing() -> None:
    assert weighed(Wanted(cap=50), [WARN]) == Fits(50, (WARN,))
    assert weighed(Wanted(cap=10), [WARN]) == Fits(10)


@pytest.mark.parametrize(
    ("spent", "held", "others", "more"),
    [(30, 20, [standing(10)], 60), (50, 20, [standing(40)], 60), (50, 20, [], 100), (50, 20, [WARN], 100)],
)
def test_who_has_used_up_what_it_held_may_hold_more(spent: int, held: int, others: list[Standing], more: int) -> None:
    assert extended(spent, held, others) == more


def test_who_has_used_up_the_budget_may_not_go_on() -> None:
    assert "is used up" in str(extended(61, 20, [standing(40)]))
    assert "is used up" in str(extended(61, 20, [standing(0), standing(20, 20, action=Action.ASK)]))


money = st.integers(0, 200)
standings_ = st.lists(st.builds(standing, money, money, action=st.sampled_from(Action)), max_size=4)


@given(st.builds(Wanted, st.none() | money, st.none() | money), standings_)
def test_what_is_held_never_takes_a_budget_beyond_its_limit(wanted: Wanted, standings: list[Standing]) -> None:
    fits = weighed(wanted, standings)
    stops = [each for each in standings if each.budget.action is not Action.WARN]
    if isinstance(fits, Fits) and stops:
        assert fits.amount is not None
        assert all(each.spent + each.held + fits.amount <= each.budget.limit or not fits.amount for each in stops)


@pytest.mark.parametrize(
    ("per", "began", "ended"),
    [
        (Per.DAY, datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)),
        (Per.MONTH, datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_when_a_budget_is_whole_again(per: Per, began: datetime, ended: datetime) -> None:
    assert (begins(per, NOW), ends(per, NOW)) == (began, ended)


def test_what_is_told_once_is_told_again_in_the_next_time_and_of_another_job() -> None:
    budget = standing(0).budget
    later = NOW.replace(hour=23)
    assert told_once(budget, "a", NOW) == told_once(budget, "a", later)
    others = {told_once(budget, "b", NOW), told_once(None, "a", NOW), told_once(budget, "a", NOW.replace(day=25))}
    assert len(others - {told_once(budget, "a", NOW)}) == 3


@pytest.mark.parametrize(
    ("models", "known", "why"),
    [
        (["a/b"], ["a/b"], None),
        (["a/b", "c/d"], ["a/b"], "the price of c/d is not known: ocs prices set c/d"),
        ([], ["a/b"], "nobody knows which model main uses"),
    ],
)
def test_why_a_price_is_not_known(models: list[str], known: list[str], why: str | None) -> None:
    found = why_unpriced(models, known, "main")
    assert found == why if why is None else why in str(found)


@pytest.mark.parametrize(("cap", "micros"), [(0.1, 100_000), (0.3, 300_000), (1.1, 1_100_000), (2, 2_000_000)])
def test_a_cap_is_the_decimal_that_was_written(cap: float, micros: int) -> None:
    fields: dict[str, Any] = {"deliver": {"when": "never", "opt_out_reason": "test"}, "contract": {"max_cost_usd": cap}}
    assert cap_of(Job.model_validate({"id": "a", "run": {"agent": {"message": "Go."}}, **fields})) == micros
