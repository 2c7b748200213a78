"""A child process that the supervisor keeps running: its log, its parent-death watch, and when it starts again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from ocs.files import open_file
from ocs.parent_death import VARIABLE

LARGEST_LOG = 10_000_000
SOON = 30.0
"""A child that lived shorter than this, in seconds, died at once: importing Prefect alone takes a slow machine ten."""
PATIENCE = 5
"""The supervisor bears so many deaths at once in a row."""
LONGEST_PAUSE = 10.0


class Child:
    """One process at a time, restarted with growing pauses while it dies at once."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log = log
        self._argv = list(argv)
        self._env = {**env, VARIABLE: "1"}
        self._cwd = cwd
        self._pass_fds = tuple(pass_fds)
        self._quick_deaths = 0
        self._started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it; its output is added to its log."""
        self.trim_log()
        self._started_at = time.monotonic()
        with open_file(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=self._pass_fds,
                start_new_session=True,  # a Ctrl-C is for the supervisor, which ends its children in order
            )

    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def how_it_ended(self) -> str:
        """As part of a sentence: "was ended by signal 9 (Killed)"."""
        status = self._process.poll() if self._process else None
        if status is not None and status < 0:
            return f"was ended by signal {-status} ({signal.strsignal(-status)})"
        return f"ended with status {status}"

    def pause_before_restart(self) -> float | None:
        """Seconds to wait before starting it again; None when it has died at once too often."""
        lived = time.monotonic() - self._started_at
        self._quick_deaths = self._quick_deaths + 1 if lived < SOON else 0
        if self._quick_deaths > PATIENCE:
            return None
        return min(LONGEST_PAUSE, 0.5 * 2**self._quick_deaths) if self._quick_deaths else 0.0

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end; False when it takes longer."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self, within: timedelta) -> None:
        """End it, by force if it does not follow `within` that time."""
        self.terminate()
        if not self.wait(within.total_seconds()) and self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def trim_log(self) -> None:
        """Move what a log that grew too large holds aside.

        The child keeps its open file, which only appends; the little it writes during the copy is lost.
        """
        if not self.log.exists() or self.log.stat().st_size <= LARGEST_LOG:
            return
        aside = self.log.with_suffix(".log.1")
        with contextlib.suppress(OSError), self.log.open("rb") as full, open_file(aside, "wb") as copy:
            shutil.copyfileobj(full, copy)  # on a full disk better without a copy
        os.truncate(self.log, 0)

    def last_words(self) -> str:
        """The last thing its log says; the rest is there."""
        lines = tail(self.log, 1)
        return f"{lines or 'It said nothing.'}\nIts log: {self.log}"


def tail(path: Path, lines: int) -> str:
    """The last lines of a file that say something, empty when there is none."""
    try:
        said = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return "\n".join(said[-lines:])


def python(*arguments: str) -> list[str]:
    """A command line for a module of ours; a `tasks.py` in the current folder must not stand in for it."""
    return [sys.executable, "-P", *arguments]
