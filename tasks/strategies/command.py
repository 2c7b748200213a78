"""A command in a session of its own: wait for it, and end it with everything it has started."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from typing import IO

from ocs.timing import timing
from tasks.strategies import reaper, sessions
from tasks.strategies.sessions import LOOK_AGAIN, Family, Process, Session


class Command:
    """Started at once; its streams are pipes."""

    def __init__(self, command: list[str], *, cwd: str, env: Mapping[str, str], run: str) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**env, sessions.MARK: run},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.started_at = sessions.started_at(self.pid) or 0.0
        session = Session(run, self.pid, self.started_at)
        reaper.watch(self.pid, session)
        self._family = Family(session)
        self._is_gone = False

    @property
    def stdout(self) -> IO[bytes]:
        return _pipe(self._process.stdout)

    @property
    def stderr(self) -> IO[bytes]:
        return _pipe(self._process.stderr)

    @property
    def returncode(self) -> int | None:
        """Its exit status, once it has ended; ask only when nothing of it is left: it frees its number."""
        return self._process.poll()

    async def wait(self) -> None:
        """Until the command itself ends; what it left running may go on.

        As a zombie it keeps its number, by which the rest of its session is found.
        """
        if not hasattr(os, "pidfd_open"):
            await asyncio.to_thread(self._process.wait)
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        handle = os.pidfd_open(self.pid)
        loop.add_reader(handle, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)

    async def left(self, patience: timedelta) -> list[Process]:
        """What lives of it after at most `patience`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience.total_seconds()
        while (living := self._family.living()) and loop.time() < deadline:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(LOOK_AGAIN)
        self._is_gone = not living
        return living

    async def end(self) -> list[Process]:
        """End the command and all it has started: SIGTERM, and after a grace SIGKILL. Returns what lives on."""
        times = timing()
        going_on = sessions.ending(self._family, times.grace.total_seconds(), times.kill.total_seconds())
        while True:
            try:
                next(going_on)
            except StopIteration as ended:
                self._is_gone = not ended.value
                return ended.value
            await asyncio.sleep(LOOK_AGAIN)

    def close(self) -> None:
        """Close the pipes, and end the reaper's watch, unless something is left for it to end."""
        if self._is_gone:
            reaper.forget(self.pid)
        self.stdout.close()
        self.stderr.close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("the process was started without pipes")
    return stream
