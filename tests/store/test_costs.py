"""What runs have used and cost, and prices: on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from ocs.errors import NotFound
from ocs.rules.attribution import Attribution
from ocs.rules.costs import By, Price, Tokens, Use
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.spec import Job
from ocs.store import Claimed, Store, audit, claim, costs, finish, queries, record_session, retention, tasks

NOW = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
AGENT = {"message": "Go.", "session": "fresh"}
KNOWN = Use("stub/echo", 2, Tokens(600, 400, 0, 50), cost=2670)
UNKNOWN = Use("", 1, Tokens(output=7), unpriced=1)
ANN = Attribution("ann", "cli", NOW)


async def turn(store: Store, job_id: str, *used: Use, now: datetime = NOW, agent: str = "main") -> Claimed:
    job = Job.model_validate(
        {"id": job_id, "run": {"agent": AGENT}, "deliver": {"when": "never", "opt_out_reason": "test"}}
    )
    claimed = await claim(store, job, Dispatch(DispatchKind.MANUAL, now), flow_run_id=uuid4(), owner="w", now=now)
    assert isinstance(claimed, Claimed)
    await record_session(store, claimed.context.run_id, "key", agent=agent, model=None)
    await finish(store, job, claimed.context, DispatchResult(RunStatus.OK, used=used), children=(), now=now)
    return claimed


async def test_the_end_of_a_run_writes_what_it_has_used(store: Store) -> None:
    first = await turn(store, "a", KNOWN, UNKNOWN)
    second = await turn(store, "b")
    runs = {run.id: run for run in await queries.runs(store)}
    run, other = runs[first.context.run_id], runs[second.context.run_id]
    assert (run.tokens_in, run.tokens_cached, run.tokens_out) == (1000, 400, 57)
    assert (run.cost, run.cost_at_least) == (2670, True)
    assert (other.tokens_in, other.cost, other.cost_at_least) == (None, None, False)
    assert await costs.uses_of(store, run.id) == [UNKNOWN, KNOWN]


async def test_what_is_noted_while_it_runs_and_at_its_end_is_counted_once(store: Store) -> None:
    job = Job.model_validate(
        {"id": "a", "run": {"agent": AGENT}, "deliver": {"when": "never", "opt_out_reason": "test"}}
    )
    claimed = await claim(store, job, Dispatch(DispatchKind.MANUAL, NOW), flow_run_id=uuid4(), owner="w", now=NOW)
    assert isinstance(claimed, Claimed)
    run_id = claimed.context.run_id
    await tasks.note_activity(store, run_id, doing=None, uses=[KNOWN], now=NOW)
    more = KNOWN + KNOWN
    await finish(store, job, claimed.context, DispatchResult(RunStatus.OK, used=(more,)), children=(), now=NOW)
    await tasks.note_activity(store, run_id, doing=None, uses=[KNOWN], now=NOW)
    assert await costs.uses_of(store, run_id) == [more]


async def test_costs_are_summed_up_by_whatever_one_asks_for(store: Store) -> None:
    await turn(store, "a", KNOWN)
    await turn(store, "a", KNOWN, UNKNOWN, now=NOW + timedelta(hours=1), agent="coder")
    await turn(store, "b", UNKNOWN)
    await turn(store, "old", KNOWN, now=NOW - timedelta(days=9))
    found = {
        by: [
            (line.name, line.runs, line.use.cost, line.use.unpriced)
            for line in await costs.summed(store, by, since=NOW)
        ]
        for by in By
    }
    assert found == {
        By.JOB: [("a", 2, 5340, 1), ("b", 1, 0, 1)],
        By.AGENT: [("coder", 1, 2670, 1), ("main", 2, 2670, 1)],
        By.MODEL: [("stub/echo", 2, 5340, 0), ("", 2, 0, 2)],
        By.DAY: [("2026-11-24", 2, 2670, 1), ("2026-11-25", 1, 2670, 1)],
    }


async def test_costs_outlive_their_runs_and_not_for_ever(store: Store) -> None:
    for days in range(3):
        await turn(store, "a", KNOWN, now=NOW + timedelta(days=days))
    await retention.prune(store, {"a": 1}, otherwise=1, now=NOW + timedelta(days=3))
    assert [line.runs for line in await costs.summed(store, By.JOB, since=NOW)] == [3]
    await retention.prune(store, {"a": 1}, otherwise=1, now=NOW + retention.COSTS_KEPT + timedelta(days=1, hours=1))
    assert [line.runs for line in await costs.summed(store, By.JOB, since=NOW)] == [1]


async def test_prices_are_set_changed_and_removed_by_somebody(store: Store) -> None:
    assert await costs.prices(store) == {}
    for output in (15, 16):
        await costs.set_price(store, "stub/echo", Price(3, 1, 3, output), by=ANN)
    assert await costs.prices(store) == {"stub/echo": Price(3, 1, 3, 16)}
    await costs.remove_price(store, "stub/echo", by=ANN)
    with pytest.raises(NotFound, match='No price was set for "stub/echo"'):
        await costs.remove_price(store, "stub/echo", by=ANN)
    events = await audit.events(store, limit=9)
    assert sorted(event.action for event in events) == ["price-removed", "price-set", "price-set"]
