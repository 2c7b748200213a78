"""A gateway of our own that never answers two turns of one task at once, and trackers of tasks for its agents."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from blocks.gateway import BLOCK, OpenClawGateway
from ocs.rules.attribution import Attribution
from ocs.rules.trackers import ThenOn
from ocs.spec import Job
from ocs.store import tasks
from ocs.store.membership import NewTracker
from ocs.store.outbox import PendingDispatch
from ocs.store.tasks import NewTask
from tests.e2e.system import RunningSystem
from tests.gateway.server import CHAT, Connection, Server, serving, well

TEMPLATE, FOLLOWS = "coder", "followed"
MOST_MEMBERS = 3
LONGEST_TURN = 1.5
BUSIEST = 10_000
NOBODY = {"when": "never", "opt_out_reason": "a test"}


@dataclass
class Crew:
    """`met` are the sessions of which a turn began while another one of it was at work."""

    server: Server
    chance: random.Random
    begun: int = 0
    met: list[str] = field(default_factory=list[str])
    _at_work: Counter[str] = field(default_factory=Counter[str])

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        """The jobs that it needs: the template of its tasks."""
        agent = {"message": "(the task)", "session": "task", "idle_timeout": "1m"}
        run = {"agent": agent, "guarantee": "at-least-once", "max_replays": 2}
        return {TEMPLATE: {"run": run, "deliver": NOBODY}}

    async def answer(self, connection: Connection) -> None:
        """A turn takes a while; a client that has gone has left it."""
        if connection.request.path != CHAT:
            await well(connection)
            return
        session = connection.request.headers["x-openclaw-session-key"]
        if self._at_work[session]:
            self.met.append(session)
        self._at_work[session] += 1
        left = asyncio.create_task(connection.is_left())
        try:
            await asyncio.wait({left}, timeout=self.chance.uniform(0, LONGEST_TURN))
            if not left.done():
                await well(connection)
        finally:
            self._at_work[session] -= 1
            left.cancel()

    async def begin(self, system: RunningSystem) -> list[PendingDispatch]:
        """A tracker with its tasks, whose end a job follows."""
        self.begun += 1
        name, template = system.id(f"crew-{self.begun}"), system.id(TEMPLATE)
        document = Job.model_validate({"id": template, **self.documents[TEMPLATE]}).document()
        new = [
            NewTask(
                label=f"{name}-{number}", template=template, agent="main", text="Do it.", document=document, track=name
            )
            for number in range(self.chance.randint(1, MOST_MEMBERS))
        ]
        tracker = NewTracker(name=name, then_job=system.id(FOLLOWS), then_on=ThenOn.COMPLETE)
        by = Attribution("chaos", "chaos", system.now())
        begun = await tasks.start(system.store, new, max_queued={template: BUSIEST}, tracker=tracker, by=by)
        return [each.dispatch for each in begun if each.dispatch is not None]


@asynccontextmanager
async def crew(chance: random.Random) -> AsyncIterator[Crew]:
    """For as long as its gateway is there. The server that one talks to keeps where it is."""
    async with serving() as server:
        made = Crew(server, chance)
        server.answer = made.answer
        await cast("Any", OpenClawGateway(url=server.url).save(BLOCK, overwrite=True))
        yield made
