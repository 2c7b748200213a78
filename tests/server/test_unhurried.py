"""The server's background work at its own pace, and what is done apart from the server's process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import timedelta
from textwrap import dedent

import pytest
from docket import Docket
from prefect.server.api import background_workers

from ocs.server.unhurried import Unhurried, look_less_often

HOUR = timedelta(hours=1)


def test_prefect_still_makes_a_worker_by_the_name_that_we_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_workers, "Worker", background_workers.Worker)  # pyright: ignore[reportPrivateImportUsage]  taken back at the end
    look_less_often()
    assert background_workers.Worker is Unhurried  # pyright: ignore[reportPrivateImportUsage]


async def test_new_work_is_done_at_once_however_long_the_worker_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocs.server.unhurried.NEW_WORK", HOUR)
    done: asyncio.Queue[int] = asyncio.Queue()

    async def work(number: int) -> None:
        await done.put(number)

    async with Docket(name="unhurried", url="memory://") as docket:
        docket.register(work)
        async with Unhurried(docket) as worker, asyncio.timeout(60):
            running = asyncio.create_task(worker.run_forever())
            for number in range(3):
                await docket.add(work)(number)
                assert await done.get() == number
            running.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="only there")
@pytest.mark.parametrize(("work", "did"), [("print('worked')", True), ("raise ValueError('no')", False)])
def test_what_is_done_apart_is_done_in_another_process_and_its_failure_is_told(work: str, did: bool) -> None:
    program = f"""
        import os
        from ocs.server.migration import done_apart
        us = os.getpid()
        async def work():
            assert os.getpid() != us
            {work}
        print("did", done_apart(work), flush=True)
    """
    ended = subprocess.run(
        [sys.executable, "-P", "-c", dedent(program)], capture_output=True, text=True, check=True, stdin=subprocess.PIPE
    )
    assert f"did {did}" in ended.stdout
    assert ("ValueError: no" in ended.stderr) is not did
