"""The worker as a process: drains on the first SIGTERM or Ctrl-C, ends its runs on the second."""

from __future__ import annotations

import argparse
import asyncio
import atexit
import contextlib
import gc
import socket
import sys

from ocs import logs, peer, settings
from ocs.errors import OcsError
from ocs.parent_death import end_with_parent
from ocs.timing import timing
from ocs.worker.address import address_of
from ocs.worker.outward import outward
from ocs.worker.watchdog import watched
from ocs.worker.worker import OpenClawWorker
from tasks.adapter import runtime


async def work(pool: str, name: str, limit: int, metrics: str | None = None) -> None:
    """Work until told to stop. The watchdog kills a process whose event loop stands still for a minute.

    `metrics` is the address at which they are served, if they are.

    Raises:
        StoreError: the store cannot be used; said now, and not by every run.
        ServerUnreachable: no server is configured.
        UsageError: the address for metrics, or that of the ping, is none.
    """
    runtime.expect_runs(limit)
    ping, address = settings.ping_url(), address_of(metrics) if metrics else None
    try:
        await runtime.store()
        worker = OpenClawWorker(pool, name=name, limit=limit)
        async with watched(), outward(worker, ping, address):
            await worker.start(printer=say)
    finally:
        await runtime.close_store()


def say(what: str) -> None:
    """To the log, unless its disk is full."""
    with contextlib.suppress(OSError):
        print(logs.line(what, "ocs.worker"), flush=True)


def main() -> None:
    """Parse and work."""
    parser = argparse.ArgumentParser(prog="python -m ocs.worker")
    parser.add_argument("--pool", default=settings.WORK_POOL)
    parser.add_argument("--name", default=f"ocs-{socket.gethostname()}")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--metrics", help="where to serve them, such as 127.0.0.1:9464")
    given = parser.parse_args()
    gc.freeze()  # what imports made stays: the collector need not search it, now or at the end
    atexit.register(gc.freeze)
    try:
        end_with_parent(timing().worker_end)
        peer.heed_environment()
        asyncio.run(work(given.pool, given.name, given.limit, given.metrics))
    except OcsError as refused:
        say(f"{refused.message} {refused.hint or ''}".rstrip())
        sys.exit(refused.exit_status)


if __name__ == "__main__":
    main()
