"""Files and folders that are made for their owner alone, or for all to read, under any umask."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path
from typing import IO, Any

FOR_OWNER, READABLE = 0o600, 0o644
_OTHERS = 0o077


def make_folder(path: Path, mode: int = FOR_OWNER) -> None:
    """Make a folder, and what is missing above it; who may read it may enter it. A stricter umask holds."""
    if not path.exists() and path.parent != path:
        make_folder(path.parent, mode)
    may_enter = (mode & 0o444) >> 2
    path.mkdir(mode | may_enter, exist_ok=True)


def open_file(path: Path, how: str, mode: int = FOR_OWNER, **options: Any) -> IO[Any]:
    """Open a file for writing; a new one has this mode, and a private one of ours that others could read loses that."""
    opened: IO[Any] = open(path, how, opener=partial(os.open, mode=mode), **options)  # noqa: SIM115
    found = os.fstat(opened.fileno())
    if mode == FOR_OWNER and found.st_mode & _OTHERS and found.st_uid == os.geteuid():
        os.fchmod(opened.fileno(), FOR_OWNER)
    return opened


def is_private(path: Path) -> bool:
    """Whether its mode gives other users nothing."""
    return not path.lstat().st_mode & _OTHERS


def is_hidden(path: Path) -> bool:
    """Whether the mode of a file, or of what a link leads to, keeps those from reading it who are not of its group."""
    try:
        return not path.stat().st_mode & stat.S_IROTH
    except OSError:  # it went away just now
        return False


def is_ours_alone(folder: Path) -> bool:
    """Whether it can be closed to others without a risk: not the home of a person, a disk, or a folder like /tmp."""
    known = folder.stat()
    shared = known.st_mode & stat.S_ISVTX or folder.is_mount() or Path.home().resolve().is_relative_to(folder)
    return known.st_uid == os.geteuid() and not shared
