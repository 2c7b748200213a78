"""A task that runs, as its worker has it: in a store of the test's own, over a gateway that may be a stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from blocks.gateway import ChatTurn, OpenClawGateway
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import DispatchResult
from ocs.rules.tasks import BUILT_IN
from ocs.spec import Job, Output
from ocs.store import Claimed, claim, dispatch_of, steers, tasks
from ocs.store.tables_tasks import Steer, Task
from ocs.store.tasks import NewTask
from tasks.adapter import runtime
from tasks.steering import Ear
from tasks.strategies.agent import run_turn
from tasks.strategies.conversation import Watch
from tests.gateway.real import TOKEN

BY = Attribution("ann", "cli", datetime.now(UTC))
JOB = Job.model_validate(BUILT_IN)
LONG = timedelta(minutes=2)


class Steered:
    """A task that runs, as its worker has it."""

    def __init__(self, url: str, artifacts: Path, task: Task, run_id: UUID) -> None:
        self.reached = OpenClawGateway(url=url, token=SecretStr(TOKEN))
        self.artifacts, self.task, self.run_id = artifacts, task, run_id
        self.key = f"agent:main:scheduler:subagent:{task.id}"
        self.lines: list[str] = []

    def ear(self, run_id: UUID | None = None) -> Ear:
        return Ear(self.task.id, run_id or self.run_id, self.reached, self.key, self.lines.append)

    async def turn(self, message: str = "Mend it.") -> DispatchResult:
        ear = self.ear()
        async with ear.open():
            return await run_turn(
                self.reached, ChatTurn("main", message, self.key), idle=LONG, timeout=LONG, output=Output(),
                artifacts=self.artifacts, on_line=self.lines.append, watch=Watch(ear.saw), ear=ear,
            )  # fmt: skip

    async def say(self, text: str = "Leave it.", *, at_once: bool = False) -> Steer:
        by = replace(BY, now=datetime.now(UTC))
        return (await steers.add(await runtime.store(), self.task, text, at_once=at_once, by=by))[0]

    async def stands(self) -> list[tuple[str, int]]:
        found = await steers.of_task(await runtime.store(), self.task.id)
        return [(str(each.outcome), each.told) for each in found]

    async def until(self, *outcomes: str) -> None:
        async with asyncio.timeout(150):
            while [outcome for outcome, _ in await self.stands()] != list(outcomes):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def steered_task(url: str, folder: Path, environment: pytest.MonkeyPatch) -> AsyncGenerator[Steered]:
    environment.setenv("OCS_STORE_URL", f"sqlite+aiosqlite:///{folder / 'store.db'}")
    store = await runtime.store()
    new = NewTask(label="one", template="subagent", agent="main", text="Mend it.", document=JOB.document())
    (begun,) = await tasks.start(store, [new], max_queued={"subagent": 9}, by=BY)
    dispatch = await dispatch_of(store, begun.task.id)
    assert dispatch is not None
    claimed = await claim(store, JOB, dispatch, flow_run_id=uuid4(), owner="worker", now=datetime.now(UTC))
    assert isinstance(claimed, Claimed)
    yield Steered(url, folder, begun.task, claimed.context.run_id)
    await runtime.close_store()
