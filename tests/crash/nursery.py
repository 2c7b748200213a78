"""Workers by the dozen: a process that has imported everything forks each of them, so that a restart costs no import.

A forked worker runs the very code of `python -m tests.crash.worker`; only the interpreter's start is shared. As a
program it reads a command line (a JSON list) per line from its input and answers with the new worker's process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
TICKS = {"OCS_TIMING_TICK": "3"}
"""For workers of tests that wait for ticks."""


class Nursery:
    """Where workers are started from. Each is collected by the nursery as soon as it has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._workers: dict[int, psutil.Process] = {}

    def start(self, *arguments: str) -> int:
        """Start a worker; returns its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(arguments)}\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        with contextlib.suppress(psutil.NoSuchProcess):  # it has died already
            self._workers[pid] = psutil.Process(pid)
        return pid

    def kill_all(self) -> None:
        """Those that are left. The number of one that has ended may be another process's by now, which is let live."""
        for worker in self._workers.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        self._workers.clear()


@contextlib.contextmanager
def nursery(*, api_url: str, home: Path, log: Path, env: Mapping[str, str] | None = None) -> Iterator[Nursery]:
    """A nursery for one server and one home; what it started is killed with it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "OCS_"))}
    environment |= {"PREFECT_API_URL": api_url, "OCS_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
    environment |= {"DO_NOT_TRACK": "1", **(env or {})}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
        made = Nursery(process)
        try:
            yield made
        finally:
            made.kill_all()
            process.communicate()


def main() -> None:
    """Fork for every line."""
    import flows.job  # noqa: F401  what every run needs
    from tests.crash import worker

    if threading.active_count() > 1:
        raise RuntimeError(f"there are threads, a fork would lose them: {threading.enumerate()}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel collects them
    answers = os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            worker.main(json.loads(line))
            return
        os.write(answers, f"{pid}\n".encode())


if __name__ == "__main__":
    main()
