"""Ends the jobs of a worker that was killed: a tiny process beside the worker, told which groups run.

As a program it reads `watch <group> <start time>` and `forget <group>` lines from its input. When the input
ends, the worker is gone, and every group still watched is ended. It uses the standard library alone, so that
it starts fast.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

GRACE = 2.0
_lock = threading.Lock()
_watched: dict[int, float] = {}
_process: subprocess.Popen[bytes] | None = None


def watch(group: int, started_at: float) -> None:
    """From now on the group ends when this process does."""
    with _lock:
        _watched[group] = started_at
        _tell(f"watch {group} {started_at}")


def forget(group: int) -> None:
    """The group has ended by itself."""
    with _lock:
        if _watched.pop(group, None) is not None:
            _tell(f"forget {group}")


def end(group: int, started_at: float) -> None:
    """End a group that another process had started and left; blocks until it has ended."""
    if _is_still(group, started_at):
        _end([group])


def _tell(line: str) -> None:
    global _process  # noqa: PLW0603  one reaper for the whole process, whoever starts jobs in it
    if _process is None or _process.poll() is not None:
        _process = _start()
        line = "\n".join(f"watch {group} {started_at}" for group, started_at in _watched.items())
    if _process.stdin is not None and line:
        with contextlib.suppress(BrokenPipeError):
            os.write(_process.stdin.fileno(), f"{line}\n".encode())


def _start() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-E", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={},
        start_new_session=True,
    )
    atexit.register(_dismiss, process)
    return process


def _dismiss(process: subprocess.Popen[bytes]) -> None:
    """At the worker's regular end: nothing runs any more, so the reaper ends at once."""
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def main() -> None:
    """Watch until the input ends, then end what is left."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    groups: dict[int, float] = {}
    for line in sys.stdin:
        verb, group, *rest = line.split()
        if verb == "watch":
            groups[int(group)] = float(rest[0])
        else:
            groups.pop(int(group), None)
    _end([group for group, started_at in groups.items() if _is_still(group, started_at)])


def _is_still(group: int, started_at: float) -> bool:
    """Not another process that got the number since; a group whose leader has gone keeps its number taken."""
    try:
        with open("/proc/stat") as stat:  # noqa: PTH123  pathlib is slow to import
            boot = next(float(line.split()[1]) for line in stat if line.startswith("btime"))
        with open(f"/proc/{group}/stat") as stat:  # noqa: PTH123
            ticks = float(stat.read().rpartition(")")[2].split()[19])
    except (OSError, StopIteration):
        return True
    return abs(boot + ticks / os.sysconf("SC_CLK_TCK") - started_at) < 2


def _end(groups: list[int]) -> None:
    _signal_all(groups, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while (groups := _signal_all(groups, 0)) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_all(groups, signal.SIGKILL)


def _signal_all(groups: list[int], signum: int) -> list[int]:
    """Signal each group; returns those that are still there."""
    alive: list[int] = []
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signum)
            alive.append(group)
    return alive


if __name__ == "__main__":
    main()
