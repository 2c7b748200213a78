"""The processes of a run: all of the session that its command leads, and what is still a child of one of them.

A process group of its own is what `timeout`, `set -m` and every interactive shell make; a session is left on purpose
(`setsid`). The standard library alone is needed here (psutil where there is no /proc), so that the reaper starts fast.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection, Generator, Iterable
from typing import NamedTuple

MARK = "OCS_RUN_ID"
"""The variable that marks what a run started, where nothing else does."""
LOOK_AGAIN = 0.03
"""Seconds between two looks at what has not ended yet."""
CLOCK = 2.0
"""Two readings of the same start differ by up to so many seconds: the time of the boot is rounded, and moves."""


class Session(NamedTuple):
    """A run's session: the process id of its leader, when that was started, and the id of the run.

    Without a process id, which a worker that was killed at once could not record, the run's mark finds it.
    """

    run: str
    pid: int | None
    started_at: float = 0.0


class Process(NamedTuple):
    """A process that is more than a zombie. `name` is that of its program, without arguments: they may be secret."""

    pid: int
    parent: int
    group: int
    session: int
    name: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.name})"


class Family:
    """The processes of one session, followed while they end."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sessions: set[int] | None = None

    def living(self) -> list[Process]:
        """Those that live now.

        A child that has made a session of its own (`script`, `setsid --wait`) counts as long as its parent does: its
        session is followed from then on.
        """
        everything = living_processes()
        if self._sessions is None:
            self._sessions = _sessions_of(self._session, everything)
        found = [process for process in everything if process.session in self._sessions]
        found += _descendants(found, everything)
        self._sessions |= {process.session for process in found} - _never_ours()
        return found

    def signal(self, processes: Collection[Process], *signums: signal.Signals) -> None:
        """Signal group by group, which no fork escapes; processes that have ended or are another user's it skips."""
        for group in {process.group for process in processes} - _never_ours():
            for signum in signums:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signum)


def ending(family: Family, grace: float, kill: float) -> Generator[None, None, list[Process]]:
    """End a family: SIGTERM, after `grace` seconds SIGKILL, and for `kill` seconds again. Returns those that live on.

    It is a generator, so that an event loop and a program without one wait as each of them does: LOOK_AGAIN seconds
    at every `yield`.
    """
    living = family.living()
    # A stopped process hears SIGTERM only when it goes on.
    family.signal(living, signal.SIGTERM, signal.SIGCONT)
    deadline = time.monotonic() + grace
    while living and time.monotonic() < deadline:
        yield
        living = family.living()
    deadline = time.monotonic() + kill
    while living:
        family.signal(living, signal.SIGKILL)
        yield
        living = family.living()
        if time.monotonic() > deadline:
            break
    return living


def end(sessions: Iterable[Session], grace: float, kill: float) -> dict[Session, list[Process]]:
    """End sessions that another process has left, all at once; blocks. Returns what lives on of each."""
    under_way = {session: ending(Family(session), grace, kill) for session in sessions}
    living: dict[Session, list[Process]] = {}
    while under_way:
        for session, going_on in [*under_way.items()]:
            try:
                next(going_on)
            except StopIteration as ended:
                living[session] = ended.value
                del under_way[session]
        if under_way:
            time.sleep(LOOK_AGAIN)
    return living


def living_processes() -> list[Process]:
    """Every process of this machine that is more than a zombie."""
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  pathlib is slow
    except FileNotFoundError:
        numbers = []
    if not numbers:
        return by_psutil()
    return [process for pid in numbers if (process := _by_the_system(pid)) is not None]


def started_at(pid: int) -> float | None:
    """When a process was started, in seconds since 1970; None when there is none. A zombie has its number still."""
    fields = _stat(pid)
    if fields is None:
        return None if os.path.exists("/proc/self/stat") else _started_at_by_psutil(pid)  # noqa: PTH110
    with open("/proc/stat", "rb") as stat:  # noqa: PTH123
        boot = next(float(line.split()[1]) for line in stat if line.startswith(b"btime"))
    return boot + float(fields[1][19]) / os.sysconf("SC_CLK_TCK")


def _sessions_of(session: Session, everything: Collection[Process]) -> set[int]:
    """The session's number, if it is still that run's, and no other process has got the number since."""
    mark = f"{MARK}={session.run}".encode()
    if session.pid is None:
        return {process.session for process in everything if _has(process.pid, mark)} - _never_ours()
    start = started_at(session.pid)
    if start is not None and abs(start - session.started_at) < CLOCK:
        return {session.pid}
    # Its leader has ended, or the clock was set since.
    members = (process for process in everything if process.session == session.pid)
    return {session.pid} if any(_has(process.pid, mark) for process in members) else set()


def _descendants(ancestors: Collection[Process], everything: Collection[Process]) -> list[Process]:
    known = {process.pid for process in ancestors}
    found: list[Process] = []
    rest = [process for process in everything if process.pid not in known]
    while children := [process for process in rest if process.parent in known]:
        found += children
        known = {process.pid for process in children}
        rest = [process for process in rest if process.pid not in known]
    return found


def _never_ours() -> set[int]:
    """Numbers that must not be signalled: this process's own, and those that mean something else to the system."""
    return {0, 1, os.getpgrp(), os.getsid(0)}


def _has(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:  # noqa: PTH123
            return mark in environ.read().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return False


def _stat(pid: int) -> tuple[bytes, list[bytes]] | None:
    """Its name, and the fields after that: state, parent, group, session, ..."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123
            before, _, after = stat.read().rpartition(b")")
    except OSError:
        return None
    return before.partition(b"(")[2], after.split()


def _by_the_system(pid: int) -> Process | None:
    told = _stat(pid)
    if told is None:
        return None
    name, (state, parent, group, session, *more) = told
    # The first thread of a process may have ended before the others: that is called a zombie, too.
    if state in (b"Z", b"X") and int(more[13]) <= 1:
        return None
    return Process(pid, int(parent), int(group), int(session), name.decode(errors="replace"))


def by_psutil() -> list[Process]:
    import psutil

    found: list[Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError), process.oneshot():
            if process.status() != psutil.STATUS_ZOMBIE:
                pid = process.pid
                found.append(Process(pid, process.ppid(), os.getpgid(pid), os.getsid(pid), process.name()))
    return found


def _started_at_by_psutil(pid: int) -> float | None:
    import psutil

    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
