"""Owners: who executes a run, by a name that no other process, here or elsewhere, ever has."""

from __future__ import annotations

import contextlib
import os
import socket
from functools import cache
from pathlib import Path

import psutil

SEPARATOR = ":"
EXECUTED_BY = "Executed by "


@cache
def me() -> str:
    """This process: its host, the span in which process ids mean something there, its id and its start time."""
    return SEPARATOR.join((_here(), str(os.getpid()), str(_started_at(os.getpid()))))


def executed_by_me() -> str:
    """The message of the Running state: by it, recovery finds runs of processes that are gone."""
    return EXECUTED_BY + me()


def executed_by(message: str | None) -> str | None:
    """The owner that such a message names, None when it is another message."""
    return message.removeprefix(EXECUTED_BY) if message and message.startswith(EXECUTED_BY) else None


def is_gone(owner: str) -> bool:
    """Whether that process has certainly ended. False also when it is of another host and nobody here can know."""
    here, _, process = owner.rpartition(SEPARATOR)[0].rpartition(SEPARATOR)
    if here != _here():
        return False
    return str(_started_at(int(process))) != owner.rpartition(SEPARATOR)[2]


def is_of_this_host(owner: str) -> bool:
    """Whether process ids of that owner's mean the same here."""
    return owner.startswith(_here() + SEPARATOR)


@cache
def _here() -> str:
    """Host names repeat, and containers of one host count their processes apart: kernel and namespace tell them."""
    parts = [socket.gethostname().replace(SEPARATOR, "_")]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return SEPARATOR.join(parts)


def _started_at(pid: int) -> str | None:
    """When it was started, as the system says; None when there is no such process, or only its zombie.

    On Linux in ticks since the boot: setting the clock does not change them.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else fields[18]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    with contextlib.suppress(psutil.NoSuchProcess):
        return f"{psutil.Process(pid).create_time():.2f}"
    return None
