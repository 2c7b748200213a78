"""A worker is killed after a run's child is written and before anybody knows: the run asks again, and has one child."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from blocks.gateway import BLOCK, OpenClawGateway
from ocs.rules.dispatch import RunStatus
from tests.crash.points import SPAWNED
from tests.crash.rig import Rig
from tests.gateway.server import CHAT, Connection, serving, well

pytestmark = pytest.mark.e2e
NOBODY = {"when": "never", "opt_out_reason": "x"}


async def test_between_the_child_s_enqueue_and_the_answer(rig: Rig) -> None:
    system = rig.system
    answers: list[dict[str, Any]] = []
    wish = {"text": "The child.", "label": system.id("child")}

    async def answer(connection: Connection) -> None:
        if connection.request.path != CHAT:
            await well(connection)
            return
        messages = connection.request.body["messages"]
        await connection.stream()
        if messages[-1]["role"] == "user" and "The child." not in messages[0]["content"]:
            await connection.call([("ocs_dispatch", wish)])
            return
        answers.extend(json.loads(each["content"]) for each in messages if each["role"] == "tool")
        await connection.say("Done.")
        await connection.done()

    async with serving() as server:
        await cast("Any", OpenClawGateway(url=server.url).save(BLOCK, overwrite=True))
        server.answer = answer
        turn = {"agent": {"message": "Hand it on.", "session": "task"}, "guarantee": "at-least-once"}
        system.write("coder", run=turn, deliver=NOBODY)
        system.write("asks", run=turn, deliver=NOBODY, spawn={"may": [system.id("coder")]})
        await system.deploy()
        rig.start_worker(kill_at=SPAWNED)
        await system.run("asks")
        await rig.killed()
        assert answers == []
        rig.start_worker()
        asks = await system.ended("asks", count=2)
        child = await system.ended_run("coder")
        assert [run.status for run in (*asks, child)] == [RunStatus.CRASHED, RunStatus.OK, RunStatus.OK]
        assert [(each["ok"], each["already"]) for each in answers] == [(True, True)]
