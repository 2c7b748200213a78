"""A fake gateway for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from blocks.connections import close_connections
from tests.gateway.fake import FakeGateway, fake_gateway


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as running:
        yield running
        await close_connections()
