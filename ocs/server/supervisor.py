"""The supervisor: one process that keeps a server and a worker running, and ends them in order."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from datetime import UTC, datetime

from ocs import logs, settings
from ocs.errors import OcsError
from ocs.parent_death import end_with_parent
from ocs.server import password, state
from ocs.server.child import Child, python
from ocs.server.config import Config
from ocs.server.embedded import did_not_start, server_child
from ocs.server.environment import worker_environment
from ocs.server.health import wait_until_it_answers
from ocs.server.listen import listen
from ocs.timing import timing

LOOK_AGAIN = 0.2


class Supervisor:
    """Runs until a signal: the first drains the worker, a second ends its runs too.

    It writes what happens to the children to the file descriptor `watcher`.
    """

    def __init__(self, config: Config, watcher: int | None = None) -> None:
        self.config = config
        self._watcher = watcher
        self._signals = 0
        self._due: dict[str, float] = {}
        self._ending_since: datetime | None = None
        self._started_at = datetime.now(UTC)

    def run(self) -> None:
        """Start both, keep both, end both.

        Raises:
            OcsError: something stands against starting, or a child dies again and again.
        """
        self.config.check()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._on_signal)
        with state.only_one(self.config.home), listen(self.config.host, self.config.port) as listening:
            self._port = listening.getsockname()[1]
            self._password = password.choose(self.config)
            self._server = server_child(self.config, listening.fileno(), self._port, self._password)
            self._worker = self._worker_child()
            try:
                self._start()
                while not self._signals:
                    self._keep(self._server, self._worker)
                    time.sleep(LOOK_AGAIN)
                self._drain()
            finally:
                self._worker.end(timing().worker_end)
                self._server.end(timing().server_end)

    def _start(self) -> None:
        self._server.start()
        api_url = f"{self.config.url(self._port)}/api"
        if wait_until_it_answers(api_url, lambda: self._server.has_ended() or self._signals > 0):
            self._worker.start()
            self._write_state()
            say(f"ready at {api_url}")
        elif not self._signals:
            raise did_not_start(self._server)

    def _keep(self, *children: Child) -> None:
        """Start again what has ended, once it is due."""
        for child in children:
            child.trim_log()
            if not child.has_ended():
                continue
            if child.name not in self._due:
                self._due[child.name] = time.monotonic() + self._pause(child)
            if time.monotonic() >= self._due[child.name]:
                del self._due[child.name]
                child.start()
                self._write_state()

    def _pause(self, child: Child) -> float:
        how = f"The {child.name} {child.how_it_ended()}"
        pause = child.pause_before_restart()
        if pause is None:
            raise OcsError(f"{how}, as it did again and again before: {child.last_words()}")
        self._report(f"{how}; it is started again" + (f" in {pause:.0f} s." if pause else "."))
        return pause

    def _drain(self) -> None:
        """The worker first, and as long as its runs need a server for their results there is one."""
        asked = self._signals
        self._ending_since = datetime.now(UTC)
        self._write_state()
        self._worker.terminate()
        while self._signals == asked and not self._worker.wait(LOOK_AGAIN):
            self._keep(self._server)

    def _worker_child(self) -> Child:
        ours = python("-m", "ocs.worker_process", "--pool", settings.WORK_POOL, "--limit", str(self.config.limit))
        ours += ["--metrics", self.config.metrics] if self.config.metrics else []
        return Child(
            "worker",
            self.config.worker or ours,
            env=worker_environment(self.config, self._port, self._password),
            log=self.config.logs / "worker.log",
        )

    def _write_state(self) -> None:
        url = self.config.url(self._port)
        file = self._password.file if self._password else None
        now_running = state.UpState(
            pid=os.getpid(),
            url=url,
            api_url=f"{url}/api",
            port=self._port,
            started_at=self._started_at.isoformat(),
            server_pid=self._server.pid,
            worker_pid=self._worker.pid,
            ending_since=self._ending_since.isoformat() if self._ending_since else None,
            password_file=str(file) if file else None,
            service=settings.service(),
        )
        try:
            state.write(self.config.home, now_running)
        except OSError as failed:  # a full disk: what was written before stands, and all goes on
            self._report(f"It could not be written down which processes run: {failed.strerror}.")

    def _report(self, what: str) -> None:
        say(what)
        if self._watcher is not None:
            with contextlib.suppress(OSError):  # nobody watches any more
                os.write(self._watcher, f"{what}\n".encode())

    def _on_signal(self, _signum: int, _frame: object) -> None:
        self._signals += 1


def say(what: str) -> None:
    """To the log, unless its disk is full."""
    with contextlib.suppress(OSError):
        print(logs.line(what, "ocs.supervisor"), file=sys.stderr, flush=True)


def main() -> int:
    """Run as a process of its own; its output is its log."""
    parser = argparse.ArgumentParser(prog="python -m ocs.server.supervisor")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--no-auth", dest="auth", action="store_false", help="ask for no password")
    parser.add_argument("--metrics", help="where the worker serves metrics")
    parser.add_argument("--watcher", type=int, help="a file descriptor to tell of restarts")
    parser.add_argument("worker", nargs="*", help="the worker's command line, when it is not ours")
    given = parser.parse_args()
    end_with_parent(patience=None)
    config = Config(
        settings.home(), given.host, given.port, given.limit, tuple(given.worker), given.auth, given.metrics
    )
    supervisor = Supervisor(config, given.watcher)
    try:
        supervisor.run()
    except OcsError as refused:
        say(f"{refused.message} {refused.hint or ''}")
        return refused.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
