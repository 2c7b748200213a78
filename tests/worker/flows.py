"""Flows that the worker's tests deploy: they note when they ran in a file that the test names."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from uuid import UUID

from prefect import flow, runtime, suspend_flow_run, task
from prefect.logging import get_run_logger

from tasks import cancellation


@task(persist_result=False)
async def note(what: str, to: str) -> None:
    with Path(to).open("a") as file:
        file.write(f"{what} {time.time()}\n")


@flow(name="three-tasks", persist_result=False)
async def three_tasks(to: str) -> None:
    await note("started", to)
    get_run_logger().info("a line of the run")
    await note("goes on", to)
    await note("ended", to)


@flow(name="until-gate", persist_result=False)
async def until_gate(to: str, gate: str) -> None:
    """Goes on when the file `gate` exists; notes its cancellation."""
    try:
        await note("started", to)
        while not Path(gate).exists():
            await asyncio.sleep(0.02)
        await note("ended", to)
    except asyncio.CancelledError:
        with Path(to).open("a") as file:
            file.write(f"cancelled {time.time()}\n")
        raise


@flow(name="cancellable", persist_result=False)
async def cancellable(to: str) -> object:
    """Is stopped the way jobs are: told, and ending by itself."""
    from prefect.states import Cancelled

    with cancellation.cancellable(UUID(runtime.flow_run.get_id())) as scope:
        await note("started", to)
        try:
            await scope.run(asyncio.sleep(3600))
        except cancellation.Cancelled:
            await note("told to stop", to)
            return Cancelled(message="Told to stop.")
    return None


@flow(name="asks", persist_result=False)
async def asks(to: str) -> None:
    await note("asking", to)
    await suspend_flow_run(timeout=60, key="once")
    await note("answered", to)


@flow(name="ticks", persist_result=False)
async def ticks(to: str) -> None:
    while True:
        await note("tick", to)
        await asyncio.sleep(0.1)


@flow(name="counts", persist_result=False)
async def counts(to: str) -> None:
    await note(f"count {runtime.flow_run.get_run_count()}", to)


@flow(name="fails", persist_result=False)
async def fails(to: str) -> None:
    await note("started", to)
    raise ValueError("as it was written")


@flow(name="blocking", persist_result=False)
def blocking(to: str) -> None:
    """Not async: not for this worker."""
    Path(to).touch()


class Unpicklable:
    """A lock would not do: libraries teach pickle to copy even those."""

    def __reduce__(self) -> str:
        raise TypeError("no pickle of this can be made")


@flow(name="unpicklable", persist_result=True)
async def unpicklable(to: str) -> object:
    """Returns what no process can hand to another."""
    await note("started", to)
    return Unpicklable()
