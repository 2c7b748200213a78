"""The watchdog: kills a worker whose event loop stands still, so that its supervisor starts it again.

As a program it is a tiny process beside the worker. The loop feeds its input, and when nothing has come for a minute it
kills the worker. No thread of the worker could do that: what holds the interpreter holds all of them. It uses the
standard library alone, so that it starts fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator

LOOKS = 12
"""It kills after so many looks at an empty input: one look alone may come right after the machine has slept."""
SAYS_WHERE = 2.0
"""Seconds for the worker to write where it stands, unless a signal has stopped it."""


@contextlib.asynccontextmanager
async def watched() -> AsyncGenerator[None]:
    """Have this process killed when its event loop stands still while the context lasts."""
    from ocs.timing import timing  # not by the program

    with contextlib.suppress(OSError, ValueError):  # no standard error of its own: then nobody would read it
        faulthandler.register(signal.SIGUSR2, all_threads=True)
    every = timing().standstill.total_seconds() / LOOKS
    beating = asyncio.create_task(_beat(every))
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def _beat(every: float) -> None:
    process = _start(every)
    try:
        while True:
            if process.poll() is not None:
                process = _start(every)
            with contextlib.suppress(OSError):  # it has just ended, or was stopped with its pipe full
                os.write(_input(process), b".")
            await asyncio.sleep(every / 2)
    finally:
        with process:  # closes its input, at which it ends
            pass


def _start(every: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-E", __file__, str(every)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd="/",
        env={},
    )
    os.set_blocking(_input(process), False)
    return process


def _input(process: subprocess.Popen[bytes]) -> int:
    if process.stdin is None:
        raise RuntimeError("the watchdog has no input")
    return process.stdin.fileno()


def main(every: float) -> None:
    """Watch the parent until the input ends."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    worker, silent = os.getppid(), 0
    while silent < LOOKS:
        if not select.select([0], [], [], every)[0]:
            silent += 1
        elif os.read(0, 4096):
            silent = 0
        else:
            return
    print(f"The event loop has stood still for {every * LOOKS:g} s; the worker is ended.", file=sys.stderr, flush=True)
    for signum in (signal.SIGUSR2, signal.SIGKILL):
        if os.getppid() == worker:
            os.kill(worker, signum)
        time.sleep(SAYS_WHERE)


if __name__ == "__main__":
    main(float(sys.argv[1]))
