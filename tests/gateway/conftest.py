"""A fake gateway for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from blocks.connections import close_connections
from tests.gateway.server import Server, serving


@pytest.fixture
async def fake() -> AsyncIterator[Server]:
    async with serving() as running:
        yield running
        await close_connections()
