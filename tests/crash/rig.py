"""What crash tests do: write jobs that leave traces, kill and start server and worker, look at everything at rest."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from sqlmodel import col, select

from deployments import catalogue
from ocs.server.child import Child
from ocs.server.health import wait_until_it_answers
from ocs.store.outbox import OPEN
from ocs.store.running import is_unfinished
from ocs.store.tables import DispatchRow, IdempotencyKey, Run
from ocs.store.tables_delivery import Delivery
from ocs.store.tables_teams import Tracker
from tasks.strategies import reaper
from tests.crash.invariants import Seen, violations
from tests.crash.nursery import Nursery
from tests.crash.points import GO, passed
from tests.crash.worker import RUN_ID
from tests.delivery.receiver import Receiver
from tests.e2e.system import RunningSystem

AT_REST_WITHIN = 150.0
PAGE = 200
MARK = "CRASH_TEST"
"""In the environment of every process of a job, whoever may have lost track of it."""


@dataclass
class Scene:
    """Jobs, the traces they leave in `folder`, and everything that is known of them."""

    system: RunningSystem
    folder: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    asked: list[UUID] = field(default_factory=list[UUID])
    mailbox: Receiver = field(default_factory=Receiver)

    @property
    def traces(self) -> Path:
        return self.folder / "traces"

    @property
    def gate(self) -> Path:
        """Shells of jobs that wait go on once it is there."""
        return self.folder / "gate"

    def write(self, name: str, then: str = "", **document: Any) -> str:
        """A job that says which of its runs is at work, and then does as told."""
        command = f'echo "${RUN_ID}" >> {self.traces}; {then or "true"}'
        run = {"shell": {"command": command, "env": {MARK: self.mark}}, **document.pop("run", {})}
        return self.system.write(name, run=run, **document)

    def alone(self, what: str, then: str) -> str:
        """Does it in a process group of its own, as the only one that holds `what`; one that meets another says so."""
        held = f"timeout 600 flock --nonblock --conflict-exit-code 99 {self.folder / what}.lock"
        met = f'[ $code != 99 ] || echo "${RUN_ID}" >> {self.met}'
        return f"{held} bash -c {shlex.quote(then)}; code=$?; {met}; (exit $code)"

    @property
    def met(self) -> Path:
        return self.folder / "met"

    def waiting(self) -> str:
        """What a shell does that goes on when the test wants it to."""
        return f"until [ -e {self.gate} ]; do sleep 0.05; done"

    async def run(self, name: str, **parameters: Any) -> UUID:
        dispatch = await self.system.run(name, **parameters)
        self.asked.append(dispatch)
        return dispatch

    async def at_rest(
        self, within: float = AT_REST_WITHIN, occurrences: Mapping[str, Sequence[datetime]] | None = None
    ) -> Seen:
        """Everything, once nothing is under way any more and nothing is wrong."""
        deadline = time.monotonic() + within
        while True:
            # The store is asked first, and often: it costs little beside the server and all processes.
            while await self._is_under_way() and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
            seen = await self.look(occurrences or {})
            wrong = violations(seen)
            if not wrong or time.monotonic() > deadline:
                assert not wrong, "\n".join(str(violation) for violation in wrong)
                return seen
            await asyncio.sleep(0.4)

    async def _is_under_way(self) -> bool:
        ours = self.system.suffix
        async with self.system.store.reading() as session:
            runs = select(Run.id).where(col(Run.job_id).endswith(ours), is_unfinished())
            rows = select(DispatchRow.id).where(
                col(DispatchRow.job_id).endswith(ours), col(DispatchRow.status).in_(OPEN)
            )
            found = [(await session.scalars(query.limit(1))).first() for query in (runs, rows)]
        return any(found)

    async def look(self, occurrences: Mapping[str, Sequence[datetime]]) -> Seen:
        """All that is known of this test's jobs."""
        jobs = catalogue.read(self.system.project).jobs
        async with self.system.store.reading() as session:
            runs = list(await session.scalars(select(Run).where(col(Run.job_id).in_(jobs))))
            rows = list(await session.scalars(select(DispatchRow).where(col(DispatchRow.job_id).in_(jobs))))
            keys = list(await session.scalars(select(IdempotencyKey).where(col(IdempotencyKey.job_id).in_(jobs))))
            told = list(await session.scalars(select(Delivery).where(col(Delivery.job_id).in_(jobs))))
            ours = select(Tracker).where(col(Tracker.name).endswith(self.system.suffix))
            tracked = list(await session.scalars(ours))
        return Seen(
            jobs=jobs,
            runs=runs,
            dispatches=rows,
            keys=keys,
            flow_runs=await self._flow_runs(jobs),
            executed=self.executed(),
            asked=self.asked,
            alive=marked_processes(self.mark),
            occurrences=occurrences,
            deliveries=told,
            met=_run_ids(self.met),
            trackers=tracked,
            told={message.headers["webhook-id"] for message in self.mailbox.received},
        )

    async def _flow_runs(self, jobs: Collection[str]) -> list[FlowRun]:
        wanted = FlowRunFilter(tags=FlowRunFilterTags(any_=[f"job:{job_id}" for job_id in jobs]))
        found: list[FlowRun] = []
        while page := await self.system.client.read_flow_runs(
            flow_run_filter=wanted, sort=FlowRunSort.ID_DESC, limit=PAGE, offset=len(found)
        ):
            found += page
            if len(page) < PAGE:
                break
        return found

    def executed(self) -> list[UUID]:
        """The run ids in the traces, in order."""
        return _run_ids(self.traces)


@dataclass
class Rig:
    """A scene whose server and worker can be killed and started again."""

    scene: Scene
    api_url: str
    server: Child
    nursery: Nursery
    workers: list[int] = field(default_factory=list[int])
    notes: int = 0

    @property
    def system(self) -> RunningSystem:
        return self.scene.system

    def _holds(self, worker: str) -> Path:
        return self.scene.folder / f"holds-{worker}"

    @property
    def _note(self) -> Path:
        return self.scene.folder / f"died-{self.notes}"

    def start_worker(
        self,
        kill_at: str | None = None,
        *,
        name: str = "crash",
        limit: int = 20,
        clock: int | None = None,
        **holds: str,
    ) -> int:
        """Start a worker; with `kill_at` it kills itself there, once. `holds` are the points where jobs' runs wait.

        Its clock goes `clock` seconds wrong with `jump`.
        """
        arguments = ["--name", name, "--limit", str(limit), "--holds", str(self._holds(name))]
        arguments += [part for job, point in holds.items() for part in ("--hold", f"{self.system.id(job)}={point}")]
        if kill_at is not None:
            self.notes += 1
            arguments += ["--kill-at", kill_at, "--note", str(self._note)]
        if clock is not None:
            arguments += [f"--clock={clock}", "--jump", str(self.scene.folder / "jump")]
        self._holds(name).mkdir(exist_ok=True)
        self.workers.append(self.nursery.start(*arguments))
        return self.workers[-1]

    def jump(self) -> None:
        """From now on the worker's clock is wrong."""
        (self.scene.folder / "jump").touch()

    async def killed(self, worker: int | None = None) -> None:
        """Wait until the worker has killed itself at its point: the last one that was started, or another."""
        pid = worker or self.workers[-1]

        async def look() -> bool:
            return self._note.exists() and not psutil.pid_exists(pid)

        await self.system.eventually(look)

    async def held(self, *names: str, worker: str = "crash") -> None:
        """Wait until each of these jobs has a run that holds at its point."""
        await self._noted({self.system.id(name) for name in names}, worker)

    async def passed(self, name: str, worker: str = "crash") -> None:
        """Wait until a run that was held has gone on beyond its point."""
        await self._noted({passed(self.system.id(name))}, worker)

    async def _noted(self, names: Collection[str], worker: str) -> None:
        async def look() -> bool:
            return {*names} <= {path.name for path in self._holds(worker).iterdir()}

        await self.system.eventually(look)

    def release(self, worker: str = "crash") -> None:
        """What holds goes on."""
        (self._holds(worker) / GO).touch()

    def kill_worker(self, worker: int | None = None, *, reaper_too: bool = False) -> None:
        """The last one that was started, or another. With its reaper, nobody is left who would end its jobs."""
        worker = worker or self.workers[-1]
        reapers = [child for child in _children(worker) if _is_reaper(child)] if reaper_too else []
        kill_at_once([worker, *(child.pid for child in reapers)])
        psutil.wait_procs(reapers, timeout=60)

    def kill_workers(self) -> None:
        """All that are left."""
        self.nursery.kill_all()

    def kill_server(self) -> None:
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.end(timedelta(minutes=1))  # collects it

    def start_server(self) -> None:
        """On the same data and the same port."""
        self.server.start()
        assert wait_until_it_answers(self.api_url, self.server.has_ended), self.server.last_words()


def _run_ids(path: Path) -> list[UUID]:
    return [UUID(line) for line in path.read_text().split()] if path.exists() else []


def kill(pid: int) -> None:
    """At once, whatever it was doing."""
    _send(pid, signal.SIGKILL)


def kill_at_once(pids: Sequence[int]) -> None:
    """So that none of them has the time to see that another is gone."""
    for signum in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            _send(pid, signum)


def _send(pid: int, signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signum)


def marked_processes(mark: str) -> list[int]:
    """The living processes whose environment carries a mark."""
    wanted = f"{MARK}={mark}".encode()
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def _is_reaper(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return reaper.NAME in process.cmdline()
    return False
