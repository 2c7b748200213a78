"""Whether a worker is there, asked of a real server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.rollout import ensure_work_pool
from ocs import settings
from ocs.service.workers import wait_until_online

pytestmark = pytest.mark.e2e
HOUR = timedelta(hours=1)


class Looks:
    """Gives up before the look after so many."""

    def __init__(self, most: int) -> None:
        self.left = most

    def are_over(self) -> bool:
        self.left -= 1
        return self.left < 0


async def test_a_worker_counts_that_was_heard_since(prefect_server: str) -> None:
    waited: list[float] = []
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        async with get_client() as client:
            await ensure_work_pool(client)
            await client.send_worker_heartbeat(settings.WORK_POOL, "somebody")
            now = datetime.now(UTC)
            # One that was killed before this server was started is said to be online for a while.
            assert not await wait_until_online(client, now + HOUR, Looks(2).are_over, waited.append)
            assert len(waited) == 2
            assert await wait_until_online(client, now - HOUR, Looks(1).are_over, waited.append)
