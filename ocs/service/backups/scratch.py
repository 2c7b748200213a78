"""Folders for work that is not done yet: whoever works in one holds its lock, so what the dead left can be removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

MAKING, RESTORING = ".ocs-backup-", ".ocs-restore-"


@contextmanager
def scratch(within: Path, prefix: str) -> Generator[Path]:
    """A new folder beside what is to be replaced or made, on its disk; what dead ones left there goes first."""
    clear(within, prefix)
    folder, handle = _locked(within, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def clear(within: Path, prefix: str) -> None:
    """Remove the folders of those that were killed; one that somebody works in is left alone."""
    for folder in within.glob(f"{prefix}*"):
        with suppress(OSError):  # gone meanwhile, another user's, or a disk without locks: nobody knows
            handle = _opened(folder)
            try:
                if os.fstat(handle).st_uid == os.geteuid():
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


@contextmanager
def tidy_when_ended() -> Generator[None]:
    """SIGTERM ends what is done in here as an error does: nothing is left lying."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_signum: int, _frame: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _locked(within: Path, prefix: str) -> tuple[Path, int]:
    """Until it has its lock, another one may take a new folder for that of a dead one: then a newer is made."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=within, prefix=prefix))
        with suppress(FileNotFoundError):
            handle = _opened(folder)
            with suppress(OSError):  # a disk without locks: then nobody removes it either
                fcntl.flock(handle, fcntl.LOCK_EX)
            if folder.exists():
                return folder, handle
            os.close(handle)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
