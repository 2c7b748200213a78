"""The reaper: a tiny process beside the worker that ends the process sessions of a worker that was killed.

As a program it reads `watch <run> <process id> <start time>` and `forget <process id>` lines from its input. When the
input ends, the worker is gone, and every session still watched is ended.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from tasks.side_process import start_side_process
from tasks.strategies import sessions
from tasks.strategies.sessions import Session

PROGRAM = "import sys; sys.path += sys.argv[4:]; from tasks.strategies.reaper import main; main(*sys.argv[2:4])"
NAME = "ocs-reaper"
"""Its name in a list of processes."""
_lock = threading.Lock()
_watched: dict[int, Session] = {}
_process: subprocess.Popen[bytes] | None = None


def watch(pid: int, session: Session) -> None:
    """From now on the session that `pid` leads ends when this process does."""
    with _lock:
        _watched[pid] = session
        _send(_line(session))


def forget(pid: int) -> None:
    """Nothing of the session is left."""
    with _lock:
        if _watched.pop(pid, None) is not None:
            _send(f"forget {pid}")


def _line(session: Session) -> str:
    return f"watch {session.run} {session.pid} {session.started_at}"


def _send(line: str) -> None:
    global _process  # noqa: PLW0603  the whole process has one reaper
    if _process is None or _process.poll() is not None:
        _process = _start()
        line = "\n".join(map(_line, _watched.values()))
    if _process.stdin is not None and line:
        with contextlib.suppress(BrokenPipeError):
            os.write(_process.stdin.fileno(), f"{line}\n".encode())


def _start() -> subprocess.Popen[bytes]:
    process = start_side_process("-S", "-c", PROGRAM, NAME, *_grace(), *_paths())
    atexit.register(_dismiss, process)
    return process


def _grace() -> list[str]:
    """How long it gives processes before and after SIGKILL, in seconds: it has no environment to read that from."""
    from ocs.timing import timing  # not by the program

    return [str(time.total_seconds()) for time in (timing().orphan_grace, timing().kill)]


def _paths() -> list[str]:
    """Where the little that it imports is found: this package, and psutil for systems without /proc."""
    psutil = find_spec("psutil")
    ours = Path(__file__).parents[2]
    return [str(ours), *([str(Path(psutil.origin).parents[1])] if psutil and psutil.origin else [])]


def _dismiss(process: subprocess.Popen[bytes]) -> None:
    """At the worker's regular end it ends at once, unless it still watches something."""
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def main(grace: str, kill: str) -> None:
    """Watch until the input ends, then end what is left."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    watched: dict[int, Session] = {}
    for line in sys.stdin:
        verb, *told = line.split()
        if verb == "watch":
            run, pid, started_at = told
            watched[int(pid)] = Session(run, int(pid), float(started_at))
        else:
            watched.pop(int(told[0]), None)
    sessions.end(watched.values(), float(grace), float(kill))
