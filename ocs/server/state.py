"""What an embedded server leaves on disk about itself: who it is, where it answers, and that there is only one.

Whether one runs is told by the lock it holds, which the kernel takes away with the process: unlike a process id it is
never somebody else's, and unlike a start time it does not move when the clock is set.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from ocs import settings
from ocs.errors import Refused
from ocs.files import open_file

PATIENCE = 2.0
"""Seconds to wait for the lock: a look at it holds it for an instant, and a server that ends for a moment more."""


@dataclass(frozen=True, slots=True)
class UpState:
    """A running embedded server. `pid` is the supervisor's; the children's change when they are started again."""

    pid: int
    url: str
    api_url: str
    port: int
    started_at: str
    server_pid: int | None = None
    worker_pid: int | None = None
    ending_since: str | None = None
    """Since when it takes nothing new and waits for the runs that are at work; None while it goes on."""
    password_file: str | None = None
    """Where its password stands; None when it has none, or one that was set by hand."""
    service: str | None = None
    """As which service a service manager runs it; None when somebody has started it."""


def read(home: Path | None = None) -> UpState | None:
    """The embedded server of a home (default: OCS_HOME); None when none runs, or when it is not ready yet.

    What a killed one left behind is taken away.
    """
    home = home or settings.home()
    try:
        found: dict[str, Any] = json.loads(_file(home).read_text())
        # One that was started by an earlier version does not say all of it.
        state = UpState(**{field.name: found[field.name] for field in fields(UpState) if field.name in found})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if _forget_killed(home) else state


def write(home: Path, state: UpState) -> None:
    """Say that it runs, all at once."""
    temporary = _file(home).with_suffix(".tmp")
    with open_file(temporary, "w") as file:
        file.write(json.dumps(asdict(state)))
    temporary.replace(_file(home))


def mark_settled(home: Path, state: UpState) -> None:
    """Say that what is done at a start is done: the project is rolled out, or it was said why not."""
    with open_file(_settled_file(home), "w") as file:
        file.write(str(state.pid))


def is_settled(home: Path, state: UpState) -> bool:
    """Whether what this server does at its start is done, so that jobs of the project can be run."""
    try:
        return _settled_file(home).read_text() == str(state.pid)
    except OSError:
        return False


@contextlib.contextmanager
def only_one(home: Path) -> Generator[None]:
    """Hold the lock of a home; what is written about this server is taken away in the end.

    Raises:
        Refused: another embedded server holds it.
    """
    with open_file(_lock_file(home), "a") as lock:
        deadline = time.monotonic() + PATIENCE
        while not _take(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise already_running(home)
            time.sleep(0.05)
        _forget(home)
        try:
            yield
        finally:
            _forget(home)


def already_running(home: Path) -> Refused:
    """The refusal to start a second one."""
    state = read(home)
    where = f" at {state.url}" if state else f" with its data in {home}"
    return Refused(
        f"An embedded server is already running{where}.",
        hint="Roll a project out on it: ocs deploy   End it with: ocs down",
    )


def _forget(home: Path) -> None:
    for file in (_file(home), _settled_file(home)):
        file.unlink(missing_ok=True)


def _forget_killed(home: Path) -> bool:
    """Whether nobody holds the lock; no other can take it while the file is removed."""
    try:
        with _lock_file(home).open() as lock:
            if not _take(lock, fcntl.LOCK_SH):
                return False
            _file(home).unlink(missing_ok=True)
    except FileNotFoundError:
        _file(home).unlink(missing_ok=True)
    return True


def _take(lock: IO[Any], how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _file(home: Path) -> Path:
    return home / settings.embedded_state_file().name


def _settled_file(home: Path) -> Path:
    return home / "up.settled"


def _lock_file(home: Path) -> Path:
    return home / "up.lock"
