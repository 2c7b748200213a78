"""A database that stalls is away: every call of the store ends, says so, and goes as ever once the trouble is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from ocs.errors import StoreAway, StoreError
from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.spec import Job
from ocs.store import Claimed, Store, claim, open_store, queries, timeouts
from ocs.transient import is_transient
from tests.conftest import Times
from tests.crash.relay import Mood, Relay
from tests.holding import held

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
JOB = Job.model_validate({"id": "load", "run": "true", "limits": {"overlap": "allow"}})


@pytest.fixture(autouse=True)
def impatient(times: Times) -> None:
    """The same limits, sooner; what is set when a connection is made counts for it."""
    times(store_lock=0.8, store_statement=0.9, store_command=1, store_free=1, store_busy=1)


async def claims(store: Store) -> bool:
    at = Dispatch(DispatchKind.SCHEDULED, NOW)
    return isinstance(await claim(store, JOB, at, flow_run_id=uuid4(), owner="w", now=NOW), Claimed)


async def looks(store: Store) -> object:
    return await queries.runs(store)


CALLS = pytest.mark.parametrize("call", [claims, looks])


@pytest.fixture
async def opened(store: Store, store_url: str) -> AsyncIterator[Store]:
    """A further process's way to the same store."""
    other = open_store(store_url, runs=1)
    yield other
    await other.close()


async def test_a_table_that_somebody_has_to_himself_is_an_outage_and_the_next_claim_goes_as_ever(
    opened: Store, store_url: str
) -> None:
    async with held(store_url):
        with pytest.raises(StoreAway) as away:
            await claims(opened)
        assert is_transient(away.value)
    assert await claims(opened)


async def test_a_pool_of_which_nothing_comes_free_is_an_outage(opened: Store) -> None:
    async with contextlib.AsyncExitStack() as all_of_them:
        for _ in range(timeouts.connections(1)):
            reading = await all_of_them.enter_async_context(opened.reading())
            await reading.execute(text("SELECT 1"))
        with pytest.raises(StoreAway):
            await looks(opened)
    await looks(opened)


async def test_whatever_a_transaction_waits_for_it_ends(opened: Store) -> None:
    """On SQLite the transactions of a process queue for their turn; on Postgres one waits for a lock of ours."""
    async with opened.transaction(lock=("load",)):
        with pytest.raises(StoreAway):
            async with opened.transaction(lock=("load",), within=timedelta(seconds=0.1)):
                pass
    async with opened.transaction(lock=("load",)):
        pass


@pytest.fixture
async def relayed(store: Store, store_url: str, times: Times) -> AsyncIterator[tuple[Store, Relay]]:
    """The store through a relay, which can swallow a new connection, too."""
    times(store_connect=3)
    address = make_url(store_url)
    relay = Relay(str(address.host), int(address.port or 5432))
    async with relay.running():
        through = address.set(host="127.0.0.1", port=relay.port).render_as_string(hide_password=False)
        other = open_store(through)
        yield other, relay
        await other.close()


@pytest.mark.postgres
@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("mood", [Mood.STALL, Mood.HANG, Mood.REFUSE], ids=lambda mood: mood.name.lower())
@CALLS
async def test_a_network_that_swallows_everything_is_an_outage_and_nothing_of_it_stays(
    relayed: tuple[Store, Relay], mood: Mood, call: Callable[[Store], Awaitable[object]]
) -> None:
    """With connections that are open, and with new ones."""
    store, relay = relayed
    await looks(store)
    await relay.turn(mood)
    ends = await asyncio.gather(*(call(store) for _ in range(3)), return_exceptions=True)
    assert [type(end) for end in ends] == [StoreAway] * 3
    await relay.turn(Mood.PASS_ON)
    while True:
        with contextlib.suppress(StoreAway):
            assert await claims(store)
            break


async def test_what_is_wrong_with_a_statement_is_no_outage(store: Store) -> None:
    with pytest.raises(DBAPIError) as wrong:
        async with store.reading() as session:
            await session.execute(text("SELECT nothing FROM nowhere"))
    assert not is_transient(wrong.value)


@pytest.mark.postgres
@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
async def test_a_database_that_does_not_exist_is_no_outage(store_url: str) -> None:
    other = open_store(make_url(store_url).set(database="nowhere").render_as_string(hide_password=False))
    with pytest.raises(StoreError, match="cannot be used") as wrong:
        await other.migrate()
    assert not is_transient(wrong.value)


@pytest.mark.parametrize(("runs", "most"), [(1, 6), (5, 10), (50, 15), (None, 15)])
def test_a_process_has_so_many_connections(runs: int | None, most: int) -> None:
    assert timeouts.connections(runs) == most
