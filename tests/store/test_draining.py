"""Which workers drain, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ocs.store import Store
from ocs.store.draining import draining, is_draining, note_draining

SINCE = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize("worker", ["second", "a worker " * 20])
async def test_a_worker_drains_until_it_ends_or_works_again(store: Store, worker: str) -> None:
    await note_draining(store, "first", SINCE)
    await note_draining(store, worker, SINCE)
    await note_draining(store, worker, datetime.now(UTC))
    assert is_draining(worker, await draining(store)) == SINCE
    await note_draining(store, worker, None)
    await note_draining(store, worker, None)
    known = await draining(store)
    assert (is_draining(worker, known), list(known)) == (None, ["first"])
