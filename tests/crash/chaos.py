"""Chaos: a mix of jobs, and random deaths of two workers and the server while they run: `make chaos N=200 SEED=7`.

Now and then nobody dies and there is more to do than can be done.

Everything that is drawn comes from the seed, which is printed; what happens in between is the machine's doing. In the
end the schedules are taken away, and all invariants must hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deployments import catalogue
from ocs.rules.attribution import Attribution
from ocs.rules.occurrences import occurrences_between
from ocs.server import answers, embedded_server
from ocs.store import PendingDispatch, enqueue
from tasks.adapter.publish import publish
from tests.crash.crew import FOLLOWS, Crew, crew
from tests.crash.invariants import Harm, Seen, Violation, violations
from tests.crash.nursery import nursery
from tests.crash.rig import Rig, Scene
from tests.e2e.system import running_system
from tests.holding import held

A_KILL_TAKES = 20.0
WORK_WITHIN = 10.0
REST_WITHIN = 300.0
"""Seconds, for every kill, and in the end without a run that ends: whoever has not come to rest by then is stuck."""
VICTIMS = {"worker": 10, "worker and reaper": 4, "server": 4, "all": 3, "survivors": 3}
"""Who is killed, and how often; survivors are commands that left their group, when nobody is left to end them."""
TROUBLES = {**VICTIMS, "overload": 3, "stall": 2}
"""What happens, and how often: somebody is killed, or nobody and there is another kind of trouble."""
AT_A_RUSH = 30
BUSY_SECONDS = 8.0
STALLS = 40.0
"""Seconds at most: longer than SQLite waits for whoever writes."""
WORKERS = ("one", "two")
WITH_REAPERS = ("worker and reaper", "all", "survivors")
APART = ("apart-a", "apart-b")
BY_HAND = ("first", "flaky", "pooled-a", "pooled-b", "queued", "newest", "sure", *APART)
SCHEDULED = ("tick", "beat")
TRACKED = 0.3
"""How often a tracker with its tasks is begun, too."""
UNBOUNDED = {"backoff": False, "limits": {"max_queued": 10_000}, "lifecycle": {"keep_runs": 100_000}}
"""Nothing is held back, and no record of a long run is pruned before it is looked at."""
LONGER = 'sleep "$(( RANDOM % 3 )).$(( RANDOM % 10 ))"'
SOMETIMES = f"{LONGER}; exit $(( RANDOM % 3 == 0 ))"


@dataclass
class Chaos:
    """One rig, and what was done to it."""

    rig: Rig
    chance: random.Random
    crew: Crew
    kills: Counter[str] = field(default_factory=Counter[str])
    workers: dict[str, int] = field(default_factory=dict[str, int])
    latest: str = ""

    def write(self, scheduled: bool) -> None:
        """All jobs; in the end they are written again without schedules."""
        every: dict[str, Any] = {"tick": {"schedule": {"every": "3s"}}, "beat": {"schedule": {"every": "4s"}}}
        sure = {"run": {"guarantee": "at-least-once", "max_replays": 2}}
        overlap = {"limits": {**UNBOUNDED["limits"], "overlap": "queue"}}
        pooled = {"limits": {**UNBOUNDED["limits"], "overlap": "queue", "pool": self.rig.system.id("pool")}}
        apart = {"limits": {**UNBOUNDED["limits"], "overlap": "queue", "pool": self.rig.system.id("apart")}}
        jobs: dict[str, tuple[str, dict[str, Any]]] = {
            "tick": (LONGER, every["tick"] if scheduled else {}),
            "beat": (LONGER, {**sure, **(every["beat"] if scheduled else {})}),
            "after-tick": ("true", {"after": {"job": "tick", "on": "complete"}}),
            "first": (SOMETIMES, {}),
            "second": (LONGER, {"after": {"job": "first", "on": "success"}}),
            "third": ("true", {"after": {"job": "second", "on": "complete", "delay": "1s"}}),
            "tell": ("true", {"after": {"job": "first", "on": "failure"}}),
            "flaky": (SOMETIMES, {"retry": {"max": 2, "delay": "1s"}}),
            "tell-flaky": ("true", {"after": {"job": "flaky", "on": "failure"}}),
            "pooled-a": (LONGER, pooled),
            "pooled-b": (SOMETIMES, pooled),
            "queued": (LONGER, overlap),
            "newest": (LONGER, {"limits": {**UNBOUNDED["limits"], "overlap": "replace"}}),
            # What is left of one must be gone before the next begins: survivors.
            "apart-a": (self.rig.scene.alone("pool", LONGER), {**sure, **apart}),
            "apart-b": (self.rig.scene.alone("pool", SOMETIMES), {**sure, **apart}),
            "sure": (LONGER, {**sure, **overlap}),
            "after-sure": ("true", {"after": {"job": "sure", "on": "complete"}}),
            FOLLOWS: ("true", {}),
        }
        for name, (does, document) in jobs.items():
            self.rig.scene.write(name, does, **{**UNBOUNDED, **document})
        for name, document in self.crew.documents.items():
            self.rig.system.write(name, **{**UNBOUNDED, **document})

    async def one_death(self) -> None:
        """Ask for some runs, let things happen for a while, kill, and start again what is dead."""
        await self._ask(self.chance.randint(0, 3))
        if self.chance.random() < TRACKED:
            await self._send(await self.crew.begin(self.rig.system))
        await self._some_work(runs=self.chance.randint(0, 4))
        await asyncio.sleep(self.chance.uniform(0, 2))
        victim = self.chance.choices([*TROUBLES], [*TROUBLES.values()])[0]
        self.kills[victim] += 1
        self.latest = victim
        if victim == "overload":
            await self._overload()
            return
        if victim == "stall":
            await self._stall()
            return
        if victim == "survivors":
            await self._ask(2, APART)
            await self._some_work(runs=1)
        dead = {"server": (), "all": WORKERS, "survivors": WORKERS}.get(victim, (self.chance.choice(WORKERS),))
        if victim in ("server", "all"):
            self.rig.kill_server()
        for name in dead:
            self.rig.kill_worker(self.workers[name], reaper_too=victim in WITH_REAPERS)
        await asyncio.sleep(self.chance.uniform(0, 1))
        self.start_workers(*dead)
        if victim in ("server", "all"):
            await self._ask(self.chance.randint(0, 1))
            await asyncio.to_thread(self.rig.start_server)

    async def _overload(self) -> None:
        """More is asked for at once than can run soon, on a machine that has something else to do."""
        await self._ask(AT_A_RUSH)
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
        try:
            await asyncio.sleep(BUSY_SECONDS)
        finally:
            for process in busy:
                process.kill()
                process.wait()

    async def _stall(self) -> None:
        """Somebody writes to the store for long, while runs begin and end."""
        async with held(self.rig.system.store.engine.url):
            await asyncio.sleep(self.chance.uniform(1, STALLS))

    def start_workers(self, *names: str) -> None:
        for name in names:
            self.workers[name] = self.rig.start_worker(name=name)

    async def _some_work(self, runs: int) -> None:
        """Until so many more runs have begun; a worker that is killed again before it can is a case, too."""
        begun = len(self.rig.scene.executed()) + runs
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WORK_WITHIN):
                while len(self.rig.scene.executed()) < begun:
                    await asyncio.sleep(0.05)

    async def _ask(self, count: int, among: Sequence[str] = BY_HAND) -> None:
        """By hand, as `ocs jobs run` does; what the server does not take in time waits in the outbox."""
        system = self.rig.scene.system
        rows = [
            await enqueue(
                system.store,
                system.id(name),
                by=Attribution("chaos", "chaos", datetime.now(UTC)),
                max_queued=UNBOUNDED["limits"]["max_queued"],
            )
            for name in self.chance.choices(among, k=count)
        ]
        await self._send(rows)

    async def _send(self, rows: Sequence[PendingDispatch]) -> None:
        system = self.rig.scene.system
        self.rig.scene.asked.extend(row.id for row in rows)
        if rows and answers(self.rig.api_url):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await publish(system.client, system.store, rows)


@contextlib.asynccontextmanager
async def begun(folder: Path, chance: random.Random) -> AsyncIterator[Chaos]:
    """Server, worker and jobs in a folder."""
    home = folder / "home"
    home.mkdir()
    with (
        embedded_server(home / "server") as (api_url, server),
        nursery(api_url=api_url, home=home, log=folder / "workers.log") as workers,
    ):
        async with running_system(api_url, home, folder / "chaos") as system, crew(chance) as agents:
            chaos = Chaos(Rig(Scene(system, folder), api_url, server, workers), chance, agents)
            try:
                chaos.write(scheduled=True)
                await system.deploy()
                chaos.start_workers(*WORKERS)
                yield chaos
            finally:
                chaos.rig.kill_workers()


async def run(deaths: int, seed: int, folder: Path) -> int:
    """Kill so many times; returns how many violations there are."""
    began = time.monotonic()
    async with begun(folder, random.Random(seed)) as chaos:
        deployed = datetime.now(UTC)
        for number in range(1, deaths + 1):
            await one_trouble(chaos, number)
            if number % 10 == 0 or number == deaths:
                work = len(chaos.rig.scene.executed())
                say(f"{number} of {deaths} kills, {work} runs did their work, {time.monotonic() - began:.0f} s")
            if time.monotonic() - began > A_KILL_TAKES * deaths + REST_WITHIN:
                say("It takes too long; the rest is left out.")
                break
        seen, seconds = await rest(chaos, deployed)
        return tell(chaos, seen, seconds)


async def one_trouble(chaos: Chaos, number: int) -> None:
    """What hangs is told at once: tidying up after it may hang as well."""
    try:
        async with asyncio.timeout(REST_WITHIN):
            await chaos.one_death()
    except Exception:
        say(f"Kill {number} ({chaos.latest}) did not end well:\n{traceback.format_exc()}")
        raise


async def rest(chaos: Chaos, deployed: datetime) -> tuple[Seen, float]:
    """Take the schedules away and wait until nothing is under way any more."""
    say("No more kills; waiting for everything to come to rest...")
    scene = chaos.rig.scene
    # The first ones may have been due before the server had made them, the last ones were taken away.
    after, until = deployed + timedelta(seconds=10), datetime.now(UTC) - timedelta(seconds=5)
    jobs = catalogue.read(scene.system.project).jobs
    due = {job.id: occurrences_between(job.schedule, after, until) for job in jobs.values() if job.schedule is not None}
    chaos.write(scheduled=False)
    await scene.system.deploy()
    began = moved = time.monotonic()
    ended = 0
    while violations(seen := await scene.look(due)) and time.monotonic() - moved < REST_WITHIN:
        # A slow machine has much to catch up with: only what stands still is stuck.
        if (now_ended := sum(run.status.final for run in seen.runs)) > ended:
            ended, moved = now_ended, time.monotonic()
        await asyncio.sleep(2)
    return seen, time.monotonic() - began


def tell(chaos: Chaos, seen: Seen, seconds: float) -> int:
    """The totals, and each violation."""
    wrong = violations(seen)
    wrong += [Violation(Harm.DOUBLED, f"{session} had two turns at once") for session in chaos.crew.met]
    for violation in wrong:
        say(str(violation))
    harms = Counter(violation.harm for violation in wrong)
    statuses = Counter(run.status for run in seen.runs)
    say(f"at rest after {seconds:.0f} s")
    say(f"trackers {len(seen.trackers)}")
    say(f"runs     {len(seen.runs)}: " + ", ".join(f"{count} {status}" for status, count in statuses.most_common()))
    say(f"kills    {chaos.kills.total()}: " + ", ".join(f"{count} {who}" for who, count in chaos.kills.most_common()))
    for harm in Harm:
        say(f"{harm:8} {harms[harm]}")
    return len(wrong)


def say(what: str) -> None:
    """At once: a long run is watched."""
    print(what, flush=True)


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, help="what a former run printed; by default a new one")
    parser.add_argument("--keep", type=Path, help="an empty folder for data and logs, kept")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    say(f"SEED={seed}")
    with contextlib.ExitStack() as stack:
        folder = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(exist_ok=True)
        wrong = asyncio.run(run(asked.kills, seed, folder))
    say(f"SEED={seed}: " + ("nothing lost, doubled or stuck" if not wrong else f"{wrong} violations"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
