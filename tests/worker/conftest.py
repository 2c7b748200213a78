"""A worker inside the test's own process, on a pool of the test's own, and a client beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.worker.rig import Rig, rig_on


@pytest.fixture
async def rig(prefect_server: str) -> AsyncIterator[Rig]:
    async with rig_on(prefect_server) as made:
        yield made
