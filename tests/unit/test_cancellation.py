"""Stopping a run that executes in this process."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from uuid import uuid4

import pytest

from ocs.signals import on_signals
from tasks.cancellation import Cancelled, cancel, cancellable, scope_of

FLOW_RUN = uuid4()
FOREVER = timedelta(days=1)


async def test_work_that_ends_by_itself_gives_its_result() -> None:
    async def work() -> int:
        return 7

    with cancellable(FLOW_RUN) as scope:
        assert await scope.run(work()) == 7


async def test_a_cancelled_run_ends_its_work_before_it_says_so() -> None:
    cleaned_up = False

    async def work() -> None:
        nonlocal cleaned_up
        try:
            cancel(FLOW_RUN)
            await asyncio.sleep(FOREVER.total_seconds())
        finally:
            await asyncio.sleep(0)
            cleaned_up = True

    with cancellable(FLOW_RUN) as scope, pytest.raises(Cancelled):
        await scope.run(work())
    assert cleaned_up


async def test_a_run_cancelled_before_its_work_begins_never_begins_it() -> None:
    with cancellable(FLOW_RUN) as scope:
        assert cancel(FLOW_RUN)
        with pytest.raises(Cancelled):
            await scope.sleep(FOREVER)


async def test_the_works_own_error_is_not_mistaken_for_a_cancel() -> None:
    async def work() -> None:
        raise LookupError("its own")

    with cancellable(FLOW_RUN) as scope, pytest.raises(LookupError, match="its own"):
        await scope.run(work())


async def test_only_runs_that_execute_here_can_be_cancelled() -> None:
    assert not cancel(FLOW_RUN)
    with cancellable(FLOW_RUN) as scope:
        assert scope_of(FLOW_RUN) is scope
    assert not cancel(FLOW_RUN)


async def test_a_signal_stops_the_run_and_the_former_handler_comes_back() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with cancellable(FLOW_RUN) as scope, on_signals(scope.request, signal.SIGTERM):
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
        with pytest.raises(Cancelled):
            await scope.sleep(FOREVER)
    assert signal.getsignal(signal.SIGTERM) is former
