"""A command in a process group of its own, which can be waited for and ended as a whole."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import IO

import psutil

from tasks.strategies import reaper

LOOK_AGAIN = 0.03
KILLED_WITHIN = timedelta(seconds=2)
"""How long the system is given to end what was killed; what remains after that can only be a zombie."""


class ProcessGroup:
    """Started at once; its streams are pipes."""

    def __init__(self, command: list[str], *, cwd: str, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.started_at = _start_time(self.pid)
        reaper.watch(self.pid, self.started_at)

    @property
    def stdout(self) -> IO[bytes]:
        return _pipe(self._process.stdout)

    @property
    def stderr(self) -> IO[bytes]:
        return _pipe(self._process.stderr)

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> int:
        """Until the command itself ends; what it left running may go on. Returns its exit status."""
        if not hasattr(os, "pidfd_open"):
            return await asyncio.to_thread(self._process.wait)
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        handle = os.pidfd_open(self.pid)
        loop.add_reader(handle, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        return self._process.wait()

    async def end(self, grace: timedelta) -> None:
        """End every process of the group: SIGTERM, and after `grace` SIGKILL."""
        for signum, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, KILLED_WITHIN)):
            if not self._signal(signum):
                break
            if await self.empty(patience):
                break

    async def empty(self, patience: timedelta) -> bool:
        """Whether the group has no process left, waiting for that at most `patience`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience.total_seconds()
        while self._alive():
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(LOOK_AGAIN)
        return True

    def close(self) -> None:
        """Let go of the pipes, and of the reaper's watch."""
        reaper.forget(self.pid)
        self.stdout.close()
        self.stderr.close()

    def _alive(self) -> bool:
        living = self._signal(0) and _has_living(self.pid)
        self._process.poll()  # collects the command itself, once it is no more than a zombie
        return living

    def _signal(self, signum: int) -> bool:
        try:
            os.killpg(self.pid, signum)
        except ProcessLookupError:
            return False
        except PermissionError:
            # What is left belongs to somebody else (sudo): not ours to end.
            return False
        return True


def _has_living(group: int) -> bool:
    """Whether a member of the group is more than a zombie that its new parent has not collected yet."""
    stats = [entry / "stat" for entry in Path("/proc").glob("[0-9]*")]
    return not stats or any(_lives_in(group, stat) for stat in stats)


def _lives_in(group: int, stat: Path) -> bool:
    try:
        state, _parent, process_group = stat.read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return False
    return process_group == str(group) and state != "Z"


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("the process was started without pipes")
    return stream


def _start_time(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0
