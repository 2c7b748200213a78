"""A receiver for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from blocks.connections import close_connections
from tests.delivery.receiver import Receiver, receiver


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    with receiver() as running:
        yield running
        await close_connections()
