"""What another scheduler leaves to us is noted once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchKind
from ocs.store import Store
from ocs.store.audit import events
from ocs.store.carried import CarriedDispatch, CarriedKey, carry_dispatches, carry_keys
from ocs.store.ledger import keys, release_key

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
BY = Attribution("ann", "openclaw-scheduler", NOW)


async def test_keys_are_carried_once_and_what_is_known_stands(store: Store) -> None:
    key = CarriedKey("k" * 32, "tidy", uuid4(), NOW, NOW + timedelta(days=7))
    assert await carry_keys(store, [key], by=BY) == 1
    await release_key(store, key.key, by=BY)
    assert await carry_keys(store, [key], by=BY) == 0
    assert [str(row.status) for row in await keys(store)] == ["released"]
    assert [event.action for event in await events(store)].count("keys-carried-over") == 1


async def test_dispatches_are_carried_once(store: Store) -> None:
    waiting = CarriedDispatch(UUID(int=7), "tidy", DispatchKind.RETRY, NOW, retry_of=uuid4(), attempt=2)
    (written,) = await carry_dispatches(store, [waiting], by=BY)
    assert (written.id, written.kind, written.attempt, written.retry_of) == (
        waiting.id,
        DispatchKind.RETRY,
        2,
        waiting.retry_of,
    )
    assert await carry_dispatches(store, [waiting], by=BY) == []
