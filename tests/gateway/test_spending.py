"""A turn that goes on though it has spent what its run holds is ended; one that is within it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from ocs.rules.attribution import Attribution
from ocs.rules.budgets import Action, Budget, Per, Scope
from ocs.rules.costs import Price
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.spec import Job
from ocs.store import Claimed, Store, claim, costs, spending
from tasks.adapter import runtime
from tasks.doing import Doing
from tasks.spending import held_by, within

ANN = Attribution("ann", "cli", datetime.now(UTC))
PRICE = Price(0, 0, 0, 1_000_000)  # a micro-dollar for each token that is written


def call(tokens: int, stop: str = "toolUse", model: str = "echo") -> dict[str, Any]:
    usage = {"input": 1, "output": tokens}
    return {"role": "assistant", "content": [], "provider": "stub", "model": model, "usage": usage, "stopReason": stop}


class Turn:
    """A turn of a run with these calls, which ends well unless it is ended."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id, self.was_ended = run_id, False
        self.doing = Doing(run_id, lambda _line: None, {"stub/echo": PRICE})

    async def take(self, *events: dict[str, Any] | Callable[[Doing], None]) -> DispatchResult:
        async def taken() -> DispatchResult:
            try:
                for event in events:
                    if callable(event):
                        event(self.doing)
                    else:
                        self.doing.take(event)
                    await asyncio.sleep(0.3)
            except asyncio.CancelledError:
                self.was_ended = True
                raise
            return DispatchResult(RunStatus.OK)

        return await within(await held_by(self.run_id), self.run_id, self.doing, taken())


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setenv("OCS_STORE_URL", f"sqlite+aiosqlite:///{tmp_path / 'store.db'}")
    opened = await runtime.store()
    await costs.set_price(opened, "stub/echo", PRICE, by=ANN)
    yield opened
    await runtime.close_store()


async def turn(store: Store, cap: float | None) -> Turn:
    contract = {"contract": {"max_cost_usd": cap}} if cap else {}
    run = {"agent": {"message": "Go.", "model": "stub/echo"}}
    deliver = {"when": "never", "opt_out_reason": "test"}
    job = Job.model_validate(
        {"id": "brief", "run": run, "deliver": deliver, "limits": {"overlap": "allow"}, **contract}
    )
    now = datetime.now(UTC)
    claimed = await claim(store, job, Dispatch(DispatchKind.MANUAL, now), flow_run_id=uuid4(), owner="w", now=now)
    assert isinstance(claimed, Claimed)
    return Turn(claimed.context.run_id)


async def test_a_turn_within_its_cap_ends_by_itself(store: Store) -> None:
    taken = await turn(store, 0.001)
    assert (await taken.take(call(500), call(500), call(1, "stop"))).status is RunStatus.OK
    assert not taken.was_ended


async def test_a_turn_that_goes_on_beyond_its_cap_is_ended_and_not_tried_again(store: Store) -> None:
    taken = await turn(store, 0.001)
    result = await taken.take(call(500), call(501), call(9), call(9), call(9, "stop"))
    assert (result.status, result.retryable, taken.was_ended) == (RunStatus.ERROR, False, True)
    assert result.error == "Its turn was ended: it has cost $0.001001, and contract.max_cost_usd is $0.001."


async def test_without_a_cap_or_a_budget_nothing_is_ended(store: Store) -> None:
    taken = await turn(store, None)
    assert (await taken.take(call(10**9), call(1, model="other"), Doing.take_help)).status is RunStatus.OK


@pytest.mark.parametrize(
    ("event", "why"),
    [(call(1, model="other"), "the price of stub/other is not known"), (Doing.take_help, "what its sub-agents use")],
    ids=["another model", "a sub-agent"],
)
async def test_what_cannot_be_priced_ends_a_turn_under_a_cap(store: Store, event: Any, why: str) -> None:
    taken = await turn(store, 0.001)
    result = await taken.take(event, call(1), call(1))
    assert result.status is RunStatus.ERROR
    assert why in (result.error or "")


async def test_a_turn_holds_more_of_its_budget_until_that_is_used_up(store: Store) -> None:
    budget = Budget(Scope.JOB, "brief", Per.DAY, 1000, Action.STOP)
    await spending.set_budget(store, budget, by=ANN)
    first = await turn(store, None)
    result = await first.take(call(900), call(101), call(1), call(1))
    assert result.error == "Its turn was ended: the budget of job brief ($0.001 a day) is used up."
    (stands,) = await spending.standings(store, now=datetime.now(UTC))
    assert stands.spent == 1001


async def test_a_cancel_ends_the_turn_and_is_passed_on(store: Store) -> None:
    taken = await turn(store, 0.001)
    going = asyncio.create_task(taken.take(*[call(1)] * 200))
    await asyncio.sleep(0.5)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert taken.was_ended
