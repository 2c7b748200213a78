"""A worker is killed during a turn that is shown a message: the message waits on, and the replay is shown it again."""

from __future__ import annotations

from typing import Any, cast

import pytest

from blocks.gateway import BLOCK, OpenClawGateway
from ocs.rules.dispatch import RunStatus
from ocs.rules.messages import Draft, Event
from ocs.store import inbox, messages
from tests.crash.rig import Rig
from tests.gateway.server import CHAT, Connection, serving, well

pytestmark = pytest.mark.e2e
NOBODY = {"when": "never", "opt_out_reason": "a test"}


async def test_a_worker_killed_during_a_turn_loses_no_message(rig: Rig) -> None:
    system, agent = rig.system, rig.system.id("scribe")

    async def think(connection: Connection) -> None:
        if connection.request.path != CHAT:
            await well(connection)
            return
        await connection.stream()
        await connection.is_left()

    async def waiting() -> list[str]:
        return [message.body for message in await inbox.inbox(system.store, agent, now=system.now())]

    async with serving() as server:
        await cast("Any", OpenClawGateway(url=server.url).save(BLOCK, overwrite=True))
        server.answer = think
        task = {"agent": {"message": "Write.", "agent": agent}, "guarantee": "at-least-once"}
        system.write("brief", run=task, deliver=NOBODY)
        await system.deploy()
        message = await messages.send(system.store, Draft("ann", agent, "Mind the gap."), now=system.now())
        rig.start_worker()
        await system.run("brief")

        async def thinks() -> bool:
            return bool(server.turns())

        await system.eventually(thinks)
        rig.kill_worker()
        assert await waiting() == ["Mind the gap."]

        server.answer = well
        rig.start_worker()
        crashed, replay = await system.ended("brief", count=2)
        assert (crashed.status, replay.status) == (RunStatus.CRASHED, RunStatus.OK)
        assert ["Mind the gap." in turn.body["messages"][0]["content"] for turn in server.turns()] == [True, True]
        # Recovery ends what goes on of the turn before the replay goes on in its session.
        keys = [turn.headers["x-openclaw-session-key"] for turn in server.turns()]
        assert keys == [crashed.session_key] * 2
        assert [asked.body["args"]["archived"] for asked in server.invoked("sessions")] == [True, False]
        assert {asked.body["sessionKey"] for asked in server.invoked("sessions")} == {crashed.session_key}
    assert await waiting() == []
    trail = (await messages.receipts_of(system.store, [message]))[message.id]
    assert [(receipt.event, receipt.run_id) for receipt in trail] == [
        (Event.ATTEMPT, crashed.id),
        (Event.DELIVERED, replay.id),
    ]
