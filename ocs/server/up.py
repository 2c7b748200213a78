"""Starting and ending the embedded server from another process."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from datetime import timedelta

import psutil

from ocs.errors import Refused, ServerUnreachable
from ocs.files import open_file
from ocs.parent_death import VARIABLE
from ocs.server import state
from ocs.server.child import python, tail
from ocs.server.config import Config
from ocs.server.listen import listen
from ocs.server.state import UpState
from ocs.timing import seconds, timing

LOOK_AGAIN = 0.1
LOG_LINES = 15
AT_ONCE = 0.5
"""Seconds an idle server may take to end before its runs are ended."""
_left_running: list[subprocess.Popen[bytes]] = []
"""Supervisors that this process started: they are meant to outlive it, and are collected if they do not."""


@atexit.register
def _collect_ended() -> None:
    for process in list(_left_running):
        if process.poll() is not None:
            _left_running.remove(process)


def start(config: Config, *, attached: bool, on_wait: Callable[[float], None] | None = None) -> UpState:
    """Start server and worker in the background, and wait until they are ready.

    An attached one ends, after draining, when this process does, and says on this process's standard error what
    happens to its children. `on_wait` hears how many seconds it took so far. Interrupted, it leaves nothing running.

    Raises:
        Refused: something stands against starting (a busy port, another one running, nowhere to write).
        ServerUnreachable: it does not get ready; the end of its log is told.
    """
    config.check()
    limit = timing().server_start
    if state.read(config.home) is not None:
        raise state.already_running(config.home)
    listen(config.host, config.port).close()  # a busy port is told here, not in a log
    process = _spawn(config, attached)
    began = time.monotonic()
    try:
        while (waited := time.monotonic() - began) < limit.total_seconds():
            if (found := state.read(config.home)) is not None:
                return found
            if process.poll() is not None:
                raise Refused(f"It did not start:\n{tail(config.logs / 'up.log', LOG_LINES)}")
            if on_wait is not None:
                on_wait(waited)
            time.sleep(LOOK_AGAIN)
        raise ServerUnreachable(f"It was not ready after {seconds(limit)}; see {config.logs / 'server.log'}.")
    except BaseException:
        process.terminate()
        raise


def stop(
    *, now: bool, within: timedelta | None = None, on_wait: Callable[[float], None] | None = None
) -> UpState | None:
    """End it, after its running runs have ended, with them when `now` or when `within` has passed; returns what ended.

    `on_wait` hears how many seconds it took so far.

    Raises:
        Refused: it belongs to another user.
    """
    found = state.read()
    if found is None:
        return None
    began = time.monotonic()
    with contextlib.suppress(psutil.NoSuchProcess):
        supervisor = psutil.Process(found.pid)
        drain = AT_ONCE if now else within.total_seconds() if within is not None else None
        for patience in (None,) if drain is None else (drain, None):
            _terminate(supervisor)
            while _runs(supervisor) and (patience is None or time.monotonic() - began < patience):
                if on_wait is not None:
                    on_wait(time.monotonic() - began)
                time.sleep(LOOK_AGAIN)
    _collect_ended()
    return found


def ended_with(found: UpState) -> int | None:
    """The exit status of a supervisor that this process has started, once it has ended; None of any other."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        for process in _left_running:
            if process.pid == found.pid:
                return process.wait(timing().server_end.total_seconds())
    return None


def _spawn(config: Config, attached: bool) -> subprocess.Popen[bytes]:
    arguments = ["--host", config.host, "--port", str(config.port), "--limit", str(config.limit)]
    arguments += [] if config.auth else ["--no-auth"]
    arguments += ["--metrics", config.metrics] if config.metrics else []
    environment = {**os.environ, "OCS_HOME": str(config.home), **({VARIABLE: "1"} if attached else {})}
    with open_file(config.logs / "up.log", "wb") as log, _own_stderr() as watcher:
        told = ["--watcher", str(watcher)] if attached and watcher is not None else []
        process = subprocess.Popen(
            python("-m", "ocs.server.supervisor", *arguments, *told, "--", *config.worker),
            env=environment,
            stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[watcher] if told and watcher is not None else [],
            start_new_session=True,
        )
    _left_running.append(process)
    return process


@contextlib.contextmanager
def _own_stderr() -> Generator[int | None]:
    """A file descriptor of this process's standard error to hand on; None when it has none."""
    try:
        watcher = os.dup(sys.__stderr__.fileno()) if sys.__stderr__ else None
    except (OSError, ValueError):
        watcher = None
    try:
        yield watcher
    finally:
        if watcher is not None:
            os.close(watcher)


def _terminate(supervisor: psutil.Process) -> None:
    try:
        supervisor.terminate()
    except psutil.AccessDenied as denied:
        raise Refused(f"The embedded server (process {supervisor.pid}) belongs to another user.") from denied


def _runs(supervisor: psutil.Process) -> bool:
    return supervisor.is_running() and supervisor.status() != psutil.STATUS_ZOMBIE
