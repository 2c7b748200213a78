"""The watchdog: a process whose event loop stands still is ended, whatever holds it; one that goes on is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, re, signal, sys, time
from ocs.worker import watchdog

async def main():
    async with watchdog.watched():
        await asyncio.sleep(0.3)
        {does}
    print("went on", flush=True)

asyncio.run(main())
"""
EXPLODES = 're.match("(a|a)+$", "a" * 60 + "!")'
"""Holds the interpreter: no thread of the process can do anything."""


def ended(does: str, still: float = 1.2) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM.format(does=does)]
    env = {**os.environ, "OCS_TIMING_STANDSTILL": str(still)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)


@pytest.mark.parametrize("does", [EXPLODES, "time.sleep(600)", "os.kill(os.getpid(), signal.SIGSTOP)"])
def test_a_loop_that_stands_still_is_ended(does: str) -> None:
    process = ended(does)
    assert process.returncode == -signal.SIGKILL
    assert "went on" not in process.stdout
    assert "The event loop has stood still for 1.2 s" in process.stderr


def test_it_says_where_it_stood() -> None:
    assert "in main" in ended("time.sleep(600)").stderr


def test_a_loop_that_goes_on_is_left_alone_and_the_watchdog_ends_with_it() -> None:
    process = ended("await asyncio.sleep(8)", still=6)
    assert (process.returncode, process.stdout) == (0, "went on\n")


def test_a_watchdog_that_was_killed_is_replaced() -> None:
    kill = "import psutil; [child.kill() for child in psutil.Process().children()]; await asyncio.sleep(1.5)"
    assert ended(f"{kill}; time.sleep(600)").returncode == -signal.SIGKILL
