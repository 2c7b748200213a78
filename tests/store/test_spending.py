"""Budgets and caps are reserved in claim and settled in finish: on both databases, side by side, and after a crash."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import select

from ocs.errors import NotFound
from ocs.rules.attribution import Attribution
from ocs.rules.budgets import Action, Budget, Per, Scope
from ocs.rules.costs import Price, Tokens, Use
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.rules.guards import SkipReason
from ocs.spec import Job
from ocs.store import (
    ApprovalRequested,
    Claim,
    Claimed,
    Rejected,
    Store,
    approvals,
    audit,
    claim,
    close_run,
    costs,
    finish,
    leases,
    open_store,
    queries,
    record_session,
    spending,
    tasks,
)
from ocs.store.tables_costs import Reservation
from ocs.store.tables_delivery import Delivery

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ANN = Attribution("ann", "cli", NOW)
ECHO = "stub/echo"
CENT = 10_000


def brief(cap: float | None = None, job_id: str = "brief", **fields: Any) -> Job:
    contract = {"contract": {"max_cost_usd": cap}} if cap is not None else {}
    return Job.model_validate(
        {
            "id": job_id,
            "run": {"agent": {"message": "Go.", "model": ECHO}},
            "deliver": {"when": "always", "to": "ops"},
            "limits": {"overlap": "allow"},
            **contract,
            **fields,
        }
    )


async def budget(
    store: Store,
    cents: int,
    *,
    scope: Scope = Scope.JOB,
    subject: str = "brief",
    per: Per = Per.DAY,
    action: Action = Action.STOP,
) -> Budget:
    made = Budget(scope, "" if scope is Scope.PROJECT else subject, per, cents * CENT, action)
    await spending.set_budget(store, made, by=ANN)
    return made


@pytest.fixture
async def priced(store: Store) -> Store:
    await costs.set_price(store, ECHO, Price(1, 1, 1, 1), by=ANN)
    return store


async def claims(store: Store, job: Job, *, now: datetime = NOW) -> Claim:
    return await claim(store, job, Dispatch(DispatchKind.MANUAL, now), flow_run_id=uuid4(), owner="w", now=now)


async def claimed(store: Store, job: Job, *, now: datetime = NOW) -> Claimed:
    found = await claims(store, job, now=now)
    assert isinstance(found, Claimed), found
    return found


async def skipped(store: Store, job: Job, *, now: datetime = NOW) -> str:
    found = await claims(store, job, now=now)
    assert isinstance(found, Rejected), found
    assert found.skip.reason is SkipReason.BUDGET
    return found.skip.why


def cost(cents: int, unpriced: int = 0) -> Use:
    return Use(ECHO, 1 + unpriced, Tokens(output=1), cents * CENT, unpriced)


async def ended(store: Store, job: Job, run: Claimed, cents: int, status: RunStatus = RunStatus.OK) -> None:
    used = (cost(cents),) if cents else ()
    await record_session(store, run.context.run_id, "key", agent="main", model=None)
    await finish(store, job, run.context, DispatchResult(status, used=used), children=(), now=NOW)


async def stands(store: Store, now: datetime = NOW) -> tuple[int, int]:
    """What is spent and held of the one budget, in cents."""
    (found,) = await spending.standings(store, now=now)
    return found.spent // CENT, found.held // CENT


async def told(store: Store) -> list[str]:
    async with store.reading() as session:
        return [row.subject for row in await session.scalars(select(Delivery).where(Delivery.kind == "budget"))]


@pytest.mark.timeout(180)
async def test_200_claims_at_once_spend_no_cent_more_than_the_budget(store_url: str, priced: Store) -> None:
    """Through two connections' pools, as two workers have them; each run ends, retries and claims meanwhile."""
    await budget(priced, 100)
    other = open_store(store_url)
    job = brief(0.03)

    async def one(number: int) -> str:
        store = (priced, other)[number % 2]
        found = await claims(store, job)
        if isinstance(found, Claimed):
            spent, held = await stands(store)
            assert spent + held <= 100
            await ended(store, job, found, number % 4, RunStatus.OK if number % 3 else RunStatus.ERROR)
            return "ran"
        assert isinstance(found, Rejected)
        return found.skip.reason

    outcomes = Counter(await asyncio.gather(*(one(number) for number in range(200))))
    spent, held = await stands(priced)
    await other.close()
    assert outcomes["ran"] + outcomes[SkipReason.BUDGET] == 200
    assert outcomes["ran"] >= 33
    assert (held, 0 < spent <= 100) == (0, True)


async def test_200_claims_that_all_run_at_once_hold_no_cent_more_than_the_budget(store_url: str, priced: Store) -> None:
    await budget(priced, 100, scope=Scope.PROJECT)
    other = open_store(store_url)
    jobs = [brief(0.03, f"brief-{number % 7}") for number in range(200)]
    found = await asyncio.gather(*(claims((priced, other)[number % 2], job) for number, job in enumerate(jobs)))
    await other.close()
    assert sum(isinstance(each, Claimed) for each in found) == 33
    assert await stands(priced) == (0, 99)


async def test_what_a_run_holds_is_settled_by_its_end(priced: Store) -> None:
    await budget(priced, 10)
    run = await claimed(priced, brief(0.06))
    assert await stands(priced) == (0, 6)
    why = await skipped(priced, brief(0.06))
    assert "has $0.04 left: $0.00 spent, $0.06 held by 1 run at work" in why
    await tasks.note_activity(priced, run.context.run_id, doing=None, uses=[cost(2)], now=NOW)
    assert await stands(priced) == (2, 4)
    await ended(priced, brief(0.06), run, 3)
    assert await stands(priced) == (3, 0)
    assert await spending.held_by(priced, run.context.run_id) is None
    await claimed(priced, brief(0.06))


async def test_a_budget_is_whole_again_the_next_day_and_a_month_s_is_not(priced: Store) -> None:
    await budget(priced, 10)
    await ended(priced, brief(0.1), await claimed(priced, brief(0.1)), 10)
    await skipped(priced, brief(0.1))
    tomorrow = NOW + timedelta(days=1)
    await spending.set_budget(priced, Budget(Scope.JOB, "brief", Per.MONTH, 15 * CENT, Action.STOP), by=ANN)
    assert "($0.15 a month)" in await skipped(priced, brief(0.1), now=tomorrow)
    await claimed(priced, brief(0.05), now=tomorrow)


@pytest.mark.parametrize("scope", [Scope.AGENT, Scope.PROJECT])
async def test_budgets_of_an_agent_and_of_everything_count_all_jobs(priced: Store, scope: Scope) -> None:
    await budget(priced, 10, scope=scope, subject="main")
    await claimed(priced, brief(0.06))
    await skipped(priced, brief(0.06, "other"))
    elsewhere = brief(0.06, "third", run={"agent": {"message": "Go.", "model": ECHO, "agent": "coder"}})
    if scope is Scope.AGENT:
        await claimed(priced, elsewhere)
    else:
        await skipped(priced, elsewhere)


async def test_a_run_without_a_cap_holds_all_that_is_left_until_it_is_known_what_it_costs(priced: Store) -> None:
    await budget(priced, 10)
    first = await claimed(priced, brief())
    assert await stands(priced) == (0, 10)
    await skipped(priced, brief())
    await ended(priced, brief(), first, 2)
    for _ in range(4):
        await claimed(priced, brief())
    assert await stands(priced) == (2, 8)
    await skipped(priced, brief())


async def test_a_run_that_needs_more_holds_more_as_long_as_there_is_some(priced: Store) -> None:
    await budget(priced, 10)
    await ended(priced, brief(), await claimed(priced, brief()), 2)
    run, other = await claimed(priced, brief()), await claimed(priced, brief())
    more = await spending.extend(priced, run.context.run_id, [cost(3)])
    assert more == spending.Held(6 * CENT, is_cap=False)
    assert await stands(priced) == (5, 5)
    assert "is used up" in str(await spending.extend(priced, other.context.run_id, [cost(5)]))


async def test_a_job_s_own_cap_is_held_without_a_budget(priced: Store) -> None:
    run = await claimed(priced, brief(0.5))
    assert await spending.held_by(priced, run.context.run_id) == spending.Held(50 * CENT, is_cap=True)
    assert await spending.held_by(priced, (await claimed(priced, brief())).context.run_id) is None


async def test_what_cannot_be_priced_does_not_run_under_a_cap(store: Store) -> None:
    assert "It has contract.max_cost_usd, and the price of stub/echo is not known" in await skipped(store, brief(0.5))
    await budget(store, 10)
    assert "the price of stub/echo is not known" in await skipped(store, brief())
    unnamed = brief(run={"agent": {"message": "Go."}})
    assert "nobody knows which model main uses" in await skipped(store, unnamed)


async def test_a_price_that_the_gateway_has_told_is_known(store: Store) -> None:
    unnamed = brief(run={"agent": {"message": "Go."}})
    await ended(store, unnamed, await claimed(store, unnamed), 1)
    await budget(store, 10)
    await claimed(store, unnamed)
    await claimed(store, brief(0.05))


async def test_a_shell_job_needs_no_budget(priced: Store) -> None:
    await budget(priced, 1, scope=Scope.PROJECT)
    await ended(priced, brief(), await claimed(priced, brief()), 1)
    await claimed(priced, Job.model_validate({"id": "shell", "run": "true"}))


async def test_a_crash_keeps_what_is_known_and_lets_go_of_the_rest(priced: Store) -> None:
    await budget(priced, 10)
    run = await claimed(priced, brief(0.08))
    await tasks.note_activity(priced, run.context.run_id, doing=None, uses=[cost(3)], now=NOW)
    await finish(priced, brief(0.08), run.context, DispatchResult(RunStatus.CRASHED), children=(), now=NOW)
    assert await stands(priced) == (3, 0)
    await claimed(priced, brief(0.07))


async def test_a_run_that_nobody_can_finish_lets_go_of_what_it_held(priced: Store) -> None:
    await budget(priced, 10)
    run = await claimed(priced, brief(0.08))
    (lease,) = await leases(priced)
    await close_run(priced, lease, RunStatus.CANCELLED, why="Its flow run is gone.", now=NOW)
    assert (await stands(priced), await spending.held_by(priced, run.context.run_id)) == ((0, 0), None)


async def test_a_flow_run_that_is_entered_again_lets_go_of_what_its_run_before_held(priced: Store) -> None:
    """Its worker is gone, and a person pressed Retry before recovery came by."""
    await budget(priced, 10)
    flow_run, job, dispatch = uuid4(), brief(0.08), Dispatch(DispatchKind.MANUAL, NOW)
    first = await claim(priced, job, dispatch, flow_run_id=flow_run, owner="w", now=NOW)
    assert isinstance(first, Claimed)
    async with priced.transaction() as session:
        row = await session.get(spending.Run, first.context.run_id)
        assert row is not None
        row.lease_until = NOW - timedelta(days=1)
    again = await claim(priced, job, dispatch, flow_run_id=flow_run, owner="v", now=NOW)
    assert isinstance(again, Claimed)
    async with priced.reading() as session:
        assert [row.run_id for row in await session.scalars(select(Reservation))] == [again.context.run_id]


async def test_whoever_is_stopped_is_told_once_a_day(priced: Store) -> None:
    await budget(priced, 1)
    for _ in range(3):
        await skipped(priced, brief(0.5))
    assert await told(priced) == ["brief was not run: its costs do not fit"]
    await skipped(priced, brief(0.5), now=NOW + timedelta(days=1))
    assert len(await told(priced)) == 2


async def test_a_budget_that_warns_stops_nothing_and_tells_once(priced: Store) -> None:
    await budget(priced, 1, action=Action.WARN)
    for _ in range(3):
        await claimed(priced, brief(0.5))
    assert await told(priced) == ["brief is over a budget"]


async def test_a_budget_that_asks_waits_for_a_person_who_is_told_why(priced: Store) -> None:
    await budget(priced, 1, action=Action.ASK)
    flow_run, job, dispatch = uuid4(), brief(0.5), Dispatch(DispatchKind.MANUAL, NOW)

    async def entered() -> Claim:
        return await claim(priced, job, dispatch, flow_run_id=flow_run, owner="w", now=NOW)

    asked = await entered()
    assert isinstance(asked, ApprovalRequested)
    assert "the budget of job brief" in asked.form
    assert isinstance(await entered(), ApprovalRequested)
    await approvals.decide(priced, asked.approval_id, approve=True, by=ANN, reason="worth it")
    run = await entered()
    assert isinstance(run, Claimed)
    assert await stands(priced) == (0, 50)
    assert isinstance(await claims(priced, job), ApprovalRequested)


async def test_an_approval_of_the_job_is_none_of_its_costs(priced: Store) -> None:
    """It was approved while it fitted; when it is to go on it does not any more."""
    await budget(priced, 50, action=Action.ASK)
    flow_run, dispatch = uuid4(), Dispatch(DispatchKind.MANUAL, NOW)
    job = brief(0.3, approval={"required": True})

    async def entered(minutes: int) -> Claim:
        now = NOW + timedelta(minutes=minutes)
        return await claim(priced, job, dispatch, flow_run_id=flow_run, owner="w", now=now)

    first = await entered(0)
    assert isinstance(first, ApprovalRequested)
    await claimed(priced, brief(0.3))
    await approvals.decide(priced, first.approval_id, approve=True, by=ANN, reason="")
    second = await entered(1)
    assert isinstance(second, ApprovalRequested)
    assert second.approval_id != first.approval_id
    await approvals.decide(priced, second.approval_id, approve=True, by=ANN, reason="")
    assert isinstance(await entered(2), Claimed)


async def test_budgets_are_set_changed_and_removed_by_somebody(store: Store) -> None:
    for cents in (1, 2):
        await budget(store, cents)
    (found,) = await spending.standings(store, now=NOW)
    assert (found.budget.name, found.budget.limit, found.rest) == ("job:brief:day", 2 * CENT, 2 * CENT)
    await spending.remove_budget(store, "job:brief:day", by=ANN)
    with pytest.raises(NotFound, match='There is no budget "job:brief:day"'):
        await spending.remove_budget(store, "job:brief:day", by=ANN)
    actions = [event.action for event in await audit.events(store, limit=9)]
    assert sorted(actions) == ["budget-removed", "budget-set", "budget-set"]
    assert await queries.runs(store) == []
