"""Teams, acknowledgements that are required, and agents, in the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from ocs.errors import NotFound, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import Dispatch, DispatchKind, DispatchResult, RunStatus
from ocs.rules.messages import Draft
from ocs.spec import Job
from ocs.store import Claimed, Store, acknowledgements, agents, claim, deliveries, finish, inbox, messages, teams
from ocs.store import record_session as turn_begins
from ocs.store.tables_messages import Message

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
BY = Attribution("ann", "cli", NOW)
HOUR = timedelta(hours=1)
JOB = Job.model_validate(
    {
        "id": "brief",
        "run": {"agent": {"message": "Look.", "agent": "coder"}},
        "deliver": {"when": "never", "opt_out_reason": "a test"},
    }
)


async def docs(store: Store) -> None:
    await teams.set_team(store, "docs", ["writer", "reviewer", "tester"], by=BY)


async def sent(store: Store, to: str = "team:docs", **fields: Any) -> Message:
    return await messages.send(store, Draft("ann", to, "No deploys.", **fields), now=NOW)


async def waits_for(store: Store, *readers: str) -> dict[str, int]:
    return {reader: len(await inbox.inbox(store, reader, now=NOW)) for reader in readers}


async def test_each_member_of_a_team_has_its_messages_and_nobody_else(store: Store) -> None:
    await docs(store)
    message = await sent(store)
    assert await waits_for(store, "writer", "reviewer", "main", "docs") == {
        "writer": 1,
        "reviewer": 1,
        "main": 0,
        "docs": 0,
    }
    await messages.read(store, message, by="writer", login="ann", now=NOW)
    assert await waits_for(store, "writer", "reviewer") == {"writer": 0, "reviewer": 1}
    (shown,) = await inbox.take(store, "reviewer", uuid4(), now=NOW)
    assert shown.recipient == "team:docs"
    assert message.expires_at == NOW + timedelta(days=30)
    await teams.set_team(store, "docs", ["writer"], by=BY)
    assert await waits_for(store, "reviewer") == {"reviewer": 0}


async def test_a_team_that_is_not_there_gets_nothing(store: Store) -> None:
    with pytest.raises(NotFound, match='There is no team "docs"'):
        await sent(store)
    await docs(store)
    assert await teams.teams(store) == {"docs": ["reviewer", "tester", "writer"]}
    await teams.set_team(store, "docs", [], by=BY)
    with pytest.raises(NotFound):
        await teams.team(store, "docs")


async def test_who_has_not_acknowledged_in_time_is_told_of_once(store: Store) -> None:
    await docs(store)
    message = await sent(store, ack_by=NOW + HOUR, overdue_to=("ops",), subject="freeze")
    shown = await inbox.take(store, "writer", uuid4(), now=NOW)
    assert shown[0].ack == f"ocs messages ack {message.id.hex[:8]} --by writer"
    await messages.acknowledge(store, message, by="writer", login="ann", now=NOW)
    await messages.read(store, message, by="tester", login="ann", now=NOW)  # that is no acknowledgement
    assert await acknowledgements.due(store, NOW + HOUR - timedelta(seconds=1)) == []
    assert await acknowledgements.due(store, NOW + HOUR) == [message.id]
    assert await acknowledgements.settle(store, message.id, NOW + HOUR) == ["reviewer", "tester"]
    assert await acknowledgements.settle(store, message.id, NOW + HOUR) == ()
    assert await acknowledgements.due(store, NOW + 2 * HOUR) == []
    (delivery,) = await deliveries.unsent(store)
    assert (delivery.target, delivery.subject) == ("ops", "Not acknowledged by 2 of the team docs: freeze")
    assert "Missing: reviewer, tester." in delivery.body
    assert await acknowledgements.missing(store, [message]) == {message.id: ["reviewer", "tester"]}


async def test_the_sender_is_told_when_nobody_else_is_named(store: Store) -> None:
    one, other = (await sent(store, "coder", ack_by=NOW + HOUR), await sent(store, "coder", ack_by=NOW + HOUR))
    await messages.acknowledge(store, one, by="coder", login="ann", now=NOW)
    for each in await acknowledgements.due(store, NOW + HOUR):
        await acknowledgements.settle(store, each, NOW + HOUR)
    assert [delivery.target for delivery in await deliveries.unsent(store)] == ["inbox:ann"]
    assert other.ack_by == NOW + HOUR


async def test_what_is_to_be_acknowledged_is_kept_until_that_was_looked_at(store: Store) -> None:
    message = await sent(store, "coder", ack_by=NOW + 90 * 24 * HOUR)
    await messages.read(store, message, by="coder", login="ann", now=NOW)
    later = NOW + timedelta(days=89)
    assert await messages.prune_messages(store, now=later) == 0
    await acknowledgements.settle(store, message.id, later)
    assert await messages.prune_messages(store, now=later) == 1


@pytest.mark.parametrize(
    ("to", "fields", "said"),
    [
        ("broadcast", {"ack_by": NOW + HOUR}, "Nobody knows who all readers of a broadcast are"),
        ("coder", {"ack_by": NOW}, "The time to acknowledge it would be over already"),
    ],
)
async def test_acknowledgements_that_nobody_could_give(store: Store, to: str, fields: Any, said: str) -> None:
    with pytest.raises(Refused, match=said):
        await sent(store, to, **fields)


async def test_of_a_team_s_message_the_member_is_named_who_acknowledges(store: Store) -> None:
    await docs(store)
    message = await sent(store)
    with pytest.raises(Refused, match="A message to a team stands differently"):
        await messages.acknowledge(store, message, by=None, login="ann", now=NOW)
    with pytest.raises(Refused, match='"wirter" is no member of the team docs'):
        await messages.acknowledge(store, message, by="wirter", login="ann", now=NOW)


async def test_an_agent_is_busy_while_a_turn_of_it_runs(store: Store) -> None:
    await agents.set_agent(store, "coder", capabilities=["python"], targets=["ops"], by=BY)
    await agents.set_agent(store, "coder", name="The coder", by=BY)
    (known,) = await agents.agents(store)
    assert known.said is not None
    assert (known.said.name, known.said.capabilities, known.turns, known.last_seen_at) == (
        "The coder",
        ["python"],
        0,
        None,
    )
    verdict = await claim(store, JOB, Dispatch(DispatchKind.MANUAL, NOW), flow_run_id=uuid4(), owner="w", now=NOW)
    assert isinstance(verdict, Claimed)
    await turn_begins(store, verdict.context.run_id, "agent:coder:x", agent="coder")
    busy = await agents.agent(store, "coder")
    assert (busy.turns, busy.last_seen_at) == (1, NOW)
    await finish(store, JOB, verdict.context, DispatchResult(RunStatus.OK), children=(), now=NOW + HOUR)
    idle = await agents.agent(store, "coder")
    assert (idle.turns, idle.last_seen_at) == (0, NOW + HOUR)
    assert await agents.results_of(store, "coder") == ("ops",)
    assert await agents.results_of(store, "other") == ()
    with pytest.raises(NotFound, match='There is no agent "other" on record'):
        await agents.agent(store, "other")
